"""Dumps of d3rlpy's replay buffer (``ReplayBuffer.dump``, version 2) and of its older ``MDPDataset`` (version 1).

Version 2 stores arrays a key and an episode: ``observations_0, actions_0, rewards_0, terminated_0, observations_1``
and so on; version 1 is flat, with ``episode_terminals``. The ``d3rlpy`` package is not needed.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seemrl.data.columns import Columns, Declared, check_declared, columns, converted, missing_key
from seemrl.data.hdf5 import check_declared_size, dataset_of, open_hdf5, read_numbers, shown_keys
from seemrl.data.refusals import refusal

FORMAT = "d3rlpy HDF5"
FORMAT_1 = "d3rlpy HDF5, version 1"

_PARTS = ("observations", "actions", "rewards", "terminated")
_TUPLES = re.compile(r"(observations|rewards)_(0|[1-9][0-9]{0,9})_[0-9]+\Z")
_EPISODE = re.compile(r"rewards_(0|[1-9][0-9]{0,9})\Z")
_REMEDY = "give a file that ReplayBuffer.dump wrote"


def read_d3rlpy(path: Path) -> Columns:
    """The transitions of a dumped replay buffer.

    An episode of T steps has T observations. Where it was terminated its last row is a terminal; otherwise the last
    row has no next observation and is left out, and the row before it is a timeout, as d3rlpy's transition picker has
    it. Integer actions are discrete.

    Raises:
        InputError: The file cannot be read or its arrays cannot be used.
    """
    with open_hdf5(path) as file:
        found = set(file)
        tuples = sorted(key for key in found if _TUPLES.match(key))
        if tuples:
            raise refusal(path, f"{tuples[0]}: an observation of several arrays; concatenate them before the dump")
        episodes = sorted(int(match[1]) for key in found if (match := _EPISODE.match(key)))
        if not episodes:
            raise missing_key(path, "rewards_0", shown_keys(file), _REMEDY)
        stored: dict[str, Any] = {}
        for episode in episodes:
            for part in _PARTS:
                key = f"{part}_{episode}"
                if key not in found:
                    raise missing_key(path, key, shown_keys(file), _REMEDY)
                stored[key] = dataset_of(file, path, key)
        shapes = {episode: _episode_shapes(path, stored, episode) for episode in episodes}
        check_declared_size(path, stored)
        parts = [_episode(path, stored, episode, shapes[episode], shapes[episodes[0]]) for episode in episodes]
    arrays = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
    return columns(path, FORMAT, arrays)


def read_d3rlpy_1(path: Path) -> Columns:
    """The transitions of an ``MDPDataset`` dumped by d3rlpy 1: flat arrays; ``episode_terminals`` ends an episode.

    Raises:
        InputError: The file cannot be read or its arrays cannot be used.
    """
    names = {"observations", "actions", "rewards", "terminals", "episode_terminals"}
    with open_hdf5(path) as file:
        for key in sorted(names):
            if key not in set(file):
                raise missing_key(path, key, shown_keys(file), "give a file that MDPDataset.dump wrote")
        stored = {"timeouts" if key == "episode_terminals" else key: dataset_of(file, path, key) for key in names}
        shapes = check_declared(path, _declared(stored))
        check_declared_size(path, stored)
        arrays = {key: converted(path, key, read_numbers(item, shapes[key])) for key, item in stored.items()}
    return columns(path, FORMAT_1, arrays | {"timeouts": arrays["timeouts"] & ~arrays["terminals"]})


def _declared(stored: Mapping[str, Any]) -> dict[str, Declared]:
    return {key: Declared(item.shape or (), item.dtype) for key, item in stored.items()}


def _episode_shapes(path: Path, stored: Mapping[str, Any], episode: int) -> dict[str, tuple[int, ...]]:
    declared = _declared({part: stored[f"{part}_{episode}"] for part in _PARTS[:3]})
    try:
        return check_declared(path, declared)
    except ValueError as error:
        raise refusal(f"{path}: episode {episode}", str(error).removeprefix(f"{path}: ")) from error


def _episode(
    path: Path,
    stored: Mapping[str, Any],
    episode: int,
    shapes: Mapping[str, tuple[int, ...]],
    first: Mapping[str, tuple[int, ...]],
) -> dict[str, NDArray[Any]]:
    """The arrays of one episode, its flags in its last row; checked to be of the first episode's sizes."""
    for key in ("observations", "actions"):
        if shapes[key][1:] != first[key][1:]:
            raise refusal(
                path,
                f"{key}_{episode}: shape {shapes[key]} but {key} of the first episode have {first[key]}; make equal",
            )
    arrays = {
        key: converted(path, key, read_numbers(stored[f"{key}_{episode}"], shapes[key]))
        for key in ("observations", "actions", "rewards")
    }
    ended = stored[f"terminated_{episode}"]
    if ended.shape != () or ended.dtype.kind not in "biuf":
        raise refusal(
            path, f"terminated_{episode}: shape {ended.shape} of {ended.dtype} where one flag belongs; {_REMEDY}"
        )
    terminated = converted(path, "terminals", np.reshape(ended[()], (1,)))[0]
    last = np.arange(len(arrays["rewards"])) == len(arrays["rewards"]) - 1
    return arrays | {"terminals": last & terminated, "timeouts": last & ~terminated}
