"""Where |Q| may go from here: a growth law, and paths around it as wide as the law missed earlier on the same curve.

All laws are one family. With rate = d log|Q| / d step,

    d(1/rate)/d step = slope + 1 / (rate × horizon)

holds for values that fill up (slope 1: |Q| = level × (1 - exp(-t / horizon)), as under target averaging with a steady
policy) and, with an infinite horizon, for the self-excited laws of `laws.py`: t^(1/slope), exponential (slope 0) and
blow-up in finite time (slope below 0).
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from seemrl.instrument.forecast.curve_signals import FIRST_ROWS, FOLD, STEEP, Alarms, Signals
from seemrl.instrument.forecast.laws import LawName

DEPTH = 3
"""Layers with weights of the critics that most people train: two hidden ones and an output."""

_STEEPEST = 5.0  # steepness that is believed: just past a change of sign log|Q| climbs from nothing
_SLOPE_ERROR = 0.15
_LINE_PARTS = 8  # rates through which a line is fitted, over...
_LINE_SHARE = 0.5  # ...this share of the rise
_LINE_DOUBT = 10.0  # times the error that the line's own scatter gives: neighbouring rates are not independent
_SURE = 0.03  # error of a slope that the curve itself gives, whatever was expected of it
_MOSTLY = 0.5  # excited from here on
_STRAIGHT = 1.2  # steepness up to which a rise may be one that begins to fill up
_SMALLEST = 1e-6
_RATE_ERROR = 0.1  # standard deviation of its logarithm
_LOOKS_BACK = (0.5, 0.7, 0.85)  # shares of the age at which the same forecast is made again, to see how it missed
_UNKNOWN_MISS = 0.5  # of log|Q| for each factor e of age, where the curve is too short to look back
_SMALLEST_MISS = (0.03, 0.9)  # while values fill up, once they have excited themselves
_DRAWS = 4000
_SEED = 0


@dataclass(frozen=True)
class GrowthAhead:
    """The law from one row of a curve on.

    Attributes:
        rate: d log|Q| / d step; 0 where nothing grows.
        slope: of 1/rate.
        slope_error: its standard deviation.
        horizon: steps in which values fill up; infinite for self-excited growth.
        excited: from 0, values fill up, to 1, they excite themselves.
        steepness: slope of |Q| over the mean slope of its rise.
    """

    rate: float
    slope: float
    slope_error: float
    horizon: float
    excited: float
    steepness: float

    @property
    def name(self) -> LawName:
        """Which member of the family it is."""
        if self.rate <= 0:
            return "none"
        if self.excited < _MOSTLY:
            return "saturating" if self.steepness < _STRAIGHT else "unsettled"
        if self.slope < -0.15:
            return "finite-time"
        return "power" if self.slope > 0.15 else "exponential"


@dataclass(frozen=True)
class Paths:
    """Draws of what |Q| does from the last row of a curve on.

    Attributes:
        law: the law around which they are drawn.
        log_q: log|Q| now.
        age: steps since learning began.
        miss: how far the law was from the curve in the past, in log|Q| for each factor e of age.
    """

    law: GrowthAhead
    log_q: float
    age: float
    miss: float

    def log_q_after(self, steps: Float[np.ndarray, " times"]) -> Float[np.ndarray, "draws times"]:
        """log|Q| on each path after some steps; infinite past a blow-up. The draws are the same at every call."""
        random = np.random.default_rng(_SEED)
        rates = self.law.rate * np.exp(_RATE_ERROR * random.standard_normal((_DRAWS, 1)))
        slopes = self.law.slope + self.law.slope_error * random.standard_normal((_DRAWS, 1))
        turns = self.miss * random.laplace(size=(_DRAWS, 1)) * np.log1p(steps / self.age)
        return self.log_q + _grown(rates, slopes, self.law.horizon, steps) + turns


def draw_paths(signals: Signals, alarms: Alarms, learning_steps: float, depth: int = DEPTH) -> Paths:
    """Paths from the last row on.

    Args:
        signals: of the curve.
        alarms: of the curve.
        learning_steps: the horizon with which values fill up as long as nothing else is known of it.
        depth: L, the layers with weights of the critic.
    """
    last = len(signals.steps) - 1
    law = find_law(signals, alarms, last, learning_steps, depth)
    start = last - int(signals.row[last])  # where learning began, and age with it
    age, misses = max(float(signals.age[last]), 1.0), []
    for share in _LOOKS_BACK:
        then = start + int(np.searchsorted(signals.age[start:], share * age, "right")) - 1
        if then - start < FIRST_ROWS or signals.age[then] <= 0 or then == last:
            continue
        past = find_law(signals, alarms, then, learning_steps, depth)
        ahead = np.array([signals.steps[last] - signals.steps[then]])
        expected = signals.log_q[then] + _grown(np.array([[past.rate]]), np.array([[past.slope]]), past.horizon, ahead)
        error = min(abs(float(signals.log_q[last] - expected[0, 0])), 50.0)
        misses.append(error / math.log(age / signals.age[then]))
    miss = float(np.mean(misses)) if misses else _UNKNOWN_MISS
    least = _SMALLEST_MISS[0] + law.excited * (_SMALLEST_MISS[1] - _SMALLEST_MISS[0])
    return Paths(law, float(signals.log_q[last]), age, max(miss, least))


def find_law(signals: Signals, alarms: Alarms, now: int, learning_steps: float, depth: int) -> GrowthAhead:
    """The law from a row on; it knows nothing of later ones.

    Where |Q| fills up the horizon follows from the steepness: with u = t / horizon it is u / (exp(u) - 1). Self-excited
    growth has the slope 1/depth, which is t^depth (Yue et al. 2023, theorem 2, for Adam); in the course of a rise the
    one goes over into the other. A rise whose own 1/rate lies well on a line overrules this.
    """
    age, clock = max(float(signals.age[now]), 1.0), max(float(signals.clock[now]), 1.0)
    steepness = min(float(signals.steepness[now]), _STEEPEST)
    was_excited = bool(alarms.raised[now] or alarms.ended[now])
    if was_excited:  # growth that has fed itself rests, and goes on: at least like a straight line
        steepness = max(steepness, clock / age)
    excited = 1.0 if was_excited else _excited(steepness, float(alarms.fold[now]))
    if steepness <= 0:
        return GrowthAhead(0.0, 1.0, 0.0, math.inf, excited, steepness)
    slope, slope_error = _slope(signals, now, 1 - excited * (1 - 1 / depth))
    if slope_error < _SURE and slope < 1:  # 1/rate lies on a line, and it is no filling up
        return GrowthAhead(steepness / clock, slope, slope_error, math.inf, 1.0, steepness)
    if excited == 0:
        slope, slope_error = 1.0, 0.0
    horizon = math.inf
    if excited < 1:
        horizon = min(_horizon(steepness, clock), max(age, learning_steps) / (1 - excited))
    return GrowthAhead(steepness / clock, slope, slope_error, horizon, excited, steepness)


def _excited(steepness: float, fold: float) -> float:
    """From 0 where |Q| rises no more than on a straight line to 1 where it has grown steeply, by a factor."""
    steep = min(max((steepness - 1) / (STEEP - 1), 0.0), 1.0)
    return steep * min(max(math.log(max(fold, 1.0)) / math.log(FOLD), 0.0), 1.0)


def _horizon(steepness: float, clock: float) -> float:
    """Steps in which values fill up that rise with this steepness, below 1."""
    if steepness >= 1:
        return math.inf
    low, high = 1e-9, 60.0
    for _ in range(60):  # u / (exp(u) - 1) falls
        middle = (low + high) / 2
        low, high = (middle, high) if middle / math.expm1(middle) > steepness else (low, middle)
    return clock / high


def _slope(signals: Signals, now: int, prior: float) -> tuple[float, float]:
    """Slope of 1/rate and its error: the prior and the line through the rise's own rates, by their precision."""
    steps, end = signals.steps[: now + 1], float(signals.steps[now])
    edges = np.linspace(end - _LINE_SHARE * float(signals.clock[now]), end, _LINE_PARTS + 1)
    if np.count_nonzero(steps >= edges[0]) <= _LINE_PARTS:
        return prior, _SLOPE_ERROR
    rates = np.diff(np.interp(edges, steps, signals.log_q[: now + 1])) / np.diff(edges)
    if rates.min() <= 0:
        return prior, _SLOPE_ERROR
    times, inverse = (edges[1:] + edges[:-1]) / 2, 1 / rates
    middle = np.average(times, weights=rates**2)
    spread = float(np.sum((rates * (times - middle)) ** 2))
    slope = float(np.sum(rates**2 * (times - middle) * inverse)) / spread
    scatter = rates * (inverse - np.average(inverse, weights=rates**2) - slope * (times - middle))
    variance = float(scatter @ scatter) / (_LINE_PARTS - 2)
    known, assumed = spread / max(_LINE_DOUBT**2 * variance, 1e-9), 1 / _SLOPE_ERROR**2
    return (slope * known + prior * assumed) / (known + assumed), math.sqrt(1 / (known + assumed))


def _grown(
    rates: Float[np.ndarray, "draws 1"],
    slopes: Float[np.ndarray, "draws 1"],
    horizon: float,
    steps: Float[np.ndarray, " times"],
) -> Float[np.ndarray, "draws times"]:
    """Growth of log|Q| after some steps: the family, integrated."""
    clocks = steps if math.isinf(horizon) else -horizon * np.expm1(-steps / horizon)
    slopes = np.where(np.abs(slopes) < _SMALLEST, _SMALLEST, slopes)  # the exponential, without a division by zero
    moved = 1 + slopes * rates * clocks
    return np.where(moved > 0, np.log(np.maximum(moved, 1e-300)) / slopes, math.inf)
