"""``seemrl reproduce contrast``: TD3 without constraint or target averaging; with LayerNorm and without, who diverges?

The NeurIPS 2023 paper's core contrast: its runs train TD3+BC's critic and actor with a behaviour-cloning weight of 0
and a target rate of 1, everything else as published.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

from seemrl.agents.config import TD3BCConfig
from seemrl.experiments.grid import COMPARED, NORMS, RUNS, GridConfig, named_data, train_grid, whole_runs
from seemrl.experiments.values import Values, values_of
from seemrl.report.runs import RunRecord
from seemrl.training.config import TrainConfig


@dataclass(frozen=True, kw_only=True)
class ContrastConfig(GridConfig):
    """Train TD3 without behaviour cloning and target averaging, with and without LayerNorm: who diverges?

    Can be ended at any moment: the same command goes on. Writes runs/, results.json, results.md and report.html.
    """

    seeds: int = 5
    """Runs of each setting, seeds 0, 1, ..."""
    steps: int = 5000
    """Critic updates of each run."""
    learning_rate: float = 3e-4
    """Step size of critic and actor."""
    out: str = "reproduce/contrast"
    """Directory for runs and results."""


def contrast_settings(config: ContrastConfig) -> list[TrainConfig]:
    """The runs: every data set with either critic from one seed, then from the next."""
    data = named_data(config.data)
    return [
        TrainConfig(
            data=path,
            out=str(Path(config.out) / RUNS / f"{name}-{norm}-seed{seed}"),
            hyperparameters=TD3BCConfig(
                bc_weight=0.0,
                target_rate=1.0,
                critic_learning_rate=config.learning_rate,
                actor_learning_rate=config.learning_rate,
                critic_norm=norm,
                **config.sizes,
            ),
            steps=config.steps,
            seed=seed,
            env="none",
            checkpoint_every=config.steps,
            advise=False,
            label=f"{name}, {NORMS[norm]}, seed {seed}",
        )
        for seed, (name, path), norm in product(range(config.seeds), data.items(), COMPARED)
    ]


@dataclass(frozen=True)
class Arm:
    """The runs of one data set with one critic."""

    data: str
    norm: str
    steps: int
    runs: list[RunRecord] = field(repr=False)
    values: list[Values]

    def to_dict(self) -> dict[str, Any]:
        """One row of results.json."""
        return {
            "data": self.data,
            "critic_norm": self.norm,
            "steps": self.steps,
            "seeds": [run.config["config"]["seed"] for run in self.runs],
            "reward_bound": self.runs[0].reward_bound,
            "diverged": sum(item.diverged_at is not None for item in self.values),
            "runs": [item.to_dict() for item in self.values],
        }


def arms_of(runs: Sequence[RunRecord]) -> list[Arm]:
    """Runs that differ in their seeds alone, put together."""
    grouped: dict[tuple[str, str, int], list[RunRecord]] = {}
    for run in runs:
        settings = run.config["config"]
        key = (Path(settings["data"]).stem, settings["critic_norm"], settings["steps"])
        grouped.setdefault(key, []).append(run)
    order = sorted(grouped.items(), key=lambda item: (item[0][0], item[0][1] != "none", item[0]))
    return [Arm(*key, members, [values_of(run) for run in members]) for key, members in order]


def run_contrast(config: ContrastConfig) -> Path:
    """Train what is not whole, then report on what is; returns the page.

    Raises:
        InputError: a setting or a file does not fit, or no run is whole yet.
        MissingPartError: the training extra is not installed.
    """
    from seemrl.experiments.contrast_page import contrast_results
    from seemrl.experiments.results import finish, start

    console = start()
    train_grid(config, contrast_settings(config), console)
    return finish(Path(config.out), console, contrast_results(arms_of(whole_runs(Path(config.out)))))
