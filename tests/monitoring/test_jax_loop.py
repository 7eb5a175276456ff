"""The monitor in a plain JAX and optax loop, whose critic is another object after every update."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import seemrl
from monitoring.monitored_loops import DISCOUNT, transitions

OPTIMIZER = optax.inject_hyperparams(optax.adam)(learning_rate=1e-3)


def q_values(parameters: Any, observations: jax.Array, actions: jax.Array) -> jax.Array:
    hidden = jnp.concatenate([observations, actions], axis=-1)
    for weight in parameters[:-1]:
        hidden = jax.nn.relu(hidden @ weight)
    return (hidden @ parameters[-1])[:, 0]


def corner(next_observations: np.ndarray) -> jax.Array:
    return jnp.full((len(next_observations), 2), 3.0)


@jax.jit
def update(parameters, state, observations, actions, rewards, following):
    target = rewards + DISCOUNT * q_values(parameters, following, corner(following))

    def loss(parameters):
        return ((q_values(parameters, observations, actions) - target) ** 2).mean()

    changes, state = OPTIMIZER.update(jax.grad(loss)(parameters), state)
    return optax.apply_updates(parameters, changes), state


def begin():
    sizes = ((5, 32), (32, 32), (32, 1))
    keys = jax.random.split(jax.random.key(0), len(sizes))
    parameters = [jax.random.normal(key, size) / size[0] ** 0.5 for key, size in zip(keys, sizes, strict=True)]
    return {"now": (parameters, OPTIMIZER.init(parameters))}


@pytest.mark.parametrize("on_disk", [False, True])
def test_a_rollback_puts_the_pytree_back(on_disk, tmp_path):
    batch, held, seen = transitions(), begin(), {}
    columns = [getattr(batch, name) for name in ("observations", "actions", "rewards", "next_observations")]
    arrays = [jnp.asarray(column, jnp.float32) for column in columns]
    monitor = seemrl.Monitor(
        functools.partial(q_values, held["now"][0]),
        batch,
        corner,
        discount=DISCOUNT,
        optimizer=held["now"][1],
        target_rate=1.0,
        every=20,
        time_share=None,
        on_diverging="rollback",
        snapshots=((lambda: held["now"]), (lambda state: held.update(now=state))),
        directory=tmp_path / "log" if on_disk else None,
    )
    step = 0
    for step in range(1, 601):
        held["now"] = update(*held["now"], *arrays)
        seen[step] = held["now"]
        parameters, state = held["now"]
        monitor.update(step, critic=functools.partial(q_values, parameters), optimizer=state)
        if held["now"] is not seen[step]:
            break
    restored = monitor.history[-1]
    kept = seen[step - 20 * round((restored.step - monitor._readings[-1].step) / 20)]
    assert monitor.verdict in ("stable", "watch") and restored.step == step
    assert jax.tree.structure(kept) == jax.tree.structure(held["now"])
    assert all(np.array_equal(*pair) for pair in zip(jax.tree.leaves(kept), jax.tree.leaves(held["now"]), strict=True))
