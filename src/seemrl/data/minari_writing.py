"""Writing a data set as Minari 0.5 does, with its HDF5 layout."""

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from seemrl.data.dataset import Dataset
from seemrl.data.minari import MAIN_FILE, METADATA, OWN
from seemrl.data.refusals import refusal
from seemrl.files import strict, write_directory_atomically

MINARI_VERSION = "0.5.4"
"""Whose layout is written."""


def save_minari(dataset: Dataset, path: str | Path) -> None:
    """Write a data set as a new directory that Minari opens: ``path/data`` with ``metadata.json`` and episodes.

    Put it below Minari's local store to open it by its id, which is the name of the directory (with ``-v0`` where it
    has no version). An episode that carries neither flag at its end stays without.

    Raises:
        InputError: The directory exists, or cannot be written.
    """
    path = Path(path)
    if path.exists():
        raise refusal(path, "already exists, and Minari's data sets are not replaced; choose another name")
    try:
        write_directory_atomically(path, lambda temporary: _write(dataset, path.name, temporary / "data"))
    except OSError as error:
        raise refusal(path, f"cannot be written ({error.strerror or error}); choose another place") from error


def _write(dataset: Dataset, name: str, directory: Path) -> None:
    directory.mkdir(parents=True)
    episodes = dataset.episodes()
    with h5py.File(directory / MAIN_FILE, "w", track_order=True) as file:
        for number, (start, stop) in enumerate(episodes):
            group = file.create_group(f"episode_{number}")
            group.attrs.update({"id": number, "total_steps": stop - start})
            rows = slice(start, stop)
            observations = np.concatenate([dataset.observations[rows], dataset.next_observations[stop - 1 : stop]])
            arrays = {
                "observations": observations,
                "actions": dataset.actions[rows],
                "rewards": dataset.rewards[rows],
                "terminations": dataset.terminals[rows],
                "truncations": dataset.timeouts[rows],
            }
            for key, array in arrays.items():
                group.create_dataset(key, data=array, track_times=False)
    size = (directory / MAIN_FILE).stat().st_size
    metadata = _metadata(dataset, name, len(episodes), size)
    (directory / METADATA).write_text(json.dumps(strict(metadata), indent=2, allow_nan=False), encoding="utf-8")


def _metadata(dataset: Dataset, name: str, episodes: int, size: int) -> dict[str, Any]:
    actions = (
        {"type": "Discrete", "dtype": "int64", "start": 0, "n": dataset.action_count} if dataset.discrete else None
    )
    own: dict[str, Any] = dict(dataset.attributes)
    if dataset.environment is not None:
        own["environment"] = dataset.environment
    metadata = {
        "total_episodes": episodes,
        "total_steps": len(dataset),
        "data_format": "hdf5",
        "observation_space": json.dumps(_box(dataset.observation_size)),
        "action_space": json.dumps(actions or _box(dataset.action_size)),
        "dataset_id": name if name.rpartition("-v")[2].isdecimal() else f"{name}-v0",
        "minari_version": MINARI_VERSION,
        "dataset_size": round(size / 1e6, 1),
        OWN: own,
    }
    specification = _specification(dataset.environment)
    return metadata if specification is None else metadata | {"env_spec": specification}


def _box(size: int) -> dict[str, Any]:
    unbounded = [float("inf")] * size
    return {
        "type": "Box",
        "dtype": "float32",
        "shape": [size],
        "low": [-bound for bound in unbounded],
        "high": unbounded,
    }


def _specification(environment: str | None) -> str | None:
    """Gymnasium's specification of the environment, where Gymnasium is installed and knows it."""
    if environment is None or ":" in environment:  # Gymnasium would import the module before the colon
        return None
    try:
        import gymnasium
    except ImportError:
        return None
    specification = gymnasium.registry.get(environment)
    try:
        return None if specification is None else specification.to_json()
    except (TypeError, ValueError):
        return None
