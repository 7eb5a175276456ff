"""One of our learners as the instrument takes it: its critic, with the target as training uses it."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from seemrl.agents.td3_bc import TD3BC
from seemrl.instrument.batch import Batch
from seemrl.instrument.measure import measure
from seemrl.instrument.points import Policy
from seemrl.instrument.reading import Reading
from seemrl.networks.mlp import TwinCritic

_POLICY_DRAWS = 2


def read_learner(agent: TD3BC, batch: Batch, population: int) -> Reading:
    """A reading of the critic now.

    Args:
        agent: the learner.
        batch: fixed transitions, observations as the critic sees them.
        population: transitions the batch was drawn from.
    """
    critic, target, policy, options = as_measured(agent, population)
    return measure(critic, batch, policy, target_critic=target, **options)


def as_measured(agent: TD3BC, population: int, seed: int = 0) -> tuple[TwinCritic, TwinCritic, Policy, dict[str, Any]]:
    """Critic, target critic, policy as the target uses it, and the other options of `measure`.

    Args:
        agent: the learner.
        population: transitions its batch is drawn from.
        seed: of the smoothing noise, the same every time unless told otherwise.
    """
    keys = iter(jax.random.split(jax.random.key(seed), _POLICY_DRAWS + 2))

    def policy(next_observations: np.ndarray) -> jax.Array:
        return _target_actions(agent, jnp.asarray(next_observations, jnp.float32), next(keys))

    options = {
        "discount": float(agent.scalars.discount),
        "optimizer": agent.critic_optimizer_state,
        "target_rate": float(agent.scalars.target_rate),
        "target_period": agent.policy_frequency,
        "policy_draws": _POLICY_DRAWS,
        "population": population,
        "step": int(agent.step),
    }
    return agent.critic, agent.target_critic, policy, options


@eqx.filter_jit
def _target_actions(agent: TD3BC, next_observations: jax.Array, key: jax.Array) -> jax.Array:
    return agent.target_actions(next_observations, key)
