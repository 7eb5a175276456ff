"""Hyperparameters of DQN, double DQN and discrete CQL; imports nothing heavy."""

from dataclasses import dataclass
from typing import ClassVar

from seemrl.agents.config import AgentName, CriticConfig


@dataclass(frozen=True, kw_only=True)
class DQNConfig(CriticConfig):
    """Hyperparameters of DQN on logged data with discrete actions."""

    agent: ClassVar[AgentName] = "dqn"
    discrete: ClassVar[bool] = True

    double: bool = False
    """Double DQN: the critic chooses the target's action, the target critic values it."""
    cql_weight: float = 0.0
    """Weight of the conservative term of discrete CQL (alpha in CQL); 0: without it."""

    def check(self) -> None:
        """Refuse settings that DQN cannot have."""
        super().check()
        self._not_negative("cql_weight")
