"""Hyperparameters of SAC, SAC-N, EDAC and what CrossQ shares with them; imports nothing heavy."""

import math
from dataclasses import dataclass
from typing import ClassVar

from seemrl.agents.config import ActorConfig, AgentName, CriticConfig, TargetlessCriticConfig
from seemrl.errors import require_option


@dataclass(frozen=True, kw_only=True)
class SoftActorCriticConfig(ActorConfig, TargetlessCriticConfig):
    """What SAC and its kin have: heads, and a temperature that holds the policy's entropy."""

    joint_passes: ClassVar[bool] = True
    explores: ClassVar[bool] = True

    heads: int = 2
    """Critics; targets and the actor take the smallest. Two are SAC, ten and more SAC-N."""
    initial_temperature: float = 1.0
    """Weight of the entropy at the beginning (alpha)."""
    temperature_learning_rate: float = 3e-4
    """Step size of the logarithm of the temperature; 0 keeps it at its initial value."""
    target_entropy: float | None = None
    """Entropy that the temperature holds the policy at, of actions scaled to [-1, 1]; None: minus their number."""

    def check(self) -> None:
        """Refuse settings that none of them can have."""
        super().check()
        self._at_least_one("heads")
        self._positive("initial_temperature")
        self._not_negative("temperature_learning_rate")
        entropy_fits = self.target_entropy is None or math.isfinite(self.target_entropy)
        require_option(entropy_fits, "target_entropy", self.target_entropy, "finite")


@dataclass(frozen=True, kw_only=True)
class SACConfig(SoftActorCriticConfig, CriticConfig):
    """Hyperparameters of SAC; the defaults are the published ones."""

    agent: ClassVar[AgentName] = "sac"


@dataclass(frozen=True, kw_only=True)
class EDACConfig(SACConfig):
    """Hyperparameters of EDAC; the defaults are those published for most of HalfCheetah and Walker2d."""

    agent: ClassVar[AgentName] = "edac"
    joint_passes: ClassVar[bool] = False

    hidden_sizes: tuple[int, ...] = (256, 256, 256)
    """Units of each hidden layer, critic and actor alike."""
    heads: int = 10
    """Critics; targets and the actor take the smallest. Published: 10, for Hopper 50 (without diversity 500)."""
    diversity_weight: float = 1.0
    """Weight of the similarity of the heads' gradients with respect to actions (eta); 0: SAC-N."""

    def check(self) -> None:
        """Refuse settings that EDAC cannot have."""
        super().check()
        self._not_negative("diversity_weight")
        diverse = self.diversity_weight == 0 or self.heads >= 2
        require_option(diverse, "heads", self.heads, "at least 2 with a --diversity-weight above 0")
