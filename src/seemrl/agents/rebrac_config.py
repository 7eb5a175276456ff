"""Hyperparameters of ReBRAC; imports nothing heavy."""

from dataclasses import dataclass
from typing import ClassVar

from seemrl.agents.config import AgentName, TD3BCConfig
from seemrl.networks.options import Norm, Placement


@dataclass(frozen=True, kw_only=True)
class ReBRACConfig(TD3BCConfig):
    """Hyperparameters of ReBRAC; the defaults are its published ones before tuning per data set."""

    agent: ClassVar[AgentName] = "rebrac"
    uses_next_actions: ClassVar[bool] = True

    hidden_sizes: tuple[int, ...] = (256, 256, 256)
    """Units of each hidden layer, critic and actor alike."""
    critic_norm: Norm = "layer"
    """Normaliser inside the critic: ReBRAC is published with LayerNorm."""
    critic_norm_placement: Placement = "post"
    """Normalise before ("pre") or after ("post") the activation."""
    critic_learning_rate: float = 1e-3
    """Step size of the critic."""
    actor_learning_rate: float = 1e-3
    """Step size of the actor."""
    q_weight: float = 1.0
    """Weight of the value term, divided by mean |Q|."""
    bc_weight: float = 1.0
    """Weight of the actor's squared distance from the data's action (beta_1); published: 0.001 to 0.1, by data set."""
    critic_bc_weight: float = 1.0
    """Weight of the next action's squared distance in the target (beta_2); published: 0 to 0.5, by data set."""

    def check(self) -> None:
        """Refuse settings that ReBRAC cannot have."""
        super().check()
        self._not_negative("critic_bc_weight")
