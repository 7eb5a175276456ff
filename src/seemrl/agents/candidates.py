"""Several actions drawn at each observation, and the choice among them."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from seemrl.networks.diffusion import DiffusionPolicy
from seemrl.networks.mlp import TwinCritic


def key_of_observations(key: PRNGKeyArray, observations: Float[Array, "batch observation"]) -> PRNGKeyArray:
    """A key that derives from the observations' bits: other observations, other noise; the same ones, the same."""
    bits = jax.lax.bitcast_convert_type(observations, jnp.uint32)
    return jax.random.fold_in(key, jnp.sum(bits, dtype=jnp.uint32))


def chosen(actions: Float[Array, "candidates action"], choice: Int[Array, " batch"]) -> Float[Array, "batch action"]:
    """Of each observation's candidates, which lie together, the chosen one."""
    each = actions.reshape(len(choice), -1, actions.shape[-1])
    return jnp.take_along_axis(each, choice[:, None, None], axis=1)[:, 0]


def candidates_noise(
    key: PRNGKeyArray, observations: Float[Array, "batch observation"], proposals: DiffusionPolicy, count: int
) -> tuple[Float[Array, "batch candidates draws action"], Float[Array, "batch candidates"]]:
    """What is random in drawing and choosing so many candidates at each of these observations in evaluation.

    Standard normal numbers, of which candidates are made, and standard Gumbel ones, which choose among them.
    """
    sample_key, choice_key = jax.random.split(key_of_observations(key, observations))
    noise = proposals.noise(len(observations) * count, sample_key)
    gumbel = jax.random.gumbel(choice_key, (len(observations), count))
    return noise.reshape(len(observations), count, *noise.shape[1:]), gumbel


def candidates_from(
    proposals: DiffusionPolicy,
    critic: TwinCritic,
    observations: Float[Array, "batch observation"],
    noise: Float[Array, "batch candidates draws action"],
) -> tuple[Float[Array, "batch candidates action"], Float[Array, "batch candidates"]]:
    """Candidates made of noise that is given, and the smallest head's value of each."""
    count = noise.shape[1]
    repeated = jnp.repeat(observations, count, axis=0)
    actions = proposals.sample_from(repeated, noise.reshape(-1, *noise.shape[2:]))
    q = jnp.min(critic(repeated, actions), axis=0).reshape(-1, count)
    return actions.reshape(-1, count, actions.shape[-1]), q
