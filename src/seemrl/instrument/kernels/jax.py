"""Layer traces of a JAX critic: layerwise where its layers record themselves, per-sample gradients otherwise.

Everything runs in float64, whatever the critic's own precision: a reading is a measurement of the function that the
stored parameters define, and critics with |Q| of 1e12 overflow float32 products.
"""

import functools
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from seemrl.errors import InputError, MissingPartError
from seemrl.instrument.kernels.heads import head_first
from seemrl.instrument.kernels.layerwise import LayerTrace
from seemrl.instrument.kernels.recording import Recording, recording
from seemrl.instrument.optimizers import StepRule, read_optax

try:
    import equinox as eqx
except ImportError as error:  # the split of a critic into parameters and the rest is Equinox's
    raise MissingPartError("equinox", "train", "measuring a JAX critic") from error


class JaxCritic:
    """A critic ready to be traced.

    Args:
        critic: called as critic(observations, actions); a pytree whose floating-point arrays are its parameters.
    """

    def __init__(self, critic: Any) -> None:
        if isinstance(critic, functools.partial):  # JAX sees into its own Partial only
            critic = jax.tree_util.Partial(critic.func, *critic.args, **critic.keywords)
        self._parameters, self._static = eqx.partition(critic, eqx.is_inexact_array)
        self.leaves = [np.asarray(leaf, np.float64) for leaf in jax.tree.leaves(self._parameters)]
        if not self.leaves:
            raise InputError(
                "critic: it holds no floating-point array to train; pass an eqx.Module, "
                "functools.partial(function, parameters) or a torch.nn.Module"
            )

    def __call__(self, observations: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """Values in float64, (heads, points)."""
        with jax.enable_x64(True):
            return np.asarray(_values(*self._in_float64(), jnp.asarray(observations), jnp.asarray(actions)))

    def traces(
        self, observations: np.ndarray, actions: np.ndarray, preconditioner: Sequence[np.ndarray] | None
    ) -> Iterator[LayerTrace]:
        """One trace per layer, or per parameter where layers do not record themselves.

        Args:
            observations: (points, observation).
            actions: (points, action).
            preconditioner: diagonal weights, one array per parameter leaf, or None.
        """
        weights = list(preconditioner) if preconditioner is not None else None
        with jax.enable_x64(True):
            parameters, static = self._in_float64()
            points = jnp.asarray(observations), jnp.asarray(actions)
            if _records_every_parameter(parameters, static, *points):
                for record in _layer_records(parameters, static, *points):
                    kind, (first, second), inputs, deltas = record
                    weight = (weights[first], weights[second]) if weights else None
                    yield LayerTrace(kind, np.asarray(inputs), np.asarray(deltas), weight)
                return
            for leaf in range(len(self.leaves)):
                gradients = np.asarray(_leaf_gradients(parameters, static, leaf, *points))
                weight = (weights[leaf], np.zeros(0)) if weights else None
                yield LayerTrace("gradients", np.zeros((gradients.shape[1], 0)), gradients, weight)

    def step_rule(self, optimizer: Any, learning_rate: float | None) -> StepRule | None:
        """What the optax state and the learning rate say of the next step; None where neither is given."""
        if optimizer is None:
            return None if learning_rate is None else StepRule(learning_rate, None)
        return read_optax(optimizer, self.leaves, learning_rate)

    def _in_float64(self) -> tuple[Any, Any]:
        structure = jax.tree.structure(self._parameters)
        return jax.tree.unflatten(structure, [jnp.asarray(leaf) for leaf in self.leaves]), self._static


def _heads(parameters: Any, static: Any, observations: jax.Array, actions: jax.Array) -> jax.Array:
    values = eqx.combine(parameters, static)(observations, actions)
    return head_first(values, observations.shape[0], jnp.concatenate)


@eqx.filter_jit
def _values(parameters: Any, static: Any, observations: jax.Array, actions: jax.Array) -> jax.Array:
    return _heads(parameters, static, observations, actions)


def _record(parameters: Any, static: Any, observations: jax.Array, actions: jax.Array) -> tuple[Recording, list[int]]:
    """Run the critic once, shapes only; returns the recording and each recorded parameter's leaf number."""
    record: Recording | None = None
    numbers: list[int] = []

    def forward(parameters: Any) -> jax.Array:
        nonlocal record, numbers
        with recording() as record:
            values = _heads(parameters, static, observations, actions)
        leaves = jax.tree.leaves(parameters)
        position = {id(leaf): number for number, leaf in enumerate(leaves)}
        numbers = [position.get(id(parameter), -1) for pair in record.parameters for parameter in pair]
        return values

    jax.eval_shape(forward, parameters)
    assert record is not None
    return record, numbers


def _records_every_parameter(parameters: Any, static: Any, observations: jax.Array, actions: jax.Array) -> bool:
    """Whether each parameter belongs to exactly one recorded layer, used once and on all points together."""
    shapes, numbers = _record(parameters, static, observations, actions)
    whole = all(output.ndim == 2 and len(output) == len(observations) for output in shapes.outputs)
    return whole and sorted(numbers) == list(range(len(jax.tree.leaves(parameters))))


@eqx.filter_jit
def _layer_records(parameters: Any, static: Any, observations: jax.Array, actions: jax.Array) -> list[Any]:
    """(kind, leaf numbers, inputs, deltas) of each layer; deltas from one backward pass per head."""
    shapes, numbers = _record(parameters, static, observations, actions)
    zeros = [jnp.zeros(output.shape, output.dtype) for output in shapes.outputs]

    def forward(perturbations: list[jax.Array]) -> tuple[jax.Array, list[jax.Array]]:
        with recording(perturbations) as record:
            values = _heads(parameters, static, observations, actions)
        return values, record.inputs

    values, pull_back, inputs = jax.vjp(forward, zeros, has_aux=True)
    one_hot = jnp.eye(len(values), dtype=values.dtype)[:, :, None] * jnp.ones_like(values)
    (deltas,) = jax.vmap(pull_back)(one_hot)
    return [
        (kind, (numbers[2 * layer], numbers[2 * layer + 1]), inputs[layer], deltas[layer])
        for layer, kind in enumerate(shapes.kinds)
    ]


@eqx.filter_jit
def _leaf_gradients(parameters: Any, static: Any, leaf: int, observations: jax.Array, actions: jax.Array) -> jax.Array:
    """Per-sample gradients of every head with respect to one parameter leaf, (heads, points, size)."""
    leaves, structure = jax.tree.flatten(parameters)

    def heads_at(value: jax.Array, observation: jax.Array, action: jax.Array) -> jax.Array:
        changed = jax.tree.unflatten(structure, [*leaves[:leaf], value, *leaves[leaf + 1 :]])
        return _heads(changed, static, observation[None], action[None])[:, 0]

    jacobian = jax.vmap(jax.jacrev(heads_at), in_axes=(None, 0, 0))(leaves[leaf], observations, actions)
    return jnp.moveaxis(jacobian.reshape(*jacobian.shape[:2], -1), 1, 0)
