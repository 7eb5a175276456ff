"""The hidden layers of a torch module, found by running it once and watching what flows where.

A copy of the module is run in eval mode on a few points. Every tensor carries its origin: which layers it comes from
directly, and what was done to it since. A layer whose output reaches another one is hidden; the rest are outputs.
Nothing is assumed of how the forward method is written: `nn.Sequential`, ``F.relu(self.fc1(x))`` and layers of a shape
heads x in x out all leave the same trail.
"""

import copy
import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from seemrl.errors import InputError
from seemrl.stabilizing.inputs import try_inputs

# fmt: off
_ACTIVATIONS = frozenset([
    "relu", "relu_", "relu6", "leaky_relu", "leaky_relu_", "prelu", "rrelu", "elu", "elu_", "selu", "celu", "gelu",
    "silu", "mish", "tanh", "tanh_", "sigmoid", "sigmoid_", "softplus", "softsign", "hardtanh", "hardswish",
    "hardsigmoid", "logsigmoid", "threshold", "clamp", "clamp_min", "sin", "cos", "square",
])
_NORMALISERS = frozenset(["layer_norm", "rms_norm", "group_norm", "batch_norm", "instance_norm", "normalize"])
_GATES = frozenset(["mul", "__mul__", "__rmul__", "maximum"])  # x * sigmoid(x)
_ELEMENTWISE = _GATES | frozenset([
    "add", "__add__", "__radd__", "__iadd__", "add_", "sub", "__sub__", "div", "__truediv__", "mul_",
])
_KEEPING = frozenset([
    "dropout", "dropout_", "alpha_dropout", "contiguous", "clone", "detach", "to", "float", "double", "squeeze",
    "unsqueeze", "view", "reshape", "flatten", "unflatten", "expand",
])
# fmt: on

_NORMS = (
    torch.nn.LayerNorm,
    torch.nn.RMSNorm,
    torch.nn.GroupNorm,
    torch.nn.modules.batchnorm._NormBase,  # pyright: ignore[reportPrivateUsage]
)

State = Literal["raw", "activated", "mixed"]
"""A layer's output as it is; after its activation; or anything else."""


@dataclass(frozen=True)
class _Origin:
    """Where a tensor comes from: its nearest layers and what was done since, or the parameter it is made of alone."""

    layers: frozenset[str] = frozenset()
    state: State = "mixed"
    parameter: str | None = None


@dataclass(frozen=True)
class Use:
    """A layer's output as the input of a later layer: in which state, from which layers, with how many features."""

    by: str
    state: State
    layers: frozenset[str]
    features: int


@dataclass
class FoundLayer:
    """One layer with weights, as the run saw it.

    Attributes:
        name: within the module.
        depth: layers before it, on the longest way from the input.
        linear: whether it is a linear map of the last axis.
        known: it is that, or a layer of torch's of another kind: a convolution, an embedding.
        features: size of its output's last axis.
        heads: length of the first axis where it is a stack of heads, each with weights of its own; else None.
        normalised: a normaliser follows already.
        uses: by later layers; a layer without any is an output.
    """

    name: str
    depth: int
    linear: bool
    known: bool
    features: int
    heads: int | None
    normalised: bool = False
    uses: list[Use] = field(default_factory=list[Use])


def find_layers(module: torch.nn.Module, example: Sequence[Any] | None) -> dict[str, FoundLayer]:
    """Every layer with weights that one run passes through, by name, in order.

    Args:
        module: left as it is; a copy is run.
        example: inputs to run it on; None to try sizes that its first layers suggest.

    Raises:
        InputError: it cannot be copied, or no inputs are found that its forward method takes.
    """
    try:
        own = copy.deepcopy(module).eval()
    except Exception as error:  # whatever somebody's module raises
        raise InputError(
            f"stabilize: {type(module).__name__} cannot be copied ({type(error).__name__}: {error}); "
            "put the normalisers into its forward method by hand"
        ) from error
    with torch.no_grad(), torch.random.fork_rng([]):
        inputs = try_inputs(own, example)
        run = _Run(own)
        run.watch(inputs)
    return run.found


class _Run(TorchFunctionMode):
    """Watches one run of a module."""

    def __init__(self, module: torch.nn.Module) -> None:
        super().__init__()
        self.found: dict[str, FoundLayer] = {}
        self._module = module
        self._inside = 0
        self._origins: dict[int, _Origin] = {}
        self._kept: list[Any] = []  # an id belongs to a tensor for as long as that lives
        for name, value in module.named_parameters():
            if value.ndim >= 2:
                self._note(value, _Origin(parameter=name))

    def watch(self, inputs: Sequence[torch.Tensor]) -> None:
        """Run the module."""
        for value in inputs:
            self._note(value, _Origin())
        handles = [
            handle
            for name, part in self._module.named_modules()
            if name and _has_weights(part)
            for handle in (
                part.register_forward_pre_hook(lambda *_: self._enter()),
                part.register_forward_hook(functools.partial(self._leave, name), with_kwargs=True),
            )
        ]
        try:
            with self:
                self._module(*inputs)
        finally:
            for handle in handles:
                handle.remove()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = func(*args, **(kwargs or {}))
        if not self._inside:
            self._follow(getattr(func, "__name__", ""), [*_tensors(args), *_tensors(kwargs or {})], output)
        return output

    def _enter(self) -> None:
        self._inside += 1

    def _leave(
        self, name: str, part: torch.nn.Module, given: tuple[Any, ...], named: dict[str, Any], output: Any
    ) -> None:
        if self._inside == 1:  # not a layer within another one
            inputs = _tensors([given, named])
            linear = len(inputs) == 1 and isinstance(output, torch.Tensor) and _is_linear(part, inputs[0], output)
            weight = next(value for value in part.parameters() if value.ndim >= 2)
            stacked = linear and not isinstance(part, torch.nn.Linear) and weight.ndim == 3 and output.ndim == 3
            known = linear or type(part).__module__.startswith("torch.")
            self._arrive(name, inputs, output, linear, known, weight.shape[0] if stacked else None)
        self._inside -= 1

    def _follow(self, function: str, inputs: list[torch.Tensor], output: Any) -> None:
        """What a function that belongs to no layer makes of the origins."""
        origins = [(value, origin) for value in inputs if (origin := self._origins.get(id(value))) is not None]
        if not origins:
            return
        data = [(value, origin) for value, origin in origins if origin.parameter is None]
        parameter = next((origin.parameter for _, origin in origins if origin.parameter is not None), None)
        same_shape = isinstance(output, torch.Tensor) and all(value.shape == output.shape for value, _ in data)
        if not data:
            self._note(output, _Origin(parameter=parameter))
        elif parameter is not None and function not in _NORMALISERS and not (function in _ELEMENTWISE and same_shape):
            values = [value for value, _ in data]
            self._arrive(parameter, values, output, False, False, None)  # written out with a bare parameter
        else:
            self._note(output, self._changed(function, [origin for _, origin in data], same_shape))

    def _changed(self, function: str, origins: list[_Origin], same_shape: bool) -> _Origin:
        layers = frozenset[str]().union(*(origin.layers for origin in origins))
        if function in _NORMALISERS:
            for name in layers:
                self.found[name].normalised = True
            return _Origin(layers, origins[0].state)
        if function in _KEEPING:
            return _Origin(layers, origins[0].state)
        unmixed = len(layers) == 1 and same_shape and all(origin.state != "mixed" for origin in origins)
        return _Origin(layers, "activated" if unmixed and function in _ACTIVATIONS | _GATES else "mixed")

    def _arrive(
        self, name: str, inputs: list[torch.Tensor], output: Any, linear: bool, known: bool, heads: int | None
    ) -> None:
        """A layer has made an output of its inputs."""
        depth = 0
        for value in inputs:
            origin = self._origins.get(id(value), _Origin())
            use = Use(name, origin.state, origin.layers, value.shape[-1] if value.ndim else 1)
            for source in origin.layers:
                self.found[source].uses.append(use)
                depth = max(depth, self.found[source].depth + 1)
        features = output.shape[-1] if isinstance(output, torch.Tensor) and output.ndim else 0
        if name not in self.found:
            self.found[name] = FoundLayer(name, depth, linear, known, features, heads)
        self._note(output, _Origin(frozenset({name}), "raw"))

    def _note(self, output: Any, origin: _Origin) -> None:
        for value in _tensors(output):
            self._origins[id(value)] = origin
            self._kept.append(value)


def _tensors(tree: Any) -> list[torch.Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor)]


def _has_weights(part: torch.nn.Module) -> bool:
    """A Linear of any kind, or a module without others in it that owns a matrix."""
    if isinstance(part, torch.nn.Linear):
        return True
    if isinstance(part, _NORMS):
        return False
    return not any(True for _ in part.children()) and any(value.ndim >= 2 for value in part.parameters())


def _is_linear(part: torch.nn.Module, given: torch.Tensor, output: torch.Tensor) -> bool:
    """Whether it is an affine map of the last axis, asked of itself."""
    if not given.is_floating_point() or given.shape[:-1] != output.shape[:-1] or output.ndim < 2:
        return False
    if isinstance(part, torch.nn.modules.conv._ConvNd):  # pyright: ignore[reportPrivateUsage]
        return False
    if isinstance(part, torch.nn.Linear):
        return True
    once, twice, none = (part.forward(factor * given) for factor in (1.0, 2.0, 0.0))
    return torch.allclose(twice - once, once - none, rtol=1e-3, atol=1e-5 * float(once.abs().max()))


def hidden_layers(found: dict[str, FoundLayer]) -> Iterator[FoundLayer]:
    """Those whose output reaches a later layer."""
    return (layer for layer in found.values() if layer.uses)
