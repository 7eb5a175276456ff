"""What a run's readings say about its values, in the words of the reward bound."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from seemrl.instrument.forecast.reach import DIVERGED_FACTOR
from seemrl.instrument.forecast.verdict import ALARMS
from seemrl.report.runs import RunRecord


@dataclass(frozen=True)
class Values:
    """Mean |Q| over a run's fixed rows.

    Attributes:
        seed: of the run.
        bound: max|r| / (1 - discount).
        largest: of all readings; infinite where one was not finite, NaN without readings.
        last: of the last reading.
        bound_passed_at: first step at which it was read above the bound.
        diverged_at: first step at which it was read above ten times the bound, or was not finite.
        called_at: first step at which the verdict was `diverging`, or `diverged` at once.
    """

    seed: int
    bound: float
    largest: float
    last: float
    bound_passed_at: int | None
    diverged_at: int | None
    called_at: int | None

    def to_dict(self) -> dict[str, Any]:
        """As plain values."""
        return dataclasses.asdict(self)


def values_of(run: RunRecord) -> Values:
    """What became of a run's values; everything is None or NaN where its agent has no readings."""
    sizes = [(row["step"], row["q_mean"] if math.isfinite(row["q_mean"]) else math.inf) for row in run.readings]
    alarms = (row["step"] for row in run.readings if row["forecast"]["verdict"] in ALARMS)
    return Values(
        seed=run.config["config"]["seed"],
        bound=run.reward_bound,
        largest=max((size for _, size in sizes), default=math.nan),
        last=sizes[-1][1] if sizes else math.nan,
        bound_passed_at=_first_above(sizes, run.reward_bound),
        diverged_at=_first_above(sizes, DIVERGED_FACTOR * run.reward_bound),
        called_at=next(alarms, None),
    )


def _first_above(sizes: list[tuple[int, float]], bound: float) -> int | None:
    return next((step for step, size in sizes if size > bound), None)
