"""Formulas: the gradient with respect to a parameter, given that with respect to the output of the call it goes into.

One function per torch function, with its very arguments: it runs the call, and says what follows for those arguments
that are parameters. `FORMULAS` is the table of them; `torch_calls` is who asks.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional as F  # noqa: N812 - its usual name

from seemrl.instrument.kernels.torch_parts import Call, Direct, Factored, Known, NoFormulaError, Slot


def _linear(known: Known, inputs: torch.Tensor, weight: Any, bias: Any = None) -> Call:
    output = F.linear(inputs, weight, bias)
    slot = known.slot_of(weight)
    if slot is None:
        return known.recorded(output, _shift(known, bias, output))
    factors = Factored(slot, known.slot_of(bias), known.by_point(inputs), known.by_point, transposed=True)
    return known.recorded(output, factors)


def _slot(name: str | None, member: int = 0, members: int = 1) -> Slot | None:
    return None if name is None else Slot(name, member, members)


def _matmul(known: Known, inputs: torch.Tensor, weight: torch.Tensor) -> Call:
    slot = known.slot_of(weight)
    if slot is None or inputs.ndim < 2:
        raise NoFormulaError
    output = torch.matmul(inputs, weight)
    if weight.ndim == 1:
        vector = Factored(slot, None, known.by_point(inputs), lambda d: known.by_point(d[..., None]))
        return known.recorded(output, vector)
    if weight.ndim == 2:
        return known.recorded(output, Factored(slot, None, known.by_point(inputs), known.by_point))
    return known.recorded(output, *_members(known, inputs, known.whole(weight), None, weight, output))


def _members(
    known: Known, inputs: torch.Tensor, name: str | None, bias: str | None, weight: torch.Tensor, output: torch.Tensor
) -> list[Factored]:
    """An ensemble's weights (members, inputs, outputs) on inputs (members, points, inputs), or on shared ones."""
    if name is None or weight.ndim != 3 or output.ndim != 3 or inputs.ndim > 3:
        raise NoFormulaError
    each = inputs.expand(len(weight), *inputs.shape[-2:])

    def of_member(member: int) -> Factored:
        slot, bias_slot = Slot(name, member, len(weight)), _slot(bias, member, len(weight))
        return Factored(slot, bias_slot, known.by_point(each[member]), lambda d: known.by_point(d[member]))

    return [of_member(member) for member in range(len(weight))]


def _baddbmm(known: Known, bias: Any, inputs: torch.Tensor, weight: torch.Tensor, **options: Any) -> Call:
    name, bias_name = known.whole(weight), known.whole(bias)
    if name is None or options:
        raise NoFormulaError
    output = torch.baddbmm(bias, inputs, weight)
    shared = bias_name is not None and bias.ndim == 3 and bias.shape[:2] == (len(weight), 1)
    members = _members(known, inputs, name, bias_name if shared else None, weight, output)
    return known.recorded(output, *members, None if shared else _shift(known, bias, output))


def _addmm(known: Known, bias: Any, inputs: torch.Tensor, weight: torch.Tensor, **options: Any) -> Call:
    slot, bias_slot = known.slot_of(weight), known.slot_of(bias)
    if slot is None or options:
        raise NoFormulaError
    output = torch.addmm(bias, inputs, weight)
    joined = bias_slot is not None and bias.numel() == output.shape[-1]
    factors = Factored(slot, bias_slot if joined else None, known.by_point(inputs), known.by_point)
    return known.recorded(output, factors, None if joined else _shift(known, bias, output))


def _add(known: Known, left: Any, right: Any, **options: Any) -> Call:
    if options:
        raise NoFormulaError
    output = torch.add(left, right)
    return known.recorded(output, *(_shift(known, value, output) for value in (left, right)))


def _multiply(known: Known, left: Any, right: Any) -> Call:
    output = torch.mul(left, right)
    return known.recorded(
        output, *(_scale(known, value, other, output) for value, other in ((left, right), (right, left)))
    )


def _shift(known: Known, parameter: Any, output: torch.Tensor) -> Direct | None:
    return _scale(known, parameter, None, output)


def _scale(known: Known, parameter: Any, factor: Any, output: torch.Tensor) -> Direct | None:
    """A parameter that is broadcast over the points, and added (factor None) or multiplied by the factor."""
    slot = known.slot_of(parameter)
    if slot is None:
        return None
    if isinstance(factor, torch.Tensor):
        factor = factor.detach()
    shape = (1,) * (output.ndim - parameter.ndim) + tuple(parameter.shape)
    points = known.points
    axes = [axis for axis, size in enumerate(output.shape) if size == points and shape[axis] == 1]
    if not axes:
        raise NoFormulaError
    summed = [axis for axis, size in enumerate(shape) if size == 1 and axis != axes[0]]

    def gradient(delta: torch.Tensor) -> torch.Tensor:
        product = delta if factor is None else delta * factor
        reduced = product.sum(dim=summed, keepdim=True) if summed else product
        return reduced.movedim(axes[0], 0).reshape(points, -1)

    return Direct(slot, gradient)


def _over_features(known: Known, weight: Any, bias: Any, normal: torch.Tensor, axes: int) -> list[Direct]:
    """Scale and shift over the last ``axes`` axes."""
    normal = normal.detach()
    parts = (
        (weight, lambda d: known.by_point(normal * d, axes).sum(dim=1)),
        (bias, lambda d: known.by_point(d, axes).sum(dim=1)),
    )
    return [Direct(slot, part) for value, part in parts if (slot := known.slot_of(value)) is not None]


def _over_channels(known: Known, weight: Any, bias: Any, normal: torch.Tensor) -> list[Direct]:
    """Scale and shift over the second axis, as channels have it."""
    normal = normal.detach()

    def summed(value: torch.Tensor) -> torch.Tensor:
        return known.by_point(value.flatten(2).sum(dim=2) if value.ndim > 2 else value).sum(dim=1)

    parts = ((weight, lambda d: summed(normal * d)), (bias, summed))
    return [Direct(slot, part) for value, part in parts if (slot := known.slot_of(value)) is not None]


def _layer_norm(
    known: Known, inputs: torch.Tensor, shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Call:
    output = F.layer_norm(inputs, shape, weight, bias, eps)
    normal = F.layer_norm(inputs, shape, None, None, eps)
    return known.recorded(output, *_over_features(known, weight, bias, normal, len(shape)))


def _rms_norm(known: Known, inputs: torch.Tensor, shape: Any, weight: Any = None, eps: float | None = None) -> Call:
    output, normal = F.rms_norm(inputs, shape, weight, eps), F.rms_norm(inputs, shape, None, eps)
    return known.recorded(output, *_over_features(known, weight, None, normal, len(shape)))


def _group_norm(
    known: Known, inputs: torch.Tensor, groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Call:
    output, normal = F.group_norm(inputs, groups, weight, bias, eps), F.group_norm(inputs, groups, None, None, eps)
    return known.recorded(output, *_over_channels(known, weight, bias, normal))


def _batch_norm(
    known: Known,
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
        raise NoFormulaError
    output = F.batch_norm(inputs, mean, variance, weight, bias, False, momentum, eps)
    normal = F.batch_norm(inputs, mean, variance, None, None, False, momentum, eps)
    return known.recorded(output, *_over_channels(known, weight, bias, normal))


def _convolution(
    known: Known,
    inputs: torch.Tensor,
    weight: torch.Tensor,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Call:
    name, bias_name = known.whole(weight), known.whole(bias)
    spatial = weight.ndim - 2
    if name is None or isinstance(padding, str) or inputs.ndim != weight.ndim:
        raise NoFormulaError
    run = F.conv1d if spatial == 1 else F.conv2d
    output = run(inputs, weight, bias, stride, padding, dilation, groups)
    flat = inputs.detach() if spatial == 2 else inputs.detach()[:, :, None]
    sizes = [_pair(option, spatial, filler) for option, filler in ((dilation, 1), (padding, 0), (stride, 1))]
    patches = F.unfold(flat, _pair(tuple(weight.shape[2:]), spatial, 1), *sizes)  # (images, channels * kernel, places)
    by_group = patches.reshape(len(patches), groups, -1, patches.shape[-1])

    def of_group(group: int) -> Factored:
        def arranged(delta: torch.Tensor) -> torch.Tensor:
            own = delta.flatten(2).reshape(len(delta), groups, -1, patches.shape[-1])[:, group]
            return _positions(known, own)

        slot, bias_slot = Slot(name, group, groups), _slot(bias_name, group, groups)
        return Factored(slot, bias_slot, _positions(known, by_group[:, group]), arranged, transposed=True)

    return known.recorded(output, *(of_group(group) for group in range(groups)))


def _pair(option: Any, spatial: int, filler: int) -> tuple[int, int]:
    """An option of a convolution, for two axes."""
    values = (option,) * spatial if isinstance(option, int) else tuple(option) * (spatial // len(option))
    return (filler, values[0]) if spatial == 1 else (values[0], values[1])


def _positions(known: Known, images: torch.Tensor) -> torch.Tensor:
    """(images, size, places) -> (points, positions, size)."""
    return known.by_point(images.transpose(1, 2))


def _embedding(
    known: Known,
    index: torch.Tensor,
    weight: torch.Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    *options: Any,
    **named: Any,
) -> Call:
    name = known.whole(weight)
    if name is None or max_norm is not None:
        raise NoFormulaError
    output = F.embedding(index, weight)
    one_hot = F.one_hot(index, len(weight)).to(torch.float64)
    if padding_idx is not None:
        one_hot[..., padding_idx % len(weight)] = 0.0
    return known.recorded(output, Factored(Slot(name), None, known.by_point(one_hot), known.by_point))


def _register(formula: Callable[..., Call], *functions: Any) -> dict[Any, Callable[..., Call]]:
    return dict.fromkeys(functions, formula)


_tensor: Any = torch.Tensor
FORMULAS: dict[Any, Callable[..., Call]] = {
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
"""What follows for the parameters of each torch function whose gradients have a formula."""
