"""Several actions drawn at each observation, and the choice among them."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray


def key_of_observations(key: PRNGKeyArray, observations: Float[Array, "batch observation"]) -> PRNGKeyArray:
    """A key that derives from the observations' bits: other observations, other noise; the same ones, the same."""
    bits = jax.lax.bitcast_convert_type(observations, jnp.uint32)
    return jax.random.fold_in(key, jnp.sum(bits, dtype=jnp.uint32))


def chosen(actions: Float[Array, "candidates action"], choice: Int[Array, " batch"]) -> Float[Array, "batch action"]:
    """Of each observation's candidates, which lie together, the chosen one."""
    each = actions.reshape(len(choice), -1, actions.shape[-1])
    return jnp.take_along_axis(each, choice[:, None, None], axis=1)[:, 0]
