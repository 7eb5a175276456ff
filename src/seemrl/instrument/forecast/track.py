"""Readings so far as one track: where log mean |Q| goes next, and how such forecasts came true.

Three ways in which the kernels of a flow change, by what is known of critic and optimizer:

* Adam, no normaliser: the critic goes like |weights|^L and its gradient like |weights|^(2L-1) (Yue et al. 2023,
  section 4), weights move by steps whose length follows from the moments of that gradient (`lag`). Nothing is fitted.
* SGD, no normaliser: kernels go like |Q|^k, k = (2L-2)/L, in the end; a part of them is the initialisation's and
  stays, as large as the growth of the kernel's norm over the last readings says.
* any other critic: kernels go like |Q| to the power that their norm had over the last readings, half of it, as that is
  as uncertain as it is large.

What is left - rows that are a sample, an actor that moves - is a factor that changes slowly: the growth seen between
the last readings over the growth foretold for it corrects the next.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from jaxtyping import Float

from seemrl.instrument.forecast.lag import Moments
from seemrl.instrument.forecast.path import Course, elasticity_of, fine_flow, paced, recent_known
from seemrl.instrument.forecast.reach import OptimizerKind
from seemrl.instrument.reading import Reading

_RECENT = 3  # pairs of readings that correct the next forecast
_SHARES = (0.4, 2.0)  # bounds of the correction
_NOTHING = 1e-3  # growth foretold, below which nothing can be corrected
_SHRUNK = 0.5  # of an exponent that no theory stands behind
_EXPONENTS = (-1.5, 2.0)
_MOVED = 0.05  # growth over which an exponent can be measured
_SMALLEST_EXPONENT = 0.02  # of k: below, the kernel counts as fixed


@dataclass(frozen=True)
class Track:
    """The last unbroken row of readings that say something.

    Attributes:
        readings: by step; one at least.
        optimizer: how the critic is trained.
        depth: L, layers with weights of a critic without normalisers; None for any other.
    """

    readings: Sequence[Reading]
    optimizer: OptimizerKind
    depth: int | None

    @classmethod
    def of(cls, history: Sequence[Reading], optimizer: OptimizerKind, depth: int | None) -> "Track | None":
        """Of all readings so far; None where the last one says nothing."""
        row = recent_known(history)
        return cls(row, optimizer, depth) if row else None

    def growth(self, steps: float) -> float:
        """Growth of log mean |Q| foretold for some steps from the last reading on."""
        return float(self.path(np.array([float(steps)]))[0])

    def path(self, steps: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """The same for several numbers of steps."""
        return self.share * np.interp(steps, *self.course(until=float(steps.max())))

    @cached_property
    def share(self) -> float:
        """Growth seen over growth foretold between the last readings; between 0.4 and 2."""
        seen = foretold = 0.0
        for number in range(max(1, len(self.readings) - _RECENT), len(self.readings)):
            before, after = self.readings[number - 1], self.readings[number]
            steps = after.step - before.step
            foretold += float(np.interp(steps, *self.course(number - 1, until=steps)))
            seen += float(np.log(after.q_mean / before.q_mean))
        return float(np.clip(seen / foretold, *_SHARES)) if abs(foretold) > _NOTHING else 1.0

    def course(self, number: int = -1, until: float = math.inf) -> Course:
        """Where a reading's flow goes at the pace of its kernels, nothing corrected; under Adam up to some steps."""
        reading = self.readings[number]
        if self.depth is None:
            exponent = _SHRUNK * self.measured_exponent(number)
            return paced(reading, lambda growth: np.exp(exponent * growth))
        if self.optimizer == "adam":
            return self._lagging(number % len(self.readings), until)
        return self.with_initial_part(self.initial_part(number), number)

    def with_initial_part(self, fixed: float, number: int = -1) -> Course:
        """Under SGD, a part of the kernels being fixed: ``fixed`` over the part that goes like |Q|^k."""
        exponent = self.kernel_exponent
        if math.isinf(fixed):
            return paced(self.readings[number], np.ones_like)
        return paced(
            self.readings[number], lambda growth: (fixed + np.exp(np.minimum(exponent * growth, 700.0))) / (fixed + 1)
        )

    @property
    def kernel_exponent(self) -> float:
        """K of a homogeneous critic's kernels, |Q|^k."""
        assert self.depth is not None
        return (2 * self.depth - 2) / self.depth

    def initial_part(self, number: int = -1) -> float:
        """The part of the kernels that stays over the one that grows, from how their norm grew; 0 where unknown."""
        measured = self.measured_exponent(number) / self.kernel_exponent
        return max(1 / max(measured, _SMALLEST_EXPONENT) - 1, 0.0) if measured else math.inf

    def measured_exponent(self, number: int = -1) -> float:
        """D log(norm of the kernels) / d log|Q| over the last three pairs; 0 where |Q| has not moved."""
        last = number % len(self.readings)
        before, now = self.readings[max(0, last - _RECENT)], self.readings[last]
        moved = float(np.log(now.q_mean / before.q_mean))
        if abs(moved) < _MOVED or not before.kernel_norm or not now.kernel_norm:
            return 0.0
        return float(np.clip(np.log(now.kernel_norm / before.kernel_norm) / moved, *_EXPONENTS))

    @cached_property
    def moments(self) -> list[Moments]:
        """Adam's at each reading, of the gradient that growth so far implies; level before the first."""
        assert self.depth is not None
        power = (2 * self.depth - 1) / self.depth
        found = [Moments().after(max(self.readings[0].step, 1), 0.0)]
        for before, after in pairwise(self.readings):
            grown = float(np.log(after.q_mean / before.q_mean))
            found.append(found[-1].after(after.step - before.step, power * grown))
        return found

    def _lagging(self, number: int, until: float) -> Course:
        """The flow of a reading at the pace of Adam's steps.

        The flow's own step is g / sqrt(v) with the v of the reading, and its kernels go like |weights|^(2L-2), so

            pace = |Q|^((2L-2)/L) (m / g) sqrt(v of the reading / v)
        """
        assert self.depth is not None
        power, share = (2 * self.depth - 1) / self.depth, elasticity_of(self.readings[number])
        at, growth = fine_flow(self.readings[number])
        moments = self.moments[number]
        size, pace, steps = moments.size, moments.gradient, 0.0
        times = [0.0]
        for index in range(1, len(at)):
            passed = (at[index] - at[index - 1]) * (share / max(pace, 1e-12) + 1 - share)
            moments = moments.after(passed, power * (growth[index] - growth[index - 1]))
            pace = math.exp(-growth[index] / self.depth) * moments.step * size
            steps += passed
            times.append(steps)
            if steps > until:
                break
        return np.array(times), growth[: len(times)]
