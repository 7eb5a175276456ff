"""Random policies: a Gaussian squashed into the action box, with its density."""

import math
from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from seemrl.networks.mlp import MLP
from seemrl.networks.options import Norm, Placement

LOG_STD_MIN, LOG_STD_MAX = -5.0, 2.0
"""The logarithm of the standard deviation, before squashing, is clipped to these."""


class SquashedGaussianActor(eqx.Module):
    """observation -> tanh of a Gaussian, scaled to the box [low, high] (Haarnoja et al., 2018, appendix C).

    Densities are those of the action in half-widths of the box, that is of the action scaled to [-1, 1]: entropies then
    mean the same in every box.

    Attributes:
        network: its outputs are the means, then the logarithms of the standard deviations.
        low, high: bounds of each action dimension; fixed, not trained.
    """

    network: MLP
    low: tuple[float, ...] = eqx.field(static=True)
    high: tuple[float, ...] = eqx.field(static=True)

    def __init__(
        self,
        observation_size: int,
        low: Sequence[float],
        high: Sequence[float],
        hidden_sizes: Sequence[int],
        *,
        norm: Norm = "none",
        placement: Placement = "pre",
        norm_layers: Sequence[int] | None = None,
        key: PRNGKeyArray,
    ) -> None:
        outputs = 2 * len(low)
        self.network = MLP(
            observation_size, hidden_sizes, outputs, norm=norm, placement=placement, norm_layers=norm_layers, key=key
        )
        self.low, self.high = tuple(map(float, low)), tuple(map(float, high))

    def __call__(self, observations: Float[Array, "batch observation"]) -> Float[Array, "batch action"]:
        """The actions at the Gaussian's mean."""
        return self._in_box(jnp.tanh(self.gaussian(observations)[0]))

    def gaussian(
        self, observations: Float[Array, "batch observation"]
    ) -> tuple[Float[Array, "batch action"], Float[Array, "batch action"]]:
        """Mean and logarithm of the standard deviation, before squashing."""
        mean, log_std = jnp.split(self.network(observations), 2, axis=-1)
        return mean, jnp.clip(log_std, LOG_STD_MIN, LOG_STD_MAX)

    def sample(
        self, observations: Float[Array, "batch observation"], key: PRNGKeyArray
    ) -> tuple[Float[Array, "batch action"], Float[Array, " batch"]]:
        """Actions, differentiable in the parameters, and the logarithm of their density."""
        mean, log_std = self.gaussian(observations)
        noise = jax.random.normal(key, mean.shape)
        unsquashed = mean + jnp.exp(log_std) * noise
        gaussian = -0.5 * noise**2 - log_std - 0.5 * math.log(2 * math.pi)
        # log(1 - tanh(u)^2), which rounds to log 0 for large u
        stretching = 2 * (math.log(2) - unsquashed - jax.nn.softplus(-2 * unsquashed))
        return self._in_box(jnp.tanh(unsquashed)), jnp.sum(gaussian - stretching, axis=-1)

    def clip(self, actions: Float[Array, "batch action"]) -> Float[Array, "batch action"]:
        """The same actions, moved to the nearest point of the box."""
        return jnp.clip(actions, jnp.asarray(self.low), jnp.asarray(self.high))

    def _in_box(self, squashed: Float[Array, "batch action"]) -> Float[Array, "batch action"]:
        low, high = jnp.asarray(self.low), jnp.asarray(self.high)
        return self.clip(low + (high - low) * (squashed + 1) / 2)  # the sum rounds
