"""Files in D4RL's layout that cannot be read, or hold values that lie elsewhere: refused in one line."""

import os
import re
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from d4rl_files import ROWS, dataset_of, refusal_of, transitions, write

from seemrl.data import d4rl
from seemrl.data.d4rl import load_d4rl, save_d4rl
from seemrl.data.dataset import Dataset
from seemrl.errors import InputError

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
