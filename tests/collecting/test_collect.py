import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seemrl.collecting import collect as collecting
from seemrl.collecting.collect import collect
from seemrl.collecting.command import CollectConfig, run_collect
from seemrl.data.d4rl import load_d4rl
from seemrl.data.embedded import load_embedded_hopper
from seemrl.data.mantissa import round_mantissa
from seemrl.errors import InputError, MissingPartError

gymnasium = pytest.importorskip("gymnasium")
needs_mujoco = pytest.mark.skipif(importlib.util.find_spec("mujoco") is None, reason="MuJoCo is not installed")
SMALLEST_NORMAL = 2.0**-126
pytestmark = pytest.mark.usefixtures("toys")


def toy(transitions=10, seed=0, **options):
    return collect("SeemrlTest/Counter-v0", transitions, seed, **options)


# Rounding


@given(st.floats(width=32, allow_nan=False, allow_infinity=False), st.integers(0, 23))
def test_rounding_errs_by_at_most_half_a_step(value, bits):
    exact = np.array([value], dtype=np.float32)
    rounded = round_mantissa(exact, bits)
    scale = max(abs(value), SMALLEST_NORMAL)
    if np.isfinite(rounded[0]):
        assert abs(float(rounded[0]) - value) <= 2.0 ** -(bits + 1) * scale
        assert np.signbit(rounded[0]) == np.signbit(exact[0])
        np.testing.assert_array_equal(round_mantissa(rounded, bits), rounded)
        assert not rounded.view(np.uint32)[0] & ((1 << (23 - bits)) - 1)
    else:  # IEEE: from half a step above the largest number of so many bits
        assert abs(value) >= (2.0 - 2.0 ** -(bits + 1)) * 2.0**127


@pytest.mark.parametrize(
    ("value", "rounded"),
    [(1.0, 1.0), (1.125, 1.0), (1.375, 1.5), (1.26, 1.25), (1.99, 2.0), (-1.99, -2.0), (np.inf, np.inf)],
)
def test_rounding_to_two_bits_by_hand(value, rounded):
    assert round_mantissa(np.array([value], dtype=np.float32), 2)[0] == rounded


def test_rounding_keeps_nan_and_shape():
    array = np.full((2, 3), np.nan, dtype=np.float32)
    array.view(np.uint32)[0, 0] = 0x7FFFFFFF
    rounded = round_mantissa(array, 3)
    assert rounded.shape == (2, 3)
    assert np.isnan(rounded).all()


@pytest.mark.parametrize("bits", [-1, 24])
def test_rounding_to_impossible_bits_is_refused(bits):
    with pytest.raises(ValueError, match="bits must be 0 to 23"):
        round_mantissa(np.zeros(1, dtype=np.float32), bits)


# Collecting


def test_flags_and_next_observations_are_those_the_environment_gave():
    dataset = toy(10)
    np.testing.assert_array_equal(dataset.observations[:, 0], [0, 1, 2, 0, 1, 0, 1, 2, 0, 1])
    np.testing.assert_array_equal(dataset.next_observations[:, 0], [1, 2, 3, 1, 2, 1, 2, 3, 1, 2])
    np.testing.assert_array_equal(dataset.rewards, dataset.next_observations[:, 0])
    np.testing.assert_array_equal(np.flatnonzero(dataset.terminals), [2, 7])
    np.testing.assert_array_equal(np.flatnonzero(dataset.timeouts), [4, 9])
    assert dataset.attributes["episodes"] == 4
    assert dataset.attributes["behaviour_return"] == (6 + 3 + 6 + 3) / 4
    assert dataset.attributes["gymnasium_version"] == gymnasium.__version__


def test_without_a_finished_episode_no_return_is_recorded():
    dataset = toy(2)
    assert dataset.attributes["episodes"] == 0
    assert "behaviour_return" not in dataset.attributes


@pytest.mark.parametrize("bits", [None, 1])
def test_actions_fill_the_box_and_stay_in_it(bits):
    actions = toy(1000, mantissa_bits=bits).actions
    limit = np.float32(0.4)
    assert np.abs(actions).max() <= limit
    assert np.abs(actions).max() > 0.3
    assert np.abs(actions.mean()) < 0.05


def test_progress_counts_every_transition():
    counts = []
    toy(5, progress=counts.append)
    assert counts == [1, 2, 3, 4, 5]


def test_the_seed_decides_the_data():
    assert toy(seed=3).fingerprint() == toy(seed=3).fingerprint() != toy(seed=4).fingerprint()


@needs_mujoco
def test_a_simulator_says_nothing_of_its_own_models():
    code = "from seemrl.data.environments import make_environment; make_environment('HalfCheetah-v5', 'a test')"
    ended = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert ended.stderr == ended.stdout == ""


@needs_mujoco
def test_the_same_seed_gives_the_same_hopper():
    first, second = (collect("Hopper-v5", 150, 7) for _ in range(2))
    assert first.fingerprint() == second.fingerprint()


@needs_mujoco
def test_the_embedded_data_is_what_its_command_collects():
    embedded = load_embedded_hopper()
    fresh = collect("Hopper-v5", 200, 0, mantissa_bits=15)
    np.testing.assert_array_equal(fresh.actions, embedded.actions[:200])
    for key in ("observations", "next_observations", "rewards"):
        np.testing.assert_allclose(getattr(fresh, key), getattr(embedded, key)[:200], rtol=2**-15, atol=1e-5)
    np.testing.assert_array_equal(fresh.terminals, embedded.terminals[:200])


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ("SeemrlTest/Nowhere-v0", "Gymnasium cannot make it"),
        ("", "Gymnasium cannot make it"),
        ("no_such_module:Some-v0", "Gymnasium cannot make it"),
        ("two\nlines", "Gymnasium cannot make it"),
        ("SeemrlTest/Pair-v0", "is neither a Box nor Discrete"),
        ("SeemrlTest/Unbounded-v0", "is not a bounded float32 Box of one axis"),
        ("SeemrlTest/Double-v0", "is not a bounded float32 Box of one axis"),
        ("SeemrlTest/Image-v0", "observation space .* is not a Box of one axis"),
    ],
)
def test_an_unusable_environment_is_refused_in_one_line(environment, words):
    with pytest.raises(InputError, match=words) as caught:
        collect(environment, 5, 0)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"transitions": 0}, "cannot collect 0 transitions"),
        ({"transitions": 10**17}, "do not fit into memory"),
        ({"seed": -1}, "seed -1 is out of range"),
        ({"seed": 2**63}, "out of range"),
        ({"noise": -1.0}, "noise -1.0 is no standard deviation"),
        ({"mantissa_bits": 24}, "cannot keep 24 mantissa bits"),
    ],
)
def test_impossible_settings_are_refused(options, words):
    with pytest.raises(InputError, match=words):
        toy(**options)


def test_missing_gymnasium_is_named_with_its_pip_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "gymnasium", None)
    with pytest.raises(MissingPartError, match=r"needs gymnasium.*pip install 'seemrl\[mujoco\]'"):
        toy()


def test_missing_mujoco_is_named_with_its_pip_line(monkeypatch):
    def make(*_, **__):
        raise gymnasium.error.DependencyNotInstalled("MuJoCo is not installed")

    monkeypatch.setattr(gymnasium, "make", make)
    with pytest.raises(MissingPartError, match=r"needs mujoco.*pip install 'seemrl\[mujoco\]'"):
        toy()


# The command


def config(out: Path, **options: Any) -> CollectConfig:
    settings: dict[str, Any] = {"environment": "SeemrlTest/Counter-v0", "transitions": 20}
    return CollectConfig(out=str(out), **(settings | options))


def test_the_command_writes_what_it_collected(tmp_path, capsys):
    out = tmp_path / "a.hdf5"
    run_collect(config(out, seed=5, mantissa_bits=4))
    assert load_d4rl(out).fingerprint() == toy(20, seed=5, mantissa_bits=4).fingerprint()
    assert capsys.readouterr().out == (
        f"{out}: 20 transitions of SeemrlTest/Counter-v0, 8 finished episodes, mean return 4.5\n"
    )


def test_an_existing_file_is_replaced_only_when_asked(tmp_path, monkeypatch):
    out = tmp_path / "a.hdf5"
    out.write_text("precious")
    with monkeypatch.context() as patch:
        patch.setattr(collecting, "collect", None)  # refused before collecting
        with pytest.raises(InputError, match="already exists; give another name or --overwrite"):
            run_collect(config(out))
    assert out.read_text() == "precious"
    run_collect(config(out, overwrite=True))
    assert len(load_d4rl(out)) == 20


@pytest.mark.parametrize(
    ("out", "words"),
    [("", "a directory"), ("missing/a.hdf5", "no file can be written there"), ("file/a.hdf5", "no file")],
)
def test_an_impossible_place_is_refused_before_collecting(tmp_path, monkeypatch, out, words):
    (tmp_path / "file").touch()
    monkeypatch.setattr(collecting, "collect", None)
    with pytest.raises(InputError, match=words):
        run_collect(config(tmp_path / out))


def test_a_failed_collection_leaves_nothing(tmp_path):
    with pytest.raises(InputError):
        run_collect(config(tmp_path / "a.hdf5", environment="SeemrlTest/Nowhere-v0"))
    assert os.listdir(tmp_path) == []


def test_the_command_line_reads_the_configuration_without_heavy_imports():
    heavy = "{'numpy', 'h5py', 'gymnasium', 'rich'}"
    code = f"import sys; import seemrl.collecting.command; sys.exit(bool({heavy} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", code], check=True)
