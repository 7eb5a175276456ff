"""What the formulas for a torch module's parameters are written in: parts of gradients, and the calls they are from."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch


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

    @property
    def names(self) -> set[str]:
        """The parameters it is about."""
        return {slot.name for slot in (self.weight, self.bias) if slot is not None}


@dataclass(frozen=True)
class Direct:
    """Gradient = a function of the gradient with respect to the call's output.

    Attributes:
        slot: the parameter, or the member of it.
        gradient: -> (points, parameters).
    """

    slot: Slot
    gradient: Callable[[torch.Tensor], torch.Tensor]

    @property
    def names(self) -> set[str]:
        """The parameter it is about."""
        return {self.slot.name}


@dataclass(frozen=True)
class Call:
    """One recorded call: its output in the graph, and what follows for its parameters."""

    output: torch.Tensor
    parts: Sequence[Factored | Direct]


class NoFormulaError(Exception):
    """A use of a parameter that no formula covers."""


class Known:
    """A module's parameters, and the points it runs on: what a formula has to know of its surroundings.

    Args:
        parameters: by name, as the module finds them.
        points: how many.
    """

    def __init__(self, parameters: dict[str, torch.Tensor], points: int) -> None:
        self._slots = {id(parameter): Slot(name) for name, parameter in parameters.items()}
        self._members: list[torch.Tensor] = []  # held, so that no other tensor gets the id of one
        self.points = points

    def slot_of(self, value: Any) -> Slot | None:
        """The parameter, or the member taken from it; None for anything else."""
        return self._slots.get(id(value))

    def name_of(self, value: Any) -> str | None:
        """The parameter's name, also of a member; None for anything else."""
        slot = self.slot_of(value)
        return None if slot is None else slot.name

    def whole(self, value: Any) -> str | None:
        """The parameter's name, None for anything else.

        Raises:
            NoFormulaError: it is a member.
        """
        slot = self.slot_of(value)
        if slot is not None and slot.members > 1:
            raise NoFormulaError
        return None if slot is None else slot.name

    def take_members(self, func: Any, args: Sequence[Any], result: Any) -> None:
        """Know the members again that a call took from a stacked parameter: ``stacked[2]``, ``stacked.unbind()``."""
        slot = self.slot_of(args[0]) if args else None
        if slot is None or slot.members > 1 or args[0].ndim == 0:
            return
        members = len(args[0])
        if func is torch.Tensor.__getitem__ and type(args[1]) is int:
            taken = {args[1] % members: result}
        elif func in (torch.unbind, torch.Tensor.unbind) and len(args) == 1:
            taken = dict(enumerate(result))
        else:
            return
        for member, value in taken.items():
            self._slots[id(value)] = Slot(slot.name, member, members)
            self._members.append(value)

    def by_point(self, value: torch.Tensor, last: int = 1) -> torch.Tensor:
        """(points, positions, size), whichever axis the points are on; ``last`` axes make up the size.

        Raises:
            NoFormulaError: no axis fits.
        """
        size = value.shape[value.ndim - last :].numel()
        leading = value.shape[: value.ndim - last]
        if len(leading) >= 2 and leading[0] != self.points and leading[1] == self.points:
            value = value.transpose(0, 1)
        elif not leading or leading[0] % self.points:
            raise NoFormulaError
        return value.reshape(self.points, -1, size)

    def recorded(self, output: torch.Tensor, *parts: Factored | Direct | None) -> Call:
        """A call with its output in the graph, even where nothing before it was."""
        output = output if output.requires_grad else output.detach().requires_grad_()
        return Call(output, [part for part in parts if part is not None])
