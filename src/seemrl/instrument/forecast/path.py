"""The flow of a reading, as a path of log mean |Q| over steps to come, at the pace of kernels that change.

A reading's flow holds its kernels fixed. They are not: under SGD they grow with |Q|, under Adam and in normalised
critics they shrink beside it. Where only their scale changes, the flow is the same path run through at another pace,

    dt = (e / pace + 1 - e) d(time of the flow),        pace = kernels over those of the reading,

with e the elasticity of the reading: 1 where a mode grows as fast as kernels let it, less where target averaging caps
it (e / pace + 1 - e is exact for a cap that adds to the time of growth, 1/rate = a / kernels + 1/cap).
"""

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
from jaxtyping import Float

from seemrl.instrument.reading import Reading

Course = tuple[Float[np.ndarray, " points"], Float[np.ndarray, " points"]]
"""Steps from now on, and growth of log mean |Q| by then; both begin with 0."""

_GRID, _FINEST = 16, 0.1  # points between two of the flow's, at least; growth between points, at most
_FLAT = 0.02  # growth over the second half of a flow that has come to its end
_FARTHEST, _FULL = 65536.0, 30.0  # where flows end, in steps and in growth


def known(reading: Reading) -> bool:
    """Whether a reading says anything of what comes next."""
    return reading.finite and reading.q_mean > 0 and (bool(reading.flow) or _mode(reading) is not None)


def recent_known(history: Sequence[Reading]) -> list[Reading]:
    """The last unbroken row of readings that say something; empty where the last one does not."""
    row: list[Reading] = []
    for reading in reversed(history):
        if not known(reading):
            break
        row.append(reading)
    return row[::-1]


def ahead(reading: Reading, steps: float, exponent: float = 0.0) -> float:
    """Growth of log mean |Q| after some steps, the kernel changing like |Q|^exponent; flat past the flow's end."""
    at, growth = _flow(reading)
    if exponent:
        at, growth = paced(reading, lambda grown: np.exp(exponent * grown), elasticity=1.0)
    return float(np.interp(steps, at, growth))


def growth_rate(reading: Reading) -> float:
    """D log mean |Q| / d step now: over the next twentieth of the steps so far, 16 at least."""
    horizon = max(16.0, reading.step / 20)
    return ahead(reading, horizon) / horizon


def levels_off(reading: Reading) -> tuple[float, float] | None:
    """Growth of log mean |Q| at which a flow comes to rest, and the steps for half of |Q|'s rise.

    None where it still moves at its end, or hardly rises at all.
    """
    at, growth = _flow(reading)
    if at[-1] < _FARTHEST or abs(growth[-1] - growth[-2]) > _FLAT or growth[-1] < _FLAT:
        return None
    half = np.log((1 + np.exp(growth[-1])) / 2)
    return float(growth[-1]), float(np.interp(half, np.maximum.accumulate(growth), at))


def paced(
    reading: Reading,
    pace: Callable[[Float[np.ndarray, " points"]], Float[np.ndarray, " points"]],
    elasticity: float | None = None,
) -> Course:
    """The flow at the pace of kernels that are a function of the growth alone.

    Args:
        reading: one that says something.
        pace: growth of log mean |Q| -> kernels over those now.
        elasticity: the reading's own, if not given.
    """
    at, growth = fine_flow(reading)
    share = elasticity_of(reading) if elasticity is None else elasticity
    with np.errstate(over="ignore", divide="ignore"):
        slowed = share / pace(growth) + 1 - share
    return np.append(0.0, np.cumsum(np.diff(at) * (slowed[1:] + slowed[:-1]) / 2)), growth


def elasticity_of(reading: Reading) -> float:
    """Of a reading that may not hold it: 1 then."""
    return 1.0 if reading.elasticity is None else reading.elasticity


def fine_flow(reading: Reading) -> Course:
    """The flow with more points, on straight lines between its own."""
    at, growth = _flow(reading)
    counts = [max(_GRID, int(abs(after - before) / _FINEST)) for before, after in pairwise(growth)]
    parts = [np.linspace(*pair, count, endpoint=False) for pair, count in zip(pairwise(at), counts, strict=True)]
    fine = np.append(np.concatenate(parts), at[-1])
    return fine, np.interp(fine, at, growth)


def _mode(reading: Reading) -> float | None:
    return reading.rate if reading.rate is not None and np.isfinite(reading.rate) else None


def _flow(reading: Reading) -> Course:
    """Steps and growth; a straight line by the fastest mode where the flow itself is not known."""
    pairs = reading.flow
    if not pairs:
        rate = _mode(reading) or 0.0
        farthest = min(_FARTHEST, _FULL / abs(rate)) if rate else _FARTHEST
        pairs = tuple((farthest / 2**k, rate * farthest / 2**k) for k in range(12, -1, -1))
    both = np.array([(0.0, 0.0), *pairs])
    return both[:, 0], both[:, 1]
