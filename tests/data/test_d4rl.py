import dataclasses
import os
import re
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

from seemrl.data import d4rl, hdf5, sizes
from seemrl.data.d4rl import load_d4rl, save_d4rl
from seemrl.data.dataset import Dataset
from seemrl.errors import InputError

ROWS = 10


def transitions() -> dict:
    """Two episodes cut short after rows 3 and 6, one that ends in row 8, one unfinished."""
    random = np.random.default_rng(0)
    return {
        "observations": random.normal(size=(ROWS, 3)).astype(np.float32),
        "actions": random.uniform(-1, 1, size=(ROWS, 2)).astype(np.float32),
        "rewards": random.normal(size=ROWS).astype(np.float32),
        "next_observations": random.normal(size=(ROWS, 3)).astype(np.float32),
        "terminals": np.arange(ROWS) == 8,
        "timeouts": np.isin(np.arange(ROWS), [3, 6]),
    }


def write(path: Path, arrays: dict, **attributes) -> Path:
    with h5py.File(path, "w") as file:
        for key, array in arrays.items():
            file[key] = array
        file.attrs.update(attributes)
    return path


def refusal_of(path: Path) -> str:
    """The message that loading the path ends in, having checked that it is one line about this path."""
    with pytest.raises(InputError) as caught:
        load_d4rl(path)
    message = str(caught.value)
    assert message.isprintable()
    assert message.startswith(f"{path}: ")
    return message


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


# Round trip


def dataset_of(arrays: dict) -> Dataset:
    return Dataset(**arrays, environment="Toy-v0", source="toy", attributes={"seed": 3, "policy": "ü", "mean": 0.1})


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


# Files that cannot be read at all


def missing(path: Path) -> None:
    pass


def directory(path: Path) -> None:
    path.mkdir()


def fifo(path: Path) -> None:
    os.mkfifo(path)


def empty(path: Path) -> None:
    path.touch()


def text(path: Path) -> None:
    path.write_text("observations,actions\n1,2\n")


def truncated(path: Path) -> None:
    save_d4rl(dataset_of(transitions()), path)
    os.truncate(path, path.stat().st_size // 2)


def corrupt_chunk(path: Path) -> None:
    save_d4rl(dataset_of(transitions()), path)
    with h5py.File(path) as file:
        chunk = file["rewards"].id.get_chunk_info(0)
    with path.open("r+b") as raw:
        raw.seek(chunk.byte_offset)
        raw.write(b"\xff" * chunk.size)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (missing, "no such file"),
        (directory, "a directory; give the file"),
        (fifo, "not a regular file"),
        (empty, "an empty file"),
        (text, "not an HDF5 file"),
        (truncated, "damaged or incomplete HDF5 file .*truncated"),
        (corrupt_chunk, "damaged or incomplete HDF5 file .*; fetch or write it again"),
    ],
)
def test_an_unreadable_file_is_refused(tmp_path, spoil, words):
    spoil(tmp_path / "a.hdf5")
    message = refusal_of(tmp_path / "a.hdf5")
    assert re.search(words, message), message


# Arrays that cannot be used


def changed(key, place, value):
    def change(arrays):
        arrays[key] = arrays[key].copy()
        arrays[key][place] = value

    return change


def replaced(key, function):
    def change(arrays):
        arrays[key] = function(arrays[key])

    return change


def without(key):
    return lambda arrays: arrays.pop(key)


def only_rows(rows):
    return lambda arrays: arrays.update({key: array[rows] for key, array in arrays.items()})


def every_row_cut(arrays):
    del arrays["next_observations"]
    arrays |= {"timeouts": np.ones(ROWS, dtype=np.bool_), "terminals": np.zeros(ROWS, dtype=np.bool_)}


def structured(array):
    return np.zeros(len(array), dtype=[("x", np.float32)])


BAD_ARRAYS = [
    (
        without("rewards"),
        "rewards: key is missing (found: actions, next_observations, observations, terminals, timeouts)",
    ),
    (without("terminals"), "terminals: key is missing"),
    (replaced("rewards", lambda a: a[:-1]), "rewards: 9 rows but observations has 10; make all keys equally long"),
    (replaced("timeouts", lambda a: a[:-2]), "timeouts: 8 rows"),
    (replaced("observations", lambda a: a[:, 0]), "observations: shape (10,) where (rows, size of one)"),
    (replaced("actions", lambda a: a[:, :, None]), "actions: shape (10, 2, 1)"),
    (replaced("rewards", lambda a: np.stack([a, a], 1)), "rewards: shape (10, 2) where (rows,)"),
    (replaced("terminals", lambda a: a[:, None, None]), "terminals: shape (10, 1, 1)"),
    (replaced("rewards", lambda a: a[0]), "rewards: shape ()"),
    (replaced("rewards", lambda a: h5py.Empty("f4")), "rewards: shape ()"),
    (
        replaced("next_observations", lambda a: a[:, :2]),
        "next_observations: shape (10, 2) but observations has (10, 3)",
    ),
    (only_rows(slice(0)), "holds no values; give at least one transition"),
    (changed("rewards", 7, np.nan), "rewards: row 7 is nan"),
    (changed("observations", (2, 1), np.inf), "observations: row 2, column 1 is inf"),
    (changed("actions", (0, 0), -np.inf), "actions: row 0, column 0 is -inf"),
    (changed("next_observations", (9, 2), np.nan), "next_observations: row 9, column 2 is nan"),
    (replaced("rewards", lambda a: a.astype(np.float64) * 1e300), "rewards: row 0 is inf, not a finite float32"),
    (replaced("observations", lambda a: a.astype(np.int64) + 2**24 + 2), "observations: row 0 is 16777218, an integer"),
    (replaced("actions", lambda a: a.astype(np.int32)), "actions: 2 integers a row, where a discrete action is one"),
    (replaced("actions", lambda a: np.arange(ROWS) - 1), "actions: row 0 is -1; number discrete actions 0, 1, 2"),
    (replaced("actions", lambda a: np.full(ROWS, 2**40)), "actions: row 0 is 1099511627776; number discrete actions"),
    (replaced("rewards", lambda a: a > 0), "rewards: type bool where floats belong"),
    (replaced("rewards", lambda a: a.astype("S8")), "rewards: type |S8 where floats belong"),
    (
        replaced("rewards", lambda a: np.array(["x"] * ROWS, dtype=object)),
        "rewards: type object, whose values",
    ),
    (replaced("rewards", lambda a: a.astype(np.complex64)), "rewards: type complex64 where floats belong"),
    (replaced("rewards", structured), "rewards: type"),
    (
        replaced("terminals", lambda a: np.array(["no"] * ROWS, dtype=object)),
        "terminals: type object, whose values",
    ),
    (replaced("terminals", lambda a: np.arange(ROWS)), "terminals: row 2 is 2, neither 0 nor 1"),
    (replaced("timeouts", lambda a: np.where(np.arange(ROWS) == 4, np.nan, 0)), "timeouts: row 4 is nan, neither"),
    (every_row_cut, "observations: no row has a known next observation"),
]


@pytest.mark.parametrize(("change", "words"), BAD_ARRAYS, ids=[words[:40] for _, words in BAD_ARRAYS])
def test_unusable_arrays_are_refused(tmp_path, change, words):
    arrays = transitions()
    change(arrays)
    assert words in refusal_of(write(tmp_path / "a.hdf5", arrays))


def test_an_environment_that_is_no_text_is_refused(tmp_path):
    assert "attribute environment: 5" in refusal_of(write(tmp_path / "a.hdf5", transitions(), environment=5))


def test_hostile_keys_stay_on_one_line(tmp_path):
    path = write(tmp_path / "a.hdf5", {"two\nlines\x1b[31m" + "x" * 500: np.zeros(1)})
    assert len(refusal_of(path)) < 300 + len(str(path))


# Values that are not in the file


def soft_link(file, other):
    file["rewards"] = h5py.SoftLink("/actions")


def dangling_soft_link(file, other):
    file["rewards"] = h5py.SoftLink("/nowhere")


def external_link(file, other):
    file["rewards"] = h5py.ExternalLink(other, "rewards")


def group(file, other):
    file.create_group("rewards")


def named_type(file, other):
    file["rewards"] = np.dtype("f4")


def external_storage(file, other):
    file.create_dataset("rewards", (ROWS,), "f4", external=[(str(other), 0, 4 * ROWS)])


def virtual(file, other):
    layout = h5py.VirtualLayout((ROWS,), "f4")
    layout[:] = h5py.VirtualSource(other, "rewards", (ROWS,))
    file.create_virtual_dataset("rewards", layout)


def huge(file, other):
    file.create_dataset("rewards", (2**40,), "f4", chunks=(2**10,), compression="gzip")


def huge_but_equally_long(file, other):
    for key in list(file):
        shape, dtype = file[key].shape, file[key].dtype
        del file[key]
        file.create_dataset(key, (2**40, *shape[1:]), dtype, chunks=(2**10, *shape[1:]))
    file.create_dataset("rewards", (2**40,), "f4", chunks=(2**10,))


def huge_chunk(file, other):
    file.create_dataset("rewards", (ROWS,), "f4", maxshape=(None,), chunks=(2**29,), compression="gzip")


@pytest.mark.parametrize(
    ("store_rewards", "words"),
    [
        (soft_link, "rewards: an HDF5 soft link, which is not followed"),
        (dangling_soft_link, "rewards: an HDF5 soft link"),
        (external_link, "rewards: an HDF5 external link, which is not followed"),
        (group, "rewards: an HDF5 group where an array belongs"),
        (named_type, "rewards: an HDF5 named type where an array belongs"),
        (external_storage, "rewards: its values lie in other files"),
        (virtual, "rewards: its values lie in other files"),
        (huge, "rewards: 1099511627776 rows"),
        (huge_but_equally_long, "observations: declares shape (1099511627776, 3), 13194139533312 bytes"),
        (huge_chunk, "rewards: declares shape (10,), 2147483648 bytes"),
    ],
)
def test_values_that_are_not_in_the_file_are_refused(tmp_path, store_rewards, words):
    other = write(tmp_path / "other.hdf5", transitions())
    arrays = transitions()
    del arrays["rewards"]
    path = write(tmp_path / "a.hdf5", arrays)
    with h5py.File(path, "a") as file:
        store_rewards(file, other)
    assert words in refusal_of(path)


def test_constant_data_compressed_a_hundredfold_is_read(tmp_path, monkeypatch):
    rows = 50_000
    arrays = {key: np.zeros((rows, *array.shape[1:]), array.dtype) for key, array in transitions().items()}
    save_d4rl(dataset_of(arrays), tmp_path / "a.hdf5")
    assert len(load_d4rl(tmp_path / "a.hdf5")) == rows
    monkeypatch.setattr(sizes, "ALWAYS_ALLOWED_BYTES", 0)
    assert "declares shape" in refusal_of(tmp_path / "a.hdf5")


def test_what_does_not_fit_into_memory_is_refused(tmp_path, monkeypatch):
    def exhausted(*_):
        raise MemoryError

    path = write(tmp_path / "a.hdf5", transitions())
    monkeypatch.setattr(d4rl, "check_declared_size", exhausted)
    assert "does not fit into memory" in refusal_of(path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_read_permission_is_refused(tmp_path):
    path = write(tmp_path / "a.hdf5", transitions())
    path.chmod(0)
    assert "cannot be opened (Permission denied)" in refusal_of(path)


def test_random_damage_gives_data_or_one_line(tmp_path):
    """Bytes changed in the arrays' headers and chunks; the file has no text attributes, on which HDF5 can crash."""
    good = tmp_path / "good.hdf5"
    save_d4rl(Dataset(**transitions(), environment=None, source="toy"), good)
    random = np.random.default_rng(0)
    for trial in range(200):
        path = tmp_path / "a.hdf5"
        shutil.copy(good, path)
        with path.open("r+b") as file:
            for place in random.integers(good.stat().st_size, size=1 + trial % 4):
                file.seek(place)
                file.write(random.bytes(1))
        try:
            load_d4rl(path)
        except InputError as error:
            assert str(error).isprintable()
