"""Settings of a run that collects its own data. Imports nothing heavy."""

from dataclasses import dataclass, field

from seemrl.agents.config import AgentConfig
from seemrl.agents.sac_config import SACConfig
from seemrl.errors import require_option


@dataclass(frozen=True, kw_only=True)
class OnlineConfig:
    """Train SAC or TD3 in an environment, with readings of its critic on what it has collected."""

    environment: str
    """Gymnasium id; its actions are a bounded box."""
    hyperparameters: AgentConfig = field(default_factory=SACConfig)
    """Of an agent that can explore: SAC, EDAC, MSG or TD3."""
    steps: int = 1_000_000
    """Environment steps in the whole run, all environments together."""
    environments: int = 4
    """Stepped side by side; after each such step as many updates follow."""
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

    def check(self) -> None:
        """Refuse settings that no run can have.

        Raises:
            InputError: names the option, its value and what fits.
        """
        self.hyperparameters.check()
        agent = self.hyperparameters.agent
        require_option(self.hyperparameters.explores, "agent", agent, "one that explores: sac, edac, msg or td3")
        for name in ("steps", "environments", "buffer_size", "batch_size", "evaluation_episodes", "reading_rows"):
            require_option(getattr(self, name) >= 1, name, getattr(self, name), "at least 1")
        require_option(0 <= self.seed < 2**32, "seed", self.seed, f"from 0 to {2**32 - 1}")  # JAX keeps 32 bits
        cycle, count = self.hyperparameters.updates_per_cycle, self.environments
        require_option(count % cycle == 0, "environments", count, f"a multiple of the {cycle} updates of a cycle")
        for name in ("steps", "random_steps", "evaluate_every", "buffer_size"):
            value = getattr(self, name)
            fits = value % count == 0 and (value > 0 or name == "random_steps")
            require_option(fits, name, value, f"a positive multiple of --environments {count}")
