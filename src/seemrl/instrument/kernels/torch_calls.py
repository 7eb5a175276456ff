"""What a PyTorch critic does with its parameters, call by call.

While `RecordedCalls` is active, every torch function that takes a parameter passes through it: layers of `torch.nn` and
hand-written ones alike. Where the gradient with respect to that parameter follows from the call's input and from the
gradient with respect to its output, the call is recorded and that output noted; the rest is left to per-sample
gradients. `InFloat64`, below it, lets the module compute in float64 whatever precision it was written for.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch.nn import functional as F  # noqa: N812 - its usual name
from torch.overrides import TorchFunctionMode


class Slot(NamedTuple):
    """A parameter, or one of the equal parts along its first axis: an ensemble's member, a convolution's group."""

    name: str
    member: int = 0
    members: int = 1


@dataclass(frozen=True)
class Factored:
    """Gradient = sum over positions of inputs (x) arranged output gradient.

    Attributes:
        weight: matrix of the call; ``transposed`` where it is stored as (outputs, inputs).
        bias: added in the same call, or None.
        inputs: (points, positions, inputs).
        arranged: gradient with respect to the call's output -> (points, positions, outputs).
    """

    weight: Slot
    bias: Slot | None
    inputs: torch.Tensor
    arranged: Callable[[torch.Tensor], torch.Tensor]
    transposed: bool = False


@dataclass(frozen=True)
class Direct:
    """Gradient = a function of the gradient with respect to the call's output.

    Attributes:
        parameter: its name.
        gradient: -> (points, parameters).
    """

    parameter: str
    gradient: Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Call:
    """One recorded call: its output in the graph, and what follows for its parameters."""

    output: torch.Tensor
    parts: Sequence[Factored | Direct]


class InFloat64(TorchFunctionMode):
    """Casts between floating-point types do nothing, and arguments of less precision are promoted to float64."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run one torch function in float64."""
        kwargs = kwargs or {}
        if func in _CASTS and _to_floating(func, args, kwargs):
            return args[0].to(torch.float64)
        return func(*_promoted(args), **{name: _promoted_value(value) for name, value in kwargs.items()})


class RecordedCalls(InFloat64):
    """Notes each call that takes a parameter.

    Args:
        parameters: the parameters, by name, as the module finds them.
        points: how many points it runs on.

    Attributes:
        calls: those whose formula is known, in order.
        unknown: parameters that went into another call, whose gradients have to be found sample by sample.
    """

    def __init__(self, parameters: dict[str, torch.Tensor], points: int) -> None:
        super().__init__()
        self._names = {id(parameter): name for name, parameter in parameters.items()}
        self.points = points
        self.calls: list[Call] = []
        self.unknown: set[str] = set()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run one torch function, and note it if a parameter goes in."""
        kwargs = kwargs or {}
        taken = {self._names[id(value)] for value in _tensors((args, kwargs)) if id(value) in self._names}
        if not taken or not torch.is_grad_enabled():
            return super().__torch_function__(func, types, args, kwargs)
        formula = _FORMULAS.get(func)
        if formula is not None:
            try:
                named = {name: _promoted_value(value) for name, value in kwargs.items()}
                found = formula(self, *_promoted(args), **named)
            except _NoFormulaError:
                found = None
            if found is not None and {name for part in found.parts for name in _names(part)} >= taken:
                self.calls.append(found)
                return found.output.clone()  # what is done to it in place later leaves the recorded one alone
        result = super().__torch_function__(func, types, args, kwargs)
        if any(id(value) not in self._names for value in _tensors((result,))):  # not a shape, nor the parameter itself
            self.unknown |= taken
        return result

    def name_of(self, value: Any) -> str | None:
        """The parameter's name, None for anything else."""
        return self._names.get(id(value))

    def by_point(self, value: torch.Tensor, last: int = 1) -> torch.Tensor:
        """(points, positions, size), whichever axis the points are on; ``last`` axes make up the size."""
        size = value.shape[value.ndim - last :].numel()
        leading = value.shape[: value.ndim - last]
        if len(leading) >= 2 and leading[0] != self.points and leading[1] == self.points:
            value = value.transpose(0, 1)
        elif not leading or leading[0] % self.points:
            raise _NoFormulaError
        return value.reshape(self.points, -1, size)

    def recorded(self, output: torch.Tensor, *parts: Factored | Direct | None) -> Call:
        """A call with its output in the graph, even where nothing before it was."""
        output = output if output.requires_grad else output.detach().requires_grad_()
        return Call(output, [part for part in parts if part is not None])


class _NoFormulaError(Exception):
    """A use of a parameter that no formula covers."""


def _names(part: Factored | Direct) -> Iterator[str]:
    if isinstance(part, Direct):
        yield part.parameter
    else:
        yield from (slot.name for slot in (part.weight, part.bias) if slot is not None)


def _tensors(values: Any) -> Iterator[torch.Tensor]:
    if isinstance(values, torch.Tensor):
        yield values
    elif isinstance(values, dict):
        for value in values.values():
            yield from _tensors(value)
    elif isinstance(values, tuple | list):
        for value in values:
            yield from _tensors(value)


# -------------------------------------------------------------------------------------------------------- precision

_CASTS = {
    torch.Tensor.to,
    torch.Tensor.type,
    torch.Tensor.type_as,
    torch.Tensor.float,
    torch.Tensor.half,
    torch.Tensor.bfloat16,
    torch.Tensor.double,
}


def _to_floating(func: Any, args: Any, kwargs: Any) -> bool:
    """Whether a cast leads to a floating-point type."""
    if func not in (torch.Tensor.to, torch.Tensor.type, torch.Tensor.type_as):
        return True
    wanted = [*args[1:], *kwargs.values()]
    kinds = [value for value in wanted if isinstance(value, torch.dtype)]
    kinds += [value.dtype for value in wanted if isinstance(value, torch.Tensor)]
    return any(kind.is_floating_point for kind in kinds)


def _promoted(values: Any) -> Any:
    """Tensors of less precision in float64, in tuples and lists too; a no-op for those that are."""
    return tuple(_promoted_value(value) for value in values)


def _promoted_value(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        lower = value.is_floating_point() and value.dtype != torch.float64
        return value.to(torch.float64) if lower else value
    if isinstance(value, torch.dtype):
        return torch.float64 if value.is_floating_point else value
    if type(value) in (tuple, list):
        return type(value)(_promoted_value(part) for part in value)
    return value


# --------------------------------------------------------------------------------------------------------- formulas


def _linear(calls: RecordedCalls, inputs: torch.Tensor, weight: Any, bias: Any = None) -> Call:
    output = F.linear(inputs, weight, bias)
    name, bias_name = calls.name_of(weight), calls.name_of(bias)
    if name is None:
        return calls.recorded(output, _shift(calls, bias, output))
    factors = Factored(Slot(name), _slot(bias_name), calls.by_point(inputs), calls.by_point, transposed=True)
    return calls.recorded(output, factors)


def _slot(name: str | None, member: int = 0, members: int = 1) -> Slot | None:
    return None if name is None else Slot(name, member, members)


def _matmul(calls: RecordedCalls, inputs: torch.Tensor, weight: torch.Tensor) -> Call:
    name = calls.name_of(weight)
    if name is None or inputs.ndim < 2:
        raise _NoFormulaError
    output = torch.matmul(inputs, weight)
    if weight.ndim == 1:
        vector = Factored(Slot(name), None, calls.by_point(inputs), lambda d: calls.by_point(d[..., None]))
        return calls.recorded(output, vector)
    if weight.ndim == 2:
        return calls.recorded(output, Factored(Slot(name), None, calls.by_point(inputs), calls.by_point))
    return calls.recorded(output, *_members(calls, inputs, name, None, weight, output))


def _members(
    calls: RecordedCalls, inputs: torch.Tensor, name: str, bias: str | None, weight: torch.Tensor, output: torch.Tensor
) -> list[Factored]:
    """An ensemble's weights (members, inputs, outputs) on inputs (members, points, inputs), or on shared ones."""
    if weight.ndim != 3 or output.ndim != 3 or inputs.ndim > 3:
        raise _NoFormulaError
    each = inputs.expand(len(weight), *inputs.shape[-2:])

    def of_member(member: int) -> Factored:
        slot, bias_slot = Slot(name, member, len(weight)), _slot(bias, member, len(weight))
        return Factored(slot, bias_slot, calls.by_point(each[member]), lambda d: calls.by_point(d[member]))

    return [of_member(member) for member in range(len(weight))]


def _baddbmm(calls: RecordedCalls, bias: Any, inputs: torch.Tensor, weight: torch.Tensor, **options: Any) -> Call:
    name, bias_name = calls.name_of(weight), calls.name_of(bias)
    if name is None or options:
        raise _NoFormulaError
    output = torch.baddbmm(bias, inputs, weight)
    shared = bias_name is not None and bias.ndim == 3 and bias.shape[:2] == (len(weight), 1)
    members = _members(calls, inputs, name, bias_name if shared else None, weight, output)
    return calls.recorded(output, *members, None if shared else _shift(calls, bias, output))


def _addmm(calls: RecordedCalls, bias: Any, inputs: torch.Tensor, weight: torch.Tensor, **options: Any) -> Call:
    name, bias_name = calls.name_of(weight), calls.name_of(bias)
    if name is None or options:
        raise _NoFormulaError
    output = torch.addmm(bias, inputs, weight)
    joined = bias_name is not None and bias.numel() == output.shape[-1]
    factors = Factored(Slot(name), _slot(bias_name if joined else None), calls.by_point(inputs), calls.by_point)
    return calls.recorded(output, factors, None if joined else _shift(calls, bias, output))


def _add(calls: RecordedCalls, left: Any, right: Any, **options: Any) -> Call:
    if options:
        raise _NoFormulaError
    output = torch.add(left, right)
    return calls.recorded(output, *(_shift(calls, value, output) for value in (left, right)))


def _multiply(calls: RecordedCalls, left: Any, right: Any) -> Call:
    output = torch.mul(left, right)
    return calls.recorded(
        output, *(_scale(calls, value, other, output) for value, other in ((left, right), (right, left)))
    )


def _shift(calls: RecordedCalls, parameter: Any, output: torch.Tensor) -> Direct | None:
    return _scale(calls, parameter, None, output)


def _scale(calls: RecordedCalls, parameter: Any, factor: Any, output: torch.Tensor) -> Direct | None:
    """A parameter that is broadcast over the points, and added (factor None) or multiplied by the factor."""
    name = calls.name_of(parameter)
    if name is None:
        return None
    if isinstance(factor, torch.Tensor):
        factor = factor.detach()
    shape = (1,) * (output.ndim - parameter.ndim) + tuple(parameter.shape)
    points = calls.points
    axes = [axis for axis, size in enumerate(output.shape) if size == points and shape[axis] == 1]
    if not axes:
        raise _NoFormulaError
    summed = [axis for axis, size in enumerate(shape) if size == 1 and axis != axes[0]]

    def gradient(delta: torch.Tensor) -> torch.Tensor:
        product = delta if factor is None else delta * factor
        reduced = product.sum(dim=summed, keepdim=True) if summed else product
        return reduced.movedim(axes[0], 0).reshape(points, -1)

    return Direct(name, gradient)


def _over_features(calls: RecordedCalls, weight: Any, bias: Any, normal: torch.Tensor, axes: int) -> list[Direct]:
    """Scale and shift over the last ``axes`` axes."""
    normal = normal.detach()
    parts = (
        (weight, lambda d: calls.by_point(normal * d, axes).sum(dim=1)),
        (bias, lambda d: calls.by_point(d, axes).sum(dim=1)),
    )
    return [Direct(name, part) for value, part in parts if (name := calls.name_of(value)) is not None]


def _over_channels(calls: RecordedCalls, weight: Any, bias: Any, normal: torch.Tensor) -> list[Direct]:
    """Scale and shift over the second axis, as channels have it."""
    normal = normal.detach()

    def summed(value: torch.Tensor) -> torch.Tensor:
        return calls.by_point(value.flatten(2).sum(dim=2) if value.ndim > 2 else value).sum(dim=1)

    parts = ((weight, lambda d: summed(normal * d)), (bias, summed))
    return [Direct(name, part) for value, part in parts if (name := calls.name_of(value)) is not None]


def _layer_norm(
    calls: RecordedCalls, inputs: torch.Tensor, shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Call:
    output = F.layer_norm(inputs, shape, weight, bias, eps)
    normal = F.layer_norm(inputs, shape, None, None, eps)
    return calls.recorded(output, *_over_features(calls, weight, bias, normal, len(shape)))


def _rms_norm(
    calls: RecordedCalls, inputs: torch.Tensor, shape: Any, weight: Any = None, eps: float | None = None
) -> Call:
    output, normal = F.rms_norm(inputs, shape, weight, eps), F.rms_norm(inputs, shape, None, eps)
    return calls.recorded(output, *_over_features(calls, weight, None, normal, len(shape)))


def _group_norm(
    calls: RecordedCalls, inputs: torch.Tensor, groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Call:
    output, normal = F.group_norm(inputs, groups, weight, bias, eps), F.group_norm(inputs, groups, None, None, eps)
    return calls.recorded(output, *_over_channels(calls, weight, bias, normal))


def _batch_norm(
    calls: RecordedCalls,
    inputs: torch.Tensor,
    mean: Any,
    variance: Any,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Call:
    if training:
        raise _NoFormulaError
    output = F.batch_norm(inputs, mean, variance, weight, bias, False, momentum, eps)
    normal = F.batch_norm(inputs, mean, variance, None, None, False, momentum, eps)
    return calls.recorded(output, *_over_channels(calls, weight, bias, normal))


def _convolution(
    calls: RecordedCalls,
    inputs: torch.Tensor,
    weight: torch.Tensor,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Call:
    name, bias_name = calls.name_of(weight), calls.name_of(bias)
    spatial = weight.ndim - 2
    if name is None or isinstance(padding, str) or inputs.ndim != weight.ndim:
        raise _NoFormulaError
    run = F.conv1d if spatial == 1 else F.conv2d
    output = run(inputs, weight, bias, stride, padding, dilation, groups)
    flat = inputs.detach() if spatial == 2 else inputs.detach()[:, :, None]
    sizes = [_pair(option, spatial, filler) for option, filler in ((dilation, 1), (padding, 0), (stride, 1))]
    patches = F.unfold(flat, _pair(tuple(weight.shape[2:]), spatial, 1), *sizes)  # (images, channels * kernel, places)
    by_group = patches.reshape(len(patches), groups, -1, patches.shape[-1])

    def of_group(group: int) -> Factored:
        def arranged(delta: torch.Tensor) -> torch.Tensor:
            own = delta.flatten(2).reshape(len(delta), groups, -1, patches.shape[-1])[:, group]
            return _positions(calls, own)

        slot, bias_slot = Slot(name, group, groups), _slot(bias_name, group, groups)
        return Factored(slot, bias_slot, _positions(calls, by_group[:, group]), arranged, transposed=True)

    return calls.recorded(output, *(of_group(group) for group in range(groups)))


def _pair(option: Any, spatial: int, filler: int) -> tuple[int, int]:
    """An option of a convolution, for two axes."""
    values = (option,) * spatial if isinstance(option, int) else tuple(option) * (spatial // len(option))
    return (filler, values[0]) if spatial == 1 else (values[0], values[1])


def _positions(calls: RecordedCalls, images: torch.Tensor) -> torch.Tensor:
    """(images, size, places) -> (points, positions, size)."""
    return calls.by_point(images.transpose(1, 2))


def _embedding(
    calls: RecordedCalls,
    index: torch.Tensor,
    weight: torch.Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    *options: Any,
    **named: Any,
) -> Call:
    name = calls.name_of(weight)
    if name is None or max_norm is not None:
        raise _NoFormulaError
    output = F.embedding(index, weight)
    one_hot = F.one_hot(index, len(weight)).to(torch.float64)
    if padding_idx is not None:
        one_hot[..., padding_idx % len(weight)] = 0.0
    return calls.recorded(output, Factored(Slot(name), None, calls.by_point(one_hot), calls.by_point))


def _register(formula: Callable[..., Call], *functions: Any) -> dict[Any, Callable[..., Call]]:
    return dict.fromkeys(functions, formula)


_tensor: Any = torch.Tensor
_FORMULAS: dict[Any, Callable[..., Call]] = {
    **_register(_linear, F.linear),
    **_register(_matmul, torch.matmul, torch.mm, torch.bmm, _tensor.matmul, _tensor.mm, _tensor.bmm),
    **_register(_matmul, _tensor.__matmul__),
    **_register(_baddbmm, torch.baddbmm, _tensor.baddbmm),
    **_register(_addmm, torch.addmm, _tensor.addmm),
    **_register(_add, torch.add, _tensor.add, _tensor.__add__, _tensor.__radd__),
    **_register(_multiply, torch.mul, torch.multiply, _tensor.mul, _tensor.__mul__, _tensor.__rmul__),
    **_register(_layer_norm, F.layer_norm),
    **_register(_rms_norm, F.rms_norm),
    **_register(_group_norm, F.group_norm),
    **_register(_batch_norm, F.batch_norm),
    **_register(_convolution, F.conv1d, F.conv2d),
    **_register(_embedding, F.embedding),
}
