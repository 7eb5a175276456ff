"""`forecast`: what the readings so far say of the rest of the run."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from seemrl.errors import InputError
from seemrl.instrument.forecast.chance import probability
from seemrl.instrument.forecast.laws import GrowthLaw, LawName, OptimizerKind, fit_law
from seemrl.instrument.forecast.path import growth_rate, next_growth, recent_known, share
from seemrl.instrument.forecast.reach import DIVERGED_FACTOR
from seemrl.instrument.forecast.reasons import explain, why_no_law
from seemrl.instrument.forecast.verdict import Verdict, critical_point, is_feeding, judge
from seemrl.instrument.reading import Reading

_QUANTILES = (0.05, 0.5, 0.95)
_CURVE_POINTS = 60
_LAW_TEXTS = {
    "unsettled": "too early for a law: the rate itself still rises",
    "power": "power law: 1/rate rises on a line of slope {slope:.2f}, |Q| ~ t^{exponent:.1f}",
    "finite-time": "finite-time blow-up: 1/rate falls on a line of slope {slope:.2f}",
    "exponential": "exponential growth: the rate stays as it is (slope {slope:.2f})",
}


@dataclass(frozen=True)
class Curve:
    """The band of |Q| that is forecast: 5%, 50% and 95% quantiles at some steps."""

    steps: list[int]
    low: list[float]
    middle: list[float]
    high: list[float]


@dataclass(frozen=True)
class Forecast:
    """What the readings up to ``step`` say.

    Attributes:
        step: the last reading's.
        verdict: "stable", "watch", "diverging" or "diverged".
        law: "power", "finite-time", "exponential", "saturating" (from a Q curve alone), "unsettled" while the rate
            itself still rises, or "none" where |Q| does not feed itself.
        law_text: the law in one line, with its numbers; or why it is too early for one.
        rate: d log|Q| / d step now, fitted; None without a law.
        growth_rate: d log mean |Q| / d step foretold for the next twentieth of the steps so far, at any verdict: the
            last reading's flow, corrected by how flows came true; None where unknown.
        critical_point: step since which the kernel's direction stands still, or None.
        crash_step: median step at which mean |Q| passes ten reward bounds; None without a law.
        crash_interval: its 90% interval; the upper end is None where more than 5% of the paths never get there.
        curve: the band of |Q|, or None.
        reasons: one line each, citing metric, value and step.
        probability: chance that mean |Q| passes ten reward bounds, a share among runs like those it was fitted to
            (`chance`); None without a reward bound, a learning rate or a second reading.
    """

    step: int
    verdict: Verdict
    law: LawName
    law_text: str
    rate: float | None
    critical_point: int | None
    crash_step: float | None
    crash_interval: tuple[float, float | None] | None
    curve: Curve | None
    reasons: list[str]
    growth_rate: float | None = None
    probability: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def forecast(
    history: Sequence[Reading],
    *,
    reward_bound: float | None = None,
    optimizer: OptimizerKind = "adam",
    depth: int | None = None,
) -> Forecast:
    """Judge the readings so far and extrapolate |Q|.

    Args:
        history: readings on the same rows, by rising step; at least one.
        reward_bound: max|r| / (1 - discount), in units of Q; without it there is no crash step to forecast.
        optimizer: how the critic is trained, which decides the growth law.
        depth: L, layers with weights of a critic without normalisers; None for any other critic.

    Raises:
        InputError: the history is empty or its steps do not rise.
    """
    if not history:
        raise InputError("forecast: the history is empty; take at least one reading")
    if any(later.step <= earlier.step for earlier, later in pairwise(history)):
        raise InputError("forecast: the steps of the readings must rise; pass each reading its step=")
    verdict, evidence = judge(history, reward_bound, homogeneous=depth is not None)
    law = _law(history, reward_bound, optimizer, depth) if verdict == "diverging" else None
    target = None if reward_bound is None else DIVERGED_FACTOR * reward_bound
    low, middle, high = _crash(history[-1], law, target)
    slope = None if law is None else float(np.median(law.slopes))
    return Forecast(
        step=history[-1].step,
        verdict=verdict,
        law="none" if law is None else law.name,
        law_text=why_no_law(history, evidence, verdict) if law is None or slope is None else _text(law.name, slope),
        rate=None if law is None else float(np.median(law.rates)),
        critical_point=critical_point(history),
        crash_step=middle,
        crash_interval=None if low is None else (low, high),
        curve=None if law is None else _curve(history[-1].step, law, high or middle),
        growth_rate=_next_rate(history),
        probability=1.0 if verdict == "diverged" else probability(history, reward_bound, homogeneous=depth is not None),
        reasons=explain(history, evidence, verdict, reward_bound, homogeneous=depth is not None),
    )


def _law(
    history: Sequence[Reading], reward_bound: float | None, optimizer: OptimizerKind, depth: int | None
) -> GrowthLaw | None:
    """The law fitted to the last unbroken row of readings that feed themselves, at the pace their flows came true."""
    steps, rates = [], []
    row = recent_known(history)
    for reading in reversed(row):
        rate = growth_rate(reading)
        feeds = reading.rate is None or is_feeding(reading, reward_bound, homogeneous=depth is not None)
        if rate <= 0 or not (feeds or reading is row[-1]):  # before that, rewards moved the values
            break
        steps.append(reading.step)
        rates.append(rate)
    if not rates:
        return None
    corrected = [rate * share(row) for rate in rates[::-1]]
    return fit_law(steps[::-1], math.log(row[-1].q_mean), corrected, optimizer=optimizer, depth=depth)


def _next_rate(history: Sequence[Reading]) -> float | None:
    last = history[-1]
    if not recent_known(history):
        return None
    steps = max(16.0, last.step / 20)
    return next_growth(history, steps) / steps


def _crash(
    last: Reading, law: GrowthLaw | None, target: float | None
) -> tuple[float | None, float | None, float | None]:
    if law is None or target is None or target <= 0:
        return None, None, None
    steps = law.steps_until(math.log(target), _QUANTILES)
    low, middle, high = (last.step + value if math.isfinite(value) else None for value in steps)
    return low, middle, high


def _curve(step: int, law: GrowthLaw, until: float | None) -> Curve:
    horizon = (until - step) if until is not None else 3 / float(np.median(law.rates))
    ahead = np.unique(np.linspace(0, min(horizon * 1.2, 1e9), _CURVE_POINTS).astype(int))
    with np.errstate(over="ignore"):
        band = np.exp([law.log_q_after(float(steps), _QUANTILES) for steps in ahead])
    low, middle, high = (list(map(float, column)) for column in band.T)
    return Curve([step + int(steps) for steps in ahead], low, middle, high)


def _text(law: LawName, slope: float) -> str:
    return _LAW_TEXTS[law].format(slope=slope, exponent=1 / slope)
