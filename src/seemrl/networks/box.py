"""The box that actions lie in, and [-1, 1] in its place: units in which every dimension is alike."""

from collections.abc import Sequence

import jax.numpy as jnp
from jaxtyping import Array, Float


def into_box(actions: Float[Array, "batch action"], low: Sequence[float], high: Sequence[float]) -> Array:
    """The same actions, moved to the nearest point of the box [low, high]."""
    return jnp.clip(actions, jnp.asarray(low), jnp.asarray(high))


def from_units(actions: Float[Array, "batch action"], low: Sequence[float], high: Sequence[float]) -> Array:
    """Actions in [-1, 1] scaled to the box [low, high]."""
    bottom, top = jnp.asarray(low), jnp.asarray(high)
    return into_box(bottom + (top - bottom) * (actions + 1) / 2, low, high)  # the sum rounds


def to_units(actions: Float[Array, "batch action"], low: Sequence[float], high: Sequence[float]) -> Array:
    """Actions in the box [low, high] scaled to [-1, 1]."""
    bottom, top = jnp.asarray(low), jnp.asarray(high)
    return 2 * (actions - bottom) / (top - bottom) - 1
