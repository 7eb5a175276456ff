"""What a reader asks of one run: the verdict, when it was first called, what was forecast and what really happened."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from seemrl.instrument.forecast.reach import DIVERGED_FACTOR
from seemrl.report.runs import Row, RunRecord


@dataclass(frozen=True)
class Crash:
    """The first reading at which the run had diverged, and the last one at which it had not (None: there was none)."""

    step: int
    after: int | None
    finite: bool


@dataclass(frozen=True)
class RunSummary:
    """The facts of one run's card.

    Attributes:
        verdict: the last verdict; None before the first reading.
        alarm: the first reading whose verdict is ``diverging``, or else ``diverged``; None when neither was called.
        crash: when the run really diverged; None when no reading shows it.
        explained: the forecast whose reasons are shown: the alarm's, or else the last one.
        last_word: the last forecast with a crash step made after the alarm, while mean |Q| was still within the reward
            bound; None when there is none.
        last_step: the last step any of the run's files mentions; None for a run just begun.
        planned_steps: the steps the run was asked for, when it says so.
        final_q: mean |Q| of the last reading.
        evaluation: the last evaluation.
    """

    verdict: str | None
    alarm: Row | None
    crash: Crash | None
    explained: Row | None
    last_word: Row | None
    last_step: int | None
    planned_steps: int | None
    final_q: float | None
    evaluation: Row | None


def summarize(run: RunRecord) -> RunSummary:
    """The facts of one run."""
    readings = run.readings
    last = readings[-1] if readings else None
    alarm = _first_called(readings, "diverging") or _first_called(readings, "diverged")
    explained = alarm or last
    steps = [row["step"] for rows in (run.metrics, readings, run.evaluations) for row in rows[-1:]]
    return RunSummary(
        verdict=last["forecast"]["verdict"] if last else None,
        alarm=alarm,
        crash=find_crash(readings, run.reward_bound),
        explained=explained["forecast"] if explained else None,
        last_word=_last_word(readings, alarm, run.reward_bound),
        last_step=max(steps, default=None),
        planned_steps=_planned_steps(run.config.get("config")),
        final_q=last["q_mean"] if last else None,
        evaluation=run.evaluations[-1] if run.evaluations else None,
    )


def find_crash(readings: Sequence[Row], reward_bound: float) -> Crash | None:
    """The first reading whose mean |Q| exceeds 10 reward bounds or is not finite.

    Without a positive, finite reward bound only a value that is not finite counts.
    """
    limit = DIVERGED_FACTOR * reward_bound if has_bound(reward_bound) else math.inf
    before: int | None = None
    for row in readings:
        q_mean = row["q_mean"]
        if q_mean is not None and (not math.isfinite(q_mean) or q_mean > limit):
            return Crash(step=row["step"], after=before, finite=math.isfinite(q_mean))
        before = row["step"]
    return None


def has_bound(reward_bound: float) -> bool:
    """Whether the reward bound is a number one can compare |Q| with and draw on a log axis."""
    return math.isfinite(reward_bound) and reward_bound > 0.0


def interval_holds(interval: Sequence[float], crash: Crash) -> bool:
    """Whether the crash, which lies between two readings, can lie in the forecast interval."""
    low, high = interval
    return low <= crash.step and (crash.after is None or high > crash.after)


def drawn_forecasts(run: RunRecord) -> list[Row]:
    """The forecasts whose bands are drawn: the alarm's and the last word before the bound; else the last one made."""
    summary = summarize(run)
    alarm = summary.alarm["forecast"] if summary.alarm else None
    told = [forecast for forecast in (alarm, summary.last_word) if forecast and forecast["curve"]]
    made = [row["forecast"] for row in run.readings if row["forecast"]["curve"]]
    return told or made[-1:]


def _last_word(readings: Sequence[Row], alarm: Row | None, reward_bound: float) -> Row | None:
    if alarm is None or not has_bound(reward_bound):
        return None
    within = [
        row["forecast"]
        for row in readings
        if row["step"] > alarm["step"]
        and row["q_mean"] is not None
        and row["q_mean"] <= reward_bound
        and row["forecast"]["crash_step"] is not None
    ]
    return within[-1] if within else None


def _first_called(readings: Sequence[Row], verdict: str) -> Row | None:
    return next((row for row in readings if row["forecast"]["verdict"] == verdict), None)


def _planned_steps(settings: Any) -> int | None:
    steps = settings.get("steps") if isinstance(settings, dict) else None
    return steps if isinstance(steps, int) and not isinstance(steps, bool) else None
