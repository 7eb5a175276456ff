"""Kernel blocks of a critic: the formulas (`layerwise`) and the frameworks whose critics they are fed from."""

import sys
from collections.abc import Iterator, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np

from seemrl.errors import InputError
from seemrl.instrument.kernels.layerwise import LayerTrace
from seemrl.instrument.optimizers import StepRule


@runtime_checkable
class Critic(Protocol):
    """What the instrument needs of a critic, whatever it is written in."""

    leaves: list[np.ndarray]
    """The trainable parameters, float64."""

    def __call__(self, observations: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """Values (heads, points) in float64."""
        ...

    def traces(
        self, observations: np.ndarray, actions: np.ndarray, preconditioner: Sequence[np.ndarray] | None
    ) -> Iterator[LayerTrace]:
        """What each layer contributes to the kernel at these points."""
        ...

    def step_rule(self, optimizer: Any, learning_rate: float | None) -> StepRule | None:
        """How the optimizer turns a gradient into a step."""
        ...


def open_critic(critic: Any) -> Critic:
    """Prepare a PyTorch module or a JAX callable for tracing; the framework is imported only now.

    Raises:
        InputError: it is neither, or it has nothing to train.
    """
    if not callable(critic):
        raise InputError(f"critic: a {type(critic).__name__} cannot be called; pass critic(observations, actions)")
    torch: Any = sys.modules.get("torch")
    module: Any = critic
    if torch is not None and isinstance(module, torch.nn.Module):
        from seemrl.instrument.kernels.torch import TorchCritic

        return TorchCritic(module)
    from seemrl.instrument.kernels.jax import JaxCritic

    return JaxCritic(critic)
