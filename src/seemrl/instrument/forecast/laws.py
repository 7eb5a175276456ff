"""How |Q| grows once it feeds itself: paths of log|Q| drawn from what theory says and readings leave open.

With rate = d log|Q| / d step, the theorems of Yue et al. 2023 (section 4) for an L-layer homogeneous critic say

* SGD: d(1/rate)/dt = -(2L-2)/L: 1/rate falls on a straight line to zero, |Q| is infinite in finite time.
* Adam: |Q| ~ t^L, so that d(1/rate)/dt = 1/L, once the second moment has caught up; before, steps are longer.
* target averaging caps the rate: towards 1/rate = const, exponential growth.

A `Track` has all three as the pace of a flow. What it leaves open is drawn: the rate now, under SGD how much of the
initialisation's kernel stays, under Adam how fast kernels change. For any other critic there is no theorem, and the
rates of the readings themselves are put on a line.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from seemrl.instrument.forecast.path import Course, growth_rate
from seemrl.instrument.forecast.track import Track

LawName = Literal["power", "finite-time", "exponential", "unsettled", "saturating", "none"]
"""``unsettled``: the rate itself still rises, so no law holds yet and the forecast only brackets what may come;
``saturating``: values fill up towards a level."""

_SGD_RATE_ERROR = 0.05
_INITIAL_SHARE = 3.0  # the fixed part counts as this power of a uniform draw: most of it rather not
_ADAM_RATE_ERROR, _ADAM_EXPONENT_ERROR = 0.18, 0.12  # of the rate; of the power of |Q| by which kernels change
_RATE_ERROR = 0.08  # of one reading's rate on a line: sampling of rows and draws
_LINE_ERROR = 0.15  # of the rate that the line gives for the steps ahead
_YOUNG_RATE_ERROR = 0.7  # of a rate that has only just stopped rising, shrinking with each reading since
_SETTLED_READINGS = 3  # since the rate was highest
_UNKNOWN_SLOPE = (0.5, 0.4)  # no theory: from a mild speed-up to growth along a line
_STRAIGHT = 0.15  # slope of 1/rate, either way, that is still called exponential growth
_FULL = 30.0  # growth of log|Q| up to which paths are drawn
_GROWTH = np.concatenate([np.linspace(0, 2, 41), np.linspace(2, _FULL, 113)[1:]])
_DRAWS = 2000
_SEED = 0


@dataclass(frozen=True)
class GrowthLaw:
    """Paths of log|Q|, as the steps at which each passes the same levels.

    Attributes:
        name: which theorem they follow.
        log_q: log|Q| now.
        rate: d log|Q| / d step now, the middle one.
        slope: d(1/rate)/d step over the growth ahead, the middle one.
        growth: levels of log|Q| above the present one, rising from 0.
        steps: at which each draw passes them; infinite where it never does.
    """

    name: LawName
    log_q: float
    rate: float
    slope: float
    growth: Float[np.ndarray, " levels"]
    steps: Float[np.ndarray, "draws levels"]

    def steps_until(self, log_q: float, quantiles: Sequence[float]) -> list[float]:
        """Quantiles of the number of steps until log|Q| passes a level; infinite where a path never does."""
        needed = min(log_q - self.log_q, self.growth[-1])
        if needed <= 0:
            return [0.0] * len(quantiles)
        level = int(np.clip(np.searchsorted(self.growth, needed), 1, len(self.growth) - 1))
        part = (needed - self.growth[level - 1]) / (self.growth[level] - self.growth[level - 1])
        before, after = self.steps[:, level - 1], self.steps[:, level]
        with np.errstate(invalid="ignore"):
            passed = np.where(np.isfinite(after), before + part * (after - before), np.inf)
        return [float(value) for value in np.quantile(passed, quantiles, method="nearest")]

    def log_q_after(
        self, steps: Float[np.ndarray, " times"], quantiles: Sequence[float]
    ) -> Float[np.ndarray, "quantiles times"]:
        """Quantiles of log|Q| after some steps; infinite past a finite-time blow-up.

        A level lies below a quantile where that share of the paths has not passed it yet.
        """
        passing = np.quantile(self.steps, [1 - quantile for quantile in quantiles], axis=0, method="nearest")
        return self.log_q + np.stack([self._levels_at(row, steps) for row in passing])

    def _levels_at(
        self, passing: Float[np.ndarray, " levels"], steps: Float[np.ndarray, " times"]
    ) -> Float[np.ndarray, " times"]:
        reached = np.isfinite(passing)
        found = np.interp(steps, passing[reached], self.growth[reached])
        return np.where((steps > passing[-1]) if reached[-1] else False, np.inf, found)


def fit_law(track: Track, row: int) -> GrowthLaw | None:
    """The law of a critic that feeds itself; None where no reading shows growth.

    Args:
        track: readings so far.
        row: how many of them, the last ones, feed themselves.
    """
    rates = [growth_rate(reading) for reading in track.readings[-max(row, 1) :]]
    while len(rates) > 1 and min(rates) <= 0:  # before that, rewards moved the values
        rates.pop(0)
    if rates[-1] <= 0:
        return None
    log_q = math.log(track.readings[-1].q_mean)
    random = np.random.default_rng(_SEED)
    peak = int(np.argmax(rates))
    settled = track.optimizer == "sgd" or len(rates) - peak >= _SETTLED_READINGS
    if track.depth is None:
        return _on_a_line(track, rates, peak, settled, log_q, random)
    if track.optimizer == "sgd":
        steps = _blow_ups(track, random) / _drawn_rates(_SGD_RATE_ERROR, len(rates), random)
        return _named(log_q, steps, settled=True)
    error = _ADAM_EXPONENT_ERROR if settled else 2 * _ADAM_EXPONENT_ERROR
    steps = _powers(track, error, random) / _drawn_rates(_ADAM_RATE_ERROR, len(rates) - peak, random)
    return _named(log_q, steps, settled)


def _drawn_rates(error: float, readings: int, random: np.random.Generator) -> Float[np.ndarray, "draws 1"]:
    """Factors of the rate now: certain to ``error``, and less where few readings say so."""
    return np.exp(math.hypot(error, _YOUNG_RATE_ERROR / readings) * random.standard_normal((_DRAWS, 1)))


def _blow_ups(track: Track, random: np.random.Generator) -> Float[np.ndarray, "draws levels"]:
    """Under SGD: between all kernels growing, and the initialisation's part of them staying as its norm says."""
    soon, late = (_at_levels(track.with_initial_part(part)) for part in (0.0, track.initial_part()))
    share = random.random((_DRAWS, 1)) ** _INITIAL_SHARE
    with np.errstate(divide="ignore", invalid="ignore"):
        between = np.exp((1 - share) * np.log(soon) + share * np.log(late))
    return np.where(np.isfinite(soon), between, np.inf)


def _powers(track: Track, error: float, random: np.random.Generator) -> Float[np.ndarray, "draws levels"]:
    """Under Adam: the track's own course, corrected by how it came true, kernels changing a little otherwise."""
    passed = np.diff(_at_levels(track.course())) / track.share
    middle = (_GROWTH[1:] + _GROWTH[:-1]) / 2
    drawn = error * random.standard_normal((_DRAWS, 1))
    with np.errstate(over="ignore"):
        steps = np.cumsum(passed * np.exp(drawn * middle), axis=1)
    return np.hstack([np.zeros((_DRAWS, 1)), steps])


def _at_levels(course: Course) -> Float[np.ndarray, " levels"]:
    """Steps at which a course first passes each level; past its end as it last went, if it rose."""
    steps, growth = course
    highest = np.maximum.accumulate(growth)
    rising = np.append(True, np.diff(highest) > 0)
    steps, growth = steps[rising], highest[rising]
    pace = (steps[-1] - steps[-2]) / (growth[-1] - growth[-2]) if len(steps) > 1 and rising[-1] else math.inf
    beyond = np.maximum(_GROWTH - growth[-1], 0)
    with np.errstate(invalid="ignore"):
        return np.interp(_GROWTH, growth, steps) + np.where(beyond > 0, beyond * pace, 0.0)


def _on_a_line(
    track: Track, rates: Sequence[float], peak: int, settled: bool, log_q: float, random: np.random.Generator
) -> GrowthLaw:
    """No theorem: the rates measured, on a line of 1/rate over steps, weighted against a wide prior of its slope."""
    corrected = np.asarray(rates) * track.share
    (mean, error), rate = _UNKNOWN_SLOPE, float(corrected[-1])
    if settled:
        at = [float(reading.step) for reading in track.readings[-len(rates) :][peak:]]
        mean, error, rate = _combine_with_line(mean, error, np.array(at), corrected[peak:])
    else:
        error *= 2
    slopes = mean + error * random.standard_normal((_DRAWS, 1))
    slopes = np.where(np.abs(slopes) < 1e-6, 1e-6, slopes)  # the exponential law, without a division by zero
    drawn = rate * _drawn_rates(_LINE_ERROR, len(rates) - peak, random)
    with np.errstate(over="ignore"):
        return _named(log_q, np.expm1(slopes * _GROWTH) / (slopes * drawn), settled)


def _combine_with_line(
    mean: float, error: float, steps: Float[np.ndarray, " readings"], rates: Float[np.ndarray, " readings"]
) -> tuple[float, float, float]:
    """Posterior mean and error of the slope, and the line's rate at the last reading."""
    if len(steps) < 3:
        return mean, error, float(rates[-1])
    inverse = 1 / rates
    weight = rates / _RATE_ERROR  # 1 / standard error of 1/rate
    centre = np.average(steps, weights=weight**2)
    spread = float(np.sum(weight**2 * (steps - centre) ** 2))
    slope = float(np.sum(weight**2 * (steps - centre) * inverse) / spread)
    precision = 1 / error**2 + spread
    posterior = (mean / error**2 + slope * spread) / precision
    now = float(np.average(inverse, weights=weight**2)) + posterior * float(steps[-1] - centre)
    return posterior, math.sqrt(1 / precision), 1 / now if now > 0 else float(rates[-1])


def _named(log_q: float, steps: Float[np.ndarray, "draws levels"], settled: bool) -> GrowthLaw:
    """By the slope of 1/rate over the next factor e of |Q|, along the middle path."""
    middle = np.median(steps, axis=0)
    with np.errstate(invalid="ignore"):
        inverse = np.diff(middle) / np.diff(_GROWTH)
    one = int(np.searchsorted(_GROWTH, 1.0))
    slope = float((inverse[one] - inverse[0]) / middle[one]) if np.isfinite(middle[one]) else math.inf
    name: LawName = "finite-time" if slope < -_STRAIGHT else "power" if slope > _STRAIGHT else "exponential"
    return GrowthLaw(name if settled else "unsettled", log_q, float(1 / inverse[0]), slope, _GROWTH, steps)
