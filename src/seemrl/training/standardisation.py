"""How a run standardises observations: (observations - shift) / scale, float32, as its config.json keeps them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from seemrl.data.arrays import Floats
from seemrl.data.dataset import Dataset
from seemrl.errors import InputError
from seemrl.training.config import TrainConfig

KEY = "observations"


def standardisation_of(config: TrainConfig, data: Dataset) -> tuple[Floats, Floats]:
    """Shift and scale, (observation size,) float32 each: mean and deviation, or 0 and 1 where nothing is to change."""
    if config.normalize_observations:
        return data.observation_statistics()
    return np.zeros(data.observation_size, np.float32), np.ones(data.observation_size, np.float32)


def told_standardisation(shift: Floats, scale: Floats) -> dict[str, list[float]]:
    """What config.json says of them; reading it gives the same bits."""
    return {"shift": shift.tolist(), "scale": scale.tolist()}


def stored_standardisation(run: Path, described: Mapping[str, Any]) -> tuple[Floats, Floats]:
    """Shift and scale that a run was trained with, bit by bit.

    Args:
        run: the run directory, for messages.
        described: what its config.json says; it has `KEY`, unless an earlier version began the run.

    Raises:
        InputError: they are no numbers, or not as many as an observation has.
    """
    try:
        size = described["data"]["observation_size"]
        shift, scale = (np.asarray(described[KEY][name], np.float32) for name in ("shift", "scale"))
        if not (shift.shape == scale.shape == (size,) and np.isfinite([shift, scale]).all() and (scale > 0).all()):
            raise ValueError
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{run}/config.json: {KEY}: no finite shift and positive scale for every number of an observation; "
            "restore the file, or start a new run"
        ) from error
    return shift, scale
