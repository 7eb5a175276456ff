"""How often the demo's verdicts and forecasts are right, over seeds.

python -m benchmarks.demo_calls --first 10 --seeds 10      (about a minute and a half a seed on two cores)
"""

import math
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # three runs share the cores, as in the demo

from seemrl.training.backend import prepare_jax

prepare_jax()

import tyro  # noqa: E402 - JAX's settings come first
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402

from seemrl.data.embedded import load_embedded_hopper  # noqa: E402
from seemrl.experiments.demo import DemoConfig, demo_settings  # noqa: E402
from seemrl.experiments.side_by_side import Arm, train_side_by_side  # noqa: E402
from seemrl.instrument.forecast import Forecast  # noqa: E402
from seemrl.instrument.forecast.reach import DIVERGED_FACTOR  # noqa: E402
from seemrl.instrument.reading import Reading  # noqa: E402
from seemrl.training.setup import open_run  # noqa: E402


@dataclass(frozen=True)
class Outcome:
    """One seed's diverging run, and how many of its healthy ones were called diverging.

    Attributes:
        called_at: mean |Q| over the reward bound at the first alarm; None without an alarm.
        crash: step at which mean |Q| passed ten bounds, interpolated between readings; None if it did not.
        alarm: the alarm's forecast.
        last_word: the last forecast before the bound.
        false_alarms: healthy runs called diverging.
    """

    called_at: float | None
    crash: float | None
    alarm: Forecast | None
    last_word: Forecast | None
    false_alarms: int

    @property
    def right(self) -> bool:
        """Called before the bound, and neither of the healthy runs called."""
        return self.called_at is not None and self.called_at < 1 and self.crash is not None and not self.false_alarms


def main(first: int = 0, seeds: int = 10) -> None:
    """Train the demo's three runs for each seed and score every call and crash forecast.

    Args:
        first: first seed.
        seeds: number of seeds.
    """
    table = Table("seed", "called at |Q|/bound", "alarm's forecast", "last word", "crash", "false alarms")
    outcomes: list[Outcome] = []
    for seed in range(first, first + seeds):
        outcomes.append(_outcome(seed))
        table.add_row(str(seed), *_columns(outcomes[-1]))
        print(f"seed {seed}: {'right' if outcomes[-1].right else 'WRONG'}", flush=True)
    console = Console(width=120)
    console.print(table)
    low, high = _wilson(sum(outcome.right for outcome in outcomes), seeds)
    console.print(
        f"right: {sum(outcome.right for outcome in outcomes)} of {seeds} (95% interval {low:.0%} to {high:.0%})"
    )
    for name in ("alarm", "last_word"):
        console.print(f"{name.replace('_', ' ')}: {_scores(outcomes, name)}")


def _outcome(seed: int) -> Outcome:
    with tempfile.TemporaryDirectory() as directory:
        data = load_embedded_hopper()
        settings = demo_settings(DemoConfig(out=directory, seed=seed))
        arms = [Arm(open_run(setting, print, data), setting.label) for setting in settings]
        train_side_by_side(arms, Console(quiet=True))
    blow_up, *healthy = arms
    bound, alarm = blow_up.run.reward_bound, blow_up.alarm
    at_alarm = [item.q_mean / bound for item in blow_up.run.readings if alarm and item.step == alarm.step]
    return Outcome(
        called_at=at_alarm[0] if at_alarm else None,
        crash=_crash(blow_up.run.readings, DIVERGED_FACTOR * bound),
        alarm=alarm,
        last_word=blow_up.at_bound,
        false_alarms=sum(arm.alarm is not None for arm in healthy),
    )


def _crash(readings: Sequence[Reading], level: float) -> float | None:
    for before, after in pairwise(readings):
        if after.q_mean > level:
            share = math.log(level / before.q_mean) / math.log(after.q_mean / before.q_mean)
            return before.step + share * (after.step - before.step)
    return None


def _columns(outcome: Outcome) -> list[str]:
    called = "never" if outcome.called_at is None else f"{outcome.called_at:.2f}"
    crash = "" if outcome.crash is None else f"{outcome.crash:.0f}"
    return [called, _text(outcome.alarm), _text(outcome.last_word), crash, str(outcome.false_alarms)]


def _text(forecast: Forecast | None) -> str:
    if forecast is None or forecast.crash_step is None or forecast.crash_interval is None:
        return ""
    low, high = forecast.crash_interval
    return f"at {forecast.step}: {forecast.crash_step:.0f} [{low:.0f}, {'never' if high is None else f'{high:.0f}'}]"


def _scores(outcomes: Sequence[Outcome], name: str) -> str:
    errors: list[float] = []
    inside = 0
    for outcome in outcomes:
        made: Forecast | None = getattr(outcome, name)
        if outcome.crash is None or made is None or made.crash_step is None or made.crash_interval is None:
            continue
        low, high = made.crash_interval
        inside += low <= outcome.crash <= (math.inf if high is None else high)
        errors.append(abs(made.crash_step - outcome.crash) / (outcome.crash - made.step))
    if not errors:
        return "no forecast"
    return f"median error {median(errors):.0%} of the way left, {inside} of {len(errors)} inside the 90% interval"


def _wilson(right: int, count: int) -> tuple[float, float]:
    """95% score interval of a proportion (Wilson, 1927)."""
    z = 1.96
    share, weight = right / count, z * z / count
    half = z * math.sqrt(share * (1 - share) / count + weight / (4 * count))
    return (share + weight / 2 - half) / (1 + weight), (share + weight / 2 + half) / (1 + weight)


if __name__ == "__main__":
    tyro.cli(main)
