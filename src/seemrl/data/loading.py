"""One entry for every format: the content tells which it is."""

from collections.abc import Callable
from pathlib import Path

from seemrl.data.columns import Columns
from seemrl.data.d3rlpy import read_d3rlpy, read_d3rlpy_1
from seemrl.data.d4rl import read_d4rl
from seemrl.data.dataset import Dataset
from seemrl.data.hdf5 import check_is_regular, open_hdf5
from seemrl.data.mapped import is_mapped, read_mapped
from seemrl.data.minari import data_directory, read_minari, stored_directory
from seemrl.data.npz import open_npz, read_npz
from seemrl.data.ogbench import MARKS, read_ogbench
from seemrl.data.refusals import refusal
from seemrl.data.tables import read_arrow, read_parquet

Reader = Callable[[Path], Columns]

FORMATS = (
    "D4RL or d3rlpy HDF5, npz, OGBench npz, Parquet, Arrow, a directory of seemrl data map, or a Minari directory or id"
)

_HDF5 = b"\x89HDF\r\n\x1a\n"
_ZIP = b"PK\x03\x04"
_PARQUET = b"PAR1"
_ARROW_FILE = b"ARROW1"
_ARROW_STREAM = b"\xff\xff\xff\xff"
_NPY = b"\x93NUMPY"
_PICKLES = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")


def load(path: str | Path) -> Dataset:
    """Read a data set in any format that is known; its content tells which.

    Args:
        path: A file of D4RL, d3rlpy (HDF5), OGBench or plain NumPy (npz), Parquet or Arrow; a directory of
            `save_mapped`, whose arrays stay on the disk; a directory of Minari, or the id of a data set in Minari's
            local store, such as ``D4RL/pointmaze/umaze-v2``.

    Returns:
        The data set; its ``source`` is the path.

    Raises:
        InputError: The file cannot be read, is of no known format, or its arrays cannot be used; one line that names
            file, key and first offending row.
        MissingPartError: The format needs pyarrow, which is not installed.
    """
    return read(path).dataset()


def read(path: str | Path) -> Columns:
    """What the file holds, values not yet checked to be finite; see `load`."""
    place = Path(path)
    if not place.exists() and data_directory(stored_directory(str(path))):
        place = stored_directory(str(path))
    if is_mapped(place):
        return read_mapped(place)
    directory = data_directory(place)
    if directory is not None:
        return read_minari(directory)
    if place.is_dir():
        raise refusal(path, f"a directory, and none of Minari's: it has no metadata.json; give {FORMATS}")
    if not place.exists() and place.suffix == "" and len(place.parts) > 1 and not place.is_absolute():
        raise refusal(
            path,
            f"no such file, nor a data set in Minari's local store; check the path or run: minari download {path}",
        )
    check_is_regular(place)
    return _reader(place)(place)


def is_d4rl(path: Path) -> bool:
    """Whether this is a file in D4RL's layout.

    Raises:
        InputError: It is a file of no known format.
    """
    return path.is_file() and _reader(path) is read_d4rl


def _reader(path: Path) -> Reader:
    with path.open("rb") as file:
        start = file.read(8)
    if start == _HDF5:
        return _hdf5_reader(path)
    if start.startswith(_ZIP):
        with open_npz(path) as archive:
            return read_ogbench if MARKS & archive.keys or _is_goal_conditioned(archive.keys) else read_npz
    if start.startswith(_PARQUET):
        return read_parquet
    if start.startswith((_ARROW_FILE, _ARROW_STREAM)):
        return read_arrow
    if start.startswith(_NPY):
        raise refusal(path, "one NumPy array, not transitions; store all arrays in one file with numpy.savez")
    if start.startswith(_PICKLES):
        raise refusal(path, "a pickle, which can run code when it is read; store the arrays with numpy.savez or HDF5")
    raise refusal(path, f"neither HDF5, npz, Parquet nor Arrow; give {FORMATS}")


def _hdf5_reader(path: Path) -> Reader:
    with open_hdf5(path) as file:
        keys = set(file)
    if {"columns", "num_episodes"} <= keys:
        return read_d3rlpy
    if "episode_terminals" in keys:
        return read_d3rlpy_1
    if "episode_0" in keys and "observations" not in keys:
        raise refusal(path, "Minari's episodes without their metadata.json; give the directory that holds both")
    return read_d4rl


def _is_goal_conditioned(keys: set[str]) -> bool:
    """OGBench's own files: states, actions and ends, but no rewards."""
    return {"observations", "actions", "terminals"} <= keys and "rewards" not in keys
