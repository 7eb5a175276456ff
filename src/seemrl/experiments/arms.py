"""Evaluated runs that differ in their seeds alone, as one."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from seemrl.experiments.values import Values, values_of
from seemrl.report.runs import RunRecord

Unit = Literal["score", "return"]


@dataclass(frozen=True)
class Arm:
    """The evaluated runs of one data set, share, agent and critic.

    Attributes:
        data, percent, agent, norm, steps: what they share.
        runs: one a seed, ordered by seed.
        values: of each run's critic.
        unit: "score" (normalised) or "return", where there is no reference.
        final: of the last evaluation of each run.
        last_ten: mean over the last ten evaluations of each run.
    """

    data: str
    percent: float
    agent: str
    norm: str
    steps: int
    runs: list[RunRecord] = field(repr=False)
    values: list[Values]
    unit: Unit
    final: list[float]
    last_ten: list[float]

    def to_dict(self) -> dict[str, Any]:
        """One row of results.json."""
        named = {
            name: getattr(self, name) for name in ("data", "percent", "agent", "steps", "unit", "final", "last_ten")
        }
        return named | {
            "critic_norm": self.norm,
            "seeds": [item.seed for item in self.values],
            "values": [item.to_dict() for item in self.values],
        }


def arms_of(runs: Sequence[RunRecord], unit: Unit | None = None) -> list[Arm]:
    """Evaluated runs that differ in their seeds alone, put together; larger shares first.

    Args:
        runs: of any agents.
        unit: of their scores; None: "score" where there is a reference, else "return".
    """
    grouped: dict[tuple[str, str, float, str, int], list[RunRecord]] = {}
    for run in runs:
        settings = run.config["config"]
        if run.evaluations:
            key = (
                run.config["agent"],
                Path(settings["data"]).stem,
                settings["data_percent"],
                settings.get("critic_norm", "none"),
                settings["steps"],
            )
            grouped.setdefault(key, []).append(run)
    ordered = sorted(grouped.items(), key=lambda item: (*item[0][:2], -item[0][2], item[0][3] != "none", item[0]))
    return [_arm(*key, members, unit) for key, members in ordered]


def _arm(agent: str, data: str, percent: float, norm: str, steps: int, runs: list[RunRecord], unit: Unit | None) -> Arm:
    from seemrl.training.scores import score_of

    runs = sorted(runs, key=lambda run: run.config["config"]["seed"])
    if unit is None:
        unit = "return" if None in [score_of(run.path, "score_mean") for run in runs] else "score"
    scores = [found for run in runs if (found := score_of(run.path, f"{unit}_mean")) is not None]
    return Arm(
        data=data,
        percent=percent,
        agent=agent,
        norm=norm,
        steps=steps,
        runs=runs,
        values=[values_of(run) for run in runs],
        unit=unit,
        final=[found.final for found in scores],
        last_ten=[found.last_ten for found in scores],
    )
