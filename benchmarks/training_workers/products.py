"""The matrix products of one TD3+BC update and nothing else, compiled: what no implementation can do without.

A layer of b rows, m inputs and n outputs takes one product forward, one for the gradient of its weights and, above the
first layer, one for that of its inputs. A critic update goes through two heads forward and backward, two target heads
and the target actor forward; every second update an actor goes forward and backward through one head, whose own
weights need no gradient.
"""

from seemrl.training.backend import prepare_jax

prepare_jax()

import jax  # noqa: E402 - JAX's settings come first
import jax.numpy as jnp  # noqa: E402

from benchmarks.training_workers.clock import report  # noqa: E402

_ROWS, _OBSERVATION, _ACTION, _HIDDEN = 256, 11, 3, 256
_CRITIC = ((_OBSERVATION + _ACTION, _HIDDEN), (_HIDDEN, _HIDDEN), (_HIDDEN, 1))
_ACTOR = ((_OBSERVATION, _HIDDEN), (_HIDDEN, _HIDDEN), (_HIDDEN, _ACTION))

Shape = tuple[int, int, int]


def _forward(layers) -> list[Shape]:
    return [(_ROWS, inputs, outputs) for inputs, outputs in layers]


def _weight_gradients(layers) -> list[Shape]:
    return [(inputs, _ROWS, outputs) for inputs, outputs in layers]


def _input_gradients(layers) -> list[Shape]:
    return [(_ROWS, outputs, inputs) for inputs, outputs in layers]


critic_update = 2 * (_forward(_CRITIC) + _weight_gradients(_CRITIC) + _input_gradients(_CRITIC[1:]))
critic_update += 2 * _forward(_CRITIC) + _forward(_ACTOR)
actor_update = _forward(_ACTOR) + _weight_gradients(_ACTOR) + _input_gradients(_ACTOR[1:])
actor_update += _forward(_CRITIC) + _input_gradients(_CRITIC)
shapes = 2 * critic_update + actor_update
keys = jax.random.split(jax.random.key(0), 2 * len(shapes))
lefts = [jax.random.normal(key, (a, b)) for key, (a, b, _) in zip(keys[::2], shapes, strict=True)]
rights = [jax.random.normal(key, (b, c)) for key, (_, b, c) in zip(keys[1::2], shapes, strict=True)]


@jax.jit
def products(pairs: jax.Array) -> jax.Array:
    def once(_: jax.Array, carried: jax.Array) -> jax.Array:
        # A factor that depends on the last result keeps the compiler from taking products out of the loop.
        results = [(left * carried) @ right for left, right in zip(lefts, rights, strict=True)]
        return 1.0 + 1e-30 * jnp.stack([jnp.sum(result) for result in results]).sum()

    return jax.lax.fori_loop(0, pairs, once, jnp.ones(()))


report(lambda updates: jax.block_until_ready(products(jnp.asarray(updates // 2))))
