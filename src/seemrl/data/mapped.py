"""Data larger than memory: a directory of plain NumPy arrays, mapped into memory instead of read.

DIRECTORY/arrays.json          what it is, the environment and the attributes
DIRECTORY/observations.npy     and so on, one file for each array of `Dataset`
"""

import json
import shutil
import tempfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seemrl.data.arrays import RANKS, blocks
from seemrl.data.columns import Columns, columns
from seemrl.data.d4rl import read_d4rl
from seemrl.data.dataset import Dataset
from seemrl.data.refusals import refusal, shortened
from seemrl.files import write_directory_atomically, write_json

FORMAT = "mapped arrays"
_ABOUT = "arrays.json"
_MARK = {"format": "seemrl arrays", "version": 1}


def is_mapped(path: Path) -> bool:
    """Whether this is such a directory."""
    return (path / _ABOUT).is_file()


def read_mapped(directory: Path) -> Columns:
    """The arrays of a directory, mapped: what is not looked at stays on the disk.

    Raises:
        InputError: a file is missing or damaged, or no array of plain numbers.
    """
    about = _about(directory / _ABOUT)
    arrays = {key: _mapped(directory / f"{key}.npy") for key in RANKS}
    lengths = {key: len(array) for key, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        raise refusal(directory, f"its arrays differ in their rows ({lengths}); make it anew with seemrl data map")
    return columns(directory, FORMAT, arrays, about["environment"], about["attributes"])


def save_mapped(dataset: Dataset, directory: str | Path) -> None:
    """Write a data set as such a directory, which appears complete or not at all; `seemrl.load` maps it.

    Raises:
        InputError: something is there already, or it cannot be written.
    """
    directory = Path(directory)
    with _making(directory):
        write_directory_atomically(directory, lambda temporary: _write(dataset, temporary))


def map_d4rl(path: str | Path, directory: str | Path) -> Dataset:
    """Bring a file in D4RL's layout into such a directory without ever holding its large arrays in memory.

    What is held are single blocks of rows, rewards and flags. While it lasts, it takes its space on the disk twice.

    Args:
        path: an HDF5 file in D4RL's layout, as `seemrl.load_d4rl` takes it.
        directory: new.

    Returns:
        The data set, mapped from the directory.

    Raises:
        InputError: as `seemrl.load_d4rl`, or the directory exists or cannot be written; nothing is left of it then.
    """
    directory = Path(directory)
    with _making(directory):
        scratch = Path(tempfile.mkdtemp(prefix=f".{directory.name}.", suffix=".tmp", dir=directory.parent))
    try:
        found = read_d4rl(Path(path), _Scratch(scratch)).dataset()
        save_mapped(found, directory)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return read_mapped(directory).dataset()


@contextmanager
def _making(directory: Path) -> Generator[None]:
    """While a new directory is made, what keeps it from being there is told in one line."""
    if directory.exists():
        raise refusal(directory, "exists already; choose another place, or delete it")
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise refusal(directory, f"cannot be written ({error.strerror or error}); choose another place") from error


class _Scratch:
    """Room for arrays in files that nobody needs afterwards."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._count = 0

    def __call__(self, shape: tuple[int, ...], dtype: type) -> NDArray[Any]:
        self._count += 1
        return np.memmap(self._directory / f"{self._count}.bin", dtype, mode="w+", shape=shape)


def _write(dataset: Dataset, directory: Path) -> None:
    for key, array in dataset.arrays().items():
        kept = np.lib.format.open_memmap(directory / f"{key}.npy", mode="w+", dtype=array.dtype, shape=array.shape)
        for block in blocks(len(array)):
            kept[block] = array[block]
        kept.flush()
    write_json(
        directory / _ABOUT,
        _MARK | {"environment": dataset.environment, "attributes": dict(dataset.attributes), "source": dataset.source},
    )


def _mapped(path: Path) -> NDArray[Any]:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError as error:
        raise refusal(path, "no such file; make the directory anew with seemrl data map") from error
    except (OSError, ValueError, SyntaxError, TypeError, EOFError, ArithmeticError, RecursionError) as error:
        raise refusal(path, f"not a NumPy array of numbers ({shortened(error)}); make the directory anew") from error
    if not array.ndim or not array.flags.c_contiguous:
        raise refusal(path, "not an array of rows, one after another; make the directory anew with seemrl data map")
    return array


def _about(path: Path) -> Mapping[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        attributes, environment = found["attributes"], found["environment"]
        plain = all(isinstance(value, str | int | float) for value in attributes.values())
        if {key: found[key] for key in _MARK} != _MARK or not plain or not isinstance(environment, str | None):
            raise ValueError("other contents than expected")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise refusal(path, f"not what seemrl data map wrote ({shortened(error)}); make the directory anew") from error
    return found
