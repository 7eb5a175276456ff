"""Hyperparameters of IQL; imports nothing heavy."""

from dataclasses import dataclass
from typing import ClassVar

from seemrl.agents.config import ActorConfig, AgentName, CriticConfig
from seemrl.errors import require_option


@dataclass(frozen=True, kw_only=True)
class IQLConfig(ActorConfig, CriticConfig):
    """Hyperparameters of IQL; the defaults are the published ones for locomotion."""

    agent: ClassVar[AgentName] = "iql"
    bootstraps: ClassVar[bool] = False

    value_learning_rate: float = 3e-4
    """Step size of the state-value network, which has the critic's normalisers."""
    expectile: float = 0.7
    """Which expectile of the target critic the state value is (tau in IQL); 0.5: the mean."""
    inverse_temperature: float = 3.0
    """How sharply the policy prefers actions of large advantage (beta in IQL); 0: plain cloning."""
    largest_weight: float = 100.0
    """Cap of a transition's weight in the policy's loss."""

    def check(self) -> None:
        """Refuse settings that IQL cannot have."""
        super().check()
        require_option(0 < self.expectile < 1, "expectile", self.expectile, "in (0, 1)")
        self._not_negative("inverse_temperature")
        self._positive("value_learning_rate", "largest_weight")
