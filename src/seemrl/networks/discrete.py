"""A critic that values every one of a number of actions at once."""

from collections.abc import Sequence

import equinox as eqx
from jaxtyping import Array, Float, PRNGKeyArray

from seemrl.networks.mlp import MLP
from seemrl.networks.options import Activation, Norm, Placement


class DiscreteCritic(eqx.Module):
    """One Q-network over observations, with an output for each action."""

    network: MLP

    def __init__(
        self,
        observation_size: int,
        action_count: int,
        hidden_sizes: Sequence[int],
        *,
        norm: Norm = "none",
        placement: Placement = "pre",
        norm_layers: Sequence[int] | None = None,
        activation: Activation = "relu",
        key: PRNGKeyArray,
    ) -> None:
        self.network = MLP(
            observation_size,
            hidden_sizes,
            action_count,
            norm=norm,
            placement=placement,
            norm_layers=norm_layers,
            activation=activation,
            key=key,
        )

    def normalised(self) -> "DiscreteCritic":
        """The same weights with LayerNorm at every hidden layer that has none, at scale 1 and shift 0."""
        return eqx.tree_at(lambda critic: critic.network, self, self.network.normalised())

    def __call__(self, observations: Float[Array, "batch observation"]) -> Float[Array, "batch actions"]:
        """Values of every action."""
        return self.network(observations)
