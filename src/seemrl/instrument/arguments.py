"""The arguments of `measure` that have a range of their own, each with the line that says what is wrong with it."""

import math
import numbers
from typing import Any, get_args

from seemrl.errors import InputError
from seemrl.instrument.batch import Batch
from seemrl.instrument.dynamics import Heads

# least value, whether it may be taken, largest value, whether it may be taken, what to give
_RANGES: dict[str, tuple[float, bool, float, bool, str]] = {
    "discount": (0, True, 1, True, "give gamma"),
    "target_rate": (0, False, 1, True, "1 means the target is the live critic"),
    "loss_scale": (0, False, math.inf, False, "it is 2 for a mean squared error"),
    "learning_rate": (0, True, math.inf, False, "give the critic's step size"),
}
_COUNTS: dict[str, tuple[int, str]] = {
    "target_period": (1, "give critic updates per target update"),
    "policy_draws": (1, "give how often a random policy is asked"),
    "leading": (0, "give how many eigenvalues to keep"),
    "memory": (1, "give bytes; the default is 2 * 2**30"),
    "step": (0, "give the training step"),
}
_OPTIONAL = ("target_rate", "learning_rate")


def check_arguments(batch: Any, heads: Any, population: Any, **settings: Any) -> None:
    """Refuse what lies outside its range.

    Args:
        batch: the transitions.
        heads: how they form the target.
        population: transitions the batch was drawn from, or None.
        **settings: the numbers among the arguments of `measure`, by their names there.

    Raises:
        InputError: naming the argument, its value and its range.
    """
    if not isinstance(batch, Batch):
        raise InputError(
            f"batch: a {type(batch).__name__} is no Batch; "
            "build seemrl.Batch(observations, actions, rewards, next_observations, terminals)"
        )
    if heads not in get_args(Heads):
        raise InputError(f"heads: {heads!r} is none of {', '.join(get_args(Heads))}")
    for name, value in settings.items():
        if value is None and name in _OPTIONAL:
            continue
        if name in _RANGES:
            _check_range(name, value, *_RANGES[name])
        else:
            _check_count(name, value, *_COUNTS[name])
    if population is not None:
        _check_count("population", population, 1, "give how many transitions the batch was drawn from")
        if population < len(batch):
            raise InputError(
                f"population: {population} is below the batch's {len(batch)} rows, which were drawn from it; "
                "give the size of the data set, or None"
            )


def _check_range(name: str, value: Any, low: float, from_low: bool, high: float, to_high: bool, remedy: str) -> None:
    if not _is_real(value):
        raise InputError(f"{name}: {value!r} is no number; {remedy}")
    above = low <= value if from_low else low < value
    below = value <= high if to_high else value < high
    if not (above and below):
        interval = f"{'[' if from_low else '('}{low:g}, {high:g}{']' if to_high else ')'}"
        raise InputError(f"{name}: {value} is outside {interval}; {remedy}")


def _check_count(name: str, value: Any, least: int, remedy: str) -> None:
    if not _is_real(value) or not math.isfinite(value) or value != int(value):
        raise InputError(f"{name}: {value!r} is no whole number; {remedy}")
    if value < least:
        raise InputError(f"{name}: {value} is below {least}; {remedy}")


def _is_real(value: Any) -> bool:
    return not isinstance(value, bool) and isinstance(value, numbers.Real)
