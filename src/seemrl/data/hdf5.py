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

from seemrl.data.refusals import refusal
from seemrl.errors import InputError

ALWAYS_ALLOWED_BYTES = 2**30
ALLOWED_EXPANSION = 64
"""Arrays may declare 1 GiB together, or 64 times the file's size if that is more.

Float observations compress about 1.1 to 10 times, constant flags about 1000 times but they are one byte in dozens, so
honest files stay far below; a file that declares more would fill the memory with values that are not in it.
"""

ROWS_IN_BLOCK = 2**16
_SHOWN_KEYS = 12
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
        raise refusal(path, f"damaged or incomplete HDF5 file ({error}); fetch or write it again") from error


def dataset_of(file: Any, path: Path, key: str) -> Any:
    """The HDF5 dataset under a key, provided its values lie in this file.

    Raises:
        InputError: The key is a link, a group, or a dataset whose values lie in other files.
    """
    link = type(file.get(key, getlink=True))
    if link is not h5py.HardLink:
        raise refusal(path, f"{key}: an HDF5 {_words(link)}, which is not followed; store the array itself")
    item = file[key]
    if not isinstance(item, h5py.Dataset):
        raise refusal(path, f"{key}: an HDF5 {_words(type(item))} where an array belongs; store the array here")
    stored: Any = item
    if stored.is_virtual or stored.external:
        raise refusal(path, f"{key}: its values lie in other files, which are not read; copy them into this file")
    return stored


def check_declared_size(path: Path, datasets: Mapping[str, Any]) -> None:
    """Refuse arrays too large to be in the file, before any memory is taken (see `ALLOWED_EXPANSION`).

    Raises:
        InputError: They declare too many bytes; names the largest.
    """
    declared = {key: _declared_bytes(dataset) for key, dataset in datasets.items()}
    size = path.stat().st_size
    if sum(declared.values()) > max(ALWAYS_ALLOWED_BYTES, ALLOWED_EXPANSION * size):
        largest = max(declared, key=declared.__getitem__)
        raise refusal(
            path,
            f"{largest}: declares shape {datasets[largest].shape}, {declared[largest]} bytes, "
            f"in a file of {size} bytes; the file is damaged or its arrays were never written",
        )


def read_numbers(dataset: Any, shape: tuple[int, ...]) -> NDArray[Any]:
    """The values of an HDF5 dataset in this shape; floats come as float32, converted block by block.

    A value beyond float32's range becomes infinite.
    """
    if dataset.dtype.kind != "f" or dataset.dtype == np.float32:
        return np.reshape(dataset[()], shape)
    values = np.empty(shape, dtype=np.float32)
    rows = max(ROWS_IN_BLOCK, (dataset.chunks or (0,))[0])
    with np.errstate(over="ignore", invalid="ignore"):
        for start in range(0, shape[0], rows):
            block = values[start : start + rows]
            block[:] = np.reshape(dataset[start : start + rows], block.shape)
    return values


def scalar_attributes(file: Any) -> dict[str, float | int | str]:
    """The file's own attributes that are one number or one text; others are left out."""
    found: dict[str, float | int | str] = {}
    for name in file.attrs:
        if file.attrs.get_id(name).shape != ():
            continue
        value = file.attrs[name]
        if isinstance(value, np.generic):
            value = value.item()
        if isinstance(value, str | bytes):
            found[_valid_unicode(name)] = _valid_unicode(value)
        elif isinstance(value, int | float):
            found[_valid_unicode(name)] = value
    return found


def shown_keys(file: Any) -> str:
    """The keys of a file or group for a message: the first dozen, each shortened."""
    keys = [_valid_unicode(key) for key in file]
    shown = [key if len(key) <= 40 else f"{key[:40]}..." for key in keys[:_SHOWN_KEYS]]
    more = [f"and {len(keys) - _SHOWN_KEYS} more"] if len(keys) > _SHOWN_KEYS else []
    return ", ".join(shown + more) or "none"


def _check_is_hdf5(path: Path) -> None:
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
        raise refusal(path, "a directory; give the HDF5 file in it")
    if not stat.S_ISREG(status.st_mode):
        raise refusal(path, "not a regular file; give an HDF5 file")
    if status.st_size == 0:
        raise refusal(path, "an empty file, not HDF5; fetch or write it again")
    if not h5py.is_hdf5(path):
        raise refusal(path, "not an HDF5 file; give a file in D4RL's HDF5 layout")


def _declared_bytes(dataset: Any) -> int:
    values = math.prod(dataset.shape or ())
    values_in_chunk = math.prod(dataset.chunks or ())  # one is decompressed whole, and can be larger than the array
    return max(values, values_in_chunk) * dataset.dtype.itemsize


def _words(kind: type) -> str:
    return {"SoftLink": "soft link", "ExternalLink": "external link", "Datatype": "named type"}.get(
        kind.__name__, kind.__name__.lower()
    )


def _valid_unicode(text: str | bytes) -> str:
    """Text as it can be printed and stored again; h5py gives bytes or surrogates for what is not UTF-8."""
    encoded = text.encode("utf-8", "replace") if isinstance(text, str) else text
    return encoded.decode("utf-8", "replace")
