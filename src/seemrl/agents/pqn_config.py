"""Hyperparameters of PQN; imports nothing heavy."""

from dataclasses import dataclass
from typing import ClassVar

from seemrl.agents.config import AgentName, TargetlessCriticConfig
from seemrl.networks.options import Norm


@dataclass(frozen=True, kw_only=True)
class PQNConfig(TargetlessCriticConfig):
    """Hyperparameters of PQN on logged data; the defaults are the published ones for classic control."""

    agent: ClassVar[AgentName] = "pqn"
    discrete: ClassVar[bool] = True

    critic_norm: Norm = "layer"
    """Normaliser inside the critic; LayerNorm is what PQN does without a target network by."""
    critic_learning_rate: float = 1e-4
    """Step size of the critic. Published: 1e-4 on CartPole, 2.5e-4 on Atari, 5e-4 on MinAtar."""
    l2_weight: float = 1e-4
    """Weight of the sum of squares of the last layer's weights in the loss; 0: none, as in the published code."""
    critic_gradient_norm: float = 10.0
    """Longest gradient of the critic's loss; longer ones are shortened to it."""

    def check(self) -> None:
        """Refuse settings that PQN cannot have."""
        super().check()
        self._not_negative("l2_weight")
        self._positive("critic_gradient_norm")
