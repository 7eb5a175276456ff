"""OGBench's npz layout: bootstrap by ``masks``; the last row of a trajectory is a state that nothing starts from.

Park et al., *OGBench: Benchmarking Offline Goal-Conditioned RL*, 2024, arXiv 2410.20092, and the documentation of the
``ogbench`` package, which is not needed.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seemrl.data.arrays import RANKS
from seemrl.data.columns import Columns, Declared, check_declared, columns, missing_key
from seemrl.data.npz import open_npz
from seemrl.data.refusals import refusal

FORMAT = "OGBench npz"
MARKS = frozenset({"masks", "valids"})
"""Keys that only this layout has."""

_REQUIRED = ("observations", "actions", "rewards", "terminals", "masks")
_ZEROS_AND_ONES = ("masks", "valids")
"""Keys beyond those of a data set."""
_RELABEL = "goal-conditioned files have none: relabel them for one task (a singletask environment) and store both"


def read_ogbench(path: Path) -> Columns:
    """The transitions of an npz file in OGBench's layout.

    ``masks`` is the factor of the bootstrapped value: 0 becomes a terminal. ``terminals`` marks the last row of a
    trajectory, whether or not the task ended there, and becomes a timeout where the mask is 1. Without
    ``next_observations`` the following row is next, and the last row of a trajectory is left out: it holds the last
    state and nothing starts there. In the compact form ``valids`` says which rows those are. Rewards and masks belong
    to the transition that starts in their row.

    Raises:
        InputError: The file cannot be read or its arrays cannot be used; goal-conditioned files without rewards
            above all.
    """
    with open_npz(path) as archive:
        for key in _REQUIRED:
            if key not in archive.keys:
                remedy = _RELABEL if key in ("rewards", "masks") else "give a file in OGBench's layout"
                raise missing_key(path, key, archive.shown_keys(), remedy)
        optional = [key for key in ("next_observations", "valids") if key in archive.keys]
        declared = archive.declare([*_REQUIRED, *optional])
        shapes = _shapes(path, declared)
        arrays = {key: archive.read(key, shapes[key]) for key in declared if key not in _ZEROS_AND_ONES}
        marks = {
            key: _zeros_and_ones(path, key, archive.read(key, shapes[key]))
            for key in _ZEROS_AND_ONES
            if key in declared
        }
    ends, terminal = arrays["terminals"], ~marks["masks"]
    if "next_observations" in arrays:
        return columns(path, FORMAT, arrays | {"terminals": terminal, "timeouts": ends & ~terminal})
    starts = marks.get("valids", ~ends).copy()
    starts[-1] = False
    rows = np.flatnonzero(starts)
    if not rows.size:
        raise refusal(path, "terminals: no row is followed by another of its trajectory; store next_observations")
    last = ends[rows] if "valids" in marks else ends[rows + 1]
    kept = {key: array[rows] for key, array in arrays.items()}
    kept["next_observations"] = arrays["observations"][rows + 1]
    kept |= {"terminals": terminal[rows], "timeouts": last & ~terminal[rows]}
    return columns(path, FORMAT, kept)


def _shapes(path: Path, declared: Mapping[str, Declared]) -> dict[str, tuple[int, ...]]:
    shapes = check_declared(path, {key: value for key, value in declared.items() if key in RANKS})
    for key in _ZEROS_AND_ONES:
        if key in declared:
            shape, dtype = declared[key]
            shapes[key] = shape[:1] if len(shape) == 2 and shape[1] == 1 else shape
            if shapes[key] != shapes["rewards"] or dtype.kind not in "biuf":
                raise refusal(
                    path,
                    f"{key}: shape {shape} of {dtype} where {shapes['rewards']} zeros and ones belong; store those",
                )
    return shapes


def _zeros_and_ones(path: Path, key: str, array: NDArray[Any]) -> NDArray[np.bool_]:
    neither = (array != 0) & (array != 1)
    if neither.any():
        row = int(np.argmax(neither))
        raise refusal(path, f"{key}: row {row} is {array[row]}, neither 0 nor 1; store 1 where the value bootstraps")
    return array == 1
