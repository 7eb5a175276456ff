"""Hyperparameters of AWAC; imports nothing heavy."""

from dataclasses import dataclass
from typing import ClassVar

from seemrl.agents.config import ActorConfig, AgentName, CriticConfig


@dataclass(frozen=True, kw_only=True)
class AWACConfig(ActorConfig, CriticConfig):
    """Hyperparameters of AWAC; the defaults are the published ones for locomotion."""

    agent: ClassVar[AgentName] = "awac"
    joint_passes: ClassVar[bool] = True

    temperature: float = 1.0
    """Advantages are divided by it (lambda in AWAC): the smaller, the greedier is the policy."""
    largest_weight: float = 100.0
    """Cap of a transition's weight in the policy's loss."""

    def check(self) -> None:
        """Refuse settings that AWAC cannot have."""
        super().check()
        self._positive("temperature", "largest_weight")
