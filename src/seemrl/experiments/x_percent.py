"""``seemrl reproduce x-percent``: what LayerNorm in the critic brings when most of the data are taken away.

The NeurIPS 2023 paper's Figure 9: offline agents on random parts of the transitions, with and without LayerNorm.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

from seemrl.agents.config import AgentName
from seemrl.agents.registry import CONFIGS
from seemrl.errors import require_option
from seemrl.experiments.grid import COMPARED, NORMS, RUNS, GridConfig, named_data, train_grid, whole_runs
from seemrl.experiments.values import Values, values_of
from seemrl.networks.options import Norm
from seemrl.report.runs import RunRecord
from seemrl.training.config import TrainConfig


@dataclass(frozen=True, kw_only=True)
class XPercentConfig(GridConfig):
    """Train offline agents on parts of the data, with and without LayerNorm in the critic: what does it bring?

    Can be ended at any moment: the same command goes on. Writes runs/, results.json, results.md and report.html.
    """

    percents: tuple[float, ...] = (100.0, 10.0, 1.0)
    """Shares of the transitions, drawn anew for each seed."""
    agents: tuple[AgentName, ...] = ("td3_bc", "iql", "cql", "diffusion_ql")
    """Algorithms, with their published hyperparameters."""
    evaluations: int = 20
    """Evaluations in each run; the last ten make one of the two averages reported."""
    evaluation_episodes: int = 10
    """Episodes per evaluation."""
    env: str = ""
    """Gymnasium environment to evaluate in; default: the one each data file names."""
    out: str = "reproduce/x-percent"
    """Directory for runs and results."""

    def check(self) -> None:
        """Refuse settings that no grid can have."""
        super().check()
        require_option(self.evaluations >= 1, "evaluations", self.evaluations, "at least 1")
        normalisable = [name for name in CONFIGS if hasattr(CONFIGS[name], "critic_norm")]
        for name in self.agents:
            require_option(
                name in normalisable, "agents", name, f"among those with a critic: {', '.join(normalisable)}"
            )


def x_percent_settings(config: XPercentConfig) -> list[TrainConfig]:
    """The runs: the whole grid from one seed, then from the next."""
    config.check()
    data = named_data(config.data)
    grid = product(range(config.seeds), data.items(), config.percents, config.agents, COMPARED)
    return [
        _setting(config, name, path, percent, agent, norm, seed) for seed, (name, path), percent, agent, norm in grid
    ]


def _setting(
    config: XPercentConfig, name: str, path: str, percent: float, agent: AgentName, norm: Norm, seed: int
) -> TrainConfig:
    kind: Any = CONFIGS[agent]
    hyperparameters = kind(critic_norm=norm, **config.sizes)
    cycle = hyperparameters.updates_per_cycle
    return TrainConfig(
        data=path,
        data_percent=percent,
        subset_seed=seed,
        out=str(Path(config.out) / RUNS / f"{name}-{percent:g}percent-{agent}-{norm}-seed{seed}"),
        agent=agent,
        hyperparameters=hyperparameters,
        steps=config.steps,
        seed=seed,
        env=config.env,
        evaluate_every=max(cycle, config.steps // config.evaluations // cycle * cycle),
        evaluation_episodes=config.evaluation_episodes,
        advise=False,
        label=f"{name} {percent:g}%, {agent}, {NORMS[norm]}, seed {seed}",
    )


@dataclass(frozen=True)
class Arm:
    """The runs of one data set, share, agent and critic.

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
    unit: str
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


def arms_of(runs: Sequence[RunRecord]) -> list[Arm]:
    """Evaluated runs that differ in their seeds alone, put together; larger shares first."""
    grouped: dict[tuple[str, str, float, str, int], list[RunRecord]] = {}
    for run in runs:
        settings = run.config["config"]
        if run.evaluations:
            key = (
                run.config["agent"],
                Path(settings["data"]).stem,
                settings["data_percent"],
                settings["critic_norm"],
                settings["steps"],
            )
            grouped.setdefault(key, []).append(run)
    ordered = sorted(grouped.items(), key=lambda item: (*item[0][:2], -item[0][2], item[0][3] != "none", item[0]))
    return [_arm(*key, members) for key, members in ordered]


def _arm(agent: str, data: str, percent: float, norm: str, steps: int, runs: list[RunRecord]) -> Arm:
    from seemrl.training.scores import score_of

    runs = sorted(runs, key=lambda run: run.config["config"]["seed"])
    scored = [score_of(run.path, "score_mean") for run in runs]
    unit = "return" if None in scored else "score"
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


def paired(arms: Sequence[Arm]) -> list[tuple[Arm, Arm]]:
    """Without and with LayerNorm, everything else equal; arms that stand alone are left out."""
    bare = {(arm.agent, arm.data, arm.percent, arm.steps): arm for arm in arms if arm.norm == "none"}
    with_norm = [arm for arm in arms if arm.norm == "layer"]
    found = [(bare.get((arm.agent, arm.data, arm.percent, arm.steps)), arm) for arm in with_norm]
    return [(before, after) for before, after in found if before is not None and before.unit == after.unit]


def run_x_percent(config: XPercentConfig) -> Path:
    """Train what is not whole, then report on what is; returns the page.

    Raises:
        InputError: a setting or a file does not fit, or no evaluated run is whole yet.
        MissingPartError: the training extra is not installed.
    """
    from seemrl.experiments.results import finish, start
    from seemrl.experiments.x_percent_page import x_percent_results

    console = start()
    train_grid(config, x_percent_settings(config), console)
    return finish(Path(config.out), console, x_percent_results(arms_of(whole_runs(Path(config.out)))))
