"""Values and layer traces of a PyTorch critic, from one forward and one backward pass through the module as it is.

The module runs in float64 with copies of its parameters and buffers in its place (`torch.func.functional_call`), on its
own device, and is left as it was found. `torch_calls` notes what each parameter goes into. What it notes is checked
against automatic differentiation of single points: a parameter whose gradient does not come out the same, or whose use
has no formula, gets per-sample gradients; a critic whose value at a point depends on the other points is refused.
"""

import sys
import warnings
from collections.abc import Generator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import numpy as np
import torch

from seemrl.errors import InputError
from seemrl.instrument.kernels.heads import head_first, head_first_discrete
from seemrl.instrument.kernels.torch_calls import RecordedCalls
from seemrl.instrument.kernels.torch_layers import ambiguous, layer_traces
from seemrl.instrument.kernels.torch_precision import InFloat64
from seemrl.instrument.kernels.traces import LayerTrace, Traced
from seemrl.instrument.optimizers import StepRule, read_torch

_BATCH_NORMS = (torch.nn.BatchNorm1d, torch.nn.BatchNorm2d, torch.nn.BatchNorm3d, torch.nn.SyncBatchNorm)
_DROPOUTS = (torch.nn.Dropout, torch.nn.Dropout1d, torch.nn.Dropout2d, torch.nn.Dropout3d, torch.nn.AlphaDropout)
_SAME = 1e-8  # relative difference of two float64 computations of one thing


class TorchCritic:
    """A module, ready to be traced.

    Args:
        module: called as module(observations, actions), or, if discrete, as module(observations).
        discrete: whether it returns the values of every action.

    Raises:
        InputError: it has no trainable parameter, it is compiled to TorchScript, or it holds in train mode a BatchNorm,
            where samples interact and a per-sample gradient does not exist, or a Dropout, whose values are random.
    """

    def __init__(self, module: torch.nn.Module, discrete: bool = False) -> None:
        module = _unwrapped(module)
        _check_modes(module)
        trained = {name: value for name, value in module.named_parameters() if value.requires_grad}
        if not trained:
            raise InputError("critic: it has no trainable parameter (requires_grad is False everywhere)")
        self._module, self._discrete = module, discrete
        self._originals = list(trained.values())
        self._device = _working_device(self._originals[0])
        with torch.inference_mode(False), torch.no_grad():
            self._state = {
                name: self._copied(value) for name, value in [*module.named_parameters(), *module.named_buffers()]
            }
        self._parameters = {name: self._state[name] for name in trained}
        self._numbers = {name: number for number, name in enumerate(self._parameters)}
        self.leaves = [value.cpu().numpy() for value in self._parameters.values()]
        self._taken_by_sample: set[str] | None = None
        self._unused: set[str] = set()

    @property
    def by_sample(self) -> tuple[str, ...]:
        """Parameters that are traced by per-sample gradients; known once something was traced."""
        taken = (self._taken_by_sample or set()) - self._unused
        return tuple(name for name in self._parameters if name in taken)

    def __call__(self, observations: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """Values (heads, points)."""
        with self._undisturbed(), torch.no_grad(), InFloat64():
            points = self._tensors(observations, actions)
            return torch.stack(self._heads(points[0], points[1])).cpu().numpy()

    def action_values(self, observations: np.ndarray) -> np.ndarray:
        """Values of every action of a discrete critic, (heads, points, actions)."""
        with self._undisturbed(), torch.no_grad(), InFloat64():
            (points,) = self._tensors(observations)
            output = torch.func.functional_call(self._module, self._state, (points,), strict=False)
            return torch.stack(head_first_discrete(output, len(points))).cpu().numpy()

    def trace(self, observations: np.ndarray, actions: np.ndarray) -> Traced:
        """Values, and a trace of each layer, at these points."""
        points = self._tensors(observations, actions)
        with self._undisturbed(), torch.enable_grad():
            heads, record, deltas = self._recorded(*points)
            values = torch.stack(heads).detach()
            known = self._taken_by_sample
            excluded = record.unknown | ambiguous(record.calls) | (known or set())
            layers = layer_traces(record.calls, deltas, self._numbers, excluded)
            if known is None and bool(torch.isfinite(values).all()):
                self._taken_by_sample = self._unlike_single_points(layers, values, *points) | excluded
                if not self._taken_by_sample <= excluded:
                    layers = layer_traces(record.calls, deltas, self._numbers, self._taken_by_sample)
            by_sample = [self._sample_by_sample(name, *points) for name in self.by_sample]
            return Traced(values.cpu().numpy(), [*layers, *by_sample])

    def step_rule(self, optimizer: Any, learning_rate: float | None) -> StepRule | None:
        """What the torch optimizer and the learning rate say of the next step; None where neither is given."""
        if optimizer is None:
            return None if learning_rate is None else StepRule(learning_rate, None)
        return read_torch(optimizer, self._originals, learning_rate)

    # ------------------------------------------------------------------------------------------- running the module

    def _copied(self, value: torch.Tensor) -> torch.Tensor:
        value = value.detach()
        wanted = torch.float64 if value.is_floating_point() else value.dtype
        return value.to(device=self._device, dtype=wanted, copy=True)

    def _tensors(self, *arrays: np.ndarray) -> tuple[torch.Tensor, ...]:
        return tuple(torch.as_tensor(array, dtype=torch.float64, device=self._device) for array in arrays)

    def _heads(
        self, observations: torch.Tensor, actions: torch.Tensor, changed: dict[str, torch.Tensor] | None = None
    ) -> list[torch.Tensor]:
        state = self._state if changed is None else self._state | changed
        points = (observations,) if self._discrete else (observations, actions)
        output = torch.func.functional_call(self._module, state, points, strict=False)
        if not self._discrete:
            return head_first(output, len(observations))
        heads = head_first_discrete(output, len(observations))
        return [head.gather(1, actions.long().reshape(-1, 1))[:, 0] for head in heads]

    @contextmanager
    def _undisturbed(self) -> Generator[None]:
        """Parameters, buffers, derived attributes and the random state come out as they went in."""
        stores: list[dict[str, Any]] = []
        for part in self._module.modules():
            attributes: dict[str, Any] = part.__dict__
            stores += [attributes, attributes["_parameters"], attributes["_buffers"]]
        kept = [(store, dict(store)) for store in stores]
        buffers = {name: self._state[name].clone() for name, _ in self._module.named_buffers()}
        devices = [self._device] if self._device.type == "cuda" else []
        with torch.inference_mode(False), torch.random.fork_rng(devices), _uncompiled():
            try:
                yield
            finally:
                self._state |= buffers
                for store, before in kept:
                    if store.keys() != before.keys() or any(store[name] is not before[name] for name in before):
                        store.clear()
                        store.update(before)

    def _recorded(
        self, observations: torch.Tensor, actions: torch.Tensor
    ) -> tuple[list[torch.Tensor], RecordedCalls, list[list[torch.Tensor | None]]]:
        """Heads, the calls that take a parameter, and the gradient of each head with respect to each call's output."""
        with RecordedCalls(self._parameters, len(observations)) as record:
            heads = self._heads(observations, actions)
        outputs = [call.output for call in record.calls]
        deltas: list[list[torch.Tensor | None]] = []
        for number, head in enumerate(heads):
            if head.requires_grad and outputs:
                keep = number < len(heads) - 1
                deltas.append(list(torch.autograd.grad(head.sum(), outputs, retain_graph=keep, allow_unused=True)))
            else:
                deltas.append([None] * len(outputs))
        return heads, record, deltas

    def _sample_by_sample(self, name: str, observations: torch.Tensor, actions: torch.Tensor) -> LayerTrace:
        """A trace of one parameter from per-sample gradients."""
        value, number = self._parameters[name], self._numbers[name]

        def heads_at(parameter: torch.Tensor, observation: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
            with InFloat64():
                return torch.stack(self._heads(observation[None], action[None], {name: parameter}))[:, 0]

        try:
            with warnings.catch_warnings():  # about operations that are slow to vectorise
                warnings.simplefilter("ignore", UserWarning)
                by_point = torch.func.vmap(torch.func.jacrev(heads_at), in_dims=(None, 0, 0))
                gradients = by_point(value, observations, actions)
        except (RuntimeError, ValueError):  # an operation that cannot be vectorised: one point at a time
            gradients = torch.stack(
                [
                    torch.autograd.functional.jacobian(lambda parameter, at=at: heads_at(parameter, *at), value)
                    for at in zip(observations, actions, strict=True)
                ]
            )
        flat = gradients.detach().reshape(*gradients.shape[:2], 1, -1).transpose(0, 1)
        heads = tuple(range(len(flat)))
        return LayerTrace((name,), heads, None, flat.cpu().numpy(), lambda leaves: leaves[number].ravel())

    # -------------------------------------------------------------------------------------- checking what was noted

    def _unlike_single_points(
        self, layers: list[LayerTrace], values: torch.Tensor, observations: torch.Tensor, actions: torch.Tensor
    ) -> set[str]:
        """Compare with single points, differentiated on their own; returns the parameters that come out differently.

        Raises:
            InputError: a value at a point depends on the other points.
        """
        different, used = set[str](), set[str]()
        for point in {0, len(observations) - 1}:
            alone, gradients = self._at_one_point(observations[point, None], actions[point, None])
            if not torch.allclose(alone, values[:, point], rtol=_SAME, atol=_SAME * float(values.abs().max())):
                raise InputError(
                    "critic: the value of a row depends on the other rows of the batch (samples interact, or values "
                    "are random), so a per-sample gradient does not exist; call .eval() on the critic, or replace "
                    "statistics of the batch by fixed ones"
                )
            leaves = [list(map(_array, row, self.leaves)) for row in gradients]
            for row in gradients:
                used |= {name for name, found in zip(self._parameters, row, strict=True) if found is not None}
            different |= {
                name
                for layer in layers
                if not _agrees(layer.at(slice(point, point + 1)), leaves)
                for name in layer.names
            }
        traced = {name for layer in layers for name in layer.names}
        self._unused = set(self._parameters) - used
        return different | (used - traced)

    def _at_one_point(
        self, observation: torch.Tensor, action: torch.Tensor
    ) -> tuple[torch.Tensor, list[list[torch.Tensor | None]]]:
        """Values of all heads at one point, and the gradient of each with respect to every parameter it uses."""
        parameters = {name: value.clone().requires_grad_() for name, value in self._parameters.items()}
        with InFloat64(), warnings.catch_warnings():  # about statistics of one point, which are refused soon enough
            warnings.simplefilter("ignore", UserWarning)
            heads = self._heads(observation, action, parameters)
        leaves = list(parameters.values())
        rows: list[list[torch.Tensor | None]] = [
            list(torch.autograd.grad(head[0], leaves, retain_graph=True, allow_unused=True))
            if head.requires_grad
            else [None] * len(leaves)
            for head in heads
        ]
        return torch.stack([head.detach()[0] for head in heads]), rows


def _unwrapped(module: torch.nn.Module) -> torch.nn.Module:
    """What `torch.compile`, or a module that spreads its rows over devices, wraps."""
    parallel = torch.nn.DataParallel, torch.nn.parallel.DistributedDataParallel
    while hasattr(module, "_orig_mod") or isinstance(module, parallel):
        module = module.module if isinstance(module, parallel) else module._orig_mod  # pyright: ignore[reportAssignmentType]
    return module


def _uncompiled() -> AbstractContextManager[Any]:
    """What was compiled runs as it was written: a compiler would hide the calls, or compile who listens to them."""
    loaded: Any = sys.modules.get("torch._dynamo")
    return nullcontext() if loaded is None or not hasattr(loaded, "set_stance") else loaded.set_stance("force_eager")


def _array(gradient: torch.Tensor | None, leaf: np.ndarray) -> np.ndarray:
    return np.zeros_like(leaf) if gradient is None else gradient.cpu().numpy()


def _agrees(trace: LayerTrace, gradients: Sequence[Sequence[np.ndarray]]) -> bool:
    """Whether a trace at one point is what automatic differentiation of each head found there."""
    found = dict(zip(trace.heads, trace.gradients()[:, 0], strict=True))
    for head, leaves in enumerate(gradients):
        wanted = trace.pick(leaves).ravel()
        largest = float(np.abs(wanted).max(initial=0.0)) or 1.0  # squares of 1e200 overflow
        difference = np.linalg.norm((found.get(head, 0.0) - wanted) / largest)
        if difference > _SAME * np.linalg.norm(wanted / largest):
            return False
    return True


def _check_modes(module: torch.nn.Module) -> None:
    for name, part in module.named_modules():
        if isinstance(part, torch.jit.ScriptModule):
            raise InputError(
                f"critic: {name or 'it'} is compiled to TorchScript, whose layers cannot be seen; pass the nn.Module"
            )
        if isinstance(part, _BATCH_NORMS) and part.running_mean is None:
            raise InputError(
                f"critic: {name or 'it'} is a {type(part).__name__} without running statistics, where samples interact "
                "in eval mode too and no per-sample gradient exists; use track_running_stats=True"
            )
        if isinstance(part, (*_BATCH_NORMS, *_DROPOUTS)) and part.training:
            why = "samples interact" if isinstance(part, _BATCH_NORMS) else "values are random"
            raise InputError(
                f"critic: {name or 'it'} is a {type(part).__name__} in train mode, where {why} and no per-sample "
                "gradient exists; call .eval() on the critic before the reading and .train() after it"
            )


def _working_device(parameter: torch.Tensor) -> torch.device:
    """The module's own, unless it knows no float64."""
    return torch.device("cpu") if parameter.device.type == "mps" else parameter.device
