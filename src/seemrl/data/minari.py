"""Data sets of Minari 0.5, by directory or by id from the local store; the ``minari`` package is not needed.

A directory ``data`` holds ``metadata.json`` and the episodes: groups of one HDF5 file, or a directory an episode with
Arrow or Parquet files (these need pyarrow). An episode of T steps has T + 1 observations.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seemrl.data.columns import Columns, columns
from seemrl.data.minari_episodes import Episodes, arrow_episodes, hdf5_episodes
from seemrl.data.refusals import refusal, shortened, valid_unicode
from seemrl.data.spaces import Leaf, leaves

FORMAT = "Minari"
METADATA = "metadata.json"
MAIN_FILE = "main_data.hdf5"
OWN = "seemrl"
"""Key of metadata.json under which seemrl keeps what Minari has no place for."""

_TOLD = ("dataset_id", "minari_version", "algorithm_name", "code_permalink", "description")
_LARGEST_METADATA = 2**26


def stored_directory(name: str) -> Path:
    """Where Minari's local store keeps the data set of this id (``MINARI_DATASETS_PATH`` or ``~/.minari/datasets``)."""
    store = os.environ.get("MINARI_DATASETS_PATH")
    return Path(store if store else Path.home() / ".minari" / "datasets") / name


def data_directory(path: Path) -> Path | None:
    """The directory with Minari's metadata in or at this path, if it is a data set of Minari."""
    places = (path / "data", path) if path.is_dir() else (path.parent,) if path.name == MAIN_FILE else ()
    return next((place for place in places if (place / METADATA).is_file()), None)


def read_minari(directory: Path) -> Columns:
    """The transitions of a Minari data set.

    Observations of goal environments and other structures are flattened in the order of `spaces`. ``terminations``
    become terminals, ``truncations`` timeouts. Discrete actions count from 0.

    Args:
        directory: The one with ``metadata.json``.

    Raises:
        InputError: The metadata or an episode is missing, damaged, or not of vectors; names file, key and step.
        MissingPartError: The episodes are Arrow or Parquet files and pyarrow is not installed.
    """
    metadata = _metadata(directory / METADATA)
    observations = _leaves(directory, metadata, "observation_space")
    actions = _leaves(directory, metadata, "action_space")
    format = metadata.get("data_format", "hdf5")
    if format == "hdf5":
        episodes = hdf5_episodes(directory / MAIN_FILE, observations, actions)
    elif format in ("arrow", "parquet"):
        episodes = arrow_episodes(directory, format, observations, actions)
    else:
        raise refusal(
            directory / METADATA, f"data_format: {format!r}, where hdf5, arrow or parquet belongs; fetch it again"
        )
    attributes = _attributes(directory, metadata)
    environment = attributes.pop("environment", None) or _environment(metadata)
    if len(actions) == 1 and len(actions[0].counts) == 1 and OWN not in metadata:
        attributes["action_count"] = actions[0].counts[0]
    arrays = _arrays(episodes)
    name = str(environment) if environment else None
    return columns(directory, f"{FORMAT} ({format})", arrays, name, attributes)


def _arrays(episodes: Episodes) -> dict[str, NDArray[Any]]:
    """Episodes one behind the other, the next observation being the following one of the same episode."""
    kept = np.ones(len(episodes.observations), dtype=np.bool_)
    kept[np.cumsum(episodes.lengths + 1) - 1] = False
    following = np.concatenate([[False], kept[:-1]])
    return {
        "observations": episodes.observations[kept],
        "actions": episodes.actions,
        "rewards": episodes.rewards,
        "next_observations": episodes.observations[following],
        "terminals": episodes.terminals,
        "timeouts": episodes.timeouts,
    }


def _metadata(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _LARGEST_METADATA:
            raise refusal(path, "larger than any metadata; fetch the data set again")
        metadata = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise refusal(path, f"not Minari's metadata ({shortened(error)}); fetch or write the data set again") from error
    if not isinstance(metadata, dict):
        raise refusal(path, "not Minari's metadata (no JSON object); fetch or write the data set again")
    return metadata


def _leaves(directory: Path, metadata: Mapping[str, Any], key: str) -> list[Leaf]:
    if key not in metadata:
        raise refusal(directory / METADATA, f"{key}: key is missing; write the data set with Minari 0.5 or newer")
    try:
        found = leaves(metadata[key])
    except ValueError as error:
        raise refusal(directory / METADATA, f"{key}: {error}; store vectors of numbers") from error
    if key == "action_space" and any(leaf.counts for leaf in found) and (len(found) > 1 or len(found[0].counts) > 1):
        raise refusal(directory / METADATA, f"{key}: several discrete actions at once; number their combinations")
    return found


def _attributes(directory: Path, metadata: Mapping[str, Any]) -> dict[str, float | int | str]:
    own = metadata.get(OWN, {key: metadata[key] for key in _TOLD if isinstance(metadata.get(key), str)})
    if not isinstance(own, dict) or not all(isinstance(value, int | float | str) for value in own.values()):
        raise refusal(directory / METADATA, f"{OWN}: not names with numbers and texts; remove that key")
    return {
        valid_unicode(str(key)): valid_unicode(value) if isinstance(value, str) else value for key, value in own.items()
    }


def _environment(metadata: Mapping[str, Any]) -> str | None:
    """The id in Gymnasium's specification, if there is one that can be read."""
    try:
        name = json.loads(metadata["env_spec"])["id"]
    except (KeyError, TypeError, ValueError, RecursionError):
        return None
    return valid_unicode(name) if isinstance(name, str) and name else None
