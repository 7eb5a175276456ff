"""Multi-layer perceptrons with normalisers anywhere, and the critics and actors that are made of any network."""

from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from seemrl.networks.box import from_units, into_box
from seemrl.networks.layers import ACTIVATIONS, AnyLinear, Linear, SpectralNormLinear, SphereLinear, WeightNormLinear
from seemrl.networks.normalisers import BatchNorm, LayerNorm, Normaliser, RMSNorm, UnitBall
from seemrl.networks.options import Activation, Network, Norm, Placement
from seemrl.networks.residual import BroNet, SimBa, residual_width

_NORMALISERS: dict[Norm, Callable[[int], Normaliser]] = {
    "layer": LayerNorm,
    "rms": RMSNorm,
    "batch": BatchNorm.over,
    "unit-ball": lambda features: UnitBall(),
}

_LINEARS: dict[Norm, Callable[[Linear], AnyLinear]] = {
    "weight": WeightNormLinear,
    "spectral": SpectralNormLinear,
    "sphere": SphereLinear,
}


class MLP(eqx.Module):
    """Linear layers with an activation between them; each hidden layer may carry a normaliser.

    Attributes:
        linears: hidden layers, some of them perhaps with normalised weights, and the output layer, which is plain.
        norms: one normaliser of features, or None, per hidden layer.
        input_norm: a normaliser of the inputs, or None.
        placement: "pre" normalises the linear layer's output before the activation, "post" the activation's output.
        activation: what stands after each hidden layer; GELU is the exact one, with the error function.
    """

    linears: tuple[AnyLinear, ...]
    norms: tuple[Normaliser | None, ...]
    input_norm: Normaliser | None
    placement: Placement = eqx.field(static=True)
    activation: Activation = eqx.field(static=True)

    def __init__(
        self,
        input_size: int,
        hidden_sizes: Sequence[int],
        output_size: int,
        *,
        norm: Norm = "none",
        placement: Placement = "pre",
        norm_layers: Sequence[int] | None = None,
        norm_inputs: bool = False,
        activation: Activation = "relu",
        key: PRNGKeyArray,
    ) -> None:
        """``norm_layers`` numbers the hidden layers that carry the normaliser, from 0; None means all of them.

        "unit-ball" stands behind the last hidden layer's activation, whatever is said of its place. ``norm_inputs``
        puts a normaliser of features before the first layer too.
        """
        sizes = [input_size, *hidden_sizes, output_size]
        keys = jax.random.split(key, len(sizes) - 1)
        plain = [Linear(a, b, key=k) for a, b, k in zip(sizes[:-1], sizes[1:], keys, strict=True)]
        chosen = range(len(hidden_sizes)) if norm_layers is None else norm_layers
        if norm == "unit-ball":
            chosen, placement = chosen[-1:], "post"
        make = _LINEARS.get(norm, lambda linear: linear)
        hidden = [make(linear) if number in chosen else linear for number, linear in enumerate(plain[:-1])]
        self.linears = (*hidden, plain[-1])
        self.norms = tuple(
            _NORMALISERS[norm](size) if norm in _NORMALISERS and number in chosen else None
            for number, size in enumerate(hidden_sizes)
        )
        self.input_norm = _NORMALISERS[norm](input_size) if norm_inputs else None
        self.placement = placement
        self.activation = activation

    def normalised(self) -> "MLP":
        """The same weights with LayerNorm at every hidden layer that has none, at scale 1 and shift 0."""
        norms = tuple(
            LayerNorm(len(linear.bias)) if norm is None else norm
            for linear, norm in zip(self.linears[:-1], self.norms, strict=True)
        )
        return eqx.tree_at(lambda network: network.norms, self, norms, is_leaf=lambda part: part is None)

    def __call__(self, inputs: Float[Array, "batch inputs"]) -> Float[Array, "batch outputs"]:
        """Run the network."""
        hidden = inputs if self.input_norm is None else self.input_norm(inputs)
        activate = ACTIVATIONS[self.activation]
        for linear, norm in zip(self.linears[:-1], self.norms, strict=True):
            hidden = linear(hidden)
            if norm is not None and self.placement == "pre":
                hidden = norm(hidden)
            hidden = activate(hidden)
            if norm is not None and self.placement == "post":
                hidden = norm(hidden)
        return self.linears[-1](hidden)


AnyNetwork = MLP | SimBa | BroNet


def make_network(
    input_size: int,
    hidden_sizes: Sequence[int],
    output_size: int,
    *,
    network: Network = "mlp",
    activation: Activation = "relu",
    key: PRNGKeyArray,
    **normaliser: Any,
) -> AnyNetwork:
    """A network of any kind.

    ``normaliser`` is what `MLP` is told of one; residual networks have a block for each hidden size, and LayerNorm of
    their own.
    """
    if network == "mlp":
        return MLP(input_size, hidden_sizes, output_size, activation=activation, **normaliser, key=key)
    kind = {"simba": SimBa, "bro": BroNet}[network]
    width = residual_width(hidden_sizes)
    return kind(input_size, width, len(hidden_sizes), output_size, activation=activation, key=key)


class TwinCritic(eqx.Module):
    """Independent Q-networks over (observation, action); separate products beat one batched product on a CPU."""

    heads: tuple[AnyNetwork, ...]

    def __init__(
        self,
        observation_size: int,
        action_size: int,
        hidden_sizes: Sequence[int],
        *,
        heads: int = 2,
        key: PRNGKeyArray,
        **layout: Any,
    ) -> None:
        """``layout`` is that of `make_network`."""
        self.heads = tuple(
            make_network(observation_size + action_size, hidden_sizes, 1, **layout, key=head_key)
            for head_key in jax.random.split(key, heads)
        )

    def normalised(self) -> "TwinCritic":
        """The same weights with LayerNorm at every hidden layer that has none, at scale 1 and shift 0."""
        return eqx.tree_at(lambda critic: critic.heads, self, tuple(head.normalised() for head in self.heads))

    def __call__(
        self, observations: Float[Array, "batch observation"], actions: Float[Array, "batch action"]
    ) -> Float[Array, "heads batch"]:
        """Values of every head."""
        inputs = jnp.concatenate([observations, actions], axis=-1)
        return jnp.stack([head(inputs)[:, 0] for head in self.heads])


class DeterministicActor(eqx.Module):
    """observation -> action inside the box [low, high], through tanh.

    Attributes:
        low, high: bounds of each action dimension; fixed, not trained.
    """

    network: AnyNetwork
    low: tuple[float, ...] = eqx.field(static=True)
    high: tuple[float, ...] = eqx.field(static=True)

    def __init__(
        self,
        observation_size: int,
        low: Sequence[float],
        high: Sequence[float],
        hidden_sizes: Sequence[int],
        *,
        key: PRNGKeyArray,
        **layout: Any,
    ) -> None:
        """``layout`` is that of `make_network`."""
        self.network = make_network(observation_size, hidden_sizes, len(low), **layout, key=key)
        self.low, self.high = tuple(map(float, low)), tuple(map(float, high))

    def __call__(self, observations: Float[Array, "batch observation"]) -> Float[Array, "batch action"]:
        """The policy's actions."""
        return from_units(jnp.tanh(self.network(observations)), self.low, self.high)

    def clip(self, actions: Float[Array, "batch action"]) -> Float[Array, "batch action"]:
        """The same actions, moved to the nearest point of the box."""
        return into_box(actions, self.low, self.high)
