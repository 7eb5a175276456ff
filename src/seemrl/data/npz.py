"""NumPy's npz archives: plain ones with a data set's arrays, read without pickle and without trusting a header."""

import math
import zipfile
import zlib
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seemrl.data.columns import OPTIONAL, REQUIRED, Columns, Declared, check_declared, columns, converted, missing_key
from seemrl.data.refusals import refusal, shortened, valid_unicode
from seemrl.data.sizes import check_size
from seemrl.errors import InputError

FORMAT = "npz"

_RAISED_BY_ZIP = (
    zipfile.BadZipFile,
    zlib.error,
    OSError,
    EOFError,
    RuntimeError,
    ValueError,
    LookupError,
    SyntaxError,
    TypeError,
    ArithmeticError,
)
_SHOWN_KEYS = 12


class Archive:
    """An open npz file: what its arrays claim to be, and their values.

    Attributes:
        path: The file.
        declared: Shape and type of each array, from its header.
    """

    def __init__(self, path: Path, file: zipfile.ZipFile) -> None:
        self.path = path
        self._file = file
        self._members = {valid_unicode(name.removesuffix(".npy")): name for name in file.namelist()}
        self.declared: dict[str, Declared] = {}

    @property
    def keys(self) -> set[str]:
        """Names of the arrays."""
        return set(self._members)

    def shown_keys(self) -> str:
        """The names for a message: the first dozen, each shortened."""
        keys = sorted(self.keys)
        shown = [key if len(key) <= 40 else f"{key[:40]}..." for key in keys[:_SHOWN_KEYS]]
        return ", ".join(shown + ([f"and {len(keys) - _SHOWN_KEYS} more"] if len(keys) > _SHOWN_KEYS else [])) or "none"

    def declare(self, keys: Iterable[str]) -> dict[str, Declared]:
        """Read the headers of these arrays, and check that what they declare is in the archive.

        Raises:
            InputError: A member is no array, or of another size than its header says, or too large for the file.
        """
        sizes: dict[str, tuple[tuple[int, ...], int]] = {}
        for key in keys:
            member = self._file.getinfo(self._members[key])
            with self._file.open(member) as stream:
                shape, dtype = _header(self.path, key, stream)
                start = stream.tell()
            self.declared[key] = Declared(shape, dtype)
            if not dtype.hasobject and member.file_size - start != math.prod(shape) * dtype.itemsize:
                raise refusal(
                    self.path,
                    f"{key}: declares shape {shape} of {dtype}, but {member.file_size - start} bytes follow; "
                    "the file is damaged, fetch or write it again",
                )
            sizes[key] = (shape, member.file_size)
        check_size(self.path, sizes)
        return {key: self.declared[key] for key in keys}

    def read(self, key: str, shape: tuple[int, ...]) -> NDArray[Any]:
        """The values of a declared array in this shape, in the type a data set keeps."""
        with self._file.open(self._members[key]) as stream:
            array = np.lib.format.read_array(stream, allow_pickle=False)
        return converted(self.path, key, np.reshape(array, shape))


@contextmanager
def open_npz(path: Path) -> Generator[Archive, None, None]:
    """Open an npz file for reading; whatever is wrong with it while the context lasts becomes one line.

    Raises:
        InputError: The file is damaged.
    """
    try:
        with zipfile.ZipFile(path) as file:
            yield Archive(path, file)
    except InputError:
        raise
    except MemoryError as error:
        raise refusal(path, "does not fit into memory; give a smaller file") from error
    except _RAISED_BY_ZIP as error:
        raise refusal(path, f"damaged or incomplete npz file ({shortened(error)}); fetch or write it again") from error


def read_npz(path: Path) -> Columns:
    """The transitions of a plain npz file: arrays named as in a `Dataset`.

    ``observations``, ``actions``, ``rewards`` and ``terminals`` are required, ``timeouts`` and ``next_observations``
    optional, with the meaning they have in D4RL's layout (see `load_d4rl`). Other arrays are ignored.

    Raises:
        InputError: The file cannot be read or its arrays cannot be used.
    """
    with open_npz(path) as archive:
        for key in REQUIRED:
            if key not in archive.keys:
                raise missing_key(path, key, archive.shown_keys(), "name the arrays as numpy.savez(file, key=array)")
        keys = [key for key in (*REQUIRED, *OPTIONAL) if key in archive.keys]
        shapes = check_declared(path, archive.declare(keys))
        return columns(path, FORMAT, {key: archive.read(key, shapes[key]) for key in keys})


def _header(path: Path, key: str, stream: Any) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and type from the header of an npy member; nothing in it is executed."""
    versions = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    try:
        version = np.lib.format.read_magic(stream)
        if version not in versions:
            raise refusal(path, f"{key}: npy version {version}, which plain numbers do not need; store plain numbers")
        shape, _, dtype = versions[version](stream)
    except InputError:
        raise
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError, LookupError, ArithmeticError) as error:
        raise refusal(path, f"{key}: not a NumPy array ({shortened(error)}); write it with numpy.savez") from error
    return shape, dtype
