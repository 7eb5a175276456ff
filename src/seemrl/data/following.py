"""What was done next: rows of a data set, each with the one that follows it."""

import numpy as np
from jaxtyping import Bool, Float, Int

from seemrl.data.dataset import Dataset


def known_next_actions(data: Dataset, rows: Int[np.ndarray, " rows"]) -> Float[np.ndarray, "rows action"]:
    """The action that was taken after each row, NaN where it is unknown; see `logged_next_actions`."""
    actions, known = logged_next_actions(data, rows)
    return np.where(known[:, None], actions, np.nan)


def logged_next_actions(
    data: Dataset, rows: Int[np.ndarray, " rows"]
) -> tuple[Float[np.ndarray, "rows action"], Bool[np.ndarray, " rows"]]:
    """The action that was taken after each row, and whether it is known.

    It is the following row's where that row begins with the next observation. A terminal has none. Discrete actions are
    given by their numbers, (rows, 1).
    """
    after = np.minimum(rows + 1, len(data) - 1)
    meets = np.isclose(data.observations[after], data.next_observations[rows], rtol=1e-4, atol=1e-5).all(axis=1)
    known = meets & (rows + 1 < len(data)) & ~data.timeouts[rows] & ~data.terminals[rows]
    actions = data.actions[:, None] if data.discrete else data.actions
    return actions[after].astype(np.float64), known
