"""Kernel blocks of a critic: the formulas (`layerwise`) and the frameworks whose critics they are fed from."""

import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Protocol, runtime_checkable

import numpy as np

from seemrl.errors import InputError, reason
from seemrl.instrument.kernels.traces import Traced
from seemrl.instrument.optimizers import StepRule


@runtime_checkable
class Critic(Protocol):
    """What the instrument needs of a critic, whatever it is written in."""

    leaves: list[np.ndarray]
    """The trainable parameters, float64."""

    def __call__(self, observations: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """Values (heads, points) in float64."""
        ...

    def trace(self, observations: np.ndarray, actions: np.ndarray) -> Traced:
        """Values, and what each layer contributes to the kernel, at these points."""
        ...

    def action_values(self, observations: np.ndarray) -> np.ndarray:
        """Values of every action of a discrete critic, (heads, points, actions)."""
        ...

    @property
    def by_sample(self) -> tuple[str, ...]:
        """Parameters without a formula, which are traced by per-sample gradients; known once something was traced."""
        ...

    def step_rule(self, optimizer: Any, learning_rate: float | None) -> StepRule | None:
        """How the optimizer turns a gradient into a step."""
        ...


@contextmanager
def asked(name: str, observations: np.ndarray, actions: np.ndarray | None = None) -> Generator[None]:
    """What the critic's own code raises, in one line that says how it was called.

    Raises:
        InputError: it fails.
    """
    try:
        yield
    except (InputError, MemoryError):
        raise
    except Exception as error:  # whatever its code raises
        given = f"float64 observations {observations.shape}"
        given += f" and actions {actions.shape}" if actions is not None else ""
        raise InputError(
            f"{name}: it fails at {given} ({reason(error, 80)}); it must take (observations, actions), or the "
            "observations alone where batch.actions are integers"
        ) from error


def open_critic(critic: Any, discrete: bool = False) -> Critic:
    """Prepare a PyTorch module or a JAX callable for tracing; the framework is imported only now.

    Args:
        critic: called as critic(observations, actions), or as critic(observations) if discrete.
        discrete: whether it returns the values of every action.

    Raises:
        InputError: it is neither, or it has nothing to train.
    """
    if not callable(critic):
        raise InputError(f"critic: a {type(critic).__name__} cannot be called; pass critic(observations, actions)")
    torch: Any = sys.modules.get("torch")
    module: Any = critic
    if torch is not None and isinstance(module, torch.nn.Module):
        from seemrl.instrument.kernels.torch import TorchCritic

        return TorchCritic(module, discrete)
    from seemrl.instrument.kernels.jax import JaxCritic

    return JaxCritic(critic, discrete)
