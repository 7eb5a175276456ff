"""How far the values go in the next steps: the flow of a reading, corrected by how flows came true so far.

A reading's flow holds its kernels fixed. They are not: under SGD they grow with |Q|, under Adam and in normalised
critics they shrink beside it. If a kernel changes like |Q|^k, the flow is the same path run through at another pace,

    dt = exp(-k * growth) d(time of the flow),

which is all that growth laws say of a homogeneous critic (k = (2L-2)/L under SGD, about -1/L under Adam). What is left
- rows that are a sample, a second moment that lags, an actor that moves - is a factor that changes slowly: the growth
seen between the last readings over the growth their flows foretold corrects the next.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from jaxtyping import Float

from seemrl.instrument.reading import Reading

_GRID = 16  # points between two of the flow's
_RECENT = 3  # pairs of readings that correct the next flow
_SHARES = (0.4, 2.0)  # bounds of the correction
_NOTHING = 1e-3  # growth foretold, below which nothing can be corrected
_SHRUNK = 0.5  # of the exponent measured over three pairs: as uncertain as it is large
_EXPONENTS = (-1.5, 2.0)
_MOVED = 0.05  # growth over which an exponent can be measured
_FARTHEST, _FULL = 65536.0, 30.0  # where flows end, in steps and in growth


def known(reading: Reading) -> bool:
    """Whether a reading says anything of what comes next."""
    return reading.finite and reading.q_mean > 0 and (bool(reading.flow) or _mode(reading) is not None)


def _mode(reading: Reading) -> float | None:
    return reading.rate if reading.rate is not None and np.isfinite(reading.rate) else None


def _flow(reading: Reading) -> tuple[Float[np.ndarray, " points"], Float[np.ndarray, " points"]]:
    """Steps and growth; a straight line by the fastest mode where the flow itself is not known."""
    pairs = reading.flow
    if not pairs:
        rate = _mode(reading) or 0.0
        farthest = min(_FARTHEST, _FULL / abs(rate)) if rate else _FARTHEST
        pairs = tuple((farthest / 2**k, rate * farthest / 2**k) for k in range(12, -1, -1))
    both = np.array([(0.0, 0.0), *pairs])
    return both[:, 0], both[:, 1]


def ahead(reading: Reading, steps: float, exponent: float = 0.0) -> float:
    """Growth of log mean |Q| after some steps, the kernel changing like |Q|^exponent; flat past the flow's end."""
    at, growth = _flow(reading)
    if exponent:
        parts = [np.linspace(*pair, _GRID, endpoint=False) for pair in pairwise(at)]
        fine = np.append(np.concatenate(parts), at[-1])
        growth = np.interp(fine, at, growth)
        pace = np.exp(-exponent * growth)
        at = np.append(0.0, np.cumsum(np.diff(fine) * (pace[1:] + pace[:-1]) / 2))
    return float(np.interp(steps, at, growth))


def growth_rate(reading: Reading) -> float:
    """D log mean |Q| / d step now: over the next twentieth of the steps so far, 16 at least."""
    horizon = max(16.0, reading.step / 20)
    return ahead(reading, horizon) / horizon


def share(history: Sequence[Reading]) -> float:
    """Growth seen over growth foretold between the last readings, all of which say something; between 0.4 and 2."""
    recent = list(pairwise(history))[-_RECENT:]
    foretold = sum(ahead(before, after.step - before.step) for before, after in recent)
    seen = sum(float(np.log(after.q_mean / before.q_mean)) for before, after in recent)
    return float(np.clip(seen / foretold, *_SHARES)) if abs(foretold) > _NOTHING else 1.0


def kernel_exponent(history: Sequence[Reading]) -> float:
    """How the pace of the flow changes with |Q|, from the last four readings; shrunk by half, 0 where unknown."""
    before, now = history[-1 - min(_RECENT, len(history) - 1)], history[-1]
    moved = float(np.log(now.q_mean / before.q_mean))
    horizon = max(16.0, now.step / 20)
    rates = [ahead(reading, horizon) for reading in (before, now)]
    if abs(moved) < _MOVED or min(rates) <= 0:
        return 0.0
    return _SHRUNK * float(np.clip(np.log(rates[1] / rates[0]) / moved, *_EXPONENTS))


def next_growth(history: Sequence[Reading], steps: float) -> float:
    """Growth of log mean |Q| over the next steps, foretold from all readings so far."""
    trusted = recent_known(history)
    return share(trusted) * ahead(trusted[-1], steps, kernel_exponent(trusted))


def recent_known(history: Sequence[Reading]) -> list[Reading]:
    """The last unbroken row of readings that say something; empty where the last one does not."""
    row: list[Reading] = []
    for reading in reversed(history):
        if not known(reading):
            break
        row.append(reading)
    return row[::-1]
