"""Hyperparameters of the agents; imports nothing heavy, so that a command line can list them at once."""

from dataclasses import dataclass
from typing import Literal

from seemrl.networks.options import Norm, Placement

OptimizerName = Literal["adam", "sgd"]


@dataclass(frozen=True)
class TD3BCConfig:
    """Hyperparameters of TD3+BC; the defaults are the published ones."""

    hidden_sizes: tuple[int, ...] = (256, 256)
    """Units of each hidden layer, critic and actor alike."""
    critic_norm: Norm = "none"
    """Normaliser inside the critic: the cure is "layer" (LayerNorm)."""
    critic_norm_placement: Placement = "pre"
    """Normalise before ("pre") or after ("post") the activation."""
    critic_norm_layers: tuple[int, ...] | None = None
    """Hidden layers that carry the normaliser, numbered from 0; None: all of them."""
    optimizer: OptimizerName = "adam"
    """Optimizer of critic and actor."""
    critic_learning_rate: float = 3e-4
    """Step size of the critic."""
    actor_learning_rate: float = 3e-4
    """Step size of the actor."""
    discount: float = 0.99
    """Discount factor gamma."""
    target_rate: float = 0.005
    """How far target networks move to the live ones at each actor update; 1: no averaging."""
    policy_noise: float = 0.2
    """Standard deviation of the smoothing noise on target actions, in half-widths of the action box."""
    noise_clip: float = 0.5
    """The smoothing noise is clipped to this, in half-widths of the action box."""
    policy_frequency: int = 2
    """Critic updates per actor (and target) update."""
    q_weight: float = 2.5
    """Weight of the value term, divided by mean |Q| (alpha in TD3+BC)."""
    bc_weight: float = 1.0
    """Weight of the behaviour-cloning term; 0: plain TD3."""
