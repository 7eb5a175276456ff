"""A critic that values every one of a number of actions at once."""

from collections.abc import Sequence
from typing import Any, cast

import equinox as eqx
from jaxtyping import Array, Float, PRNGKeyArray

from seemrl.networks.layers import Linear
from seemrl.networks.mlp import MLP, AnyNetwork, make_network


class DiscreteCritic(eqx.Module):
    """One Q-network over observations, with an output for each action."""

    network: AnyNetwork

    def __init__(
        self,
        observation_size: int,
        action_count: int,
        hidden_sizes: Sequence[int],
        *,
        key: PRNGKeyArray,
        **layout: Any,
    ) -> None:
        """``layout`` is that of `make_network`."""
        self.network = make_network(observation_size, hidden_sizes, action_count, **layout, key=key)

    def normalised(self) -> "DiscreteCritic":
        """The same weights with LayerNorm at every hidden layer that has none, at scale 1 and shift 0."""
        return eqx.tree_at(lambda critic: critic.network, self, self.network.normalised())

    @property
    def last(self) -> Linear:
        """The output layer, which is plain in every network."""
        return cast(Linear, self.network.linears[-1]) if isinstance(self.network, MLP) else self.network.last

    def __call__(self, observations: Float[Array, "batch observation"]) -> Float[Array, "batch actions"]:
        """Values of every action."""
        return self.network(observations)
