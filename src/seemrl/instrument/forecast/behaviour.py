"""The actions that the data would take next, as far as they are known: where behaviour cloning leads."""

import numpy as np
from jaxtyping import Float

from seemrl.errors import InputError
from seemrl.instrument.batch import Batch

_ROWS = 256  # compared at a time


def behaviour_actions(
    batch: Batch, next_actions: Float[np.ndarray, "rows action"] | None
) -> tuple[Float[np.ndarray, "rows action"], str]:
    """The data's own action at each next observation, and in words where it is from.

    Args:
        batch: the transitions.
        next_actions: what was done next in the data, NaN where that is unknown; None where nothing is known. An unknown
            one is taken from the row of the batch whose observation lies nearest to the next observation, each
            entry of the observations measured in its own standard deviation.

    Raises:
        InputError: ``next_actions`` has another shape than the batch's actions.
    """
    if next_actions is None:
        return batch.actions[_nearest(batch)], "the actions of the rows with the nearest observations"
    given = np.asarray(next_actions, np.float64)
    given = given[:, None] if batch.discrete and given.ndim == 1 else given
    if given.shape != batch.actions.shape:
        raise InputError(
            f"next_actions: its shape is {given.shape} but the batch's actions have {batch.actions.shape}; "
            "give the action taken after each row, NaN where it is unknown"
        )
    unknown = np.isnan(given).any(axis=1).reshape(-1)
    if not (unknown & ~batch.terminals).any():
        given = np.where(unknown[:, None], batch.actions, given)
        return given, "the actions logged next"
    found = np.where(unknown[:, None], batch.actions[_nearest(batch)], given)
    count = int((unknown & ~batch.terminals).sum())  # at a terminal nothing is done next
    return found, f"the actions logged next ({count} unknown ones: those of the rows with the nearest observations)"


def _nearest(batch: Batch) -> np.ndarray:
    """For each next observation the row whose own observation lies nearest."""
    deviation = batch.observations.std(axis=0)
    scale = np.where(deviation > 0, deviation, 1.0)
    own, following = batch.observations / scale, batch.next_observations / scale
    squares = np.einsum("ij,ij->i", own, own)
    parts = [following[start : start + _ROWS] for start in range(0, len(following), _ROWS)]
    return np.concatenate([np.argmin(squares[None] - 2 * part @ own.T, axis=1) for part in parts])
