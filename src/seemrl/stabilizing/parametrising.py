"""Normalised weights in a torch network, by torch's own parametrizations, and the way back."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch.nn.utils import parametrizations, parametrize

WeightNorm = Literal["weight", "spectral"]
"""Weight normalisation (Salimans and Kingma, 2016) or spectral normalisation (Miyato et al., 2018)."""

_MARK = "stabilised_weight"


@dataclass(frozen=True)
class _Mark:
    """What `normalise_weight` did to a layer, and its weights' sums then, which training changes."""

    norm: WeightNorm
    before: tuple[float, float]


def normalise_weight(part: torch.nn.Linear, norm: WeightNorm, group: dict[str, Any] | None) -> None:
    """Parametrize a layer's weight; the optimizer's group, where there is one, has what is trained then."""
    weight = part.weight
    setattr(part, _MARK, _Mark(norm, _sums(weight)))
    if norm == "spectral":
        parametrizations.spectral_norm(part)  # the parameter itself stays
        return
    parametrizations.weight_norm(part)
    parts = _weight(part)
    if group is not None:
        _exchange(group["params"], [weight], [parts.original0, parts.original1])


def parametrised(part: torch.nn.Module) -> bool:
    """Whether `normalise_weight` has been here."""
    return hasattr(part, _MARK)


def restorable(part: torch.nn.Module) -> bool:
    """Whether the layer's own weight is still what it was; or size and direction, which give it at any time."""
    mark: _Mark = getattr(part, _MARK)
    return mark.norm == "weight" or _sums(_weight(part).original) == mark.before


def restore_weight(part: torch.nn.Module, optimizer: torch.optim.Optimizer | None) -> None:
    """Take the parametrization out again: the weight it has made, or, of a spectral norm, the one it was made of."""
    mark: _Mark = getattr(part, _MARK)
    delattr(part, _MARK)
    if mark.norm == "spectral":
        parametrize.remove_parametrizations(part, "weight", leave_parametrized=False)
        return
    parts = _weight(part)
    size, direction = parts.original0, parts.original1
    untouched = _sums(direction) == mark.before and torch.equal(size, torch.norm_except_dim(direction, 2, 0))
    parametrize.remove_parametrizations(part, "weight")
    weight = part.get_parameter("weight")
    if untouched:  # to the last bit
        weight.data.copy_(direction.data)
    for group in [] if optimizer is None else optimizer.param_groups:
        if any(value is direction for value in group["params"]):
            _exchange(group["params"], [size, direction], [weight])
    for value in [] if optimizer is None else [size, direction]:
        optimizer.state.pop(value, None)  # pyright: ignore[reportOptionalMemberAccess]


def _weight(part: torch.nn.Module) -> Any:
    parametrizations_of_part: Any = part.get_submodule("parametrizations")
    return parametrizations_of_part.weight


def _sums(weight: torch.Tensor) -> tuple[float, float]:
    exact = weight.detach().double()
    return float(exact.sum()), float((exact**2).sum())


def _exchange(parameters: list[torch.Tensor], old: Sequence[torch.Tensor], new: Sequence[torch.Tensor]) -> None:
    """Put new parameters in the place of old ones."""
    gone = {id(value) for value in old}
    place = next((number for number, value in enumerate(parameters) if id(value) in gone), None)
    if place is not None:
        kept = [value for value in parameters if id(value) not in gone]
        parameters[:] = [*kept[:place], *new, *kept[place:]]
