"""D4RL's HDF5 layout: flat arrays ``observations``, ``actions``, ``rewards``, ``terminals``, ``timeouts``.

Fu et al., *D4RL: Datasets for Deep Data-Driven Reinforcement Learning*, 2020, arXiv 2004.07219. Neither the ``d4rl``
package nor MuJoCo is needed.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from seemrl.data.dataset import FLAGS, RANKS, Dataset, Flags, Floats, check_finite, check_shapes
from seemrl.data.hdf5 import check_declared_size, dataset_of, open_hdf5, scalar_attributes, shown_keys
from seemrl.data.refusals import refusal
from seemrl.files import write_atomically

REQUIRED = ("observations", "actions", "rewards", "terminals")
OPTIONAL = ("timeouts", "next_observations")
ROWS_IN_CHUNK = 2**16


def load_d4rl(path: str | Path) -> Dataset:
    """Read a data set in D4RL's HDF5 layout.

    ``observations`` (N, size), ``actions`` (N, size), ``rewards`` (N,) and ``terminals`` (N,) are required,
    ``timeouts`` (N,) and ``next_observations`` (N, size) optional; (N, 1) counts as (N,). Other keys (``infos``,
    ``metadata``) are ignored. Floats of any width become float32; a value beyond its range counts as infinite. Flags
    may be stored as booleans or as the numbers 0 and 1. The attribute ``environment`` and other scalar attributes are
    kept. A timeout is never a terminal.

    Without ``next_observations`` the next observation is the following row. Where an episode was cut short, and at the
    end of the file, it is unknown: such rows are dropped, and the row before a dropped timeout, now its episode's
    last, takes over the timeout. A terminal row stays, with its own observation as the next one, because a terminal's
    next value is masked. If ``timeouts`` is missing as well, every episode is taken to end in a terminal row.

    Args:
        path: The file.

    Returns:
        The data set; its ``source`` is the path.

    Raises:
        InputError: The file cannot be read or its arrays cannot be used; one line naming file, key and first
            offending row.
    """
    path = Path(path)
    arrays, attributes = _read(path)
    for key, array in arrays.items():
        arrays[key] = _flags(path, key, array) if key in FLAGS else _floats(path, key, array)
    arrays.setdefault("timeouts", np.zeros(len(arrays["terminals"]), dtype=np.bool_))
    if "next_observations" not in arrays:
        arrays = _with_following_rows(path, arrays)
    environment = attributes.pop("environment", None)
    if environment is not None and not isinstance(environment, str):
        raise refusal(path, f"attribute environment: {environment} where a Gymnasium id belongs; store it as text")
    return Dataset(**arrays, environment=environment, source=str(path), attributes=attributes)


def save_d4rl(dataset: Dataset, path: str | Path) -> None:
    """Write a data set in D4RL's HDF5 layout; `load_d4rl` reads back the same arrays, environment and attributes.

    Equal data sets give equal bytes: no times are stored. The file appears complete or not at all.

    Args:
        dataset: The data set; its ``source`` is not stored.
        path: The file to write or replace.

    Raises:
        InputError: The file cannot be written.
    """
    path = Path(path)
    try:
        write_atomically(path, lambda temporary: _write(dataset, temporary))
    except OSError as error:
        raise refusal(path, f"cannot be written ({error.strerror or error}); choose another place") from error


def _read(path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, float | int | str]]:
    """Arrays as stored, their types and shapes checked, (N, 1) squeezed to (N,) where one axis belongs."""
    with open_hdf5(path) as file:
        found = set(file)  # asking `key in file` would follow links
        missing = [key for key in REQUIRED if key not in found]
        if missing:
            raise refusal(
                path, f"{missing[0]}: key is missing (found: {shown_keys(file)}); give a file in D4RL's layout"
            )
        present = [key for key in (*REQUIRED, *OPTIONAL) if key in found]
        stored = {key: dataset_of(file, path, key) for key in present}
        for key, item in stored.items():
            _check_stored_type(path, key, item.dtype)
        shapes = {key: _squeezed(key, item.shape or ()) for key, item in stored.items()}
        check_shapes(path, shapes)
        check_declared_size(path, stored)
        arrays = {key: np.reshape(item[()], shapes[key]) for key, item in stored.items()}
        return arrays, scalar_attributes(file)


def _write(dataset: Dataset, path: Path) -> None:
    attributes: Mapping[str, float | int | str] = dict(dataset.attributes)
    if dataset.environment is not None:
        attributes = {**attributes, "environment": dataset.environment}
    with h5py.File(path, "w") as file:
        for key, array in dataset.arrays().items():
            chunks = (min(len(array), ROWS_IN_CHUNK), 1)[: array.ndim]  # a column each compresses a tenth better
            file.create_dataset(key, data=array, chunks=chunks, compression="gzip", shuffle=True, track_times=False)
        for name in sorted(attributes):
            file.attrs[name] = attributes[name]


def _squeezed(key: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    return shape[:1] if RANKS[key] == 1 and len(shape) == 2 and shape[1] == 1 else shape


def _check_stored_type(path: Path, key: str, dtype: np.dtype[Any]) -> None:
    if key in FLAGS:
        if dtype.kind not in "biuf":
            raise refusal(path, f"{key}: type {dtype} where booleans belong; store True and False, or 1 and 0")
    elif dtype.kind in "biu":
        hint = "; discrete actions are not supported yet" if key == "actions" else ""
        raise refusal(path, f"{key}: type {dtype} where floats belong{hint}; convert continuous values to float32")
    elif dtype.kind != "f":
        raise refusal(path, f"{key}: type {dtype} where floats belong; convert the array to float32")


def _floats(path: Path, key: str, array: NDArray[Any]) -> Floats:
    with np.errstate(over="ignore", invalid="ignore"):
        floats = np.ascontiguousarray(array, dtype=np.float32)
    check_finite(path, key, floats)
    return floats


def _flags(path: Path, key: str, array: NDArray[Any]) -> Flags:
    if array.dtype == np.bool_:
        return np.ascontiguousarray(array)
    neither = (array != 0) & (array != 1)
    if neither.any():
        row = int(np.argmax(neither))
        raise refusal(path, f"{key}: row {row} is {array[row]}, neither 0 nor 1; store True and False, or 1 and 0")
    return array == 1


def _with_following_rows(path: Path, arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """The rows whose next observation is known or masked, with it; see `load_d4rl`."""
    observations, terminals = arrays["observations"], arrays["terminals"]
    cut_short = arrays["timeouts"] & ~terminals
    following = np.concatenate([observations[1:], observations[-1:]])
    following[terminals] = observations[terminals]
    known = ~cut_short
    known[-1] = terminals[-1]
    if not known.any():
        raise refusal(path, "observations: no row has a known next observation; store next_observations")
    timeouts = arrays["timeouts"].copy()
    timeouts[:-1] |= cut_short[1:] & ~terminals[:-1]
    complete = {**arrays, "next_observations": following, "timeouts": timeouts}
    return {key: array[known] for key, array in complete.items()}
