"""Hyperparameters of CQL; imports nothing heavy."""

from dataclasses import dataclass
from typing import ClassVar

from seemrl.agents.config import ActorConfig, AgentName, CriticConfig
from seemrl.errors import require_option


@dataclass(frozen=True, kw_only=True)
class CQLConfig(ActorConfig, CriticConfig):
    """Hyperparameters of CQL(H); the defaults are those published for D4RL's locomotion."""

    agent: ClassVar[AgentName] = "cql"

    hidden_sizes: tuple[int, ...] = (256, 256, 256)
    """Units of each hidden layer, critic and actor alike."""
    actor_learning_rate: float = 1e-4
    """Step size of the actor, and of its entropy weight."""
    conservative_weight: float = 5.0
    """Weight of the conservative term (alpha in CQL); 0: SAC on logged data."""
    conservative_temperature: float = 1.0
    """Temperature of its log-sum-exp over actions."""
    sampled_actions: int = 10
    """Actions of each kind in that sum: uniform, of the policy, of the policy at the next observation."""
    entropy_weight: float = 1.0
    """Weight of the policy's entropy at the start; it is then tuned towards an entropy of -1 per action dimension."""

    def check(self) -> None:
        """Refuse settings that CQL cannot have."""
        super().check()
        self._not_negative("conservative_weight")
        self._positive("conservative_temperature", "entropy_weight")
        require_option(self.sampled_actions >= 1, "sampled_actions", self.sampled_actions, "at least 1")
