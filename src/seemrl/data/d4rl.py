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

from seemrl.data.arrays import Room
from seemrl.data.attributes import scalar_attributes, write_attributes
from seemrl.data.columns import OPTIONAL, REQUIRED, Columns, Declared, check_declared, columns, converted, missing_key
from seemrl.data.completing import Stored
from seemrl.data.dataset import Dataset
from seemrl.data.hdf5 import (
    StoredFloats,
    check_declared_size,
    dataset_of,
    open_hdf5,
    read_numbers,
    shown_keys,
)
from seemrl.data.refusals import refusal
from seemrl.files import write_atomically

FORMAT = "D4RL HDF5"
ROWS_IN_CHUNK = 2**16


def load_d4rl(path: str | Path) -> Dataset:
    """Read a data set in D4RL's HDF5 layout.

    ``observations`` (N, size), ``actions`` (N, size), ``rewards`` (N,) and ``terminals`` (N,) are required,
    ``timeouts`` (N,) and ``next_observations`` (N, size) optional; (N, 1) counts as (N,). Other keys (``infos``,
    ``metadata``) are ignored. Floats of any width become float32; a value beyond its range counts as infinite.
    Integer actions, (N,), are discrete. Flags may be stored as booleans or as the numbers 0 and 1. The attribute
    ``environment`` and other scalar attributes are kept. A timeout is never a terminal.

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
    return read_d4rl(Path(path)).dataset()


def read_d4rl(path: Path, room: Room = np.empty) -> Columns:
    """The transitions of a file in D4RL's layout; see `load_d4rl`. Large arrays are put where ``room`` says."""
    with open_hdf5(path) as file:
        found = set(file)  # asking `key in file` would follow links
        for key in REQUIRED:
            if key not in found:
                raise missing_key(path, key, shown_keys(file), "give a file in D4RL's layout")
        stored = {key: dataset_of(file, path, key) for key in (*REQUIRED, *OPTIONAL) if key in found}
        declared = {key: Declared(item.shape or (), item.dtype) for key, item in stored.items()}
        shapes = check_declared(path, declared)
        check_declared_size(path, stored)
        arrays: dict[str, NDArray[Any] | Stored] = {
            key: StoredFloats(item)
            if len(shapes[key]) == 2 and item.dtype.kind == "f"
            else converted(path, key, read_numbers(item, shapes[key]))
            for key, item in stored.items()
        }
        attributes = scalar_attributes(file, path)
        environment = attributes.pop("environment", None)
        if environment is not None and not isinstance(environment, str):
            raise refusal(path, f"attribute environment: {environment} where a Gymnasium id belongs; store it as text")
        return columns(path, FORMAT, arrays, environment, attributes, room)


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


def _write(dataset: Dataset, path: Path) -> None:
    attributes: Mapping[str, float | int | str] = dict(dataset.attributes)
    if dataset.environment is not None:
        attributes = {**attributes, "environment": dataset.environment}
    with h5py.File(path, "w") as file:
        for key, array in dataset.arrays().items():
            chunks = (min(len(array), ROWS_IN_CHUNK), 1)[: array.ndim]  # a column each compresses a tenth better
            file.create_dataset(key, data=array, chunks=chunks, compression="gzip", shuffle=True, track_times=False)
        write_attributes(file, attributes)
