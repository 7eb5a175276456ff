"""Observations are seen as the run's config.json says, in training, evaluation and when a run goes on."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_runs import abandon_at, assert_same_outcome, begin, complete, hopper, resume

from seemrl.errors import InputError
from seemrl.files import write_json
from seemrl.training.run_directory import stored_description
from seemrl.training.standardisation import stored_standardisation


def rewrite(run: Path, change: Any) -> None:
    described = json.loads((run / "config.json").read_text())
    change(described)
    write_json(run / "config.json", described)


def kept(run: Path) -> tuple[np.ndarray, np.ndarray]:
    return stored_standardisation(run, stored_description(run))


def test_a_run_that_has_begun_keeps_what_it_was_standardised_by_to_the_last_bit(tmp_path):
    begin(tmp_path / "run")
    for ours, theirs in zip(kept(tmp_path / "run"), hopper().observation_statistics(), strict=True):
        assert ours.dtype == theirs.dtype == np.float32
        np.testing.assert_array_equal(ours, theirs)


def test_observations_that_are_left_alone_have_shift_0_and_scale_1(tmp_path):
    begin(tmp_path / "run", normalize_observations=False)
    shift, scale = kept(tmp_path / "run")
    assert (shift == 0).all() and (scale == 1).all() and len(shift) == hopper().observation_size


def test_a_run_that_goes_on_sees_observations_as_its_directory_says(tmp_path):
    abandon_at(begin(tmp_path / "run"), 16)
    rewrite(tmp_path / "run", lambda described: described["observations"].update(shift=[0.5] * 11, scale=[2] * 11))
    moved = resume(tmp_path / "run")
    observations = hopper().observations[:4]
    seen = moved.act(observations)
    rewrite(tmp_path / "run", lambda described: described["observations"].update(shift=[0] * 11, scale=[1] * 11))
    np.testing.assert_array_equal(resume(tmp_path / "run").act((observations - 0.5) / 2), seen)
    assert np.abs(resume(tmp_path / "run").act(observations) - seen).max() > 1e-4


def test_a_run_of_a_version_that_did_not_keep_them_goes_on_with_those_of_its_data(tmp_path):
    whole = complete(begin(tmp_path / "whole"))
    abandon_at(begin(tmp_path / "run"), 16)
    rewrite(tmp_path / "run", lambda described: described.pop("observations"))
    assert_same_outcome(complete(resume(tmp_path / "run")), whole)


DAMAGE = {
    "no scale": lambda described: described["observations"].pop("scale"),
    "too few": lambda described: described["observations"]["shift"].pop(),
    "a scale of 0": lambda described: described["observations"].update(scale=[0] * 11),
    "not finite": lambda described: described["observations"].update(shift=["nan"] * 11),
    "words": lambda described: described["observations"].update(shift=["x"] * 11),
    "nothing": lambda described: described.update(observations=None),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_what_cannot_be_used_is_refused_in_one_line(tmp_path, name):
    begin(tmp_path / "run")
    rewrite(tmp_path / "run", DAMAGE[name])
    with pytest.raises(InputError) as caught:
        resume(tmp_path / "run")
    assert str(caught.value).startswith(f"{tmp_path}/run/config.json: observations: no finite shift")
    assert str(caught.value).isprintable()
