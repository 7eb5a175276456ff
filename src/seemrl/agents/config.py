"""Hyperparameters of the agents; imports nothing heavy, so that a command line can list them at once."""

from dataclasses import dataclass
from typing import Literal

from seemrl.networks.options import Norm, Placement

OptimizerName = Literal["adam", "sgd"]
StepName = Literal["sgd", "momentum", "rmsprop", "adam"]


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


@dataclass(frozen=True)
class QLearningConfig:
    """Settings of Q-learning on fixed transitions; the defaults are the paper's toy maze."""

    hidden_sizes: tuple[int, ...] = (64,)
    """Units of each hidden layer; the critic has one weight layer more."""
    heads: int = 1
    """Critics, trained alike; the target takes the smallest."""
    critic_norm: Norm = "none"
    """Normaliser inside the critic."""
    optimizer: StepName = "sgd"
    """How a gradient becomes a step; "momentum" is SGD with coefficient 0.9."""
    learning_rate: float = 2e-3
    """Step size."""
    discount: float = 0.99
    """Discount factor gamma."""
    target_rate: float = 1.0
    """How far the target moves to the live critic after each update; 1: it is the live critic."""
    batch_size: int | None = None
    """Transitions of an update, drawn with replacement; None: all of them, every time."""
