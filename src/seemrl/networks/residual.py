"""Residual networks: SimBa and BroNet, whose blocks carry LayerNorm of their own."""

from collections.abc import Sequence

import equinox as eqx
import jax
from jaxtyping import Array, Float, PRNGKeyArray

from seemrl.networks.layers import ACTIVATIONS, Linear
from seemrl.networks.normalisers import LayerNorm
from seemrl.networks.options import Activation

_EXPANSION = 4  # of a SimBa block's inner layer


class SimBaBlock(eqx.Module):
    """x + narrow(activation(wide(LayerNorm(x)))), four times as wide inside."""

    norm: LayerNorm
    wide: Linear
    narrow: Linear

    def __init__(self, width: int, *, key: PRNGKeyArray) -> None:
        wide_key, narrow_key = jax.random.split(key)
        self.norm = LayerNorm(width)
        self.wide = Linear(width, _EXPANSION * width, key=wide_key)
        self.narrow = Linear(_EXPANSION * width, width, key=narrow_key)

    def __call__(self, hidden: Float[Array, "batch width"], activation: Activation) -> Float[Array, "batch width"]:
        """Add what the block has to say."""
        return hidden + self.narrow(ACTIVATIONS[activation](self.wide(self.norm(hidden))))


class SimBa(eqx.Module):
    """A linear layer, residual blocks, a LayerNorm, a linear layer (Lee et al., 2024)."""

    first: Linear
    blocks: tuple[SimBaBlock, ...]
    norm: LayerNorm
    last: Linear
    activation: Activation = eqx.field(static=True)

    def __init__(
        self, input_size: int, width: int, blocks: int, output_size: int, *, activation: Activation, key: PRNGKeyArray
    ) -> None:
        first_key, last_key, *keys = jax.random.split(key, blocks + 2)
        self.first = Linear(input_size, width, key=first_key)
        self.blocks = tuple(SimBaBlock(width, key=block_key) for block_key in keys)
        self.norm = LayerNorm(width)
        self.last = Linear(width, output_size, key=last_key)
        self.activation = activation

    def normalised(self) -> "SimBa":
        """The network itself: it has LayerNorm everywhere."""
        return self

    def __call__(self, inputs: Float[Array, "batch inputs"]) -> Float[Array, "batch outputs"]:
        """Run the network."""
        hidden = self.first(inputs)
        for block in self.blocks:
            hidden = block(hidden, self.activation)
        return self.last(self.norm(hidden))


class BroBlock(eqx.Module):
    """x + LayerNorm(second(activation(LayerNorm(first(x)))))."""

    first: Linear
    first_norm: LayerNorm
    second: Linear
    second_norm: LayerNorm

    def __init__(self, width: int, *, key: PRNGKeyArray) -> None:
        first_key, second_key = jax.random.split(key)
        self.first, self.second = Linear(width, width, key=first_key), Linear(width, width, key=second_key)
        self.first_norm, self.second_norm = LayerNorm(width), LayerNorm(width)

    def __call__(self, hidden: Float[Array, "batch width"], activation: Activation) -> Float[Array, "batch width"]:
        """Add what the block has to say."""
        inner = ACTIVATIONS[activation](self.first_norm(self.first(hidden)))
        return hidden + self.second_norm(self.second(inner))


class BroNet(eqx.Module):
    """A linear layer with LayerNorm and activation, residual blocks, a linear layer (BRO: Nauman et al., 2024)."""

    first: Linear
    norm: LayerNorm
    blocks: tuple[BroBlock, ...]
    last: Linear
    activation: Activation = eqx.field(static=True)

    def __init__(
        self, input_size: int, width: int, blocks: int, output_size: int, *, activation: Activation, key: PRNGKeyArray
    ) -> None:
        first_key, last_key, *keys = jax.random.split(key, blocks + 2)
        self.first = Linear(input_size, width, key=first_key)
        self.norm = LayerNorm(width)
        self.blocks = tuple(BroBlock(width, key=block_key) for block_key in keys)
        self.last = Linear(width, output_size, key=last_key)
        self.activation = activation

    def normalised(self) -> "BroNet":
        """The network itself: it has LayerNorm everywhere."""
        return self

    def __call__(self, inputs: Float[Array, "batch inputs"]) -> Float[Array, "batch outputs"]:
        """Run the network."""
        hidden = ACTIVATIONS[self.activation](self.norm(self.first(inputs)))
        for block in self.blocks:
            hidden = block(hidden, self.activation)
        return self.last(hidden)


def residual_width(hidden_sizes: Sequence[int]) -> int:
    """The width that all blocks share: one block for each hidden size, which are all the same.

    Raises:
        ValueError: they are not.
    """
    if len(set(hidden_sizes)) != 1:
        raise ValueError(f"hidden sizes {tuple(hidden_sizes)} are not the width of one block each, all the same")
    return hidden_sizes[0]
