"""Ten transitions in D4RL's layout, written to files, and what loading them is refused with."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from seemrl.data.d4rl import load_d4rl
from seemrl.data.dataset import Dataset
from seemrl.errors import InputError

ROWS = 10


def transitions() -> dict:
    """Two episodes cut short after rows 3 and 6, one that ends in row 8, one unfinished."""
    random = np.random.default_rng(0)
    return {
        "observations": random.normal(size=(ROWS, 3)).astype(np.float32),
        "actions": random.uniform(-1, 1, size=(ROWS, 2)).astype(np.float32),
        "rewards": random.normal(size=ROWS).astype(np.float32),
        "next_observations": random.normal(size=(ROWS, 3)).astype(np.float32),
        "terminals": np.arange(ROWS) == 8,
        "timeouts": np.isin(np.arange(ROWS), [3, 6]),
    }


def write(path: Path, arrays: dict, **attributes) -> Path:
    with h5py.File(path, "w") as file:
        for key, array in arrays.items():
            file[key] = array
        file.attrs.update(attributes)
    return path


def refusal_of(path: Path) -> str:
    """The message that loading the path ends in, having checked that it is one line about this path."""
    with pytest.raises(InputError) as caught:
        load_d4rl(path)
    message = str(caught.value)
    assert message.isprintable()
    assert message.startswith(f"{path}: ")
    return message


def dataset_of(arrays: dict) -> Dataset:
    return Dataset(**arrays, environment="Toy-v0", source="toy", attributes={"seed": 3, "policy": "ü", "mean": 0.1})
