"""The critic's optimizer, rebuilt around its saved state."""

from collections.abc import Mapping
from typing import Any

import torch

from seemrl.errors import InputError, reason
from seemrl.measuring.config import MeasureConfig
from seemrl.measuring.weights import load_optimizer_state

_CLASSES: dict[str, Any] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "sgd": torch.optim.SGD,
    "rmsprop": torch.optim.RMSprop,
}
_MARKS = {"amsgrad": "adam", "nesterov": "sgd", "centered": "rmsprop"}
"""A setting that only optimizers of one kind have, AdamW's steps being Adam's but for weight decay."""


def open_optimizer(config: MeasureConfig, critic: torch.nn.Module) -> torch.optim.Optimizer | None:
    """The optimizer of the critic's parameters as it was saved; None where no state is given.

    Raises:
        InputError: the state cannot be read, is of another optimizer or of other parameters, or is missing though the
            optimizer named has one.
    """
    if config.optimizer_state is None:
        if config.optimizer not in (None, "sgd"):
            raise InputError(
                f"--optimizer {config.optimizer}: its step depends on its state; give --optimizer-state FILE#key, or "
                "--learning-rate alone for plain gradient steps"
            )
        if config.optimizer == "sgd" and config.learning_rate is None:
            raise InputError("--optimizer sgd: its learning rate is not known; give --learning-rate or its state")
        return None
    label = f"--optimizer-state {config.optimizer_state}"
    state = load_optimizer_state("--optimizer-state", config.optimizer_state)
    optimizer = _CLASSES[_kind(label, state, config.optimizer)](critic.parameters(), lr=1.0)
    try:
        optimizer.load_state_dict(state)
    except Exception as error:  # torch raises several, and its state is a tree of any values
        raise InputError(f"{label}: not of this critic's optimizer ({reason(error)})") from error
    for number, parameter in enumerate(critic.parameters()):
        shapes = {tuple(item.shape) for item in _moments(optimizer.state.get(parameter, {}))}
        own = tuple(parameter.shape)
        if shapes - {own}:
            other = ", ".join(map(str, shapes - {own}))
            raise InputError(
                f"{label}: not of this critic's optimizer (parameter {number} has shape {own}, its moments {other})"
            )
    return optimizer


def _kind(label: str, state: Mapping[str, Any], named: str | None) -> str:
    groups = state["param_groups"]
    settings = groups[0] if isinstance(groups, list) and groups and isinstance(groups[0], Mapping) else {}
    kind = next((kind for mark, kind in _MARKS.items() if mark in settings), None)
    if kind is None:
        raise InputError(f"{label}: of none of these optimizers: {', '.join(_CLASSES)}")
    if named is None or named == kind or (named == "adamw" and kind == "adam"):
        return named or kind
    raise InputError(f"{label}: the state of {kind}, not of --optimizer {named}")


def _moments(state: Mapping[str, Any]) -> list[torch.Tensor]:
    return [value for key, value in state.items() if key != "step" and isinstance(value, torch.Tensor)]
