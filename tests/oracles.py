"""What the instrument must find, by the shortest way there is: one gradient per sample, dense matrices, definitions.

Nothing here is shared with the instrument. Gradients are one automatic differentiation per sample and head in float64;
the critics of `seemrl.networks` are moreover written out a second time, in PyTorch.
"""

import copy
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import torch
from torch.overrides import TorchFunctionMode

from seemrl.instrument.kernels.buffers import Buffer
from seemrl.networks.layers import SpectralNormLinear, SphereLinear, WeightNormLinear
from seemrl.networks.mlp import MLP, AnyNetwork
from seemrl.networks.normalisers import BatchNorm, LayerNorm, RMSNorm, UnitBall
from seemrl.networks.residual import BroNet, SimBa

ACTIVATIONS_IN_TORCH: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "relu": torch.relu,
    "elu": torch.nn.functional.elu,
    "gelu": torch.nn.functional.gelu,
    "tanh": torch.tanh,
    "mish": torch.nn.functional.mish,
}


@dataclass(frozen=True)
class Gradients:
    """Values (heads, points) and the gradient of each (heads, points, parameters), in the order of the parameters."""

    values: np.ndarray
    jacobian: np.ndarray


def by_sample_in_torch(
    heads_at: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    leaves: Sequence[torch.Tensor],
    observations: np.ndarray,
    actions: np.ndarray,
) -> Gradients:
    """One `torch.autograd.grad` per point and head; ``heads_at`` maps (points, .) to (heads, points)."""
    points = torch.as_tensor(observations), torch.as_tensor(actions)
    values: list[list[float]] = []
    rows: list[list[torch.Tensor]] = []
    for observation, action in zip(*points, strict=True):
        heads = heads_at(observation[None], action[None])[:, 0]
        values.append(heads.tolist())
        rows.append([_flat_gradient(head, leaves) for head in heads])
    jacobian = torch.stack([torch.stack(row) for row in rows], dim=1)
    return Gradients(np.array(values).T, jacobian.numpy())


def _flat_gradient(value: torch.Tensor, leaves: Sequence[torch.Tensor]) -> torch.Tensor:
    gradients = torch.autograd.grad(value, leaves, retain_graph=True, allow_unused=True, materialize_grads=True)
    return torch.cat([part.ravel() for part in gradients])


def differentiate_module(module: torch.nn.Module, observations: np.ndarray, actions: np.ndarray) -> Gradients:
    """A PyTorch module with respect to its trainable parameters: the function that they define in float64."""
    twin = copy.deepcopy(module).double()
    leaves = [parameter for parameter in twin.parameters() if parameter.requires_grad]

    def heads_at(observation: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
        with _OnlyFloat64():
            output = twin(observation, action)
        heads = output if isinstance(output, tuple | list) else [output]
        return torch.cat([head.reshape(-1, 1) for head in heads])  # of one point every number is a head

    return by_sample_in_torch(heads_at, leaves, observations, actions)


class _OnlyFloat64(TorchFunctionMode):
    """Every cast to a floating type is one to float64."""

    NAMED = (torch.Tensor.float, torch.Tensor.half, torch.Tensor.bfloat16)

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function in self.NAMED:
            return args[0].double()

        def widened(value: Any) -> Any:
            return torch.float64 if isinstance(value, torch.dtype) and value.is_floating_point else value

        named = {key: widened(value) for key, value in (kwargs or {}).items()}
        return function(*[widened(value) for value in args], **named)


class InTorch:
    """Networks of `seemrl.networks`, written out a second time in PyTorch and float64.

    Attributes:
        leaves: their parameters, in JAX's order.
        networks: the MLPs and residual networks among them.
        training: whether batches are normalised by their own statistics.
    """

    def __init__(self, tree: Any, training: bool = False) -> None:
        self.training = training
        nodes = jax.tree.leaves(eqx.filter(tree, eqx.is_inexact_array), is_leaf=_is_buffer)
        arrays = [node for node in nodes if not _is_buffer(node)]
        self.leaves = [torch.tensor(np.asarray(array, np.float64), requires_grad=True) for array in arrays]
        self._of_array = {id(array): leaf for array, leaf in zip(arrays, self.leaves, strict=True)}
        self.networks = [node for node in jax.tree.leaves(tree, is_leaf=_is_mlp) if _is_mlp(node)]

    def critic(self, observations: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        """Values (heads, points)."""
        inputs = torch.cat([observations, actions], dim=1)
        return torch.cat([self.mlp(network, inputs).T for network in self.networks])

    def mlp(self, network: AnyNetwork, hidden: torch.Tensor) -> torch.Tensor:
        """One network."""
        activate = ACTIVATIONS_IN_TORCH[network.activation]
        if isinstance(network, SimBa):
            hidden = self.linear(network.first, hidden)
            for block in network.blocks:
                inner = activate(self.linear(block.wide, self.normalised(block.norm, hidden)))
                hidden = hidden + self.linear(block.narrow, inner)
            return self.linear(network.last, self.normalised(network.norm, hidden))
        if isinstance(network, BroNet):
            hidden = activate(self.normalised(network.norm, self.linear(network.first, hidden)))
            for block in network.blocks:
                inner = activate(self.normalised(block.first_norm, self.linear(block.first, hidden)))
                hidden = hidden + self.normalised(block.second_norm, self.linear(block.second, inner))
            return self.linear(network.last, hidden)
        hidden = self.normalised(network.input_norm, hidden)
        for linear, norm in zip(network.linears[:-1], network.norms, strict=True):
            hidden = self.linear(linear, hidden)
            if network.placement == "pre":
                hidden = activate(self.normalised(norm, hidden))
            else:
                hidden = self.normalised(norm, activate(hidden))
        return self.linear(network.linears[-1], hidden)

    def linear(self, layer: Any, inputs: torch.Tensor) -> torch.Tensor:
        """One linear layer, its weights normalised or not."""
        of = self._of_array
        bias = of[id(layer.bias)]
        if isinstance(layer, WeightNormLinear):
            direction = of[id(layer.direction)]
            return inputs @ (of[id(layer.size)] * direction / direction.norm(dim=0)) + bias
        weight = of[id(layer.weight)]
        if isinstance(layer, SphereLinear):
            return of[id(layer.scale)] * (inputs @ weight) + bias
        if isinstance(layer, SpectralNormLinear):
            right = torch.nn.functional.normalize(_constant(layer.right), dim=0)
            left = torch.nn.functional.normalize((weight @ right).detach(), dim=0)
            return inputs @ weight / (left @ weight @ right) + bias
        return inputs @ weight + bias

    def normalised(self, norm: Any, inputs: torch.Tensor) -> torch.Tensor:
        """Features with their normaliser."""
        functional = torch.nn.functional
        if norm is None:
            return inputs
        if isinstance(norm, UnitBall):
            return functional.normalize(inputs, dim=-1)
        scale = self._of_array[id(norm.scale)]
        if isinstance(norm, RMSNorm):
            return functional.rms_norm(inputs, scale.shape, scale, norm.epsilon)
        shift = self._of_array[id(norm.shift)]
        if isinstance(norm, LayerNorm):
            return functional.layer_norm(inputs, scale.shape, scale, shift, norm.epsilon)
        assert isinstance(norm, BatchNorm)
        running = _constant(norm.mean), _constant(norm.variance)
        return functional.batch_norm(inputs, *running, scale, shift, self.training, 0.0, norm.epsilon)


def _constant(buffer: Buffer) -> torch.Tensor:
    return torch.tensor(np.asarray(buffer.value, np.float64))


def _is_buffer(node: object) -> bool:
    return isinstance(node, Buffer)


def _is_mlp(node: object) -> bool:
    return isinstance(node, MLP | SimBa | BroNet)


def differentiate_mlps(critic: Any, observations: np.ndarray, actions: np.ndarray) -> Gradients:
    """A critic made of `seemrl.networks`."""
    written_out = InTorch(critic)
    return by_sample_in_torch(written_out.critic, written_out.leaves, observations, actions)


def differentiate_jax(critic: Any, observations: np.ndarray, actions: np.ndarray) -> Gradients:
    """Any single-headed JAX critic with respect to its arrays: one `jax.grad` per point."""
    if isinstance(critic, functools.partial):
        critic = jax.tree_util.Partial(critic.func, *critic.args, **critic.keywords)
    arrays, static = eqx.partition(critic, eqx.is_inexact_array)
    with jax.enable_x64(True):
        arrays = jax.tree.map(lambda array: jnp.asarray(np.asarray(array), jnp.float64), arrays)

        def value(arrays: Any, observation: jax.Array, action: jax.Array) -> jax.Array:
            return jnp.sum(eqx.combine(arrays, static)(observation[None], action[None]))

        both = jax.jit(jax.value_and_grad(value))
        found = [both(arrays, *point) for point in zip(observations, actions, strict=True)]
        values = np.array([float(value) for value, _ in found])
        rows = [np.concatenate([np.ravel(part) for part in jax.tree.leaves(gradient)]) for _, gradient in found]
    return Gradients(values[None], np.stack(rows)[None])


def head_weights(heads: str, target_values: np.ndarray) -> np.ndarray:
    """Weight of each head in each target, (heads, points), by going through the points."""
    weights = np.zeros_like(target_values)
    for point in range(target_values.shape[1]):
        if heads == "mean":
            weights[:, point] = 1 / len(target_values)
        else:
            weights[np.argmin(target_values[:, point]), point] = 1
    return weights


def two_parts(
    at_rows: Gradients, at_targets: Sequence[Gradients], bootstrap: np.ndarray, heads: str = "coupled", D: Any = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """What a gradient step with the diagonal preconditioner D does to the targets, and to the values.

    The error u_hi = f_h(x_i) - (r_i + gamma (1-d_i) sum_k w_ki f_k(x*_i)) stacks all heads; where each head is its own
    target, w_ki is one for k = h alone. The loss has the gradient
    J^T u up to its factor; the step -D J^T u changes f through J and the targets through their own gradient.

    Args:
        at_rows: at the rows' own points.
        at_targets: at the target's points, one for each draw of the policy; targets are their mean.
        bootstrap: gamma (1 - d) of each row.
        heads: how the heads form the target.
        D: one number per parameter.
    """
    count = 1 if heads == "first" else len(at_rows.values)
    J = np.concatenate(list(at_rows.jacobian[:count]))
    if heads == "own":
        targets = np.concatenate(list(np.mean([draw.jacobian for draw in at_targets], axis=0)))
        return np.tile(bootstrap, count)[:, None] * targets @ (D * J).T, J @ (D * J).T
    target_gradient = np.zeros_like(at_rows.jacobian[0])
    for draw in at_targets:
        weights = head_weights(heads, draw.values[:count])
        for head in range(count):
            target_gradient += bootstrap[:, None] * weights[head][:, None] * draw.jacobian[head] / len(at_targets)
    return np.concatenate([target_gradient] * count) @ (D * J).T, J @ (D * J).T


def one_update(cross: np.ndarray, gram: np.ndarray, target_rate: float) -> np.ndarray:
    """The matrix of one update with target averaging, column by column from the update of a unit state (q, p', p)."""
    rows = len(gram)
    columns: list[np.ndarray] = []
    for unit in np.eye(3 * rows):
        q, live, averaged = unit[:rows], unit[rows : 2 * rows], unit[2 * rows :]
        error = q - averaged
        q = q - gram @ error
        live = live - cross @ error
        averaged = averaged + target_rate * (live - averaged)
        columns.append(np.concatenate([q, live, averaged]))
    return np.stack(columns, axis=1)


def moving_update(cross: np.ndarray, gram: np.ndarray, target_rate: float) -> np.ndarray:
    """`one_update` of states that differ: what is the same for q, p' and p stands still, and is divided out.

    It acts on (p - q, p' - p); the state (0, a + b, a) stands for the pair (a, b).
    """
    identity, zero = np.eye(len(gram)), np.zeros_like(gram)
    pair = np.block([[-identity, zero, identity], [zero, identity, -identity]])
    state = np.block([[zero, zero], [identity, identity], [identity, zero]])
    return pair @ one_update(cross, gram, target_rate) @ state
