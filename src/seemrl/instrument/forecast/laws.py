"""How |Q| grows once it feeds itself: one family of laws, d(1/rate)/dt = slope.

With rate = d log|Q| / d step, the theorems of Yue et al. 2023 (section 4) for an L-layer homogeneous critic all say
that 1/rate moves on a straight line, and differ in its slope:

* SGD: slope = -(2L-2)/L. The line reaches zero after L / ((2L-2) rate) steps: |Q| is infinite in finite time.
* Adam: slope -> 1/L, which is |Q| ~ t^L. While gradients grow fast Adam's second moment lags, its steps are too long,
  and the slope starts higher.
* target averaging that caps the rate: slope 0, exponential growth.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

OptimizerKind = Literal["adam", "sgd"]
LawName = Literal["power", "finite-time", "exponential", "unsettled", "saturating", "none"]
"""``unsettled``: the rate itself still rises, so no law holds yet and the forecast only brackets what may come;
``saturating``: values fill up towards a level, which only a Q curve's forecast says (`curve_law`)."""

_RATE_ERROR = 0.08  # relative error of one reading's rate: sampling of rows and draws, and Adam's lag
_ADAM_RATE_ERROR = 0.15  # of the rate that a line through Adam's readings gives for the steps ahead
_YOUNG_RATE_ERROR = 0.7  # of a rate that has only just stopped rising, shrinking with each reading since
_SETTLED_READINGS = 3  # since the rate was highest
_ADAM_SLOPE = (0.45, 0.12)  # mean and standard deviation: between 1/L and what is seen while the second moment lags
_SGD_SLOPE_ERROR = 0.05
_UNKNOWN_SLOPE = (0.5, 0.4)  # no theory: from a mild speed-up to growth along a line
_DRAWS = 2000
_SEED = 0


@dataclass(frozen=True)
class GrowthLaw:
    """Present values and slopes drawn from what is known of them, as paths of log|Q|.

    Attributes:
        name: which theorem the slope follows.
        log_q: log|Q| now.
        rates: draws of the rate now, per step.
        slopes: draws of d(1/rate)/d step.
    """

    name: LawName
    log_q: float
    rates: Float[np.ndarray, " draws"]
    slopes: Float[np.ndarray, " draws"]

    def steps_until(self, log_q: float, quantiles: Sequence[float]) -> list[float]:
        """Quantiles of the number of steps until log|Q| passes a level; infinite where a path never does."""
        needed = log_q - self.log_q
        if needed <= 0:
            return [0.0] * len(quantiles)
        with np.errstate(over="ignore"):
            steps = np.expm1(self.slopes * needed) / (self.slopes * self.rates)
        return [float(value) for value in np.quantile(steps, quantiles, method="nearest")]

    def log_q_after(self, steps: float, quantiles: Sequence[float]) -> list[float]:
        """Quantiles of log|Q| after some steps; infinite past a finite-time blow-up."""
        moved = 1 + self.slopes * self.rates * steps
        with np.errstate(invalid="ignore", divide="ignore"):
            growth = np.where(moved > 0, np.log(np.maximum(moved, 1e-300)) / self.slopes, np.inf)
        return [self.log_q + float(value) for value in np.quantile(growth, quantiles, method="nearest")]


def fit_law(
    steps: Sequence[int],
    log_q: float,
    rates: Sequence[float],
    *,
    optimizer: OptimizerKind,
    depth: int | None,
) -> GrowthLaw:
    """The law from the positive rates of consecutive readings, the present one last.

    The slope combines what theory expects with the line through 1/rate, each weighted by its precision. While the rate
    still rises under Adam the critic has not reached its law, and the present rate may be far from what follows: its
    error is widened.

    Args:
        steps: of the readings.
        log_q: log of mean |Q| now.
        rates: d log|Q| / d step at each reading, positive.
        optimizer: how the critic is trained.
        depth: L, the number of layers with weights of a homogeneous critic (no normaliser); None otherwise.
    """
    mean, error = _prior_slope(optimizer, depth)
    peak = int(np.argmax(rates))
    first = 0 if optimizer == "sgd" else peak
    settled = optimizer == "sgd" or len(rates) - peak >= _SETTLED_READINGS
    own_error = _RATE_ERROR if optimizer == "sgd" else _ADAM_RATE_ERROR
    rate, rate_error = rates[-1], math.hypot(own_error, _YOUNG_RATE_ERROR / (len(rates) - first))
    if settled:
        mean, error, rate = _combine_with_line(mean, error, np.asarray(steps[first:], float), np.asarray(rates[first:]))
    else:
        error *= 2
    random = np.random.default_rng(_SEED)
    slopes = mean + error * random.standard_normal(_DRAWS)
    slopes = np.where(np.abs(slopes) < 1e-6, 1e-6, slopes)  # the exponential law, without a division by zero
    draws = rate * np.exp(rate_error * random.standard_normal(_DRAWS))
    return GrowthLaw(_name(mean) if settled else "unsettled", log_q, draws, slopes)


def _prior_slope(optimizer: OptimizerKind, depth: int | None) -> tuple[float, float]:
    if depth is None:
        return _UNKNOWN_SLOPE
    if optimizer == "sgd":
        return -(2 * depth - 2) / depth, _SGD_SLOPE_ERROR
    return _ADAM_SLOPE


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


def _name(slope: float) -> LawName:
    if slope < -0.15:
        return "finite-time"
    return "power" if slope > 0.15 else "exponential"
