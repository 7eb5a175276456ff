"""Normalisers of features: what stands between a hidden layer and its activation, or behind the activation."""

from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from seemrl.instrument.kernels.buffers import Buffer
from seemrl.instrument.kernels.recording import record
from seemrl.networks.state import Trained, note


class LayerNorm(eqx.Module):
    """Layer normalisation over the features of one sample, with learned scale and shift (Ba et al., 2016)."""

    scale: Float[Array, " features"]
    shift: Float[Array, " features"]
    epsilon: float = eqx.field(static=True)

    def __init__(self, features: int, epsilon: float = 1e-5) -> None:
        self.scale = jnp.ones(features)
        self.shift = jnp.zeros(features)
        self.epsilon = epsilon

    def __call__(self, inputs: Float[Array, "batch features"]) -> Float[Array, "batch features"]:
        """Normalise each sample, then scale and shift."""
        centred = inputs - jnp.mean(inputs, axis=-1, keepdims=True)
        standardised = centred * jax.lax.rsqrt(jnp.mean(centred**2, axis=-1, keepdims=True) + self.epsilon)
        return record("scale_shift", (self.scale, self.shift), standardised, standardised * self.scale + self.shift)


class RMSNorm(eqx.Module):
    """Division by the root of the mean square over the features of one sample, with a learned scale.

    Zhang and Sennrich (2019), equation 4, with epsilon added to the mean square.
    """

    scale: Float[Array, " features"]
    epsilon: float = eqx.field(static=True)

    def __init__(self, features: int, epsilon: float = 1e-5) -> None:
        self.scale = jnp.ones(features)
        self.epsilon = epsilon

    def __call__(self, inputs: Float[Array, "batch features"]) -> Float[Array, "batch features"]:
        """Divide each sample, then scale."""
        divided = inputs * jax.lax.rsqrt(jnp.mean(inputs**2, axis=-1, keepdims=True) + self.epsilon)
        return record("scale", (self.scale,), divided, divided * self.scale)


class BatchNorm(Trained):
    """Normalisation of each feature over the batch, with learned scale and shift (Ioffe and Szegedy, 2015).

    As a loss sees it (`in_training`), the statistics are the batch's, gradients pass through them, and the running ones
    move towards them; otherwise the running ones are used and samples do not interact.

    Attributes:
        mean, variance: the running statistics; the variance is that of the batch itself, divided by its size.
        statistics_rate: how far they move at each pass.
        training: whether the batch's own statistics are used.
    """

    scale: Float[Array, " features"]
    shift: Float[Array, " features"]
    mean: Buffer
    variance: Buffer
    epsilon: float = eqx.field(static=True, default=1e-5)
    statistics_rate: float = eqx.field(static=True, default=0.01)
    training: bool = eqx.field(static=True, default=False)

    @classmethod
    def over(cls, features: int) -> "BatchNorm":
        """One that begins as the identity, but for epsilon."""
        zeros, ones = jnp.zeros(features), jnp.ones(features)
        return cls(scale=ones, shift=zeros, mean=Buffer(zeros), variance=Buffer(ones))

    def in_training(self) -> "BatchNorm":
        """The same by the statistics of the batch."""
        return replace(self, training=True)

    def __call__(self, inputs: Float[Array, "batch features"]) -> Float[Array, "batch features"]:
        """Standardise each feature, then scale and shift."""
        mean, variance = self.mean.constant(inputs.dtype), self.variance.constant(inputs.dtype)
        if self.training:
            running = (self.mean, mean), (self.variance, variance)
            mean, variance = jnp.mean(inputs, axis=0), jnp.var(inputs, axis=0)
            for (buffer, old), new in zip(running, (mean, variance), strict=True):
                note(buffer, (1 - self.statistics_rate) * old + self.statistics_rate * jax.lax.stop_gradient(new))
        standardised = (inputs - mean) * jax.lax.rsqrt(variance + self.epsilon)
        return record("scale_shift", (self.scale, self.shift), standardised, standardised * self.scale + self.shift)


class UnitBall(eqx.Module):
    """Division of each sample's features by their length, or by epsilon where that is larger; no parameters.

    Output feature normalisation of Hussing et al. (2024).
    """

    epsilon: float = eqx.field(static=True, default=1e-6)

    def __call__(self, inputs: Float[Array, "batch features"]) -> Float[Array, "batch features"]:
        """Divide each sample."""
        squares = jnp.sum(inputs**2, axis=-1, keepdims=True)
        return inputs * jax.lax.rsqrt(jnp.maximum(squares, self.epsilon**2))


Normaliser = LayerNorm | RMSNorm | BatchNorm | UnitBall
