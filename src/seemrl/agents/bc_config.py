"""Hyperparameters of BC; imports nothing heavy."""

from dataclasses import dataclass
from typing import ClassVar

from seemrl.agents.config import ActorConfig, AgentName


@dataclass(frozen=True, kw_only=True)
class BCConfig(ActorConfig):
    """Hyperparameters of behaviour cloning; it has no critic, and the discount only gives the reward bound."""

    agent: ClassVar[AgentName] = "bc"
