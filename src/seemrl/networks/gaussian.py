"""Policies that are distributions, and values of states alone."""

import math
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from seemrl.networks.box import from_units
from seemrl.networks.mlp import AnyNetwork, DeterministicActor, make_network


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
        """``layout`` is that of `make_network`."""
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
    """observation -> tanh of a Gaussian, scaled to the box [low, high] (Haarnoja et al., 2018, appendix C).

    Densities are those of the action in half-widths of the box, that is of the action scaled to [-1, 1]: entropies then
    mean the same in every box.

    Attributes:
        network: its outputs are the means, then the logarithms of the standard deviations.
        low, high: bounds of each action dimension; fixed, not trained.
        log_deviations: the range that those logarithms are clipped to.
    """

    network: AnyNetwork
    low: tuple[float, ...] = eqx.field(static=True)
    high: tuple[float, ...] = eqx.field(static=True)
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
        """``layout`` is that of `make_network`."""
        self.network = make_network(observation_size, hidden_sizes, 2 * len(low), **layout, key=key)
        self.low, self.high = tuple(map(float, low)), tuple(map(float, high))
        self.log_deviations = log_deviations

    def __call__(self, observations: Float[Array, "batch observation"]) -> Float[Array, "batch action"]:
        """The actions at the Gaussian's mean."""
        return from_units(jnp.tanh(self.gaussian(observations)[0]), self.low, self.high)

    def gaussian(
        self, observations: Float[Array, "batch observation"]
    ) -> tuple[Float[Array, "batch action"], Float[Array, "batch action"]]:
        """Mean and logarithm of the standard deviation, before squashing."""
        mean, log_std = jnp.split(self.network(observations), 2, axis=-1)
        return mean, jnp.clip(log_std, *self.log_deviations)

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
        actions = from_units(jnp.tanh(unsquashed), self.low, self.high)
        return actions, jnp.sum(gaussian - stretching, axis=-1)


class StateValue(eqx.Module):
    """observation -> value."""

    network: AnyNetwork

    def __init__(self, observation_size: int, hidden_sizes: Sequence[int], *, key: PRNGKeyArray, **layout: Any) -> None:
        """``layout`` is that of `make_network`."""
        self.network = make_network(observation_size, hidden_sizes, 1, **layout, key=key)

    def __call__(self, observations: Float[Array, "batch observation"]) -> Float[Array, " batch"]:
        """Values of the states."""
        return self.network(observations)[:, 0]
