"""The output of a critic, whatever its form, as one row per head."""

from typing import Any

from seemrl.errors import InputError

_FORMS = "(rows,), (rows, 1), (heads, rows) or a tuple of (rows,) heads"
_DISCRETE_FORMS = "(rows, actions), (heads, rows, actions) or a tuple of (rows, actions) heads"


def head_first(values: Any, points: int) -> list[Any]:
    """Critic output as a list of heads, (points,) each, in the framework it came in.

    Args:
        values: (points,), (points, 1), (heads, points), or a tuple or list of these.
        points: how many points were given.

    Raises:
        InputError: the output has another shape.
    """
    if isinstance(values, tuple | list):
        return [head for value in values for head in head_first(value, points)]
    shape = _shape(values, _FORMS)
    if shape in ((points,), (points, 1)):
        return [values.reshape(points)]
    if len(shape) == 2 and shape[1] == points:
        return [values[head] for head in range(shape[0])]
    hint = "" if len(shape) != 2 or shape[0] != points else "; transpose heads, or give batch.actions as integers"
    raise InputError(f"critic: its output has shape {shape} for {points} rows of inputs; it must be {_FORMS}{hint}")


def head_first_discrete(values: Any, points: int) -> list[Any]:
    """Output of a critic that values every action at once, as a list of heads, (points, actions) each.

    Raises:
        InputError: the output is neither (points, actions) nor (heads, points, actions) nor a tuple of these.
    """
    if isinstance(values, tuple | list):
        return [head for value in values for head in head_first_discrete(value, points)]
    shape = _shape(values, _DISCRETE_FORMS)
    if len(shape) == 2 and shape[0] == points:
        return [values]
    if len(shape) == 3 and shape[1] == points:
        return [values[head] for head in range(shape[0])]
    raise InputError(f"critic: its output has shape {shape} for {points} rows of inputs; it must be {_DISCRETE_FORMS}")


def _shape(values: Any, forms: str) -> tuple[int, ...]:
    if not hasattr(values, "shape"):
        raise InputError(f"critic: it returned a {type(values).__name__}; it must return {forms}")
    return tuple(values.shape)
