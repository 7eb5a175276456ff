"""What a PyTorch critic does with its parameters, call by call.

While `RecordedCalls` is active, every torch function that takes a parameter passes through it: layers of `torch.nn` and
hand-written ones alike. Where the gradient with respect to that parameter follows from the call's input and from the
gradient with respect to its output (`torch_formulas`), the call is recorded and that output noted; the rest is left to
per-sample gradients.
"""

from collections.abc import Iterator
from typing import Any

import torch

from seemrl.instrument.kernels.torch_formulas import FORMULAS
from seemrl.instrument.kernels.torch_parts import Call, Known, NoFormulaError
from seemrl.instrument.kernels.torch_precision import InFloat64, promoted, promoted_value


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
        self._known = Known(parameters, points)
        self.calls: list[Call] = []
        self.unknown: set[str] = set()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run one torch function, and note it if a parameter goes in."""
        kwargs = kwargs or {}
        taken = self._names_in((args, kwargs))
        if not taken or not torch.is_grad_enabled():
            return super().__torch_function__(func, types, args, kwargs)
        found = self._by_formula(func, args, kwargs)
        if found is not None and taken <= set[str]().union(*(part.names for part in found.parts)):
            self.calls.append(found)
            return found.output.clone()  # what is done to it in place later leaves the recorded one alone
        result = super().__torch_function__(func, types, args, kwargs)
        self._known.take_members(func, args, result)
        if any(self._known.name_of(value) is None for value in _tensors((result,))):  # no shape, nor the parameter
            self.unknown |= taken
        return result

    def _by_formula(self, func: Any, args: Any, kwargs: Any) -> Call | None:
        formula = FORMULAS.get(func)
        if formula is None:
            return None
        try:
            named = {name: promoted_value(value) for name, value in kwargs.items()}
            return formula(self._known, *promoted(args), **named)
        except NoFormulaError:
            return None

    def _names_in(self, values: Any) -> set[str]:
        """Of the parameters among the values."""
        return {name for value in _tensors(values) if (name := self._known.name_of(value)) is not None}


def _tensors(values: Any) -> Iterator[torch.Tensor]:
    if isinstance(values, torch.Tensor):
        yield values
    elif isinstance(values, dict):
        for value in values.values():
            yield from _tensors(value)
    elif isinstance(values, tuple | list):
        for value in values:
            yield from _tensors(value)
