"""Activations and linear layers: plain ones, and such whose weights are normalised themselves."""

import functools
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from seemrl.instrument.kernels.buffers import Buffer
from seemrl.instrument.kernels.recording import record
from seemrl.networks.options import Activation
from seemrl.networks.state import AfterStep

ACTIVATIONS: dict[Activation, Callable[[Array], Array]] = {
    "relu": jax.nn.relu,
    "elu": jax.nn.elu,
    "gelu": functools.partial(jax.nn.gelu, approximate=False),
    "tanh": jnp.tanh,
    "mish": jax.nn.mish,
}
"""GELU is the exact one, with the error function."""

_FIRST_ITERATIONS = 15  # of the power method, at the beginning


class Linear(eqx.Module):
    """z = x W + b; W and b start uniform in +-1/sqrt(input_size), PyTorch's default."""

    weight: Float[Array, "inputs outputs"]
    bias: Float[Array, " outputs"]

    def __init__(self, input_size: int, output_size: int, *, key: PRNGKeyArray) -> None:
        weight_key, bias_key = jax.random.split(key)
        bound = input_size**-0.5
        self.weight = jax.random.uniform(weight_key, (input_size, output_size), minval=-bound, maxval=bound)
        self.bias = jax.random.uniform(bias_key, (output_size,), minval=-bound, maxval=bound)

    def __call__(self, inputs: Float[Array, "batch inputs"]) -> Float[Array, "batch outputs"]:
        """Apply the layer."""
        return record("linear", (self.weight, self.bias), inputs, inputs @ self.weight + self.bias)


class WeightNormLinear(eqx.Module):
    """z_j = size_j x v_j / |v_j| + b_j: length and direction of each unit's weights apart.

    Salimans and Kingma (2016), equation 2. It begins as the linear layer it is made of.

    Attributes:
        direction: v, a column for each unit; only the column's direction matters.
        size: g of the paper.
    """

    direction: Float[Array, "inputs outputs"]
    size: Float[Array, " outputs"]
    bias: Float[Array, " outputs"]

    def __init__(self, linear: Linear) -> None:
        self.direction, self.bias = linear.weight, linear.bias
        self.size = jnp.linalg.norm(linear.weight, axis=0)

    def __call__(self, inputs: Float[Array, "batch inputs"]) -> Float[Array, "batch outputs"]:
        """Apply the layer."""
        weight = self.direction * (self.size / jnp.linalg.norm(self.direction, axis=0))
        return record("weight_norm", (self.direction, self.size, self.bias), inputs, inputs @ weight + self.bias)


class SpectralNormLinear(AfterStep):
    """z = x W / sigma + b, sigma the largest singular value of W (Miyato et al., 2018, equation 8).

    sigma is |W u| for a unit vector u that one step of the power method follows after every update (algorithm 1 there);
    u is constant to gradients. Nothing else moves it: a layer that is only evaluated stays what it is.

    Attributes:
        right: u, near the right singular vector; of any length.
    """

    weight: Float[Array, "inputs outputs"]
    bias: Float[Array, " outputs"]
    right: Buffer

    def __init__(self, linear: Linear) -> None:
        self.weight, self.bias = linear.weight, linear.bias
        self.right = Buffer(linear.weight[0])
        for _ in range(_FIRST_ITERATIONS):
            self.right = Buffer(self._iterated())

    def __call__(self, inputs: Float[Array, "batch inputs"]) -> Float[Array, "batch outputs"]:
        """Apply the layer."""
        right = self._unit()
        stretched = self.weight @ right
        sigma = jnp.linalg.norm(stretched)
        noted = inputs, stretched / sigma, right, sigma
        return record("spectral_norm", (self.weight, self.bias), noted, inputs @ (self.weight / sigma) + self.bias)

    def after_step(self) -> "SpectralNormLinear":
        """The layer with one more step of the power method."""
        return eqx.tree_at(lambda layer: layer.right.value, self, self._iterated())

    def _unit(self) -> Float[Array, " outputs"]:
        right = self.right.constant(self.weight.dtype)
        return right / jnp.linalg.norm(right)

    def _iterated(self) -> Float[Array, " outputs"]:
        longer = (self.weight @ self._unit()) @ self.weight
        return longer / jnp.linalg.norm(longer)


class SphereLinear(AfterStep):
    """z_j = scale_j x w_j + b_j, where every update ends with w_j divided by its length.

    The weights of a unit stay on the sphere and their size is learned apart, as in SimbaV2 (Lee et al., 2025). It
    begins as the linear layer it is made of. Gradients know nothing of the projection.
    """

    weight: Float[Array, "inputs outputs"]
    scale: Float[Array, " outputs"]
    bias: Float[Array, " outputs"]

    def __init__(self, linear: Linear) -> None:
        self.weight, self.bias = _projected(linear.weight), linear.bias
        self.scale = jnp.linalg.norm(linear.weight, axis=0)

    def __call__(self, inputs: Float[Array, "batch inputs"]) -> Float[Array, "batch outputs"]:
        """Apply the layer."""
        turned = record("linear", (self.weight,), inputs, inputs @ self.weight)
        return record("scale_shift", (self.scale, self.bias), turned, turned * self.scale + self.bias)

    def after_step(self) -> "SphereLinear":
        """The layer with its weights back on the sphere."""
        return eqx.tree_at(lambda layer: layer.weight, self, _projected(self.weight))


def _projected(weight: Float[Array, "inputs outputs"]) -> Float[Array, "inputs outputs"]:
    return weight / jnp.linalg.norm(weight, axis=0)


AnyLinear = Linear | WeightNormLinear | SpectralNormLinear | SphereLinear
