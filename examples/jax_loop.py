"""TD3 in plain JAX and optax, as people write it, with the lines that switch the instrument on (marked [1] to [3]).

python examples/jax_loop.py --steps 2000
python examples/jax_loop.py --steps 2000 --layer-norm
python examples/jax_loop.py --steps 2000 --on-diverging rollback
"""

import argparse
import sys
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

import seemrl
from seemrl.data.embedded import load_embedded_hopper

DISCOUNT, POLICY_NOISE, NOISE_CLIP = 0.99, 0.2, 0.5


def mlp(key: jax.Array, sizes: list[int]) -> list[tuple[jax.Array, jax.Array]]:
    """Weights and biases."""
    keys = jax.random.split(key, len(sizes) - 1)
    pairs = zip(sizes[:-1], sizes[1:], keys, strict=True)
    return [(jax.random.normal(k, (i, o)) * (2 / i) ** 0.5 * (0.5 if o < 4 else 1), jnp.zeros(o)) for i, o, k in pairs]


def forward(layers: Any, inputs: jax.Array, layer_norm: bool = False) -> jax.Array:
    """A ReLU network; LayerNorm without scale and shift before each activation."""
    for weight, bias in layers[:-1]:
        inputs = inputs @ weight + bias
        if layer_norm:
            inputs = inputs - inputs.mean(axis=-1, keepdims=True)
            inputs = inputs / jnp.sqrt((inputs**2).mean(axis=-1, keepdims=True) + 1e-5)
        inputs = jax.nn.relu(inputs)
    return inputs @ layers[-1][0] + layers[-1][1]


def q_values(params: Any, observations: jax.Array, actions: jax.Array, *, layer_norm: bool) -> jax.Array:
    """(2, rows) of twin critics."""
    inputs = jnp.concatenate([observations, actions], axis=-1)
    return jnp.stack([forward(head, inputs, layer_norm)[:, 0] for head in params])


def act(params: Any, observations: jax.Array) -> jax.Array:
    """Actions in [-1, 1]."""
    return jnp.tanh(forward(params, observations))


def target_actions(params: Any, observations: jax.Array, key: jax.Array) -> jax.Array:
    """With clipped smoothing noise, as the target uses them."""
    actions = act(params, observations)
    noise = jnp.clip(POLICY_NOISE * jax.random.normal(key, actions.shape), -NOISE_CLIP, NOISE_CLIP)
    return jnp.clip(actions + noise, -1, 1)


class Learner(NamedTuple):
    """Everything that training changes; the target is the live critic."""

    critic: Any
    actor: Any
    critic_state: Any
    actor_state: Any


def main() -> None:
    """Train, reading the critic on the way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--learning-rate", type=float, default=1e-4)
    parser.add_argument("--hidden", type=int, default=64)
    parser.add_argument("--layer-norm", action="store_true", help="LayerNorm in the critic")
    parser.add_argument("--read-every", type=int, default=100)
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--on-diverging", choices=("warn", "stop", "rollback"), default="warn")
    options = parser.parse_args()
    data = load_embedded_hopper()
    mean, deviation = data.observation_statistics()
    arrays = (
        (data.observations - mean) / deviation,
        data.actions,
        data.rewards,
        (data.next_observations - mean) / deviation,
        data.terminals.astype(np.float32),
    )
    optimizer = optax.inject_hyperparams(optax.adam)(learning_rate=options.learning_rate)  # its state holds the rate
    values = partial(q_values, layer_norm=options.layer_norm)

    def critic_loss(critic: Any, actor: Any, batch: Any, key: jax.Array) -> jax.Array:
        observations, actions, rewards, following, terminals = batch
        after = values(critic, following, target_actions(actor, following, key)).min(axis=0)
        targets = jax.lax.stop_gradient(rewards + DISCOUNT * (1 - terminals) * after)
        return ((values(critic, observations, actions) - targets) ** 2).mean(axis=1).sum()

    @jax.jit
    def update(learner: Learner, batch: Any, key: jax.Array) -> Learner:
        gradient = jax.grad(critic_loss)(learner.critic, learner.actor, batch, key)
        step, critic_state = optimizer.update(gradient, learner.critic_state)
        critic = optax.apply_updates(learner.critic, step)
        gradient = jax.grad(lambda actor: -values(critic, batch[0], act(actor, batch[0]))[0].mean())(learner.actor)
        step, actor_state = optimizer.update(gradient, learner.actor_state)
        return Learner(critic, optax.apply_updates(learner.actor, step), critic_state, actor_state)

    first, second, third, key = jax.random.split(jax.random.key(options.seed), 4)
    hidden = [options.hidden, options.hidden]
    sizes = [data.observation_size + data.action_size, *hidden, 1]
    critic, actor = (
        [mlp(first, sizes), mlp(second, sizes)],
        mlp(third, [data.observation_size, *hidden, data.action_size]),
    )
    learner = Learner(critic, actor, optimizer.init(critic), optimizer.init(actor))
    rows = data.batch_rows(options.rows, seed=0)
    fixed = seemrl.Batch(*(array[rows] for array in arrays))  # the same rows at every reading

    def policy(next_observations: np.ndarray) -> jax.Array:
        noise = jax.random.key(np.random.randint(2**31))  # a reading seeds NumPy for itself: the same noise every time
        return target_actions(learner.actor, jnp.asarray(next_observations), noise)

    def restore(kept: Learner) -> None:
        nonlocal learner
        learner = kept

    monitor = seemrl.Monitor(  # [1] parameters are bound with partial, the optax state is passed as it is
        partial(values, learner.critic),
        fixed,
        policy,
        discount=DISCOUNT,
        optimizer=learner.critic_state,
        every=options.read_every,
        time_share=None,
        reward_bound=data.reward_bound(DISCOUNT),
        depth=None if options.layer_norm else 3,  # a normaliser that is no part of the parameters cannot be seen
        on_diverging=options.on_diverging,
        snapshots=(lambda: learner, restore),
    )
    order = np.random.default_rng(options.seed)
    for step in range(1, options.steps + 1):
        chosen = order.integers(0, len(data), 256)
        learner = update(learner, tuple(array[chosen] for array in arrays), jax.random.fold_in(key, step))
        present = learner  # networks and states are other objects after every update
        reading = monitor.update(step, critic=partial(values, present.critic), optimizer=present.critic_state)  # [2]
        if reading is not None:
            word = monitor.verdict if learner is present else "rolled back"  # [3]
            print(
                f"step {step}  |Q| {reading.q_mean:.3g}  normalized {reading.normalized:+.4f}  "
                f"rate {reading.rate or 0:+.1e}  {word}",
                flush=True,
            )


if __name__ == "__main__":
    try:
        main()
    except seemrl.DivergingError as alarm:
        sys.exit(str(alarm))
