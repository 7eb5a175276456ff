"""Transitions of TorchRL's data as a loss module sees them."""

from typing import Any

import numpy as np
import torch

from seemrl.errors import InputError
from seemrl.instrument.batch import Batch
from seemrl.integrations.library import unsupported
from seemrl.integrations.torchrl_critic import LIBRARY, discrete, entries
from seemrl.monitoring.randomness import own_randomness


def batch(loss_module: Any, data: Any, rows: int = 128, seed: int = 0) -> Batch:
    """Transitions as the loss module sees them: with the buffer's transforms, its own keys and ``terminated``.

    Drawn without replacement by a generator of our own, so that training's stays where it is.

    Args:
        loss_module: a supported loss module.
        data: a replay buffer, or a tensordict of transitions.
        rows: how many; all, where there are fewer.
        seed: the same seed and data, the same rows.

    Raises:
        InputError: there are none, an entry is missing or not a vector, or a transition spans several steps.
    """
    if not len(data):
        raise InputError("torchrl: there are no transitions yet; read after the first ones are collected")
    keys = loss_module.tensor_keys
    with own_randomness(seed):
        flat = _drawn(data, rows, np.random.default_rng(seed))
    steps = flat.get(loss_module.value_estimator.tensor_keys.steps_to_next_obs, None)
    if steps is not None and bool((steps != 1).any()):
        raise unsupported(LIBRARY, "a transition of several steps", "single-step transitions")
    observation, action = entries(loss_module)
    ended = keys.terminated if flat.get(_next(keys.terminated), None) is not None else keys.done
    actions = _column(flat, action)
    return Batch(
        observations=_column(flat, observation),
        actions=_indices(loss_module, actions) if discrete(loss_module) else actions,
        rewards=_column(flat, _next(keys.reward)).reshape(len(flat)),
        next_observations=_column(flat, _next(observation)),
        terminals=_column(flat, _next(ended)).reshape(len(flat)),
    )


def _drawn(data: Any, rows: int, generator: np.random.Generator) -> Any:
    """Some transitions of a tensordict or of a buffer, in one row."""
    indexed = hasattr(data, "storage") and data.storage.ndim == 1
    flat = None if indexed else (data[:] if hasattr(data, "storage") else data).reshape(-1)
    held = len(data) if flat is None else len(flat)
    chosen = torch.from_numpy(generator.choice(held, min(rows, held), replace=False))
    return data[chosen] if flat is None else flat[chosen]


def _next(entry: Any) -> tuple[str, ...]:
    return ("next", entry) if isinstance(entry, str) else ("next", *entry)


def _column(flat: Any, entry: Any) -> np.ndarray:
    value = flat.get(entry, None)
    if value is None:
        raise InputError(f"torchrl: the data have no entry {entry}; the loss module's keys must be those of the data")
    if value.ndim > 2:
        raise unsupported(LIBRARY, f"{entry} of shape {tuple(value.shape)}", "vectors")
    return value.detach().cpu().numpy()


def _indices(loss_module: Any, actions: np.ndarray) -> np.ndarray:
    if loss_module.action_space not in ("one_hot", "categorical"):
        raise unsupported(LIBRARY, f"the action space {loss_module.action_space!r}", "one_hot and categorical")
    chosen = actions.argmax(axis=1) if loss_module.action_space == "one_hot" else actions.reshape(len(actions))
    return chosen.astype(np.int64)
