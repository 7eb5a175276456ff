"""Careful reading of HDF5 files from anywhere: every defect becomes one line, nothing outside the file is read."""

import math
import stat
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from seemrl.data.arrays import ROWS_IN_BLOCK
from seemrl.data.refusals import refusal, shortened, valid_unicode
from seemrl.data.sizes import check_size
from seemrl.errors import InputError

_SHOWN_KEYS = 12
_LINKS = {h5py.h5l.TYPE_SOFT: "soft link", h5py.h5l.TYPE_EXTERNAL: "external link"}
_RAISED_BY_H5PY = (OSError, RuntimeError, ValueError, TypeError, LookupError, ArithmeticError)


@contextmanager
def open_hdf5(path: Path) -> Generator[Any, None, None]:
    """Open an HDF5 file for reading; whatever HDF5 finds wrong while the context lasts becomes one line.

    Args:
        path: The file.

    Yields:
        The open ``h5py.File``.

    Raises:
        InputError: The path is missing, not a file, unreadable, not HDF5, cut short or damaged.
    """
    _check_is_hdf5(path)
    try:
        with h5py.File(path, "r") as file:
            yield file
    except InputError:
        raise
    except MemoryError as error:
        raise refusal(path, "does not fit into memory; give a smaller file") from error
    except _RAISED_BY_H5PY as error:
        raise refusal(path, f"damaged or incomplete HDF5 file ({shortened(error)}); fetch or write it again") from error


def item_of(group: Any, path: Path, key: str, label: str | None = None) -> Any:
    """The group or array under a key of a group, provided it lies in this file.

    Args:
        group: An open file or group that has the key.
        path: The file, for messages.
        key: One name, without slashes.
        label: What messages call it; the key unless given.

    Raises:
        InputError: The key is a link, or a dataset whose values lie in other files.
    """
    label = label or key
    link = group.id.links.get_info(key.encode("utf-8", "surrogateescape")).type
    if link != h5py.h5l.TYPE_HARD:
        kind = _LINKS.get(link, "link of another kind")
        raise refusal(path, f"{label}: an HDF5 {kind}, which is not followed; store the array itself")
    item: Any = group[key]
    if isinstance(item, h5py.Dataset):
        stored: Any = item
        if stored.is_virtual or stored.external:
            raise refusal(path, f"{label}: its values lie in other files, which are not read; copy them into this file")
    return item


def dataset_of(group: Any, path: Path, key: str, label: str | None = None) -> Any:
    """The HDF5 dataset under a key, provided its values lie in this file; arguments as of `item_of`.

    Raises:
        InputError: The key is a link, a group, or a dataset whose values lie in other files.
    """
    item = item_of(group, path, key, label)
    if not isinstance(item, h5py.Dataset):
        raise refusal(
            path, f"{label or key}: an HDF5 {_words(type(item))} where an array belongs; store the array here"
        )
    return item


def check_declared_size(path: Path, datasets: Mapping[str, Any]) -> None:
    """Refuse HDF5 datasets too large to be in the file, before any memory is taken (see `sizes.check_size`).

    Raises:
        InputError: They declare too many bytes; names the largest.
    """
    check_size(path, {key: (dataset.shape or (), _declared_bytes(dataset)) for key, dataset in datasets.items()})


def read_numbers(dataset: Any, shape: tuple[int, ...]) -> NDArray[Any]:
    """The values of an HDF5 dataset in this shape; floats come as float32, converted block by block.

    A value beyond float32's range becomes infinite.
    """
    if dataset.dtype.kind != "f" or dataset.dtype == np.float32:
        return np.reshape(dataset[()], shape)
    values = np.empty(shape, np.float32)
    rows = max(ROWS_IN_BLOCK, (dataset.chunks or (0,))[0])
    with np.errstate(over="ignore", invalid="ignore"):
        for start in range(0, shape[0], rows):
            block = values[start : start + rows]
            block[:] = np.reshape(dataset[start : start + rows], block.shape)
    return values


class StoredFloats:
    """An HDF5 dataset of floats, (rows, size), read as float32 some rows at a time (a `completing.Stored`)."""

    def __init__(self, dataset: Any) -> None:
        self.shape: tuple[int, ...] = dataset.shape
        self.rows_at_once: int = (dataset.chunks or (1,))[0]
        self._id, self._dtype = dataset.id, dataset.dtype
        self._there = dataset.id.get_space()
        self._buffer = np.empty((0, self.shape[1]), self._dtype)

    def read(self, rows: slice, out: NDArray[np.float32]) -> None:
        """Fill ``out`` with these rows; a value beyond float32's range becomes infinite."""
        self._there.select_hyperslab((rows.start, 0), out.shape)
        here = h5py.h5s.create_simple(out.shape)
        if self._dtype == np.float32 and out.flags.c_contiguous:
            self._id.read(here, self._there, out)
            return
        if len(self._buffer) < len(out):
            self._buffer = np.empty(out.shape, self._dtype)  # kept: new memory for every block costs more than it
        values = self._buffer[: len(out)]
        self._id.read(here, self._there, values)
        with np.errstate(over="ignore", invalid="ignore"):
            out[:] = values


def shown_keys(file: Any) -> str:
    """The keys of a file or group for a message: the first dozen, each shortened."""
    keys = [valid_unicode(key) for key in file]
    shown = [key if len(key) <= 40 else f"{key[:40]}..." for key in keys[:_SHOWN_KEYS]]
    more = [f"and {len(keys) - _SHOWN_KEYS} more"] if len(keys) > _SHOWN_KEYS else []
    return ", ".join(shown + more) or "none"


def check_is_regular(path: Path) -> None:
    """Raise `InputError` unless this is a readable file that is not empty."""
    try:
        status = path.stat()
        if stat.S_ISREG(status.st_mode):
            path.open("rb").close()
    except FileNotFoundError as error:
        raise refusal(path, "no such file; check the path") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise refusal(path, f"cannot be opened ({reason}); check the path and its permissions") from error
    if stat.S_ISDIR(status.st_mode):
        raise refusal(path, "a directory; give the file in it")
    if not stat.S_ISREG(status.st_mode):
        raise refusal(path, "not a regular file; give a file of transitions")
    if status.st_size == 0:
        raise refusal(path, "an empty file; fetch or write it again")


def _check_is_hdf5(path: Path) -> None:
    check_is_regular(path)
    if not h5py.is_hdf5(path):
        raise refusal(path, "not an HDF5 file; give a file in D4RL's HDF5 layout")


def _declared_bytes(dataset: Any) -> int:
    values = math.prod(dataset.shape or ())
    values_in_chunk = math.prod(dataset.chunks or ())  # one is decompressed whole, and can be larger than the array
    return max(values, values_in_chunk) * dataset.dtype.itemsize


def _words(kind: type) -> str:
    return {"Datatype": "named type"}.get(kind.__name__, kind.__name__.lower())
