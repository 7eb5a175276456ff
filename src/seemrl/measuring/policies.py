"""The policies that a target can be asked with: a module's, the logged actions, uniformly random ones."""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float

from seemrl.data.dataset import Dataset
from seemrl.errors import InputError, reason

Policy = Callable[[np.ndarray], np.ndarray]
"""next observations (rows, observation) -> actions (rows, action)."""

_TENSOR = "the actions alone, a tensor (rows, action size)"


def module_policy(module: torch.nn.Module, label: str) -> Policy:
    """The actions that a module's forward returns for observations of its own precision.

    Args:
        module: called with observations (rows, observation).
        label: how messages begin.
    """
    floating = (value.dtype for value in module.state_dict().values() if value.is_floating_point())
    dtype = next(floating, torch.float32)

    def act(next_observations: np.ndarray) -> np.ndarray:
        shape = next_observations.shape
        try:
            with torch.no_grad():
                actions = module(torch.as_tensor(next_observations, dtype=dtype))
        except Exception as error:  # whatever the user's code raises
            raise InputError(
                f"{label}: its forward fails at observations {shape} ({reason(error)}); it must return {_TENSOR}"
            ) from error
        if not isinstance(actions, torch.Tensor):
            raise InputError(
                f"{label}: its forward returns a {type(actions).__name__}, but it must return {_TENSOR}; name a "
                "subclass whose forward returns the mean action, or take --policy data or uniform"
            )
        return actions.double().numpy()

    return act


def uniform_policy(data: Dataset, seed: int) -> Policy:
    """Uniformly random actions between the smallest and the largest of the data, dimension by dimension."""
    low, high = data.actions.min(axis=0).astype(np.float64), data.actions.max(axis=0).astype(np.float64)
    random = np.random.default_rng(seed)
    return lambda next_observations: random.uniform(low, high, (len(next_observations), len(low)))


def logged_policy(actions: Float[np.ndarray, "rows action"]) -> Policy:
    """The actions that were taken next, for exactly the rows they belong to."""

    def act(next_observations: np.ndarray) -> np.ndarray:
        if len(next_observations) != len(actions):
            raise InputError("--policy data: it knows the next actions of the rows that were drawn, and of no others")
        return actions

    return act
