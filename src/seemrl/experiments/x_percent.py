"""``seemrl reproduce x-percent``: what LayerNorm in the critic brings when most of the data are taken away.

The NeurIPS 2023 paper's Figure 9: offline agents on random parts of the transitions, with and without LayerNorm.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from seemrl.agents.config import AgentName
from seemrl.agents.registry import CONFIGS
from seemrl.errors import require_option
from seemrl.experiments.arms import Arm, arms_of
from seemrl.experiments.grid import (
    COMPARED,
    NORMS,
    EvaluatedGridConfig,
    evaluated_setting,
    named_data,
    train_grid,
    whole_runs,
)
from seemrl.networks.options import Norm
from seemrl.training.config import TrainConfig


@dataclass(frozen=True, kw_only=True)
class XPercentConfig(EvaluatedGridConfig):
    """Train offline agents on parts of the data, with and without LayerNorm in the critic: what does it bring?

    Can be ended at any moment: the same command goes on. Writes runs/, results.json, results.md and report.html.
    """

    percents: tuple[float, ...] = (100.0, 10.0, 1.0)
    """Shares of the transitions, drawn anew for each seed."""
    agents: tuple[AgentName, ...] = ("td3_bc", "iql", "cql", "diffusion_ql")
    """Algorithms, with their published hyperparameters."""
    out: str = "reproduce/x-percent"
    """Directory for runs and results."""

    def check(self) -> None:
        """Refuse settings that no grid can have."""
        super().check()
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
    return evaluated_setting(
        config,
        f"{name}-{percent:g}percent-{agent}-{norm}-seed{seed}",
        path,
        kind(critic_norm=norm, **config.sizes),
        data_percent=percent,
        subset_seed=seed,
        seed=seed,
        label=f"{name} {percent:g}%, {agent}, {NORMS[norm]}, seed {seed}",
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
