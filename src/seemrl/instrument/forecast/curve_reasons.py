"""What a forecast from a curve says in words: the law, and the reasons, each with its number and step."""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from seemrl.instrument.forecast.curve_law import GrowthAhead, Paths
from seemrl.instrument.forecast.curve_signals import FLAT, FOLD, STEEP, Alarms, Signals
from seemrl.instrument.forecast.outlook import Forecast
from seemrl.instrument.forecast.verdict import ALARMS, Verdict

CANNOT_TELL = (
    "a Q curve shows growth that is under way and nothing before it: whether a quiet critic is about to turn, only its "
    "kernel tells (seemrl.measure)"
)
"""The reason that every forecast from a curve gives."""

_NOTED_FOLD = 1.1


def law_text(law: GrowthAhead) -> str:
    """The law in one line, with its numbers."""
    slope = law.slope
    match law.name:
        case "none":
            return "no growth: |Q| stands still or falls"
        case "saturating":
            return f"filling up: |Q| nears a level, {1 - math.exp(-1):.0%} of the way in {law.horizon:,.0f} steps"
        case "unsettled":
            return "too early for a law: |Q| has begun to grow steeply and has not come far"
        case "power":
            return f"power law: 1/rate rises on a line of slope {slope:.2f}, |Q| ~ t^{1 / slope:.1f}"
        case "finite-time":
            return f"finite-time blow-up: 1/rate falls on a line of slope {slope:.2f}"
        case _:
            return f"exponential growth: the rate stays as it is (slope {slope:.2f})"


def reasons(
    signals: Signals, alarms: Alarms, paths: Paths, verdicts: Sequence[Verdict], reward_bound: float | None
) -> list[str]:
    """Why the verdict is what it is, how far to trust the band, and what the curve cannot tell."""
    step, size = signals.steps[-1], math.exp(signals.log_q[-1])
    said = [_against_bound(size, float(step), reward_bound), _steepness(signals)]
    called = np.flatnonzero([verdict in ALARMS for verdict in verdicts])
    if alarms.fold[-1] > _NOTED_FOLD and float(signals.steepness[-1]) > 1:
        said.append(
            f"|Q| = {size:.4g} at step {step:g} is {alarms.fold[-1]:.3g} times {alarms.level[-1]:.4g}, the highest "
            "level that it did not reach steeply"
        )
    if len(called):
        first = int(called[0])
        then = f"step {signals.steps[first]:g}, with |Q| = {math.exp(signals.log_q[first]):.4g}"
        said.append(f"first called {verdicts[first]} at {then}")
    if verdicts[-1] == "diverging" and alarms.raised[-1]:
        said.append(
            f"the alarm would end with a steepness below {FLAT}, or with |Q| back within {FOLD / 2:g} times the level "
            "from which it grew"
        )
    said.append(
        "made earlier on this curve, the same forecast would have missed log10|Q| at twice the step by "
        f"{paths.miss * math.log10(2):.2g}; the band is that wide"
    )
    return [*said, CANNOT_TELL]


def not_finite(times: Float[np.ndarray, " rows"], values: Float[np.ndarray, " rows"]) -> Forecast:
    """The forecast for a curve that ends in infinities."""
    finite = int(np.count_nonzero(np.isfinite(values)))
    before = f"; the last finite |Q| is {abs(values[finite - 1]):.4g} at step {times[finite - 1]:g}" if finite else ""
    return Forecast(
        step=round(float(times[-1])),
        verdict="diverged",
        law="none",
        law_text="no law: the values are not finite",
        rate=None,
        critical_point=None,
        crash_step=None,
        crash_interval=None,
        curve=None,
        reasons=[f"mean Q is not finite from step {times[finite]:g} on{before}"],
    )


def _against_bound(size: float, step: float, reward_bound: float | None) -> str:
    said = f"mean |Q| = {size:.4g} at step {step:g}"
    if reward_bound is None:
        return f"{said}; no reward bound is given, so nothing says which values are honest"
    return f"{said}: {size / reward_bound:.2g} times the reward bound {reward_bound:.4g}"


def _steepness(signals: Signals) -> str:
    steepness, rate, step = float(signals.steepness[-1]), float(signals.rate[-1]), float(signals.steps[-1])
    said = f"steepness = {steepness:.2f} at step {step:g}"
    if rate <= 0:
        return f"{said}: |Q| does not grow"
    pace = f"doubling in {math.log(2) / rate:,.0f} steps at this rate"
    if steepness <= 1:
        return f"{said}: |Q| grows more slowly than on a straight line ({pace})"
    strength = "much faster" if steepness > STEEP else "faster"
    return f"{said}: |Q| grows {strength} than on a straight line ({pace})"
