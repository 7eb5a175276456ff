"""Hyperparameters of TD3; imports nothing heavy."""

from dataclasses import dataclass
from typing import ClassVar

from seemrl.agents.config import AgentName, DelayedConfig


@dataclass(frozen=True, kw_only=True)
class TD3Config(DelayedConfig):
    """Hyperparameters of TD3; the defaults are the published ones."""

    agent: ClassVar[AgentName] = "td3"
    explores: ClassVar[bool] = True

    exploration_noise: float = 0.1
    """Standard deviation of the noise on actions while collecting, in half-widths of the action box."""

    def check(self) -> None:
        """Refuse settings that TD3 cannot have."""
        super().check()
        self._not_negative("exploration_noise")
