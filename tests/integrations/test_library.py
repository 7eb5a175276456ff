"""Versions and missing parts: errors that need no library."""

import random
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch

from seemrl.errors import InputError
from seemrl.integrations.library import TESTED, attribute, check_version, load
from seemrl.integrations.parts import own_randomness


@pytest.mark.parametrize("distribution", TESTED)
def test_a_version_outside_the_tested_range_is_refused_in_one_line(distribution):
    lowest, beyond = (".".join(map(str, numbers)) for numbers in TESTED[distribution])
    check_version(distribution, f"{lowest}.1")
    for strange in ("0.0.1", f"{beyond}.0", "99.0", "nightly"):
        with pytest.raises(InputError, match=f"{distribution} {strange} is outside the tested range") as refusal:
            check_version(distribution, strange)
        assert "by hand: seemrl.measure(critic, batch, policy" in str(refusal.value)
        assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("distribution", sorted(TESTED.keys() - {"pytorch-lightning"}))  # lightning under another name
def test_the_extra_of_that_name_installs_the_tested_range(distribution):
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lowest, beyond = (".".join(map(str, numbers)) for numbers in TESTED[distribution])
    assert project["optional-dependencies"][distribution] == [f"{distribution}>={lowest},<{beyond}"]


def test_a_library_that_is_not_installed_is_named_with_the_line_that_installs_it(monkeypatch):
    monkeypatch.setitem(TESTED, "no-such-library", ((1, 2), (1, 3)))
    with pytest.raises(InputError, match=r"no-such-library is not installed; run: pip install 'no-such-library==1.2"):
        load("no-such-library", "no_such_library")


def test_a_missing_attribute_is_named_with_its_owner():
    with pytest.raises(InputError, match=r"d3rlpy: Linear has no impl\.modules"):
        attribute("d3rlpy", torch.nn.Linear(1, 1), "impl.modules")


def test_a_reading_has_randomness_of_its_own():
    def draws():
        return random.random(), np.random.random(), float(torch.rand(()))

    for seeds in (random.seed, np.random.seed, torch.manual_seed):
        seeds(5)
    undisturbed = draws()
    for seeds in (random.seed, np.random.seed, torch.manual_seed):
        seeds(5)
    with own_randomness(1):
        first = draws()
    with pytest.raises(InputError), own_randomness(1):
        assert draws() == first
        raise InputError("a reading that fails")
    assert draws() == undisturbed != first
