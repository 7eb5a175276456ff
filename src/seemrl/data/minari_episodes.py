"""The episodes of a Minari data set as its files hold them."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from seemrl.data.columns import converted
from seemrl.data.hdf5 import check_declared_size, dataset_of, item_of, open_hdf5, shown_keys
from seemrl.data.refusals import refusal, shortened
from seemrl.data.sizes import check_size
from seemrl.data.spaces import Leaf
from seemrl.data.tables import PURPOSE, arrow_table, import_arrow, parquet_table
from seemrl.errors import InputError

_GROUP = re.compile(r"episode_(0|[1-9][0-9]{0,9})\Z")
_DIRECTORY = re.compile(r"(0|[1-9][0-9]{0,9})\Z")
_STEPS = {"rewards": "rewards", "terminations": "terminals", "truncations": "timeouts"}
"""Minari's names of what every step has, and those of a data set."""


@dataclass(frozen=True)
class Episodes:
    """All episodes, one behind the other.

    Attributes:
        lengths: Steps T of each.
        observations: (sum of T + 1, size).
        actions: (sum of T, size) or, discrete, (sum of T,).
        rewards: (sum of T,).
        terminals: Alike.
        timeouts: Alike.
    """

    lengths: NDArray[np.int64]
    observations: NDArray[Any]
    actions: NDArray[Any]
    rewards: NDArray[Any]
    terminals: NDArray[Any]
    timeouts: NDArray[Any]


class _Part:
    """The values of one leaf or step array in one episode, not yet read: an HDF5 dataset, or an array."""

    def __init__(self, name: str, stored: Any, leaf: Leaf) -> None:
        self.name, self.stored, self.leaf = name, stored, leaf
        self.shape: tuple[int, ...] = stored.shape or ()  # h5py looks these up anew each time
        self.dtype: np.dtype[Any] = stored.dtype


def hdf5_episodes(path: Path, observations: Sequence[Leaf], actions: Sequence[Leaf]) -> Episodes:
    """Read the groups ``episode_0, episode_1, ...`` in the order of their numbers.

    Raises:
        InputError: The file is damaged, or an episode lacks an array or has one that does not fit.
    """
    with open_hdf5(path) as file:
        numbers = sorted(int(match[1]) for key in file if (match := _GROUP.match(key)))
        if not numbers:
            raise refusal(path, f"no episode (found: {shown_keys(file)}); give a data set that Minari wrote")
        parts: list[dict[str, list[_Part]]] = []
        for number in numbers:
            group = item_of(file, path, f"episode_{number}")
            parts.append(_hdf5_parts(path, group, f"episode_{number}", observations, actions))
        check_declared_size(
            path, {part.name: part.stored for episode in parts for key in episode for part in episode[key]}
        )
        return _assembled(path, parts)


def arrow_episodes(directory: Path, format: str, observations: Sequence[Leaf], actions: Sequence[Leaf]) -> Episodes:
    """Read the directories ``0, 1, ...``, each with the Arrow or Parquet files of one episode.

    The last row of an episode carries its last observation alone; the rest of it is padding.

    Raises:
        InputError: A file is damaged, or an episode lacks a column or has one that does not fit.
        MissingPartError: pyarrow is not installed.
    """
    arrow = import_arrow(PURPOSE)
    numbers = sorted(
        int(entry.name) for entry in directory.iterdir() if entry.is_dir() and _DIRECTORY.match(entry.name)
    )
    if not numbers:
        raise refusal(directory, "no episode; give a data set that Minari wrote")
    size = unpacked = 0
    parts: list[dict[str, list[_Part]]] = []
    for number in numbers:
        place = directory / str(number)
        try:
            files = sorted(place.glob(f"*.{format}"))
            table = arrow.concat_tables([_table(file, format) for file in files])
            table.validate(full=True)
            size += sum(file.stat().st_size for file in files)
            unpacked += table.nbytes
            check_size(directory, {f"episodes up to {number}": ((number + 1,), unpacked)}, size)
            parts.append(_arrow_parts(place, table.combine_chunks(), observations, actions))
        except InputError:
            raise
        except (arrow.ArrowException, OSError, ValueError, TypeError, LookupError, MemoryError) as error:
            raise refusal(
                place, f"damaged or incomplete {format} file ({shortened(error)}); fetch the data set again"
            ) from error
    return _assembled(directory, parts)


def _hdf5_parts(
    path: Path, group: Any, label: str, observations: Sequence[Leaf], actions: Sequence[Leaf]
) -> dict[str, list[_Part]]:
    def stored(key: str, leaf: Leaf) -> _Part:
        names = [key, *(f"_index_{part}" if isinstance(part, int) else part for part in leaf.path)]
        item, found, name = group, keys, label
        for depth, part in enumerate(names, start=1):
            if part not in found:
                raise refusal(path, f"{name}/{part}: key is missing; fetch or write the data set again")
            name = f"{name}/{part}"
            item = (item_of if depth < len(names) else dataset_of)(item, path, part, name)
            found = set(item) if isinstance(item, h5py.Group) else set[str]()
        return _Part(name, item, leaf)

    if not isinstance(group, h5py.Group):
        raise refusal(path, f"{label}: an array where an episode belongs; fetch or write the data set again")
    keys = set(group)

    return {
        "observations": [stored("observations", leaf) for leaf in observations],
        "actions": [stored("actions", leaf) for leaf in actions],
        **{key: [stored(name, Leaf((), ()))] for name, key in _STEPS.items()},
    }


def _table(file: Path, format: str) -> Any:
    """A file of one episode; pyarrow.dataset would crash on some that are damaged."""
    if format == "arrow":
        return arrow_table(file)
    return parquet_table(file, lambda columns: [name for name in columns if name != "infos"])


def _arrow_parts(
    place: Path, table: Any, observations: Sequence[Leaf], actions: Sequence[Leaf]
) -> dict[str, list[_Part]]:
    def column(key: str, leaf: Leaf, rows: slice) -> _Part:
        if key not in table.column_names:
            raise refusal(place, f"{key}: column is missing; fetch or write the data set again")
        values = table.column(key).combine_chunks()
        for part in leaf.path:
            values = values.field(str(part))
        if values.null_count:
            raise refusal(place, f"{key}: {values.null_count} nulls; fetch or write the data set again")
        flat = np.asarray(values.flatten() if hasattr(values, "value_lengths") or leaf.shape else values)
        return _Part("/".join([key, *map(str, leaf.path)]), flat.reshape(len(table), *leaf.shape)[rows], leaf)

    steps = slice(0, max(0, len(table) - 1))
    return {
        "observations": [column("observations", leaf, slice(None)) for leaf in observations],
        "actions": [column("actions", leaf, steps) for leaf in actions],
        **{key: [column(name, Leaf((), ()), steps)] for name, key in _STEPS.items()},
    }


def _assembled(path: Path, parts: Sequence[Mapping[str, Sequence[_Part]]]) -> Episodes:
    """Check every part's type and shape, then read all into arrays made beforehand."""
    lengths = np.array([_length(path, episode) for episode in parts], dtype=np.int64)
    steps = int(lengths.sum())
    discrete = bool(parts[0]["actions"][0].leaf.counts)
    sizes = {key: sum(part.leaf.size for part in parts[0][key]) for key in ("observations", "actions")}
    arrays: dict[str, NDArray[Any]] = {
        "observations": np.empty((steps + len(parts), sizes["observations"]), dtype=np.float32),
        "actions": np.empty(steps, np.int64) if discrete else np.empty((steps, sizes["actions"]), dtype=np.float32),
        "rewards": np.empty(steps, dtype=np.float32),
        "terminals": np.empty(steps, dtype=np.bool_),
        "timeouts": np.empty(steps, dtype=np.bool_),
    }
    row = 0
    for number, (episode, length) in enumerate(zip(parts, lengths, strict=True)):
        for key, array in arrays.items():
            first, count = (row + number, length + 1) if key == "observations" else (row, length)
            _fill(path, key, array[first : first + count], episode[key])
        row += length
    return Episodes(lengths, **arrays)


def _length(path: Path, episode: Mapping[str, Sequence[_Part]]) -> int:
    """Steps of an episode whose parts all fit.

    Raises:
        InputError: A part has another type, shape or number of steps than belongs there.
    """
    shape = episode["rewards"][0].shape
    if not shape or not shape[0]:
        raise refusal(path, f"{episode['rewards'][0].name}: shape {shape} holds no step; fetch the data set again")
    for key, items in episode.items():
        for part in items:
            rows = shape[0] + (key == "observations")
            dtype = part.dtype
            if part.shape not in ((rows, *part.leaf.shape), (rows, *part.leaf.shape, 1)):
                raise refusal(
                    path,
                    f"{part.name}: shape {part.shape} where {(rows, *part.leaf.shape)} belongs; "
                    "fetch or write the data set again",
                )
            if dtype.kind not in ("iu" if part.leaf.counts else "biuf"):
                raise refusal(
                    path, f"{part.name}: type {dtype} where numbers belong; fetch or write the data set again"
                )
    return int(shape[0])


def _fill(path: Path, key: str, array: NDArray[Any], items: Sequence[_Part]) -> None:
    column = 0
    for part in items:
        values = np.asarray(part.stored[()])
        try:
            if key == "actions" and part.leaf.counts:
                array[:] = converted(path, key, values.reshape(len(array)).astype(np.int64) - part.leaf.starts[0])
            elif array.ndim == 1:
                array[:] = converted(path, key, values.reshape(len(array)))
            else:
                flat = part.leaf.flatten(values)
                flat = flat.astype(np.float32) if flat.dtype == np.bool_ else flat
                array[:, column : column + part.leaf.size] = converted(path, key, flat)
        except ValueError as error:
            raise refusal(f"{path}: {part.name}", str(error).removeprefix(f"{path}: ")) from error
        column += part.leaf.size
