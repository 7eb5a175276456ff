"""The compiled loop that turns an agent, and the priorities of what it draws."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from seemrl.agents.agent import Agent, Data, Info, Transitions, rows_of
from seemrl.agents.losses import bootstrapped
from seemrl.agents.weighted import with_priorities

_LEAST_PRIORITY = 1e-6
_PRIORITY_EXPONENT = 0.6


def train_updates(data: Data, agent: Agent, updates: int, batch_size: int) -> tuple[Any, Info]:
    """Run some critic updates in one compiled call; returns the agent and the mean of every metric over them.

    Args:
        data: the whole data set, on the device, or what has been collected of it.
        agent: the learner.
        updates: critic updates, a multiple of the agent's ``updates_per_cycle``. One program serves any number.
        batch_size: transitions per update.
    """
    cycles, rest = divmod(updates, agent.updates_per_cycle)
    if rest or cycles < 1:
        raise ValueError(
            f"{updates} updates are not a positive multiple of {agent.updates_per_cycle}, the updates of a cycle"
        )
    return _train_cycles(data, agent, jnp.asarray(cycles), batch_size)


@eqx.filter_jit
def _train_cycles(data: Data, agent: Agent, cycles: Array, batch_size: int) -> tuple[Agent, Info]:
    arrays, static = eqx.partition(agent, eqx.is_array)
    shapes = jax.eval_shape(lambda: eqx.combine(arrays, static).update(data, batch_size)[1])
    nothing = jax.tree.map(lambda shape: jnp.zeros(shape.shape, shape.dtype), shapes)

    def cycle(_: Array, carry: tuple[PyTree, Info]) -> tuple[PyTree, Info]:
        arrays, total = carry
        before = eqx.combine(arrays, static)
        agent, info = before.update(data, batch_size)
        if agent.priorities is not None:
            agent = _prioritised(agent, before, data, batch_size)
        return eqx.filter(agent, eqx.is_array), jax.tree.map(jnp.add, total, info)

    arrays, total = jax.lax.fori_loop(0, cycles, cycle, (arrays, nothing))
    return eqx.combine(arrays, static), jax.tree.map(lambda value: value / cycles, total)


def _prioritised(agent: Any, before: Agent, data: Data, batch_size: int) -> Any:
    """The agent with new priorities of all that was drawn in the cycle since ``before``: (|TD error| + 1e-6)^0.6.

    The TD error is that of the critic as it has become, a mean over its heads, against the smallest target head
    (Schaul et al., 2016, section 3.3; without their importance weights).
    """
    tree = agent.priorities
    for past in range(agent.updates_per_cycle):
        sample_key, key = jax.random.split(jax.random.fold_in(before.key, before.step + past))
        rows = before.drawn(data, sample_key, batch_size)
        error = td_error(agent, rows_of(data, rows), key)
        tree = with_priorities(tree, rows, (error + _LEAST_PRIORITY) ** _PRIORITY_EXPONENT)
    return agent.replace(priorities=tree)


def td_error(agent: Any, batch: Transitions, key: PRNGKeyArray) -> Float[Array, " batch"]:
    """|Q(s, a) - r - discount (1 - d) Q_target(s', a')|, the mean over heads, against the smallest target head.

    Args:
        agent: has ``critic``, ``target_critic`` and, in its ``scalars``, ``discount``.
        batch: transitions.
        key: of what is random in a'.
    """
    next_actions = agent.target_actions(batch.next_observations, key)
    values = agent.values(agent.critic, batch.observations, batch.actions)
    next_values = jnp.min(agent.values(agent.target_critic, batch.next_observations, next_actions), axis=0)
    return jnp.mean(jnp.abs(values - bootstrapped(batch, agent.scalars.discount, next_values)), axis=0)
