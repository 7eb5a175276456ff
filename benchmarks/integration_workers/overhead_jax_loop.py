"""TD3 in plain JAX and optax with the networks of examples/jax_loop.py, timed with a monitor and without."""

from functools import partial
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import seemrl
from benchmarks.integration_workers.clock import report, watched
from seemrl.data.embedded import load_embedded_hopper

_ROWS = 32  # a critic that is a plain function is read by per-sample gradients
_FILE = Path(__file__).parents[2] / "examples" / "jax_loop.py"
_SPEC = spec_from_file_location("jax_loop", _FILE)
assert _SPEC is not None and _SPEC.loader is not None
example: Any = module_from_spec(_SPEC)
_SPEC.loader.exec_module(example)

data = load_embedded_hopper()
arrays = (data.observations, data.actions, data.rewards, data.next_observations, data.terminals.astype(np.float32))
optimizer = optax.inject_hyperparams(optax.adam)(learning_rate=3e-4)
values = partial(example.q_values, layer_norm=False)
first, second, third, key = jax.random.split(jax.random.key(0), 4)
sizes = [data.observation_size + data.action_size, 256, 256, 1]
critic = [example.mlp(first, sizes), example.mlp(second, sizes)]
actor = example.mlp(third, [data.observation_size, 256, 256, data.action_size])
held: dict[str, Any] = {"critic": critic, "target": critic, "actor": actor, "old": actor}
held |= {"critic_state": optimizer.init(critic), "actor_state": optimizer.init(actor)}


def critic_loss(critic: Any, target: Any, actor: Any, batch: Any, key: jax.Array) -> jax.Array:
    observations, actions, rewards, following, terminals = batch
    after = values(target, following, example.target_actions(actor, following, key)).min(axis=0)
    targets = rewards + example.DISCOUNT * (1 - terminals) * after
    return ((values(critic, observations, actions) - targets) ** 2).mean(axis=1).sum()


@jax.jit
def update(held: Any, batch: Any, key: jax.Array) -> Any:
    gradient = jax.grad(critic_loss)(held["critic"], held["target"], held["old"], batch, key)
    moves, critic_state = optimizer.update(gradient, held["critic_state"])
    critic = optax.apply_updates(held["critic"], moves)
    gradient = jax.grad(lambda actor: -values(critic, batch[0], example.act(actor, batch[0]))[0].mean())(held["actor"])
    moves, actor_state = optimizer.update(gradient, held["actor_state"])
    actor = optax.apply_updates(held["actor"], moves)
    averaged = [optax.incremental_update(*pair, 0.005) for pair in ((critic, held["target"]), (actor, held["old"]))]
    names = ("critic", "target", "actor", "old", "critic_state", "actor_state")
    return dict(zip(names, (critic, averaged[0], actor, averaged[1], critic_state, actor_state), strict=True))


def policy(next_observations: np.ndarray) -> jax.Array:
    return example.target_actions(held["old"], jnp.asarray(next_observations), jax.random.key(np.random.randint(2**31)))


monitor: seemrl.Monitor | None = None
if watched():
    rows = data.batch_rows(_ROWS, seed=0)
    monitor = seemrl.Monitor(
        partial(values, critic),
        seemrl.Batch(*(array[rows] for array in arrays)),
        policy,
        discount=example.DISCOUNT,
        optimizer=held["critic_state"],
        target_critic=partial(values, critic),
        target_rate=0.005,
        every=1,
    )
order, step = np.random.default_rng(0), 0


def train(updates: int) -> None:
    global step
    for _ in range(updates):
        step += 1
        chosen = order.integers(0, len(data), 256)
        held.update(update(held, tuple(array[chosen] for array in arrays), jax.random.fold_in(key, step)))
        if monitor is not None:
            monitor.update(
                step,
                critic=partial(values, held["critic"]),
                target_critic=partial(values, held["target"]),
                optimizer=held["critic_state"],
            )
    jax.block_until_ready(held)


report(train, lambda: monitor)
