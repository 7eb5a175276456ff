"""What an optimizer's own state says about the size and direction of its next step."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from seemrl.errors import InputError

NO_STEP = "optimizer: it has taken no step yet, so its step sizes are undefined; read after the first update"
"""What is said of an optimizer before its first update."""


@dataclass(frozen=True)
class StepRule:
    """A step of the form learning_rate * P * gradient, with P diagonal, once the gradient is steady.

    Attributes:
        learning_rate: steady step size: without dampening, momentum b makes 1 / (1 - b) of the optimizer's own.
        preconditioner: the diagonal of P, an array per parameter leaf, or None for the identity.
        momentum: b, the share of the last step that goes on in the next; Adam's b1.
    """

    learning_rate: float
    preconditioner: Sequence[np.ndarray] | None
    momentum: float = 0.0


def read_optax(state: Any, leaves: Sequence[np.ndarray], learning_rate: float | None) -> StepRule:
    """The step rule of an optax state: SGD, or Adam, AMSGrad, AdamW, RMSprop (centered too) by their second moments.

    Weight decay is left out.

    Learning rate, momentum, ``b1``, ``b2`` and ``eps`` are read where ``optax.inject_hyperparams`` keeps them in the
    state; otherwise the learning rate must be given and optax's defaults are taken for ``b1``, ``b2`` and ``eps``.

    Raises:
        InputError: another rule, no learning rate or momentum is known, or the moments are not the critic's.
    """
    nodes = {type(node).__name__: node for node in _walk(state)}
    unknown = next((kind for kind in nodes if kind not in (*_WITHOUT_SCALE, "TraceState", *_SCALES)), None)
    if unknown is not None or not nodes:
        hint = "" if isinstance(state, tuple) and not hasattr(state, "init") else "; pass the optax state"
        raise InputError(f"optimizer: {unknown or type(state).__name__} is {_UNSUPPORTED}{hint}")
    settings = {name: float(value) for node in nodes.values() for name, value in _hyperparameters(node).items()}
    rate = learning_rate if learning_rate is not None else settings.get("learning_rate")
    if rate is None:
        raise InputError(
            "optimizer: this optax state does not hold its learning rate; "
            "pass learning_rate=..., or build the optimizer with optax.inject_hyperparams"
        )
    if "TraceState" in nodes and "momentum" not in settings:
        raise InputError(
            "optimizer: this optax state has momentum but does not hold its coefficient; "
            "build the optimizer with optax.inject_hyperparams"
        )
    scale = next((nodes[kind] for kind in _SCALES if kind in nodes), None)
    momentum = settings["momentum"] if "TraceState" in nodes else 0.0
    rate /= 1 - momentum
    if scale is None:
        return StepRule(rate, None, momentum)
    if sum(type(node).__name__ in _SCALES for node in _walk(state)) > 1:
        raise InputError("optimizer: this optax state scales its steps twice; pass the state of the critic's own rule")
    moments = _leaves(scale.nu)
    if [moment.shape for moment in moments] != [leaf.shape for leaf in leaves]:
        raise InputError(
            "optimizer: its second moments do not match the critic's parameters; pass the critic's own state"
        )
    if type(scale).__name__ in _ADAMS:
        momentum = settings.get("b1", 0.9)
    return StepRule(rate, _optax_diagonal(scale, moments, settings), momentum)


_UNSUPPORTED = "not supported; SGD, Adam, AdamW and RMSprop are"
_WITHOUT_SCALE = {
    "EmptyState",
    "ScaleByScheduleState",
    "InjectHyperparamsState",
    "InjectStatefulHyperparamsState",
    "MaskedState",  # of weight decay, mostly; a scale that leaves parameters out does not have all moments
    "ApplyIfFiniteState",
}
_ADAMS = ("ScaleByAdamState", "ScaleByAmsgradState")
_SCALES = (*_ADAMS, "ScaleByRmsState", "ScaleByRStdDevState")


def _leaves(tree: Any) -> list[np.ndarray]:
    import jax

    return [np.asarray(leaf, np.float64) for leaf in jax.tree.leaves(tree)]


def _walk(node: Any) -> list[Any]:
    """Every state within a state; a chain is a bare tuple of them."""
    if not isinstance(node, tuple):
        return []
    own = [node] if hasattr(node, "_fields") else []
    return [*own, *(found for child in node for found in _walk(child))]


def _hyperparameters(node: Any) -> dict[str, Any]:
    return getattr(node, "hyperparams", {})


def _optax_diagonal(scale: Any, moments: list[np.ndarray], settings: dict[str, float]) -> list[np.ndarray]:
    epsilon = settings.get("eps", 1e-8)
    if type(scale).__name__ not in _ADAMS:
        if not any(moment.any() for moment in moments):
            raise InputError(NO_STEP)
        if type(scale).__name__ == "ScaleByRStdDevState":
            moments = [
                np.maximum(moment - mean**2, 0.0) for moment, mean in zip(moments, _leaves(scale.mu), strict=True)
            ]
        return [np.asarray(1 / np.sqrt(moment + epsilon)) for moment in moments]  # eps_in_sqrt, optax's default
    if int(scale.count) == 0:
        raise InputError(NO_STEP)
    inside = settings.get("eps_root", 0.0)
    if type(scale).__name__ == "ScaleByAmsgradState":  # the largest so far of corrected moments
        return [np.asarray(1 / (np.sqrt(moment + inside) + epsilon)) for moment in _leaves(scale.nu_max)]
    correction = 1 - settings.get("b2", 0.999) ** int(scale.count)
    return [np.asarray(1 / (np.sqrt(moment / correction + inside) + epsilon)) for moment in moments]


def read_torch(optimizer: Any, parameters: Sequence[Any], learning_rate: float | None) -> StepRule:
    """The step rule of a torch SGD, Adam, AdamW or RMSprop that owns the critic's parameters; weight decay is left out.

    A list of such optimizers, one for each head, is one that owns what they own.

    Raises:
        InputError: another optimizer, parameters it does not own or that have different settings, or no step taken.
    """
    optimizers = list(optimizer) if isinstance(optimizer, list) else [optimizer]
    for one in optimizers:
        name = type(one).__name__
        if not hasattr(one, "param_groups"):
            raise InputError(
                f"optimizer: a {name} is no torch optimizer; pass the object whose step() trains the critic"
            )
        if name not in ("SGD", "Adam", "AdamW", "RMSprop"):
            raise InputError(f"optimizer: {name} is {_UNSUPPORTED}")
    names = sorted({type(one).__name__ for one in optimizers})
    owners = [_owner(optimizers, parameter) for parameter in parameters]
    groups = [group for _, group in owners]
    if len(names) > 1:
        raise InputError(f"optimizer: the critic's parameters have several kinds, {', '.join(names)}; use one")
    rates = {(float(group["lr"]) if learning_rate is None else learning_rate) * _gain(group) for group in groups}
    if len(rates) > 1:
        raise InputError(f"optimizer: the critic's parameters have several learning rates {sorted(rates)}; use one")
    momenta = {float(group["betas"][0] if "betas" in group else group.get("momentum", 0.0)) for group in groups}
    if len(momenta) > 1:
        raise InputError(f"optimizer: the critic's parameters have several momenta {sorted(momenta)}; use one")
    if names == ["SGD"]:
        return StepRule(rates.pop(), None, momenta.pop())
    diagonals = [
        _torch_diagonal(names[0], *owner, parameter) for owner, parameter in zip(owners, parameters, strict=True)
    ]
    return StepRule(rates.pop(), diagonals, momenta.pop())


def _owner(optimizers: Sequence[Any], parameter: Any) -> tuple[Any, dict[str, Any]]:
    """The optimizer that owns a parameter, and the group it is in."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            if any(owned is parameter for owned in group["params"]):
                return optimizer, group
    raise InputError("optimizer: it does not own all of the critic's parameters; pass the critic's own optimizer")


def _gain(group: dict[str, Any]) -> float:
    """What momentum makes of a steady gradient; Adam's own is 1."""
    momentum = float(group.get("momentum", 0.0))
    return (1 - float(group.get("dampening", 0.0))) / (1 - momentum) if momentum else 1.0


def _torch_diagonal(name: str, optimizer: Any, group: dict[str, Any], parameter: Any) -> np.ndarray:
    state = {key: _numbers(value) for key, value in optimizer.state.get(parameter, {}).items()}
    if not {"square_avg", "exp_avg_sq"} & state.keys():
        raise InputError(NO_STEP)
    if name == "RMSprop":
        variance = state["square_avg"] - (state["grad_avg"] ** 2 if group["centered"] else 0.0)
    else:
        moment = state["max_exp_avg_sq" if group["amsgrad"] else "exp_avg_sq"]
        variance = moment / (1 - group["betas"][1] ** float(state["step"]))
    return np.asarray(1 / (np.sqrt(variance) + group["eps"]))


def _numbers(value: Any) -> np.ndarray:
    return np.asarray(value.detach().cpu().double() if hasattr(value, "detach") else value)
