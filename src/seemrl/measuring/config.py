"""The options of ``seemrl measure``; imports nothing heavy, so that the help text is fast."""

from dataclasses import dataclass
from typing import Literal

OptimizerName = Literal["adam", "adamw", "sgd", "rmsprop"]


@dataclass(frozen=True, kw_only=True)
class MeasureConfig:
    """Read a saved PyTorch critic: does it feed itself, and how fast?

    Classes are named pkg.module:Class or path/to/file.py:Class; importing a module runs the code in it. Weights are
    .safetensors, .pt or .pth files, and FILE#key chooses one state dict of several; nothing but tensors is read
    from them.
    """

    critic: str
    """Class of the critic, or a function that builds it; called as critic(observations, actions)."""

    weights: str
    """Weights of the critic: FILE or FILE#key."""

    policy: str
    """Class of the policy as the target uses it (observations to actions), or one of: data (the actions logged next,
    as in SARSA), uniform (random in the box of the data's actions), greedy (the best of discrete actions, which the
    data holds as indices)."""

    policy_weights: str | None = None
    """Weights of the policy: FILE or FILE#key."""

    data: str
    """Transitions in any format that `seemrl train` reads."""

    rows: int = 512
    """Transitions to read on, drawn from the data; fewer are faster."""

    seed: int = 0
    """Seed that draws the rows, and the actions of --policy uniform."""

    discount: float = 0.99
    """Discount that the critic was trained with."""

    heads: Literal["coupled", "first", "mean", "own"] = "coupled"
    """How the heads form the target: the smaller one, the first alone, their mean, or each its own."""

    critic_arguments: str | None = None
    """JSON object of keyword arguments for the critic's class; sizes are filled in from the data."""

    policy_arguments: str | None = None
    """JSON object of keyword arguments for the policy's class; sizes are filled in from the data."""

    normalize_observations: bool = False
    """Standardise observations by the data's mean and standard deviation, for networks trained that way."""

    learning_rate: float | None = None
    """The critic's step size; with --optimizer-state it replaces the one stored there."""

    optimizer: OptimizerName | None = None
    """Kind of the critic's optimizer; told from the state where it is not given."""

    optimizer_state: str | None = None
    """State of the critic's optimizer, for the rate of growth under it: FILE or FILE#key."""

    target_weights: str | None = None
    """Weights of the target critic, which decides the smaller head: FILE or FILE#key."""

    target_rate: float | None = None
    """Rate of target averaging, such as 0.005; without it the target is the live critic."""

    mask_terminals: bool = True
    """No bootstrap at terminal transitions."""

    advise: bool = False
    """Also measure what would end self-excitation, best first, and tell signs of a plain bug."""

    json: bool = False
    """Print strict JSON instead of the table: the reading, the verdict and these settings."""
