"""Hyperparameters of CrossQ; imports nothing heavy."""

from dataclasses import dataclass
from typing import Any, ClassVar

from seemrl.agents.config import AgentName
from seemrl.agents.sac_config import SoftActorCriticConfig
from seemrl.errors import require_option
from seemrl.networks.options import Norm, Placement


@dataclass(frozen=True, kw_only=True)
class CrossQConfig(SoftActorCriticConfig):
    """Hyperparameters of CrossQ; the defaults are the published ones."""

    agent: ClassVar[AgentName] = "crossq"

    hidden_sizes: tuple[int, ...] = (256, 256)
    """Units of each hidden layer of the actor."""
    critic_hidden_sizes: tuple[int, ...] = (2048, 2048)
    """Units of each hidden layer of the critic."""
    critic_norm: Norm = "batch"
    """Normaliser inside the critic, "batch" at its inputs too; with another one there is no joint pass."""
    critic_norm_placement: Placement = "post"
    """Normalise before ("pre") or after ("post") the activation."""
    actor_norm: Norm = "batch"
    """Normaliser inside the actor, "batch" at its inputs too."""
    actor_norm_placement: Placement = "post"
    """Normalise before ("pre") or after ("post") the activation."""
    critic_learning_rate: float = 1e-3
    """Step size of the critic."""
    actor_learning_rate: float = 1e-3
    """Step size of the actor."""
    temperature_learning_rate: float = 1e-3
    """Step size of the logarithm of the temperature; 0 keeps it at its initial value."""
    first_moment_decay: float = 0.5
    """Decay of the first moments of critic and actor in Adam (beta_1); the temperature's is 0.9."""
    policy_frequency: int = 3
    """Critic updates per update of actor and temperature."""

    @property
    def critic_layout(self) -> dict[str, Any]:
        """The critic's, with BatchNorm at its inputs."""
        return super().critic_layout | {"norm_inputs": self.critic_norm == "batch"}

    @property
    def actor_layout(self) -> dict[str, Any]:
        """The actor's, with BatchNorm at its inputs."""
        return super().actor_layout | {"norm_inputs": self.actor_norm == "batch"}

    def check(self) -> None:
        """Refuse settings that CrossQ cannot have."""
        self._sizes_fit("critic_hidden_sizes")
        super().check()
        self._at_least_one("policy_frequency")
        require_option(0 <= self.first_moment_decay < 1, "first_moment_decay", self.first_moment_decay, "in [0, 1)")
