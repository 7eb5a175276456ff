"""Settings of a run that collects its own data. Imports nothing heavy."""

import math
from dataclasses import dataclass, field
from typing import Annotated, Generic, cast

import tyro

from seemrl.agents.config import AgentName
from seemrl.agents.sac_config import SACConfig
from seemrl.errors import InputError, require_option
from seemrl.training.config import Hyperparameters


@dataclass(frozen=True, kw_only=True)
class OnlineConfig(Generic[Hyperparameters]):
    """Train an agent in an environment on what it collects itself, with readings of its critic on that.

    Everything goes into a run directory: config.json, metrics.jsonl, readings.jsonl, evaluations.jsonl, checkpoints/,
    replay/ (all transitions) and policies/ (the policy at each evaluation).
    """

    environment: tyro.conf.Positional[str] = ""
    """Gymnasium id, as Hopper-v5; its actions are a bounded box. Required, except with --resume."""
    out: str = ""
    """Run directory; default: runs/<environment>-<agent>-seed<seed>."""
    agent: AgentName = "sac"
    """Algorithm, one that explores: sac, crossq, edac, msg or td3; `--agent NAME --help` lists its options."""
    hyperparameters: Annotated[Hyperparameters, tyro.conf.arg(name="")] = field(
        default_factory=lambda: cast(Hyperparameters, SACConfig())
    )
    steps: int = 1_000_000
    """Environment steps in the whole run, all environments together."""
    environments: int = 4
    """Stepped side by side."""
    updates_per_step: float = 1.0
    """Critic updates per environment step; below 1 the critic sees more of the environment in the same time."""
    random_steps: int = 10_000
    """Uniformly random steps at the beginning, without updates."""
    buffer_size: int = 1_000_000
    """Transitions kept for replay, the latest."""
    batch_size: int = 256
    """Transitions per update."""
    seed: int = 0
    """Seed of everything random in the run."""
    evaluate_every: int = 10_000
    """Environment steps between evaluations, readings and checkpoints; at each, every episode is begun anew."""
    evaluation_episodes: int = 10
    """Episodes per evaluation."""
    reading_rows: int = 96
    """Transitions each reading is taken on, drawn anew from the replay."""
    seeds: int = 1
    """Train as many seeds, --seed and those that follow, each in a directory of its own inside --out, as many side by
    side as there are cores."""
    label: str = ""
    """Name of the run in reports; default: its directory's name."""
    resume: bool = False
    """Continue the run in --out from its last checkpoint, to the very state an unbroken run would have reached."""

    @property
    def updates_per_turn(self) -> int:
        """Critic updates beside one step of every environment."""
        return round(self.environments * self.updates_per_step)

    def check(self) -> None:
        """Refuse settings that no run can have.

        Raises:
            InputError: names the option, its value and what fits.
        """
        if not self.environment:
            raise InputError("no environment given; name one, as in `seemrl online Hopper-v5`")
        self.hyperparameters.check()
        agent = self.hyperparameters.agent
        require_option(self.agent == agent, "agent", self.agent, f"{agent}, whose hyperparameters are given")
        require_option(
            self.hyperparameters.explores, "agent", agent, "one that explores: sac, crossq, edac, msg or td3"
        )
        counts = ("steps", "environments", "buffer_size", "batch_size", "evaluation_episodes", "reading_rows", "seeds")
        for name in counts:
            require_option(getattr(self, name) >= 1, name, getattr(self, name), "at least 1")
        last = 2**32 - self.seeds  # JAX keeps 32 bits of a seed
        require_option(0 <= self.seed <= last, "seed", self.seed, f"from 0 to {last}")
        ratio, count = self.updates_per_step, self.environments
        require_option(0 < ratio < math.inf, "updates_per_step", ratio, "finite and above 0")
        updates, cycle = self.updates_per_turn, self.hyperparameters.updates_per_cycle
        whole = updates >= 1 and math.isclose(updates, count * ratio) and updates % cycle == 0
        fitting = f"so that {count} environments give whole cycles of {cycle} updates, or another --environments"
        require_option(whole, "updates_per_step", ratio, fitting)
        for name in ("steps", "random_steps", "evaluate_every", "buffer_size"):
            value = getattr(self, name)
            fits = value % count == 0 and (value > 0 or name == "random_steps")
            require_option(fits, name, value, f"a positive multiple of --environments {count}")
