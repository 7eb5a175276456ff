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
        parameter: its name.
        gradient: -> (points, parameters).
    """

    parameter: str
    gradient: Callable[[torch.Tensor], torch.Tensor]

    @property
    def names(self) -> set[str]:
        """The parameter it is about."""
        return {self.parameter}


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
        self._names = {id(parameter): name for name, parameter in parameters.items()}
        self.points = points

    def name_of(self, value: Any) -> str | None:
        """The parameter's name, None for anything else."""
        return self._names.get(id(value))

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
