"""`forecast_curve`: what logged steps and mean Q alone say, for people who have a log and nothing else."""

import math
from dataclasses import dataclass

import numpy as np

from seemrl.errors import InputError
from seemrl.instrument.forecast.curve_input import Values, check_options, checked_curve, thinned
from seemrl.instrument.forecast.curve_law import DEPTH, Paths, draw_paths
from seemrl.instrument.forecast.curve_reasons import law_text, not_finite, reasons
from seemrl.instrument.forecast.curve_signals import (
    FEWEST_ROWS,
    LEARNING_SHARE,
    STEEP,
    Alarms,
    Signals,
    raise_alarms,
    read_signals,
)
from seemrl.instrument.forecast.outlook import Curve, Forecast
from seemrl.instrument.forecast.reach import DIVERGED_FACTOR
from seemrl.instrument.forecast.verdict import Verdict

TARGET_RATE = 0.005
"""Target averaging of most published agents."""
WATCH_FOLD = 2.0
"""Steep growth by this factor is watched."""
_QUANTILES = (0.05, 0.5, 0.95)
_CURVE_POINTS = 60
_FARTHEST = 100.0  # ages ahead that are searched for the crash


@dataclass(frozen=True)
class CurveVerdicts:
    """What would have been called at each row of a curve, by what was known then.

    Attributes:
        steps: of the rows.
        sizes: |Q|.
        verdicts: at each row.
    """

    steps: list[float]
    sizes: list[float]
    verdicts: list[Verdict]

    def first(self, *verdicts: Verdict) -> int | None:
        """The first row at which one of these was called."""
        return next((row for row, verdict in enumerate(self.verdicts) if verdict in verdicts), None)


def forecast_curve(
    steps: Values,
    q_values: Values,
    *,
    discount: float,
    reward_bound: float | None = None,
    target_rate: float = TARGET_RATE,
    depth: int = DEPTH,
    horizon: float | None = None,
) -> Forecast:
    """Judge a logged Q curve and say where |Q| may go.

    Args:
        steps: training steps of the rows, rising.
        q_values: mean Q over some batch or fixed rows at each of them; only its absolute value is used. Infinities at
            the end mean that the critic is no longer finite.
        discount: of the critic; with ``target_rate`` it says for how long values are still being learnt.
        reward_bound: max|r| / (1 - discount), in units of Q; without it there is no crash step.
        target_rate: of target averaging, per step; 1 without it.
        depth: L, the layers with weights of the critic, which gives self-excited growth its law, t^L.
        horizon: step up to which |Q| is forecast; twice the last one if None.

    Returns:
        A forecast without a critical point: that needs the kernel. ``curve`` is the band of |Q| for any verdict but a
        critic that is not finite; ``crash_step`` is given while the verdict is "diverging".

    Raises:
        InputError: the curve or an option cannot be used.
    """
    check_options(discount, reward_bound, target_rate, depth)
    times, values = checked_curve(steps, q_values)
    if not np.isfinite(values[-1]):
        return not_finite(times, values)
    times, values = thinned(times, values)
    if horizon is not None and not horizon > times[-1]:
        raise InputError(
            f"forecast_curve: horizon {horizon:g} is not past the last step {times[-1]:g}; choose a later one"
        )
    learning = 1 / ((1 - discount) * target_rate)
    signals = read_signals(times, values)
    alarms = raise_alarms(signals, LEARNING_SHARE * learning, reward_bound)
    paths = draw_paths(signals, alarms, learning, depth)
    verdicts = _verdicts(signals, alarms, reward_bound)
    low = middle = high = None
    if verdicts[-1] == "diverging" and reward_bound is not None:
        low, middle, high = _crash(paths, float(times[-1]), DIVERGED_FACTOR * reward_bound)
    return Forecast(
        step=round(float(times[-1])),
        verdict=verdicts[-1],
        law=paths.law.name,
        law_text=law_text(paths.law),
        rate=paths.law.rate if paths.law.rate > 0 else None,
        critical_point=None,
        crash_step=middle,
        crash_interval=None if low is None else (low, high),
        curve=_band(paths, float(times[-1]), horizon),
        reasons=reasons(signals, alarms, paths, verdicts, reward_bound),
    )


def curve_verdicts(
    steps: Values,
    q_values: Values,
    *,
    discount: float,
    reward_bound: float | None = None,
    target_rate: float = TARGET_RATE,
) -> CurveVerdicts:
    """The verdicts that `forecast_curve` would have given after each row; arguments and errors are its own."""
    check_options(discount, reward_bound, target_rate, DEPTH)
    times, values = checked_curve(steps, q_values)
    finite = int(np.count_nonzero(np.isfinite(values)))
    broken = times[finite:]
    verdicts: list[Verdict] = []
    if finite:
        times, values = thinned(times[:finite], values[:finite])
        signals = read_signals(times, values)
        alarms = raise_alarms(signals, LEARNING_SHARE / ((1 - discount) * target_rate), reward_bound)
        verdicts = _verdicts(signals, alarms, reward_bound)
    verdicts.extend("diverged" for _ in broken)
    sizes = np.abs(values[: len(verdicts) - len(broken)]).tolist() + [math.inf] * len(broken)
    return CurveVerdicts([*times[: len(verdicts) - len(broken)].tolist(), *broken.tolist()], sizes, verdicts)


def _verdicts(signals: Signals, alarms: Alarms, reward_bound: float | None) -> list[Verdict]:
    size = np.exp(signals.log_q)
    bound = math.inf if reward_bound is None else reward_bound
    growing = (signals.steepness > STEEP) & (alarms.fold > WATCH_FOLD) & (signals.row >= FEWEST_ROWS) & ~signals.open
    watch = (size > bound) | alarms.ended | growing
    words: list[Verdict] = []
    for now in range(len(size)):
        if size[now] > DIVERGED_FACTOR * bound:
            words.append("diverged")
        else:
            words.append("diverging" if alarms.raised[now] else "watch" if watch[now] else "stable")
    return words


def _band(paths: Paths, step: float, horizon: float | None) -> Curve:
    until = 2 * step if horizon is None else horizon
    until = max(until, step + 1)
    ahead = np.linspace(0, until - step, _CURVE_POINTS)
    with np.errstate(over="ignore"):
        low, middle, high = np.exp(np.quantile(paths.log_q_after(ahead), _QUANTILES, axis=0, method="nearest"))
    return Curve([round(step + float(more)) for more in ahead], low.tolist(), middle.tolist(), high.tolist())


def _crash(paths: Paths, step: float, limit: float) -> tuple[float | None, float | None, float | None]:
    """5%, 50% and 95% quantiles of the step at which paths pass a limit; None where that many never do."""
    ahead = np.concatenate([[0.0], np.geomspace(1e-3, _FARTHEST, 400) * paths.age])
    passed = paths.log_q_after(ahead) > math.log(limit)
    first = np.where(passed.any(axis=1), ahead[passed.argmax(axis=1)], math.inf)
    found = [float(value) for value in np.quantile(first, _QUANTILES, method="nearest")]
    low, middle, high = (step + value if math.isfinite(value) else None for value in found)
    return low, middle, high
