"""A torch module computes in float64, whatever precision it was written for."""

from typing import Any

import torch
from torch.overrides import TorchFunctionMode

_CASTS = {
    torch.Tensor.to,
    torch.Tensor.type,
    torch.Tensor.type_as,
    torch.Tensor.float,
    torch.Tensor.half,
    torch.Tensor.bfloat16,
    torch.Tensor.double,
}


class InFloat64(TorchFunctionMode):
    """Casts between floating-point types do nothing, and arguments of less precision are promoted to float64."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run one torch function in float64."""
        kwargs = kwargs or {}
        if func in _CASTS and _to_floating(func, args, kwargs):
            return args[0].to(torch.float64)
        return func(*promoted(args), **{name: promoted_value(value) for name, value in kwargs.items()})


def promoted(values: Any) -> Any:
    """Tensors of less precision in float64, in tuples and lists too; a no-op for those that are."""
    return tuple(promoted_value(value) for value in values)


def promoted_value(value: Any) -> Any:
    """One argument of a torch function, in float64 where it has a floating-point type."""
    if isinstance(value, torch.Tensor):
        lower = value.is_floating_point() and value.dtype != torch.float64
        return value.to(torch.float64) if lower else value
    if isinstance(value, torch.dtype):
        return torch.float64 if value.is_floating_point else value
    if type(value) in (tuple, list):
        return type(value)(promoted_value(part) for part in value)
    return value


def _to_floating(func: Any, args: Any, kwargs: Any) -> bool:
    """Whether a cast leads to a floating-point type."""
    if func not in (torch.Tensor.to, torch.Tensor.type, torch.Tensor.type_as):
        return True
    wanted = [*args[1:], *kwargs.values()]
    kinds = [value for value in wanted if isinstance(value, torch.dtype)]
    kinds += [value.dtype for value in wanted if isinstance(value, torch.Tensor)]
    return any(kind.is_floating_point for kind in kinds)
