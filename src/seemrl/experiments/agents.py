"""``seemrl reproduce agents``: does every agent learn what its paper implies, from the same transitions?

An offline agent should come at least as far as what it learns from: as the policy that gathered the data, and as
behaviour cloning, which imitates that policy (NeurIPS 2023 paper, section 6: the agents that its experiments train).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from seemrl.agents.config import AgentName
from seemrl.agents.registry import CONFIGS
from seemrl.data.loading import load
from seemrl.errors import require_option
from seemrl.experiments.arms import Arm, arms_of
from seemrl.experiments.grid import EvaluatedGridConfig, evaluated_setting, named_data, train_grid, whole_runs
from seemrl.training.config import TrainConfig

CLONING: AgentName = "bc"


@dataclass(frozen=True, kw_only=True)
class AgentsConfig(EvaluatedGridConfig):
    """Train every agent on the same transitions: which come as far as the policy that gathered them?

    Can be ended at any moment: the same command goes on. Writes runs/, results.json, results.md and report.html.
    """

    agents: tuple[AgentName, ...] = (CLONING, "td3_bc", "iql", "cql", "rebrac", "awac", "edac", "diffusion_ql")
    """Algorithms, with their published hyperparameters; `bc` is what the others are compared with."""
    out: str = "reproduce/agents"
    """Directory for runs and results."""

    def check(self) -> None:
        """Refuse settings that no grid can have."""
        super().check()
        continuous = [name for name, kind in CONFIGS.items() if not kind.discrete]
        for name in self.agents:
            require_option(name in continuous, "agents", name, f"among {', '.join(continuous)}")


def agents_settings(config: AgentsConfig) -> list[TrainConfig]:
    """The runs: every agent on every data set from one seed, then from the next."""
    config.check()
    kinds: Mapping[AgentName, Any] = CONFIGS
    return [
        evaluated_setting(
            config,
            f"{name}-{agent}-seed{seed}",
            path,
            kinds[agent](**config.sizes),
            seed=seed,
            label=f"{name}, {agent}, seed {seed}",
        )
        for seed, (name, path), agent in product(range(config.seeds), named_data(config.data).items(), config.agents)
    ]


def behaviour_return(path: str) -> float:
    """Mean return of the policy that gathered a file's transitions: as the file says, else of its whole episodes.

    Raises:
        InputError: the file cannot be read.
    """
    data = load(path)
    told = data.attributes.get("behaviour_return")
    if isinstance(told, int | float):
        return float(told)
    whole = (data.terminals | data.timeouts)[data.episodes()[:, 1] - 1]
    return float(np.mean(data.returns()[whole])) if whole.any() else np.nan


@dataclass(frozen=True)
class Compared:
    """An agent's runs on one data set, and what they are measured against.

    Attributes:
        arm: the runs.
        behaviour: mean return of the policy that gathered the data; None where the file is not at hand.
        cloning: runs of behaviour cloning on the same data; None without.
    """

    arm: Arm
    behaviour: float | None
    cloning: Arm | None


def compared(arms: Sequence[Arm], behaviour: Mapping[str, float]) -> list[Compared]:
    """Every arm beside the behaviour of its data and the clone that was trained longest."""
    cloned = {arm.data: arm for arm in sorted(arms, key=lambda arm: arm.steps) if arm.agent == CLONING}
    return [Compared(arm, behaviour.get(arm.data), cloned.get(arm.data)) for arm in arms]


def run_agents(config: AgentsConfig) -> Path:
    """Train what is not whole, then report on what is; returns the page.

    Raises:
        InputError: a setting or a file does not fit, or no evaluated run is whole yet.
        MissingPartError: the training extra is not installed.
    """
    from seemrl.experiments.agents_page import agents_results
    from seemrl.experiments.results import finish, start

    console = start()
    train_grid(config, agents_settings(config), console)
    behaviour = {name: behaviour_return(path) for name, path in named_data(config.data).items()}
    arms = arms_of(whole_runs(Path(config.out)), "return")
    return finish(Path(config.out), console, agents_results(compared(arms, behaviour)))
