"""The transitions a reading is taken on."""

from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Bool, Float

from seemrl.errors import InputError


@dataclass(frozen=True)
class Batch:
    """N fixed transitions, as NumPy arrays.

    Anything NumPy can read is accepted and stored as float64 (``terminals`` as bool), observations exactly as the
    critic sees them: normalised if it was trained on normalised ones. Actions of discrete critics are given as
    integers, (rows,), the index of each; they are kept as (rows, 1).

    Raises:
        InputError: an array has the wrong rank, another number of rows, or a NaN or infinity (the row is named).
    """

    observations: Float[np.ndarray, "rows observation"]
    actions: Float[np.ndarray, "rows action"]
    rewards: Float[np.ndarray, " rows"]
    next_observations: Float[np.ndarray, "rows observation"]
    terminals: Bool[np.ndarray, " rows"]

    def __post_init__(self) -> None:
        indices = np.asarray(self.actions)
        discrete = indices.ndim == 1 and indices.dtype.kind in "iu"
        object.__setattr__(self, "_discrete", discrete)  # not a column, so not a field
        if discrete:
            object.__setattr__(self, "actions", indices[:, None])
        for column in self._columns():
            object.__setattr__(self, column, _validated(column, getattr(self, column)))
        rows = len(self.rewards)
        if rows == 0:
            raise InputError("batch: it has no rows; give at least one transition")
        for column in self._columns():
            if len(getattr(self, column)) != rows:
                raise InputError(
                    f"batch: {column} has {len(getattr(self, column))} rows but rewards has {rows}; "
                    "give one row per transition in each array"
                )
        if self.observations.shape != self.next_observations.shape:
            raise InputError(
                f"batch: observations {self.observations.shape} and next_observations "
                f"{self.next_observations.shape} must have the same shape"
            )

    def __len__(self) -> int:
        return len(self.rewards)

    @property
    def discrete(self) -> bool:
        """Whether the actions were given as integers, (rows,)."""
        return bool(self.__dict__["_discrete"])

    def _columns(self) -> list[str]:
        return [column.name for column in fields(self)]


def _validated(name: str, value: object) -> np.ndarray:
    array = np.asarray(value)
    if array.dtype.kind not in "fiub":
        raise InputError(f"batch: {name} has dtype {array.dtype}; give numbers")
    if name in ("rewards", "terminals"):
        array = array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array
        wanted = 1
    else:
        wanted = 2
    if array.ndim != wanted:
        shape = "(rows,)" if wanted == 1 else "(rows, size)"
        if name == "actions":
            shape += "; the indices of a discrete critic as integers, (rows,)"
        raise InputError(f"batch: {name} has shape {array.shape}; give {shape}")
    array = array.astype(np.float64)
    bad = np.flatnonzero(~np.isfinite(array).all(axis=tuple(range(1, array.ndim))))
    if bad.size:
        raise InputError(f"batch: {name} has a NaN or infinity in row {bad[0]}; drop or mend that row")
    return array != 0 if name == "terminals" else array
