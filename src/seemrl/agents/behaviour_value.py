"""What the data's own policy earns from each state, and what each of its actions gains over that (Yue et al., 2023).

*Decoupled Prioritized Resampling for Offline RL*, section IV: a state value is fitted to the data by
temporal-difference learning; a transition's priority is its advantage, above the smallest one. Rounds multiply: each
fits the value of the policy that the weights so far describe.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from seemrl.agents.agent import Transitions, descend, follow, start_optimizer
from seemrl.agents.losses import bootstrapped, td_loss
from seemrl.agents.weighted import Weighted
from seemrl.networks.mlp import MLP

_BATCH = 256
_LEARNING_RATE = 3e-4
_TARGET_RATE = 0.005
_HIDDEN_SIZES = (256, 256)


class _Fit(NamedTuple):
    values: tuple[MLP, MLP]
    target: tuple[MLP, MLP]
    optimizer_state: PyTree


def advantage_weights(
    transitions: Transitions, discount: float, rounds: int, updates: int, seed: int
) -> Float[np.ndarray, " rows"]:
    """Weights with mean 1: of each round, the advantage minus the smallest one.

    Args:
        transitions: the whole data, on the device.
        discount: in [0, 1).
        rounds: of fitting and weighting.
        updates: of the state value, a round.
        seed: of everything random.
    """
    weights = np.ones(len(transitions.rewards))
    keys = jax.random.split(jax.random.key(seed), rounds + 1)
    size = transitions.observations.shape[1]
    first, second = (MLP(size, _HIDDEN_SIZES, 1, key=key) for key in jax.random.split(keys[0]))
    values = (first, second)
    fit = _Fit(values, values, start_optimizer("adam", _LEARNING_RATE, values))
    for key in keys[1:]:
        fit = fit._replace(optimizer_state=start_optimizer("adam", _LEARNING_RATE, fit.values))
        fit = _fitted(Weighted.of(transitions, weights, True), fit, jnp.asarray(discount), updates, key)
        advantages = np.asarray(_advantages(transitions, fit.values, jnp.asarray(discount)), np.float64)
        weights = weights * (advantages - advantages.min())
        weights = weights / weights.mean()
    return weights


@eqx.filter_jit
def _fitted(data: Weighted, fit: _Fit, discount: Array, updates: int, key: PRNGKeyArray) -> _Fit:
    def loss(values: tuple[MLP, MLP], target: tuple[MLP, MLP], batch: Transitions) -> Array:
        targets = bootstrapped(batch, discount, _smallest(target, batch.next_observations))
        return td_loss(_all(values, batch.observations), targets)[0]

    arrays, static = eqx.partition(fit, eqx.is_array)

    def update(number: Array, arrays: PyTree) -> PyTree:
        values, target, state = eqx.combine(arrays, static)
        rows = data.draw(jax.random.fold_in(key, number), _BATCH)
        batch = jax.tree.map(lambda column: column[rows], data.transitions)
        values, state = descend("adam", values, jax.grad(loss)(values, target, batch), state)
        return eqx.filter(_Fit(values, follow(target, values, jnp.asarray(_TARGET_RATE)), state), eqx.is_array)

    return eqx.combine(jax.lax.fori_loop(0, updates, update, arrays), static)


@eqx.filter_jit
def _advantages(transitions: Transitions, values: tuple[MLP, MLP], discount: Array) -> Float[Array, " rows"]:
    ahead = bootstrapped(transitions, discount, _smallest(values, transitions.next_observations))
    return ahead - _smallest(values, transitions.observations)


def _all(values: tuple[MLP, MLP], observations: Float[Array, "batch observation"]) -> Float[Array, "heads batch"]:
    return jnp.stack([value(observations)[:, 0] for value in values])


def _smallest(values: tuple[MLP, MLP], observations: Float[Array, "batch observation"]) -> Float[Array, " batch"]:
    return jnp.min(_all(values, observations), axis=0)
