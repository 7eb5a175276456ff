"""Values and layer traces of a JAX critic: layerwise where its layers record themselves, else per-sample gradients.

Everything runs in float64, whatever the critic's own precision: a reading is a measurement of the function that the
stored parameters define, and critics with |Q| of 1e12 overflow float32 products.
"""

import functools
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from seemrl.errors import InputError, MissingPartError
from seemrl.instrument.kernels.heads import head_first, head_first_discrete
from seemrl.instrument.kernels.recorded import layer_parts
from seemrl.instrument.kernels.recording import LayerKind, Recording, recording
from seemrl.instrument.kernels.traces import LayerTrace, Traced
from seemrl.instrument.optimizers import StepRule, read_optax

try:
    import equinox as eqx

    from seemrl.instrument.kernels.buffers import split
except ImportError as error:  # the split of a critic into parameters and the rest is Equinox's
    raise MissingPartError("equinox", "train", "measuring a JAX critic") from error


_FLAT_INDEX = re.compile(r"^\[<flat index \d+>\]")  # how JAX writes the arguments of a Partial


class JaxCritic:
    """A critic ready to be traced.

    Args:
        critic: called as critic(observations, actions), or, if discrete, as critic(observations); a pytree whose
            floating-point arrays are its parameters, but for those in a `Buffer`.
        discrete: whether it returns the values of every action.
    """

    def __init__(self, critic: Any, discrete: bool = False) -> None:
        if isinstance(critic, functools.partial):  # JAX sees into its own Partial only
            critic = jax.tree_util.Partial(critic.func, *critic.args, **critic.keywords)
        self._parameters, static = split(critic)
        self._static = static, discrete
        named = jax.tree_util.tree_leaves_with_path(self._parameters)
        self._names = [_FLAT_INDEX.sub("", jax.tree_util.keystr(path)).lstrip(".") for path, _ in named]
        self.leaves = [np.asarray(leaf, np.float64) for _, leaf in named]
        self._recorded: bool | None = None
        if not self.leaves:
            raise InputError(
                "critic: it holds no floating-point array to train; pass an eqx.Module, "
                "functools.partial(function, parameters) or a torch.nn.Module"
            )

    @property
    def by_sample(self) -> tuple[str, ...]:
        """Parameters that are traced by per-sample gradients: all, unless every one belongs to a recorded layer."""
        return tuple(self._names) if self._recorded is False else ()

    def __call__(self, observations: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """Values in float64, (heads, points)."""
        with jax.enable_x64(True):
            return np.asarray(_values(*self._in_float64(), jnp.asarray(observations), jnp.asarray(actions)))

    def action_values(self, observations: np.ndarray) -> np.ndarray:
        """Values of every action of a discrete critic, (heads, points, actions)."""
        with jax.enable_x64(True):
            return np.asarray(_action_values(*self._in_float64(), jnp.asarray(observations)))

    def trace(self, observations: np.ndarray, actions: np.ndarray) -> Traced:
        """Values, and one trace per layer, or per parameter where layers do not record themselves."""
        with jax.enable_x64(True):
            parameters, static = self._in_float64()
            points = jnp.asarray(observations), jnp.asarray(actions)
            if self._recorded is None:
                self._recorded = _records_every_parameter(parameters, static, *points)
            if not self._recorded:
                return Traced(np.asarray(_values(parameters, static, *points)), _LeafTraces(self, points))
            values, records = _layer_records(parameters, static, *points)
            traces = [trace for record in records for trace in self._layer_traces(*record)]
            return Traced(np.asarray(values), traces)

    def step_rule(self, optimizer: Any, learning_rate: float | None) -> StepRule | None:
        """What the optax state and the learning rate say of the next step; None where neither is given."""
        if optimizer is None:
            return None if learning_rate is None else StepRule(learning_rate, None)
        return read_optax(optimizer, self.leaves, learning_rate)

    def _in_float64(self) -> tuple[Any, Any]:
        structure = jax.tree.structure(self._parameters)
        return jax.tree.unflatten(structure, [jnp.asarray(leaf) for leaf in self.leaves]), self._static

    def _layer_traces(
        self, kind: LayerKind, numbers: tuple[int, ...], inputs: Any, deltas: jax.Array
    ) -> Iterator[LayerTrace]:
        taken, d = jax.tree.map(np.asarray, inputs), np.asarray(deltas)[:, :, None]
        heads = tuple(head for head, delta in enumerate(d) if delta.any())
        d = d if len(heads) == len(d) else d[list(heads)]
        for part in layer_parts(kind, [self.leaves[number] for number in numbers], taken, d):
            used = numbers[part.parameters]
            names, pick = tuple(self._names[number] for number in used), functools.partial(_picked, used)
            if part.inputs is None:
                yield LayerTrace(names, heads, None, part.deltas, lambda leaves, pick=pick: pick(leaves).ravel())
            else:
                yield LayerTrace(names, heads, part.inputs, part.deltas, pick).multiplied_out()

    def leaf_trace(self, number: int, *points: jax.Array) -> LayerTrace:
        """Per-sample gradients of one parameter."""
        with jax.enable_x64(True):
            gradients = np.asarray(_leaf_gradients(*self._in_float64(), number, *points))
        heads = tuple(range(len(gradients)))
        return LayerTrace(
            (self._names[number],), heads, None, gradients[:, :, None], lambda leaves: leaves[number].ravel()
        )


@dataclass(frozen=True)
class _LeafTraces:
    """One parameter's per-sample gradients at a time, each made when it is asked for."""

    critic: JaxCritic
    points: tuple[jax.Array, ...]

    def __iter__(self) -> Iterator[LayerTrace]:
        for number in range(len(self.critic.leaves)):
            yield self.critic.leaf_trace(number, *self.points)


def _picked(numbers: tuple[int, ...], leaves: Sequence[np.ndarray]) -> np.ndarray:
    return np.vstack([leaves[number] for number in numbers])


def _heads(parameters: Any, static: Any, observations: jax.Array, actions: jax.Array) -> jax.Array:
    rest, discrete = static
    critic, points = eqx.combine(parameters, rest), observations.shape[0]
    if not discrete:
        return jnp.stack(head_first(critic(observations, actions), points))
    chosen = actions.astype(int).reshape(-1, 1)
    heads = head_first_discrete(critic(observations), points)
    return jnp.stack([jnp.take_along_axis(head, chosen, axis=1)[:, 0] for head in heads])


@eqx.filter_jit
def _values(parameters: Any, static: Any, observations: jax.Array, actions: jax.Array) -> jax.Array:
    return _heads(parameters, static, observations, actions)


@eqx.filter_jit
def _action_values(parameters: Any, static: Any, observations: jax.Array) -> jax.Array:
    values = eqx.combine(parameters, static[0])(observations)
    return jnp.stack(head_first_discrete(values, observations.shape[0]))


def _record(
    parameters: Any, static: Any, observations: jax.Array, actions: jax.Array
) -> tuple[Recording, list[tuple[int, ...]]]:
    """Run the critic once, shapes only; returns the recording and the leaf numbers of each layer's parameters."""
    record: Recording | None = None
    numbers: list[tuple[int, ...]] = []

    def forward(parameters: Any) -> jax.Array:
        nonlocal record, numbers
        with recording() as record:
            values = _heads(parameters, static, observations, actions)
        leaves = jax.tree.leaves(parameters)
        position = {id(leaf): number for number, leaf in enumerate(leaves)}
        numbers = [tuple(position.get(id(parameter), -1) for parameter in layer) for layer in record.parameters]
        return values

    jax.eval_shape(forward, parameters)
    assert record is not None
    return record, numbers


def _records_every_parameter(parameters: Any, static: Any, observations: jax.Array, actions: jax.Array) -> bool:
    """Whether each parameter belongs to exactly one recorded layer, used once and on all points together."""
    shapes, numbers = _record(parameters, static, observations, actions)
    whole = all(output.ndim == 2 and len(output) == len(observations) for output in shapes.outputs)
    return whole and sorted(itertools.chain(*numbers)) == list(range(len(jax.tree.leaves(parameters))))


@eqx.filter_jit
def _layer_records(
    parameters: Any, static: Any, observations: jax.Array, actions: jax.Array
) -> tuple[jax.Array, list[Any]]:
    """Values, and (kind, leaf numbers, inputs, deltas) of each layer; deltas from one backward pass per head."""
    shapes, numbers = _record(parameters, static, observations, actions)
    zeros = [jnp.zeros(output.shape, output.dtype) for output in shapes.outputs]

    def forward(perturbations: list[jax.Array]) -> tuple[jax.Array, list[Any]]:
        with recording(perturbations) as record:
            values = _heads(parameters, static, observations, actions)
        return values, record.inputs

    values, pull_back, inputs = jax.vjp(forward, zeros, has_aux=True)
    one_hot = jnp.eye(len(values), dtype=values.dtype)[:, :, None] * jnp.ones_like(values)
    (deltas,) = jax.vmap(pull_back)(one_hot)
    return values, [(kind, numbers[layer], inputs[layer], deltas[layer]) for layer, kind in enumerate(shapes.kinds)]


@eqx.filter_jit
def _leaf_gradients(parameters: Any, static: Any, leaf: int, observations: jax.Array, actions: jax.Array) -> jax.Array:
    """Per-sample gradients of every head with respect to one parameter leaf, (heads, points, size)."""
    leaves, structure = jax.tree.flatten(parameters)

    def heads_at(value: jax.Array, observation: jax.Array, action: jax.Array) -> jax.Array:
        changed = jax.tree.unflatten(structure, [*leaves[:leaf], value, *leaves[leaf + 1 :]])
        return _heads(changed, static, observation[None], action[None])[:, 0]

    jacobian = jax.vmap(jax.jacrev(heads_at), in_axes=(None, 0, 0))(leaves[leaf], observations, actions)
    return jnp.moveaxis(jacobian.reshape(*jacobian.shape[:2], -1), 1, 0)
