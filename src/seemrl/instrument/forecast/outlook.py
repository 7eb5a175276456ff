"""`forecast`: what the readings so far say of the rest of the run."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from seemrl.errors import InputError
from seemrl.instrument.forecast.chance import probability
from seemrl.instrument.forecast.laws import GrowthLaw, LawName, fit_law
from seemrl.instrument.forecast.path import levels_off
from seemrl.instrument.forecast.reach import DIVERGED_FACTOR, OptimizerKind
from seemrl.instrument.forecast.reasons import explain, why_no_law
from seemrl.instrument.forecast.track import Track
from seemrl.instrument.forecast.verdict import Verdict, critical_point, feeding_row, judge
from seemrl.instrument.reading import Reading

_QUANTILES = (0.05, 0.5, 0.95)
_CURVE_POINTS = 60
_LAW_TEXTS = {
    "unsettled": "too early for a law: the rate itself still rises",
    "power": "power law: 1/rate rises with a slope of {slope:.2f}, {power}{end}",
    "finite-time": "finite-time blow-up: 1/rate falls with a slope of {slope:.2f}",
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
        law: "power", "finite-time" or "exponential" growth that feeds itself, "unsettled" while its rate still rises;
            "saturating" where the flow levels off; or "none".
        law_text: the law in one line, with its numbers; or why it is too early for one.
        rate: d log|Q| / d step now, by the law; None without one, or where the flow levels off.
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
    judged = judge(history, reward_bound, homogeneous=depth is not None, optimizer=optimizer)
    verdict = judged.verdict
    track, law = Track.of(history, optimizer, depth), None
    if track is not None and judged.sustained and verdict != "diverged":
        law = fit_law(
            track, feeding_row(track.readings, reward_bound, homogeneous=depth is not None, optimizer=optimizer)
        )
    level = None if law is not None or verdict == "diverged" else _level(track)
    target = None if reward_bound is None else DIVERGED_FACTOR * reward_bound
    low, middle, high = _crash(history[-1], law, target)
    return Forecast(
        step=history[-1].step,
        verdict=verdict,
        law=law.name if law is not None else "saturating" if level else "none",
        law_text=_text(law, depth) if law is not None else level or why_no_law(history, judged),
        rate=None if law is None else law.rate,
        critical_point=critical_point(history),
        crash_step=middle,
        crash_interval=None if low is None else (low, high),
        curve=None if law is None else _curve(history[-1].step, law, high or middle),
        growth_rate=_next_rate(track),
        probability=1.0 if verdict == "diverged" else probability(history, reward_bound, homogeneous=depth is not None),
        reasons=explain(history, judged, reward_bound, track, homogeneous=depth is not None),
    )


def _next_rate(track: Track | None) -> float | None:
    if track is None:
        return None
    steps = max(16.0, track.readings[-1].step / 20)
    return track.growth(steps) / steps


def _crash(
    last: Reading, law: GrowthLaw | None, target: float | None
) -> tuple[float | None, float | None, float | None]:
    if law is None or target is None or target <= 0:
        return None, None, None
    steps = law.steps_until(math.log(target), _QUANTILES)
    low, middle, high = (last.step + value if math.isfinite(value) else None for value in steps)
    return low, middle, high


def _curve(step: int, law: GrowthLaw, until: float | None) -> Curve:
    horizon = (until - step) if until is not None else 3 / law.rate
    ahead = np.unique(np.linspace(0, min(horizon * 1.2, 1e9), _CURVE_POINTS).astype(int))
    with np.errstate(over="ignore"):
        band = np.exp(law.log_q_after(ahead.astype(float), _QUANTILES))
    low, middle, high = (list(map(float, row)) for row in band)
    return Curve([step + int(steps) for steps in ahead], low, middle, high)


def _level(track: Track | None) -> str | None:
    """Values that fill up: where, at fixed kernels, and how soon."""
    found = None if track is None else levels_off(track.readings[-1])
    if track is None or found is None:
        return None
    last, (growth, half) = track.readings[-1], found
    return (
        f"saturating: kernels as they are, mean |Q| levels off at {last.q_mean * math.exp(growth):.3g}, half of the "
        f"rise done by step {last.step + half:,.0f}"
    )


def _text(law: GrowthLaw, depth: int | None) -> str:
    power = f"|Q| ~ t^{1 / law.slope:.1f}" if law.slope > 0 else ""
    end = "" if depth is None else f", t^{depth} in the end"
    return _LAW_TEXTS[law.name].format(slope=law.slope, power=power, end=end)
