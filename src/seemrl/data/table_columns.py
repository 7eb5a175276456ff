"""Which columns of a table are which array of a data set, and their values."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seemrl.data.refusals import refusal

NAMES = {
    "observations": ("observations", "observation"),
    "actions": ("actions", "action"),
    "rewards": ("rewards", "reward"),
    "next_observations": ("next_observations", "next_observation"),
    "terminals": ("terminals", "terminal", "terminations", "terminated"),
    "timeouts": ("timeouts", "timeout", "truncations", "truncated"),
    "episode": ("episode", "episode_id"),
}
"""Names that a column may have, by array."""

_VECTORS = ("observations", "actions", "next_observations")
_ENTRY = re.compile(r"(next_observations?|observations?|actions?)[_.](.+)\Z", re.DOTALL)


def find_columns(path: Path, columns: Sequence[str]) -> dict[str, list[str]]:
    """The columns of each array that the table has.

    Raises:
        InputError: Two columns claim to be the same array, or next observations have other entries than observations.
    """
    found: dict[str, list[str]] = {}
    entries: dict[str, list[tuple[str, str]]] = {}
    for column in columns:
        whole = next((key for key, names in NAMES.items() if column in names), None)
        if whole is not None:
            if whole in found:
                raise refusal(path, f"{column}: {found[whole][0]} is there too; keep one of them")
            found[whole] = [column]
        elif match := _ENTRY.match(column):
            key = next(key for key in _VECTORS if match[1] in NAMES[key])
            entries.setdefault(key, []).append((match[2], column))
    for key, pairs in entries.items():
        if key in found:
            raise refusal(path, f"{pairs[0][1]}: {found[key][0]} is there too; keep one of them")
        if all(suffix.isdecimal() and suffix.isascii() for suffix, _ in pairs):
            pairs.sort(key=lambda pair: int(pair[0][:18]))
        found[key] = [column for _, column in pairs]
    if {"observations", "next_observations"} <= entries.keys():
        suffixes = [[suffix for suffix, _ in entries[key]] for key in ("observations", "next_observations")]
        if suffixes[0] != suffixes[1]:
            raise refusal(
                path, "next_observations: other columns than the observations, or in another order; make equal"
            )
    return found


def table_array(path: Path, key: str, names: Sequence[str], table: Any) -> NDArray[Any]:
    """The values of an array's columns, (rows,) or (rows, entries).

    Raises:
        InputError: A column is not of numbers, has a null, or lists of differing lengths.
    """
    arrays = [_values(path, name, table.column(name).combine_chunks()) for name in names]
    if key not in _VECTORS:
        return arrays[0]
    if len(arrays) == 1:
        array = arrays[0]
        keeps_shape = array.ndim == 2 or (key == "actions" and array.dtype.kind in "iu")
        return array if keeps_shape else array[:, None]
    for name, array in zip(names, arrays, strict=True):
        if array.ndim != 1:
            raise refusal(path, f"{name}: a column of lists beside others; store one list or one number a column")
    return np.stack(arrays, axis=1)


def _values(path: Path, name: str, column: Any) -> NDArray[Any]:
    import pyarrow as arrow

    types: Any = arrow.types
    kind = column.type
    if column.null_count:
        row = int(np.argmax(np.asarray(column.is_null())))
        raise refusal(path, f"{name}: row {row} is null; fill or drop that row")
    if types.is_decimal(kind):
        return np.asarray(column.cast(arrow.float64()))
    if types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind):
        return column.to_numpy(zero_copy_only=False)
    if not (types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)):
        raise refusal(path, f"{name}: type {kind} where numbers or lists of numbers belong; convert the column")
    lengths = np.asarray(column.value_lengths())
    differing = lengths != lengths[:1]
    if differing.any():
        row = int(np.argmax(differing))
        raise refusal(path, f"{name}: row {row} lists {lengths[row]} numbers but row 0 lists {lengths[0]}; make equal")
    flat = column.flatten()
    if not (types.is_integer(flat.type) or types.is_floating(flat.type)):
        raise refusal(path, f"{name}: lists of {flat.type} where numbers belong; convert the column")
    if flat.null_count:
        row = int(np.argmax(np.asarray(flat.is_null()))) // max(1, int(lengths[0]))
        raise refusal(path, f"{name}: row {row} lists a null; fill or drop that row")
    return flat.to_numpy(zero_copy_only=False).reshape(len(column), -1 if len(flat) else 0)
