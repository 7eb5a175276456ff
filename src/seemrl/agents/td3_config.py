"""Hyperparameters of TD3; imports nothing heavy."""

from dataclasses import dataclass
from typing import ClassVar

from seemrl.agents.config import ActorConfig, AgentName, CriticConfig
from seemrl.errors import require_option


@dataclass(frozen=True, kw_only=True)
class TD3Config(ActorConfig, CriticConfig):
    """Hyperparameters of TD3; the defaults are the published ones."""

    agent: ClassVar[AgentName] = "td3"

    policy_noise: float = 0.2
    """Standard deviation of the smoothing noise on target actions, in half-widths of the action box."""
    noise_clip: float = 0.5
    """The smoothing noise is clipped to this, in half-widths of the action box."""
    policy_frequency: int = 2
    """Critic updates per actor (and target) update."""
    exploration_noise: float = 0.1
    """Standard deviation of the noise on actions while collecting, in half-widths of the action box."""

    @property
    def updates_per_cycle(self) -> int:
        """Critic updates per actor update."""
        return self.policy_frequency

    def check(self) -> None:
        """Refuse settings that TD3 cannot have."""
        super().check()
        require_option(self.policy_frequency >= 1, "policy_frequency", self.policy_frequency, "at least 1")
        self._not_negative("policy_noise", "noise_clip", "exploration_noise")
