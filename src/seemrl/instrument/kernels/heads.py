"""The output of a critic, whatever its form, as one row per head."""

from collections.abc import Callable
from typing import Any

from seemrl.errors import InputError


def head_first(values: Any, points: int, concatenate: Callable[[list[Any]], Any]) -> Any:
    """Critic output as (heads, points), in the framework it came in.

    Args:
        values: (points,), (points, 1), (heads, points), or a tuple of these.
        points: how many points were given.
        concatenate: joins arrays of the framework along their first axis.

    Raises:
        InputError: the output has another shape.
    """
    if isinstance(values, tuple | list):
        return concatenate([head_first(value, points, concatenate) for value in values])
    if values.shape == (points,):
        return values[None]
    if values.shape == (points, 1):
        return values.T
    if values.ndim == 2 and values.shape[1] == points:
        return values
    raise InputError(
        f"critic: its output has shape {tuple(values.shape)} for {points} rows; "
        "it must be (rows,), (rows, 1), (heads, rows) or a tuple of (rows,) heads"
    )
