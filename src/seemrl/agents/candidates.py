"""Several actions drawn at each observation, and the choice among them."""

from typing import Protocol, runtime_checkable

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


@runtime_checkable
class AmongCandidates(Protocol):
    """An agent that plays the mean of the best among candidates which a diffusion model proposes.

    A candidate's score is its value to the smallest head of a critic, times a scale, plus a standard Gumbel number; the
    highest of such scores are draws without replacement by exp(scale x value).

    Attributes:
        key: everything random derives from it.
        evaluation_actions: candidates at each observation.
    """

    key: PRNGKeyArray
    evaluation_actions: int

    @property
    def averaged_actions(self) -> int:
        """How many of them are played."""
        ...

    @property
    def proposals(self) -> DiffusionPolicy:
        """What candidates are drawn from."""
        ...

    @property
    def deciding_critic(self) -> TwinCritic:
        """Whose values the scores are of."""
        ...

    @property
    def value_scale(self) -> Float[Array, ""]:
        """What values are multiplied by."""
        ...


def evaluation_noise(
    agent: AmongCandidates, observations: Float[Array, "batch observation"]
) -> tuple[Float[Array, "batch candidates draws action"], Float[Array, "batch candidates"]]:
    """What is random in the agent's actions at these observations: standard normal numbers and standard Gumbel ones."""
    sample_key, choice_key = jax.random.split(key_of_observations(agent.key, observations))
    count, candidates = len(observations), agent.evaluation_actions
    noise = agent.proposals.noise(count * candidates, sample_key)
    gumbel = jax.random.gumbel(choice_key, (count, candidates))
    return noise.reshape(count, candidates, *noise.shape[1:]), gumbel


def played_from(
    agent: AmongCandidates,
    observations: Float[Array, "batch observation"],
    noise: Float[Array, "batch candidates draws action"],
    gumbel: Float[Array, "batch candidates"],
) -> tuple[Float[Array, "batch action"], Float[Array, "batch candidates"]]:
    """The agent's actions with its random numbers given, and the candidates' scores.

    With zeros for ``gumbel`` those of highest value are played. Of equal scores all count, so that the mean stays among
    the candidates. (Places to gather from, as `Agent.act` has them, are more than some runtimes can do.)
    """
    candidates = noise.shape[1]
    repeated = jnp.repeat(observations, candidates, axis=0)
    actions = agent.proposals.sample_from(repeated, noise.reshape(-1, *noise.shape[2:]))
    q = jnp.min(agent.deciding_critic(repeated, actions), axis=0).reshape(-1, candidates)
    scores = agent.value_scale * q + gumbel
    least = jax.lax.top_k(scores, agent.averaged_actions)[0][:, -1:]
    picked = (scores >= least).astype(actions.dtype)[:, :, None]
    each = actions.reshape(-1, candidates, actions.shape[-1])
    return jnp.sum(picked * each, axis=1) / jnp.sum(picked, axis=1), scores
