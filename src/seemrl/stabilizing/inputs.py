"""Inputs that somebody's module can be run on, found by trying."""

import inspect
from collections.abc import Iterator, Sequence
from itertools import permutations
from typing import Any

import torch

from seemrl.errors import InputError

_POINTS = 3
_SEED = 0
_FIRST = 3  # layers whose sizes are tried
_LARGEST_ACTION = 65


def try_inputs(module: torch.nn.Module, example: Sequence[Any] | None) -> list[torch.Tensor]:
    """A few points that the module's forward method takes: the example's, or such as its first layers suggest.

    Which of a critic's features are the observation and which the action does not matter to one that joins them: every
    division of its first layers' inputs is tried, and each of them beside an action of its own.

    Raises:
        InputError: the module fails at the example, or at all that was tried.
    """
    parameter = next(module.parameters(), None)
    if parameter is None:
        raise InputError(f"stabilize: {type(module).__name__} has no parameters; pass a torch.nn.Module with layers")
    if example is not None:
        given = [torch.as_tensor(value, device=parameter.device) for value in example]
        inputs = [value.to(parameter.dtype) if value.is_floating_point() else value for value in given]
        failure = _failure(module, inputs)
        if failure is None:
            return inputs
        raise InputError(f"stabilize: {type(module).__name__} fails at the example ({failure})")
    arguments = _arguments(module)
    failure = f"its forward method takes {arguments} inputs"
    generator = torch.Generator().manual_seed(_SEED)
    for sizes in _suggested(module, arguments):
        points = [torch.randn(_POINTS, size, generator=generator) for size in sizes]
        inputs = [value.to(device=parameter.device, dtype=parameter.dtype) for value in points]
        failure = _failure(module, inputs)
        if failure is None:
            return inputs
    raise InputError(
        f"stabilize: no inputs are found that {type(module).__name__} takes ({failure}); "
        "pass example=(observations, actions), a few rows of each, or example=(observations,)"
    )


def _arguments(module: torch.nn.Module) -> int:
    """Inputs that the forward method requires."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    try:
        parameters = inspect.signature(module.forward).parameters.values()
    except (TypeError, ValueError):
        return 2
    required = [item for item in parameters if item.kind in kinds and item.default is inspect.Parameter.empty]
    free = any(item.kind is inspect.Parameter.VAR_POSITIONAL for item in parameters)
    return 2 if free and len(required) < 2 else len(required)


def _suggested(module: torch.nn.Module, arguments: int) -> Iterator[tuple[int, ...]]:
    widths = list(dict.fromkeys(_widths(module)))
    if arguments == 1:
        yield from ((width,) for width in widths)
    elif arguments == 2:
        yield from ((width - 1, 1) for width in widths if width > 1)
        yield from permutations(widths[:_FIRST], 2)
        yield from ((width, width) for width in widths[:_FIRST])
        yield from ((first, width - first) for width in widths[:_FIRST] for first in range(1, width - 1))
        yield from ((width, second) for width in widths[:_FIRST] for second in range(1, _LARGEST_ACTION))


def _widths(module: torch.nn.Module) -> Iterator[int]:
    """Sizes of the layers' inputs, as far as shapes tell."""
    for part in module.modules():
        if isinstance(part, torch.nn.Linear):
            yield part.in_features
        elif not any(True for _ in part.children()):
            for value in part.parameters(recurse=False):
                if value.ndim in (2, 3):
                    yield value.shape[-2]
                    yield value.shape[-1]


def _failure(module: torch.nn.Module, inputs: Sequence[torch.Tensor]) -> str | None:
    try:
        module(*inputs)
    except Exception as error:  # whatever somebody's module raises
        lines = str(error).strip().splitlines() or [""]
        return f"{type(error).__name__}: {lines[0][:160]}"
    return None
