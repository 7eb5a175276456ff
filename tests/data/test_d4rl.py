"""What a good file in D4RL's layout gives, and that saving and loading it changes nothing."""

import dataclasses
import os

import numpy as np
import pytest
from d4rl_files import ROWS, dataset_of, refusal_of, transitions, write

from seemrl.data import hdf5, sizes
from seemrl.data.d4rl import load_d4rl, save_d4rl
from seemrl.errors import InputError

# What a good file gives


def test_a_complete_file_is_read_as_it_is(tmp_path):
    arrays = transitions()
    extras = {"infos/qpos": np.zeros((3, 2)), "metadata/algorithm": b"SAC"}
    dataset = load_d4rl(
        write(tmp_path / "a.hdf5", arrays | extras, environment="Toy-v0", episodes=4, note=b"x", v=[1, 2])
    )
    for key, array in arrays.items():
        np.testing.assert_array_equal(getattr(dataset, key), array)
    assert (dataset.environment, dataset.source) == ("Toy-v0", str(tmp_path / "a.hdf5"))
    assert dataset.attributes == {"episodes": 4, "note": "x"}


@pytest.mark.parametrize(
    "change",
    [
        lambda key, a: a[:, None] if a.ndim == 1 else a,
        lambda key, a: a.astype(np.uint8) if a.dtype == np.bool_ else a,
        lambda key, a: a.astype(np.float64),
        lambda key, a: a.astype(">i8") if a.dtype == np.bool_ else a.astype(">f4"),
    ],
    ids=["columns", "integer flags", "float64", "big-endian"],
)
def test_other_spellings_of_the_same_numbers_give_the_same_data(tmp_path, change):
    arrays = transitions()
    plain = load_d4rl(write(tmp_path / "plain.hdf5", arrays))
    other = load_d4rl(write(tmp_path / "other.hdf5", {key: change(key, array) for key, array in arrays.items()}))
    assert other.fingerprint() == plain.fingerprint()


def test_integers_are_numbers_in_observations_and_rewards_and_discrete_actions(tmp_path):
    arrays = transitions() | {"actions": np.arange(ROWS, dtype=np.uint8)[:, None] % 4, "rewards": np.arange(ROWS) - 3}
    dataset = load_d4rl(write(tmp_path / "a.hdf5", arrays, action_count=6))
    assert dataset.discrete
    assert dataset.actions.dtype == np.int64
    np.testing.assert_array_equal(dataset.actions, np.arange(ROWS) % 4)
    np.testing.assert_array_equal(dataset.rewards, np.arange(ROWS, dtype=np.float32) - 3)
    assert dataset.action_count == 6


@pytest.mark.parametrize("rows_in_block", [3, 2**16])
def test_floats_are_converted_block_by_block(tmp_path, monkeypatch, rows_in_block):
    monkeypatch.setattr(hdf5, "ROWS_IN_BLOCK", rows_in_block)
    arrays = transitions() | {"rewards": np.linspace(0, 1, ROWS)[:, None]}
    dataset = load_d4rl(write(tmp_path / "a.hdf5", arrays))
    np.testing.assert_array_equal(dataset.rewards, np.linspace(0, 1, ROWS).astype(np.float32))


def test_without_timeouts_none_is_set(tmp_path):
    arrays = transitions()
    del arrays["timeouts"]
    assert not load_d4rl(write(tmp_path / "a.hdf5", arrays)).timeouts.any()


def test_a_timeout_is_never_a_terminal(tmp_path):
    arrays = transitions() | {"timeouts": np.ones(ROWS, dtype=np.bool_)}
    dataset = load_d4rl(write(tmp_path / "a.hdf5", arrays))
    np.testing.assert_array_equal(np.flatnonzero(dataset.terminals), [8])
    assert dataset.timeouts.all()


def test_without_next_observations_the_following_row_is_next(tmp_path):
    arrays = transitions()
    del arrays["next_observations"]
    dataset = load_d4rl(write(tmp_path / "a.hdf5", arrays))
    kept = [0, 1, 2, 4, 5, 7, 8]  # without the cut 3 and 6 and the last
    observations = arrays["observations"]
    np.testing.assert_array_equal(dataset.observations, observations[kept])
    np.testing.assert_array_equal(dataset.rewards, arrays["rewards"][kept])
    np.testing.assert_array_equal(dataset.next_observations, observations[[1, 2, 3, 5, 6, 8, 8]])  # 8 is terminal
    np.testing.assert_array_equal(dataset.terminals, [False] * 6 + [True])
    np.testing.assert_array_equal(dataset.timeouts, [False, False, True, False, True, False, False])


def test_without_next_observations_a_terminal_last_row_stays(tmp_path):
    arrays = transitions() | {"terminals": np.arange(ROWS) == ROWS - 1}
    del arrays["next_observations"], arrays["timeouts"]
    dataset = load_d4rl(write(tmp_path / "a.hdf5", arrays))
    assert len(dataset) == ROWS
    np.testing.assert_array_equal(dataset.next_observations[-1], arrays["observations"][-1])


def test_without_next_observations_a_terminal_wins_over_a_timeout_in_the_same_row(tmp_path):
    arrays = transitions()
    del arrays["next_observations"]
    arrays["timeouts"] = arrays["timeouts"] | arrays["terminals"]
    dataset = load_d4rl(write(tmp_path / "a.hdf5", arrays))
    assert dataset.terminals.sum() == 1
    np.testing.assert_array_equal(dataset.observations[dataset.terminals], arrays["observations"][[8]])


def test_constant_data_compressed_a_hundredfold_is_read(tmp_path, monkeypatch):
    rows = 50_000
    arrays = {key: np.zeros((rows, *array.shape[1:]), array.dtype) for key, array in transitions().items()}
    save_d4rl(dataset_of(arrays), tmp_path / "a.hdf5")
    assert len(load_d4rl(tmp_path / "a.hdf5")) == rows
    monkeypatch.setattr(sizes, "ALWAYS_ALLOWED_BYTES", 0)
    assert "declares shape" in refusal_of(tmp_path / "a.hdf5")


# Round trip


def test_round_trip_is_exact(tmp_path):
    dataset = dataset_of(transitions())
    save_d4rl(dataset, tmp_path / "a.hdf5")
    again = load_d4rl(tmp_path / "a.hdf5")
    assert again.fingerprint() == dataset.fingerprint()
    assert (again.environment, again.attributes) == (dataset.environment, dataset.attributes)
    assert os.listdir(tmp_path) == ["a.hdf5"]


def test_an_unknown_environment_stays_unknown(tmp_path):
    save_d4rl(dataclasses.replace(dataset_of(transitions()), environment=None), tmp_path / "a.hdf5")
    assert load_d4rl(tmp_path / "a.hdf5").environment is None


def test_the_same_data_gives_the_same_bytes(tmp_path):
    for name in ("a.hdf5", "b.hdf5"):
        save_d4rl(dataset_of(transitions()), tmp_path / name)
    assert (tmp_path / "a.hdf5").read_bytes() == (tmp_path / "b.hdf5").read_bytes()


def test_saving_into_a_missing_directory_is_refused(tmp_path):
    with pytest.raises(InputError, match="cannot be written"):
        save_d4rl(dataset_of(transitions()), tmp_path / "missing" / "a.hdf5")
