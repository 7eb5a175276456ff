"""One critic under one setting, its kernels computed once, and its numbers under settings that leave kernels alone."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from seemrl.errors import InputError
from seemrl.instrument.dynamics import Combination, Dynamics, Heads, Kernels
from seemrl.instrument.growth import growth
from seemrl.instrument.kernels import Critic
from seemrl.instrument.modes import Update
from seemrl.instrument.points import Points
from seemrl.instrument.sampling import left_out_error
from seemrl.instrument.source import KernelSource
from seemrl.instrument.spectrum import Columns, Spectrum, scaled_back, spectrum

_CORRECTIONS, _CLOSE = 8, 0.01  # of a step that is to give a wanted rate
_SLOPES = 0.2, 2.0  # d log rate / d log step, between which it is believed


@dataclass(frozen=True)
class Step:
    """One update, as far as kernels do not tell.

    Attributes:
        size: learning_rate * loss_scale / rows.
        update: target averaging and momentum.
    """

    size: float
    update: Update


@dataclass(frozen=True)
class Outcome:
    """The numbers of a trial; ``rate`` is None where no step is known."""

    normalized: float
    rate: float | None
    rate_error: float | None


@dataclass(frozen=True)
class Trial:
    """Kernels of a critic at its points.

    Attributes:
        plain: of the gradient.
        moved: of the optimizer's step, ``plain`` again where it has no preconditioner.
        accuracy: of the spectrum.
        population: transitions that the rows were drawn from, or None.
    """

    plain: Kernels
    moved: Kernels
    accuracy: float
    population: int | None

    @classmethod
    def of(
        cls,
        critic: Critic,
        target: Critic,
        points: Points,
        *,
        heads: Heads,
        bootstrap: np.ndarray,
        preconditioner: Sequence[np.ndarray] | None,
        memory: int,
        accuracy: float,
        population: int | None,
    ) -> "Trial":
        """Compute the kernels.

        Raises:
            InputError: the critic has no values.
        """
        source = KernelSource.of(critic, target, points, heads, bootstrap, memory)
        if not source.finite:
            raise InputError("its values are not finite")
        plain, moved, _ = source.kernels(preconditioner)
        return cls(plain, moved, accuracy, population)

    def discounted(self, ratio: float) -> "Trial":
        """The same where the discount is ``ratio`` times what it was: targets are linear in it."""
        plain = _discounted(self.plain, ratio)
        moved = plain if self.moved is self.plain else _discounted(self.moved, ratio)
        return replace(self, plain=plain, moved=moved)

    @cached_property
    def spectrum(self) -> Spectrum:
        """Of the self-excitation matrix."""
        operator = self.plain.matrix if isinstance(self.plain, Dynamics) else Combination(self.plain)
        return scaled_back(spectrum(operator, self.accuracy), self.plain.scale)

    @property
    def normalized(self) -> float:
        """SEEM over the Frobenius norm of A."""
        found = self.spectrum
        return found.rightmost / found.norm if found.norm > 0 else 0.0

    def outcome(self, step: Step | None) -> Outcome:
        """Normalized SEEM and rate of the optimizer's steps."""
        return Outcome(self.normalized, *(self._rate(self.moved, step) if step is not None else (None, None)))

    def plain_outcome(self, step: Step) -> Outcome:
        """Normalized SEEM and rate of plain gradient steps."""
        return Outcome(self.normalized, *self._rate(self.plain, step))

    def plain_step_growing_by(self, rate: float, like: Step) -> Step | None:
        """The plain gradient step at which errors grow at this rate, to 1%; None where none does."""
        rightmost = self.spectrum.rightmost
        if rate <= 0 or rightmost <= 0:
            return None
        like = replace(like, update=replace(like.update, momentum=0.0))
        period = like.update.target_period
        guess = float(np.log(np.expm1(rate * period) / (period * rightmost)))
        logs, misses = [guess], list[float]()
        for _ in range(_CORRECTIONS):  # a secant in logarithms, in which the rate is nearly a straight line
            step = replace(like, size=float(np.exp(logs[-1])))
            found = self._rate(self.plain, step)[0]
            if found <= 0:
                return None
            misses.append(float(np.log(found / rate)))
            if abs(misses[-1]) <= _CLOSE:
                return step
            slope = (misses[-1] - misses[-2]) / (logs[-1] - logs[-2]) if len(misses) > 1 else 1.0
            logs.append(logs[-1] - misses[-1] / min(max(slope, _SLOPES[0]), _SLOPES[1]))
        return None

    def _rate(self, kernels: Kernels, step: Step) -> tuple[float, float | None]:
        mode = growth(kernels, step.size, step.update)
        return mode.rate, left_out_error(mode.left_out, self.population)


@dataclass(frozen=True)
class _Discounted:
    """Kernels known by products, their targets shrunk."""

    parts: Kernels
    ratio: float

    @property
    def size(self) -> int:
        return self.parts.size

    @property
    def scale(self) -> float:
        return self.parts.scale

    def times(self, vectors: Columns, of_cross: float, of_gram: float) -> Columns:
        return self.parts.times(vectors, self.ratio * of_cross, of_gram)

    def transposed(self, vectors: Columns, of_cross: float, of_gram: float) -> Columns:
        return self.parts.transposed(vectors, self.ratio * of_cross, of_gram)


def _discounted(kernels: Kernels, ratio: float) -> Kernels:
    if isinstance(kernels, Dynamics):
        return replace(kernels, cross=kernels.cross * np.asarray(ratio, kernels.cross.dtype))
    return _Discounted(kernels, ratio)
