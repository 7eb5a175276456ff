"""Arrays of transitions from several environments, as a data set keeps them: episode behind episode."""

import importlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seemrl.data.arrays import RANKS

Arrays = dict[str, NDArray[Any]]


def side_by_side(columns: Arrays, environments: int) -> Arrays:
    """Rows that came from some environments in turn, as one environment's behind the other's.

    Args:
        columns: arrays of (steps * environments, ...) rows.
        environments: how many took turns.
    """
    return {
        name: np.concatenate([column[number::environments] for number in range(environments)])
        for name, column in columns.items()
    }


def joined(parts: Sequence[Arrays]) -> Arrays:
    """Arrays of a data set, the parts one behind the other."""
    return {name: np.concatenate([part[name] for part in parts]) for name in RANKS}


def finished_returns(arrays: Arrays, limit: int | None) -> list[float]:
    """Undiscounted returns of the episodes that ended by themselves or at the environment's limit of steps.

    Those that were cut short because the collecting stopped there are left out.

    Args:
        arrays: of a data set, every episode's last row flagged.
        limit: steps of the longest episode; None where there is none.
    """
    ends = np.flatnonzero(arrays["terminals"] | arrays["timeouts"])
    begins = np.concatenate([[0], ends[:-1] + 1]) if len(ends) else ends
    whole = arrays["terminals"][ends] | (ends - begins + 1 == limit)
    sums = np.concatenate([[0.0], np.cumsum(arrays["rewards"], dtype=np.float64)])
    return [float(value) for value in (sums[ends + 1] - sums[begins])[whole]]


def step_limit(environment: str) -> int | None:
    """Steps after which Gymnasium ends an episode of a registered environment."""
    return importlib.import_module("gymnasium").spec(environment).max_episode_steps
