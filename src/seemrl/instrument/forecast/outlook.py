"""`forecast`: what the readings so far say of the rest of the run."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from seemrl.errors import InputError
from seemrl.instrument.forecast.laws import GrowthLaw, LawName, OptimizerKind, fit_law
from seemrl.instrument.forecast.verdict import (
    DIVERGED_FACTOR,
    LARGEST_SHARE,
    PERSISTENCE,
    SMALLEST_GROWTH,
    SMALLEST_SHARE,
    Evidence,
    Verdict,
    critical_point,
    judge,
)
from seemrl.instrument.reading import Reading

_QUANTILES = (0.05, 0.5, 0.95)
_CURVE_POINTS = 60
_RECENT_PAIRS = 3  # whose seen growth over predicted growth scales the rates
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
        law: "power", "finite-time", "exponential", "unsettled" while the rate itself still rises, or "none" where |Q|
            does not feed itself.
        law_text: the law in one line, with its numbers.
        rate: d log|Q| / d step now, fitted; None without a law.
        critical_point: step since which the kernel's direction stands still, or None.
        crash_step: median step at which mean |Q| passes ten reward bounds; None without a law.
        crash_interval: its 90% interval; the upper end is None where more than 5% of the paths never get there.
        curve: the band of |Q|, or None.
        reasons: one line each, citing metric, value and step.
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
    verdict, evidence = judge(history, reward_bound)
    law = _law(history, evidence, optimizer, depth) if verdict == "diverging" else None
    target = None if reward_bound is None else DIVERGED_FACTOR * reward_bound
    low, middle, high = _crash(history[-1], law, target)
    slope = None if law is None else float(np.median(law.slopes))
    return Forecast(
        step=history[-1].step,
        verdict=verdict,
        law="none" if law is None else law.name,
        law_text="no self-sustained growth" if law is None or slope is None else _text(law.name, slope),
        rate=None if law is None else float(np.median(law.rates)),
        critical_point=critical_point(history),
        crash_step=middle,
        crash_interval=None if low is None else (low, high),
        curve=None if law is None else _curve(history[-1].step, law, high or middle),
        reasons=_reasons(history, evidence, verdict, reward_bound),
    )


def _law(
    history: Sequence[Reading], evidence: Sequence[Evidence], optimizer: OptimizerKind, depth: int | None
) -> GrowthLaw | None:
    """The law fitted to the last unbroken row of readings with a positive rate.

    The rates are linear theory's; momentum and the second moment's lag make them a little high. So they are scaled by
    what was seen over what was predicted since the rate began to fall.
    """
    finite = [reading for reading in history if reading.finite]
    seen = {item.step: item.seen for item in evidence}
    steps, rates = [], []
    for number in range(len(finite) - 1, 0, -1):
        reading = finite[number]
        rate = reading.rate
        if rate is None:
            rate = seen.get(reading.step, 0.0) / (reading.step - finite[number - 1].step)
        if rate <= 0:
            break
        steps.append(reading.step)
        rates.append(rate)
    if not rates:
        return None
    steps, rates = steps[::-1], rates[::-1]
    recent = [item for item in evidence[-_RECENT_PAIRS:] if item.predicted is not None and item.predicted > 0]
    if recent:
        share = sum(item.seen for item in recent) / sum(item.predicted or 0.0 for item in recent)
        rates = [rate * min(max(share, 0.5), 1.5) for rate in rates]
    return fit_law(steps, math.log(finite[-1].q_mean), rates, optimizer=optimizer, depth=depth)


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


def _reasons(
    history: Sequence[Reading], evidence: Sequence[Evidence], verdict: Verdict, reward_bound: float | None
) -> list[str]:
    last = history[-1]
    if not last.finite:
        return [f"|Q| is not finite at step {last.step}: mean |Q| = {last.q_mean:.3g}"]
    reasons = []
    if reward_bound:
        share = last.q_mean / reward_bound
        reasons.append(
            f"mean |Q| = {last.q_mean:.3g} at step {last.step}: {share:.2g} times the reward bound {reward_bound:.4g}"
        )
    reasons.append(f"normalized SEEM = {last.normalized:.2g} at step {last.step}")
    for item in evidence[-PERSISTENCE:]:
        if item.predicted is None:
            reasons.append(f"|Q| grew by {math.expm1(item.seen):.1%} up to step {item.step}; no learning rate is known")
        else:
            word = "self-excited" if item.excited else "not self-excited"
            reasons.append(
                f"up to step {item.step} the measured rates predict {item.predicted:+.3f} in log|Q|, "
                f"{item.seen:+.3f} was seen: {word}"
            )
    if verdict == "diverging":
        reasons.append(
            f"the alarm would end after {PERSISTENCE} pairs of readings in a row that predict less than "
            f"{SMALLEST_GROWTH}, or not between {SMALLEST_SHARE:.0%} and {LARGEST_SHARE:.0%} of what is seen"
        )
    return reasons
