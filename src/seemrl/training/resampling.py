"""Which transitions a run learns from more often: weights by return or advantage, or priorities by TD error."""

from pathlib import Path
from typing import Any

import equinox as eqx
import numpy as np
from jaxtyping import Float

from seemrl.agents.agent import Transitions
from seemrl.agents.behaviour_value import advantage_weights
from seemrl.agents.weighted import Weighted, priority_tree
from seemrl.data.dataset import Dataset
from seemrl.errors import InputError
from seemrl.files import write_atomically
from seemrl.training.config import TrainConfig

WEIGHTS = "weights.npy"
_DEVIATION = 2.0


def return_weights(data: Dataset, floor: float) -> Float[np.ndarray, " rows"]:
    """Of each row (its episode's return - the smallest) / (the largest - the smallest), and the floor; mean 1.

    Where all returns are the same, so are the weights. (Yue et al., 2023, *Decoupled Prioritized Resampling*, ODPR-R.)
    """
    episodes, returns = data.episodes(), data.returns()
    spread = returns.max() - returns.min()
    each = (returns - returns.min()) / spread if spread > 0 else np.ones(len(returns))
    weights = np.repeat(each, episodes[:, 1] - episodes[:, 0]) + floor
    return weights / weights.mean()


def widened(weights: Float[np.ndarray, " rows"], floor: float) -> Float[np.ndarray, " rows"]:
    """Weights with mean 1 spread to a standard deviation of 2 where theirs is smaller, none below the floor."""
    scale = max(1.0, _DEVIATION / max(weights.std(), 1e-12))
    spread = np.maximum(scale * (weights - 1) + 1, floor)
    return spread / spread.mean()


def resampled(
    config: TrainConfig, data: Dataset, transitions: Transitions, agent: Any, directory: Path
) -> tuple[Transitions | Weighted, Any]:
    """The transitions and the agent as the config wants them drawn from; weights are kept in the run's weights.npy.

    Args:
        config: the run's settings.
        data: the data set.
        transitions: the same, on the device, as the agent sees them.
        agent: a fresh agent.
        directory: the run's.

    Raises:
        InputError: weights.npy of a run that is resumed is not of this data.
    """
    if config.resample == "uniform":
        return transitions, agent
    if config.resample == "td-error":
        tree = priority_tree(len(data))
        return transitions, eqx.tree_at(lambda a: a.priorities, agent, tree, is_leaf=lambda part: part is None)
    path = directory / WEIGHTS
    if not path.exists():
        weights = _weights(config, data, transitions)
        write_atomically(path, lambda temporary: _save(temporary, weights))
    return Weighted.of(transitions, _load(path, len(data)), config.resample_critic), agent


def _weights(config: TrainConfig, data: Dataset, transitions: Transitions) -> Float[np.ndarray, " rows"]:
    if config.resample == "return":
        return return_weights(data, config.resample_floor)
    advantages = advantage_weights(
        transitions, config.hyperparameters.discount, config.advantage_rounds, config.advantage_updates, config.seed
    )
    return widened(advantages, config.resample_floor)


def _save(path: Path, weights: Float[np.ndarray, " rows"]) -> None:
    with path.open("wb") as file:
        np.save(file, weights, allow_pickle=False)


def _load(path: Path, rows: int) -> Float[np.ndarray, " rows"]:
    try:
        weights = np.load(path, allow_pickle=False)
        if weights.shape == (rows,) and np.isfinite(weights).all() and weights.min() >= 0 < weights.max():
            return weights
    except (OSError, ValueError, EOFError):
        pass
    raise InputError(f"{path}: not {rows} weights of this run's data; delete it, and it is made anew")
