"""The arrays of a data set: names, numbers of axes, types, and the checks that every source has to pass."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seemrl.data.refusals import refusal

Floats = NDArray[np.float32]
Flags = NDArray[np.bool_]
Actions = NDArray[np.float32] | NDArray[np.int64]

Room = Callable[[tuple[int, ...], type], NDArray[Any]]
"""Where an array is put that is about to be filled: in memory (`numpy.empty`), or mapped from a file."""

ROWS_IN_BLOCK = 2**16
"""Rows looked at together: of what lies in a file, no more than that has to be in memory."""

RANKS: Mapping[str, int] = {
    "observations": 2,
    "actions": 2,
    "rewards": 1,
    "next_observations": 2,
    "terminals": 1,
    "timeouts": 1,
}
"""The arrays of a data set, in the order of `Dataset`, with their number of axes; discrete actions have one."""

FLAGS = frozenset({"terminals", "timeouts"})
"""The arrays of booleans; the others are float32, but for discrete actions."""

LARGEST_ACTION_COUNT = 2**20
"""More discrete actions than any critic has outputs; a larger number is taken for a mistake."""


def check_shapes(source: object, shapes: Mapping[str, tuple[int, ...]], *, discrete: bool = False) -> None:
    """Check that arrays of these shapes belong together as transitions.

    Args:
        source: Where they came from, for the message.
        shapes: Shapes by key; keys of `RANKS`, ``observations`` among them.
        discrete: Whether actions are single integers.

    Raises:
        InputError: A wrong rank, an empty array, differing numbers of rows, or observations and next observations of
            differing size.
    """
    for key, shape in shapes.items():
        rank = 1 if discrete and key == "actions" else RANKS[key]
        if len(shape) != rank:
            expected = "(rows, size of one)" if rank == 2 else "(rows,)"
            raise refusal(source, f"{key}: shape {shape} where {expected} belongs; reshape the array")
        if 0 in shape:
            raise refusal(source, f"{key}: shape {shape} holds no values; give at least one transition")
    rows = shapes["observations"][0]
    for key, shape in shapes.items():
        if shape[0] != rows:
            raise refusal(source, f"{key}: {shape[0]} rows but observations has {rows}; make all keys equally long")
    following = shapes.get("next_observations", shapes["observations"])
    if following != shapes["observations"]:
        expected = shapes["observations"]
        raise refusal(source, f"next_observations: shape {following} but observations has {expected}; make them equal")


def blocks(rows: int, size: int | None = None) -> Iterator[slice]:
    """All rows, a block of this size (else `ROWS_IN_BLOCK`) at a time."""
    size = ROWS_IN_BLOCK if size is None else size
    return (slice(start, min(start + size, rows)) for start in range(0, rows, size))


def check_finite(source: object, key: str, array: NDArray[Any], first: int = 0) -> None:
    """Raise `InputError` naming the first row of an (N,) or (N, size) array that holds NaN or an infinity.

    ``first`` is the number of the array's first row, where it is a part of another.
    """
    for block in blocks(len(array)):
        finite = np.isfinite(array[block])
        if not finite.all():
            break
    else:
        return
    row, *column = map(int, np.argwhere(~finite)[0])
    row += block.start
    value = float(array[(row, *column)])
    row += first
    place = f"row {row}, column {column[0]}" if column else f"row {row}"
    raise refusal(source, f"{key}: {place} is {value}, not a finite float32; remove or repair that transition")


def check_action_numbers(source: object, actions: NDArray[Any]) -> None:
    """Raise `InputError` naming the first row whose discrete action is negative or absurdly large."""
    wrong = (actions < 0) | (actions >= LARGEST_ACTION_COUNT)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise refusal(source, f"actions: row {row} is {int(actions[row])}; number discrete actions 0, 1, 2, ...")


def check_array_type(source: str, key: str, array: object) -> None:
    """Raise `InputError` unless this is a NumPy array of the type that a data set keeps under the key."""
    expected = np.bool_ if key in FLAGS else np.float32
    if key == "actions" and isinstance(array, np.ndarray) and array.dtype.kind in "iu":
        expected = np.int64
    name = np.dtype(expected).name
    if not isinstance(array, np.ndarray):
        raise refusal(source, f"{key}: {type(array).__name__} where a NumPy array of {name} belongs; convert it")
    if array.dtype != expected:
        raise refusal(source, f"{key}: type {array.dtype} where {name} belongs; convert with .astype({name!r})")
