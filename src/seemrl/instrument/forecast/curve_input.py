"""A logged curve and the options beside it, checked before anything is computed."""

import math

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from seemrl.errors import InputError

FEWEST_POINTS = 5
"""Rows without which there is no curve."""

_MOST_ROWS = 4000  # longer curves are averaged in blocks

Values = ArrayLike
"""A column of numbers: a list, an array, a data frame's column."""


def check_options(discount: float, reward_bound: float | None, target_rate: float, depth: int) -> None:
    """Refuse what no critic was trained with."""
    if not 0 <= discount < 1:
        raise InputError(f"forecast_curve: discount {discount:g} is not in [0, 1); pass the critic's own")
    if reward_bound is not None and not 0 < reward_bound < math.inf:
        raise InputError(f"forecast_curve: reward_bound {reward_bound:g} is not above 0; pass max|r| / (1 - discount)")
    if not 0 < target_rate <= 1:
        raise InputError(
            f"forecast_curve: target_rate {target_rate:g} is not in (0, 1]; pass 1 without target averaging"
        )
    if depth < 1:
        raise InputError(f"forecast_curve: depth {depth} is not at least 1; count the critic's layers with weights")


def checked_curve(steps: Values, q_values: Values) -> tuple[Float[np.ndarray, " rows"], Float[np.ndarray, " rows"]]:
    """The two columns as arrays.

    Raises:
        InputError: they are no curve; the message names the row.
    """
    try:
        times, values = np.asarray(steps, np.float64), np.asarray(q_values, np.float64)
    except (TypeError, ValueError):
        raise InputError("forecast_curve: steps and q_values must be lists of numbers") from None
    if times.ndim != 1 or values.ndim != 1:
        raise InputError(f"forecast_curve: steps {times.shape} and q_values {values.shape} must be plain lists")
    if len(times) != len(values):
        raise InputError(f"forecast_curve: {len(times)} steps but {len(values)} q_values; each row needs both")
    if len(times) < FEWEST_POINTS:
        raise InputError(f"forecast_curve: {len(times)} rows are no curve; at least {FEWEST_POINTS} are needed")
    if not np.isfinite(times).all():
        raise InputError(f"forecast_curve: step of row {int(np.flatnonzero(~np.isfinite(times))[0])} is not finite")
    falls = np.flatnonzero(np.diff(times) <= 0)
    if len(falls):
        row = int(falls[0]) + 1
        raise InputError(
            f"forecast_curve: steps must rise, but row {row} is step {times[row]:g} after step {times[row - 1]:g}; "
            "sort the rows and keep one for each step"
        )
    _check_finite(times, values)
    return times, values


def _check_finite(times: Float[np.ndarray, " rows"], values: Float[np.ndarray, " rows"]) -> None:
    """Infinities may stand at the end, where the critic has broken, and nowhere else."""
    broken = ~np.isfinite(values)
    wrong = np.flatnonzero(np.isnan(values) | (broken & ~np.logical_and.accumulate(broken[::-1])[::-1]))
    if len(wrong):
        row = int(wrong[0])
        raise InputError(
            f"forecast_curve: q_values of row {row} (step {times[row]:g}) is {values[row]}; leave such rows out, and "
            "end the curve with inf only where the critic stays not finite"
        )


def thinned(
    times: Float[np.ndarray, " rows"], values: Float[np.ndarray, " rows"]
) -> tuple[Float[np.ndarray, " fewer"], Float[np.ndarray, " fewer"]]:
    """Means of blocks of rows where there are very many; the last row stands for itself."""
    block = -(-len(times) // _MOST_ROWS)
    if block == 1:
        return times, values
    skipped = (len(times) - 1) % block  # of the first rows, so that the blocks end at the last row but one
    means = [column[skipped:-1].reshape(-1, block).mean(axis=1) for column in (times, values)]
    return np.append(means[0], times[-1]), np.append(means[1], values[-1])
