"""Policies that are distributions, and values of states alone."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from seemrl.networks.mlp import MLP, DeterministicActor

SQUASHED_LOG_DEVIATIONS = (-20.0, 2.0)
"""What the squashed policy's log standard deviation is clipped to, before tanh (Haarnoja et al., 2018, their code)."""


class GaussianActor(eqx.Module):
    """observation -> a normal distribution around a mean inside the box, with one deviation for all observations.

    Actions drawn may leave the box; `sample` moves them to its nearest point, `log_probability` does not know of it.

    Attributes:
        mean: the distribution's mean, through tanh.
        log_deviation: natural logarithm of the standard deviation, in half-widths of the box; trained.
        log_deviations: the range it is clipped to.
    """

    mean: DeterministicActor
    log_deviation: Float[Array, " action"]
    log_deviations: tuple[float, float] = eqx.field(static=True)

    def __init__(
        self,
        observation_size: int,
        low: Sequence[float],
        high: Sequence[float],
        hidden_sizes: Sequence[int],
        *,
        log_deviations: tuple[float, float],
        key: PRNGKeyArray,
        **layout: Any,
    ) -> None:
        """``layout`` is that of `MLP`."""
        self.mean = DeterministicActor(observation_size, low, high, hidden_sizes, **layout, key=key)
        self.log_deviation = jnp.zeros(len(low))
        self.log_deviations = log_deviations

    @property
    def deviation(self) -> Float[Array, " action"]:
        """Standard deviation of each action dimension, in the action's own units."""
        low, high = jnp.asarray(self.mean.low), jnp.asarray(self.mean.high)
        return jnp.exp(jnp.clip(self.log_deviation, *self.log_deviations)) * (high - low) / 2

    def log_probability(
        self, observations: Float[Array, "batch observation"], actions: Float[Array, "batch action"]
    ) -> Float[Array, " batch"]:
        """Log density of given actions."""
        return jnp.sum(jax.scipy.stats.norm.logpdf(actions, self.mean(observations), self.deviation), axis=-1)

    def sample(
        self, observations: Float[Array, "batch observation"], key: PRNGKeyArray
    ) -> Float[Array, "batch action"]:
        """One action for each observation, moved to the nearest point of the box."""
        mean = self.mean(observations)
        return self.mean.clip(mean + self.deviation * jax.random.normal(key, mean.shape))


class SquashedGaussianActor(eqx.Module):
    """observation -> the box's image, under tanh, of a diagonal normal distribution (Haarnoja et al., 2018, app. C).

    Attributes:
        network: its outputs are the normal distribution's means, then its log standard deviations.
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
        key: PRNGKeyArray,
        **layout: Any,
    ) -> None:
        """``layout`` is that of `MLP`."""
        self.network = MLP(observation_size, hidden_sizes, 2 * len(low), **layout, key=key)
        self.low, self.high = tuple(map(float, low)), tuple(map(float, high))

    def __call__(self, observations: Float[Array, "batch observation"]) -> Float[Array, "batch action"]:
        """The image of the mean."""
        return self._in_box(self._moments(observations)[0])

    def sample(
        self, observations: Float[Array, "batch observation"], key: PRNGKeyArray
    ) -> tuple[Float[Array, "batch action"], Float[Array, " batch"]]:
        """One action for each observation, differentiable in the parameters, and its log density."""
        mean, log_deviation = self._moments(observations)
        noise = jax.random.normal(key, mean.shape)
        point = mean + jnp.exp(log_deviation) * noise
        low, high = jnp.asarray(self.low), jnp.asarray(self.high)
        slope = jnp.log((high - low) / 2) + 2 * (jnp.log(2.0) - point - jax.nn.softplus(-2 * point))  # log of d a / d x
        density = jax.scipy.stats.norm.logpdf(noise) - log_deviation - slope
        return self._in_box(point), jnp.sum(density, axis=-1)

    def _moments(self, observations: Array) -> tuple[Array, Array]:
        mean, log_deviation = jnp.split(self.network(observations), 2, axis=-1)
        return mean, jnp.clip(log_deviation, *SQUASHED_LOG_DEVIATIONS)

    def _in_box(self, point: Array) -> Array:
        low, high = jnp.asarray(self.low), jnp.asarray(self.high)
        return jnp.clip(low + (high - low) * (jnp.tanh(point) + 1) / 2, low, high)  # the sum rounds


class StateValue(eqx.Module):
    """observation -> value."""

    network: MLP

    def __init__(self, observation_size: int, hidden_sizes: Sequence[int], *, key: PRNGKeyArray, **layout: Any) -> None:
        """``layout`` is that of `MLP`."""
        self.network = MLP(observation_size, hidden_sizes, 1, **layout, key=key)

    def __call__(self, observations: Float[Array, "batch observation"]) -> Float[Array, " batch"]:
        """Values of the states."""
        return self.network(observations)[:, 0]
