"""One of our learners as the instrument takes it: its critic, with the target as training uses it."""

from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from seemrl.agents.agent import Agent
from seemrl.instrument.batch import Batch
from seemrl.instrument.measure import measure
from seemrl.instrument.points import Policy
from seemrl.instrument.reading import Reading


def read_learner(agent: Agent, batch: Batch, population: int) -> Reading:
    """A reading of the critic now.

    Args:
        agent: a learner whose critic bootstraps.
        batch: fixed transitions, observations as the critic sees them.
        population: transitions the batch was drawn from.
    """
    critic, target, policy, options = as_measured(agent, population)
    return measure(critic, batch, policy, target_critic=target, **options)


def as_measured(
    agent: Agent, population: int, seed: int = 0
) -> tuple[Any, Any, Policy | Literal["greedy"], dict[str, Any]]:
    """Critic, target critic, policy as the target uses it, and the other options of `measure`.

    Args:
        agent: a learner whose critic bootstraps.
        population: transitions its batch is drawn from.
        seed: of the policy's noise, the same every time unless told otherwise.
    """
    measured = agent.measured()
    assert measured is not None
    options = measured.options | {"population": population, "step": int(agent.step)}
    if measured.policy == "greedy":
        return measured.critic, measured.target_critic, "greedy", options
    keys = iter(jax.random.split(jax.random.key(seed), agent.draws + 2))

    def policy(next_observations: np.ndarray) -> jax.Array:
        return _target_actions(agent, jnp.asarray(next_observations, jnp.float32), next(keys))

    return measured.critic, measured.target_critic, policy, options | {"policy_draws": agent.draws}


@eqx.filter_jit
def _target_actions(agent: Agent, next_observations: jax.Array, key: jax.Array) -> jax.Array:
    return agent.target_actions(next_observations, key)
