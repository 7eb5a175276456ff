"""Several runs at once in one process, with a live table, and what became of their forecasts."""

import threading
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from dataclasses import dataclass, field

import jax
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from seemrl.instrument.forecast import Forecast, Remedy
from seemrl.instrument.forecast.reach import DIVERGED_FACTOR
from seemrl.instrument.forecast.terminal import styled
from seemrl.instrument.reading import Reading
from seemrl.training.loop import Progress, Run


@dataclass
class Arm:
    """One of the runs and what has been seen of it.

    Attributes:
        run: ready to train.
        label: its name in tables.
        alarm: the forecast with which `diverging` was first called.
        at_bound: the last forecast before mean |Q| passed the reward bound.
        remedy: the best one, measured at the alarm.
        news: lines not yet shown.
    """

    run: Run
    label: str
    reading: Reading | None = None
    forecast: Forecast | None = None
    alarm: Forecast | None = None
    at_bound: Forecast | None = None
    remedy: Remedy | None = None
    news: list[str] = field(default_factory=list)

    def note(self, progress: Progress) -> None:
        """Take in what one stop brought."""
        if progress.reading is None or progress.forecast is None:
            return
        verdict = self.forecast.verdict if self.forecast is not None else "stable"
        self.reading, self.forecast = progress.reading, progress.forecast
        if progress.advice is not None:
            self.remedy = progress.advice.best
        if self.reading.q_mean <= self.run.reward_bound and self.forecast.crash_step is not None:
            self.at_bound = self.forecast
        if self.forecast.verdict == verdict:
            return
        line = styled(self.forecast.verdict, f"{self.label}: {self.forecast.verdict}")
        line += f" at step {self.reading.step:,}, mean |Q| = {self.reading.q_mean:.3g}"
        if self.forecast.verdict == "diverging" and self.alarm is None:
            self.alarm = self.forecast
            line += f" ({self.reading.q_mean / self.run.reward_bound:.0%} of the reward bound)"
            line += f"\n  forecast: |Q| passes ten times the bound at {_crash(self.forecast)}; {self.forecast.law_text}"
            line += "" if self.remedy is None else f"\n  {escape(_remedy_text(self.remedy))}"
        self.news.append(line)

    @property
    def diverged(self) -> bool:
        """Whether the run is past saving."""
        return self.forecast is not None and self.forecast.verdict == "diverged"


def train_side_by_side(arms: Sequence[Arm], console: Console) -> None:
    """Train all runs to their end, or until they have diverged, one thread each.

    Runs of the same architecture share one compiled program, so only the first of them compiles.
    """
    compiling: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
    stopping = threading.Event()

    def train(arm: Arm) -> None:
        stops = arm.run.train()
        with compiling[str(jax.tree.structure(arm.run.agent))]:
            arm.note(next(stops))
        for progress in stops:
            arm.note(progress)
            if arm.diverged or stopping.is_set():
                return

    with ThreadPoolExecutor(len(arms)) as pool, Live(_table(arms), console=console, refresh_per_second=4) as live:
        futures: list[Future[None]] = [pool.submit(train, arm) for arm in arms]
        try:
            while wait_for(futures, timeout=0.25).not_done:
                _show(arms, live)
        finally:
            stopping.set()
        _show(arms, live)
        for future in futures:
            future.result()


def _show(arms: Sequence[Arm], live: Live) -> None:
    for arm in arms:
        while arm.news:
            live.console.print(arm.news.pop(0))
    live.update(_table(arms))


def _table(arms: Sequence[Arm]) -> Table:
    table = Table("run")
    for column in ("step", "mean |Q|", "SEEM", "rate/step"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    table.add_column("crash at", justify="right", no_wrap=True)
    for arm in arms:
        reading, forecast = arm.reading, arm.forecast
        if reading is None or forecast is None:
            table.add_row(arm.label, "0", "", "", "", "compiling", "")
            continue
        rate = "" if reading.rate is None else f"{reading.rate:.1e}"
        table.add_row(
            arm.label,
            f"{reading.step:,}",
            f"{reading.q_mean:.3g}",
            f"{reading.normalized:+.4f}",
            rate,
            styled(forecast.verdict),
            "" if forecast.crash_step is None else f"{forecast.crash_step:,.0f}",
        )
    return table


def outcome_table(arms: Sequence[Arm]) -> Table:
    """What was forecast beside what happened."""
    table = Table("run", "forecast", "what happened", title="\nForecast and outcome", title_justify="left")
    for arm in arms:
        table.add_row(arm.label, _forecast_text(arm), _outcome_text(arm), end_section=True)
    return table


def _forecast_text(arm: Arm) -> str:
    if arm.alarm is None:
        return "never called diverging"
    lines = [f"diverging, called at step {arm.alarm.step:,}; ten times the bound at {_crash(arm.alarm)}"]
    if arm.at_bound is not None and arm.at_bound.step > arm.alarm.step:
        lines.append(f"last word before the bound, step {arm.at_bound.step:,}: {_crash(arm.at_bound)}")
        lines.append(arm.at_bound.law_text)
    if arm.remedy is not None:
        lines.append(_remedy_text(arm.remedy))
    return "\n".join(lines)


def _remedy_text(remedy: Remedy) -> str:
    return f"what {remedy.standing}, measured at the alarm: {remedy.in_short}"


def _outcome_text(arm: Arm) -> str:
    bound = arm.run.reward_bound
    readings = arm.run.readings
    last = readings[-1]
    passed = next((reading.step for reading in readings if not reading.q_mean <= bound), None)
    crashed = next((reading.step for reading in readings if not reading.q_mean <= DIVERGED_FACTOR * bound), None)
    if passed is None:
        highest = max(reading.q_mean for reading in readings)
        return f"mean |Q| stays below the bound: at most {highest:.3g} in {last.step:,} steps"
    lines = [f"the bound {bound:.1f} passed at step {passed:,}"]
    lines.append(
        f"mean |Q| = {last.q_mean:.3g} after {last.step:,} steps"
        if crashed is None
        else f"ten times the bound at step {crashed:,}"
    )
    return "\n".join(lines)


def _crash(forecast: Forecast) -> str:
    if forecast.crash_step is None or forecast.crash_interval is None:
        return "no step within reach"
    low, high = forecast.crash_interval
    end = "never" if high is None else f"{high:,.0f}"
    return f"{forecast.crash_step:,.0f} (90%: {low:,.0f} to {end})"
