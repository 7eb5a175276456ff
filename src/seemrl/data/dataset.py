"""The data set every trainer and instrument reads: N transitions in memory, validated when constructed."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from seemrl.data.arrays import (
    LARGEST_ACTION_COUNT,
    RANKS,
    Actions,
    Flags,
    Floats,
    blocks,
    check_action_numbers,
    check_array_type,
    check_finite,
    check_shapes,
)
from seemrl.data.refusals import refusal

SubsetUnit = Literal["transitions", "episodes"]
SaveFormat = Literal["d4rl", "minari"]

STANDARD_DEVIATION_FLOOR = 1e-3
"""Added to each observation's standard deviation, as TD3+BC does (Fujimoto and Gu, 2021, arXiv 2106.06860)."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """N transitions ``(s, a, r, s')`` of one source.

    Where neither flag is set, ``next_observations[i]`` is what the agent saw at row ``i + 1`` if the source kept its
    rows in order; only `episodes` looks at the order.

    Attributes:
        observations: Shape (N, observation size), float32.
        actions: Shape (N, action size), float32; or, where actions are discrete, (N,), int64: the number of each,
            from 0.
        rewards: Shape (N,), float32.
        next_observations: Shape (N, observation size), float32. Without meaning where ``terminals`` is set.
        terminals: Shape (N,), bool: the episode ended in the state reached, whose value is 0.
        timeouts: Shape (N,), bool: the episode was cut short after this row; its value still bootstraps.
        environment: Gymnasium id of the environment, None when unknown.
        source: Where the data came from, for messages and records; mostly a path.
        attributes: What else the source says of itself (seed, policy, return of the behaviour, ...).

    Raises:
        InputError: On construction, when an array has the wrong type, rank, length or size, holds no row or a value
            that is not finite; the message names source, key and first offending row.
    """

    observations: Floats
    actions: Actions
    rewards: Floats
    next_observations: Floats
    terminals: Flags
    timeouts: Flags
    environment: str | None
    source: str
    attributes: Mapping[str, float | int | str] = field(default_factory=dict[str, float | int | str])

    def __post_init__(self) -> None:
        """Validate; see the class's ``Raises``."""
        _check_all_but_values(self)
        for key, array in self.arrays().items():
            if array.dtype.kind == "f":
                check_finite(self.source, key, array)

    def __len__(self) -> int:
        """The number of transitions, N."""
        return len(self.rewards)

    @property
    def observation_size(self) -> int:
        """Numbers in one observation."""
        return self.observations.shape[1]

    @property
    def discrete(self) -> bool:
        """Whether actions are integers, one a row."""
        return self.actions.dtype.kind == "i"

    @property
    def action_size(self) -> int:
        """Numbers in one action; 1 where actions are discrete."""
        return 1 if self.discrete else self.actions.shape[1]

    @cached_property
    def action_count(self) -> int:
        """How many discrete actions there are: what the attribute ``action_count`` says, at least those that occur.

        Raises:
            InputError: The actions are not discrete.
        """
        if not self.discrete:
            raise refusal(self.source, "actions: continuous, so their number is not defined; use action_size")
        stated = self.attributes.get("action_count", 0)
        seen = int(self.actions.max()) + 1
        return max(seen, stated) if isinstance(stated, int) and stated <= LARGEST_ACTION_COUNT else seen

    def one_hot_actions(self, rows: slice | NDArray[np.int64] = slice(None)) -> Floats:
        """Discrete actions as rows of zeros with a one in the action's place, (rows, action_count) float32.

        Raises:
            InputError: The actions are not discrete.
        """
        actions = self.actions[rows].astype(np.int64)
        one_hot = np.zeros((len(actions), self.action_count), dtype=np.float32)
        one_hot[np.arange(len(actions)), actions] = 1
        return one_hot

    def episodes(self) -> NDArray[np.int64]:
        """First row of each episode and the row behind its last, (episodes, 2).

        An episode ends where a flag is set, where the next observation is not what the following row observes, and
        with the data. Rows drawn at random from a larger set are therefore episodes of one or a few rows.
        """
        ends = self.terminals | self.timeouts
        for block in blocks(len(self) - 1):
            after = slice(block.start + 1, block.stop + 1)
            ends[block] |= (self.next_observations[block] != self.observations[after]).any(axis=1)
        ends[-1] = True
        behind = np.flatnonzero(ends) + 1
        return np.stack([np.concatenate([[0], behind[:-1]]), behind], axis=1)

    def returns(self) -> NDArray[np.float64]:
        """Undiscounted sum of the rewards of each of the `episodes`."""
        return np.add.reduceat(self.rewards.astype(np.float64), self.episodes()[:, 0])

    def subset(self, percent: float, by: SubsetUnit = "transitions", seed: int = 0) -> "Dataset":
        """A random part of the data, the same on every platform; smaller ones of one seed lie inside larger ones.

        Args:
            percent: Size of the part, above 0 and at most 100: of N things, N percent / 100 to the nearest, at least 1.
            by: Draw "transitions" or whole "episodes" (see `episodes`).
            seed: Chooses the part, from 0 to 2**63 - 1.

        Raises:
            InputError: The percentage or the seed is out of range.
        """
        from seemrl.data.subsets import subset_rows

        rows = subset_rows(self, percent, by, seed)
        if len(rows) == len(self):
            return self
        arrays = {key: array[rows] for key, array in self.arrays().items()}
        return replace(self, **arrays, source=f"{self.source} ({percent:g}% of {by}, seed {seed})")

    def save(self, path: str | Path, format: SaveFormat | None = None) -> None:
        """Write the data set; `seemrl.load` reads back the same arrays, environment and attributes.

        Args:
            path: A file to write or replace ("d4rl"), or a new directory ("minari").
            format: "d4rl" (HDF5), the default where the name ends in .hdf5 or .h5; or "minari" (Minari 0.5).

        Raises:
            InputError: The format is neither given nor told by the name, or the place cannot be written.
        """
        from seemrl.data.saving import save

        save(self, path, format)

    @property
    def max_abs_reward(self) -> float:
        """The largest reward in absolute value, max|r|."""
        return float(np.abs(self.rewards).max())

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The six arrays by name, not copied."""
        return {key: getattr(self, key) for key in RANKS}

    def reward_bound(self, discount: float) -> float:
        """The largest absolute value a policy can have under these rewards, ``max|r| / (1 - discount)``.

        Raises:
            InputError: The discount is outside [0, 1).
        """
        if not 0 <= discount < 1:
            raise refusal(self.source, f"discount {discount} gives no bound on values; use 0 <= discount < 1")
        return self.max_abs_reward / (1 - discount)

    def observation_statistics(self) -> tuple[Floats, Floats]:
        """Mean and standard deviation of each observation entry, for standardising a network's input.

        Returns:
            Mean and standard deviation, each (observation size,) float32; the latter has `STANDARD_DEVIATION_FLOOR`
            added, so that dividing by it is safe.
        """
        total, squares = np.zeros((2, self.observation_size))
        for block in blocks(len(self)):
            total += self.observations[block].sum(axis=0, dtype=np.float64)
        mean = total / len(self)
        for block in blocks(len(self)):
            squares += np.square(self.observations[block] - mean).sum(axis=0)
        deviation = np.sqrt(squares / len(self)) + STANDARD_DEVIATION_FLOOR
        return mean.astype(np.float32), deviation.astype(np.float32)

    def fingerprint(self) -> str:
        """SHA-256 (hex) of the arrays' names, shapes, types and bytes: the same content has it wherever it lies."""
        digest = hashlib.sha256()
        for key, array in self.arrays().items():
            little_endian = array.astype(array.dtype.newbyteorder("<"), order="C", copy=False)
            digest.update(f"{key} {array.shape} {little_endian.dtype.str}\n".encode())
            digest.update(little_endian.data)
        return digest.hexdigest()

    def batch_rows(self, count: int, seed: int) -> NDArray[np.int64]:
        """Numbers of ``min(count, N)`` distinct rows, drawn uniformly and sorted; the same seed draws the same rows.

        Raises:
            InputError: The count is below 1 or the seed below 0.
        """
        if count < 1 or seed < 0:
            raise refusal(self.source, f"cannot draw {count} rows with seed {seed}; use a count >= 1 and a seed >= 0")
        rows = np.random.default_rng(seed).choice(len(self), size=min(count, len(self)), replace=False)
        return np.sort(rows)


def of_finite_arrays(
    arrays: Mapping[str, NDArray[Any]],
    environment: str | None,
    source: str,
    attributes: Mapping[str, float | int | str],
) -> Dataset:
    """The data set of six arrays whose values are known to be finite, and are not looked at again.

    Raises:
        InputError: As of `Dataset`.
    """
    dataset = object.__new__(Dataset)
    fields = {**arrays, "environment": environment, "source": source, "attributes": attributes}
    for name, value in fields.items():
        object.__setattr__(dataset, name, value)
    _check_all_but_values(dataset)
    return dataset


def _check_all_but_values(dataset: Dataset) -> None:
    arrays, source = dataset.arrays(), dataset.source
    for key, array in arrays.items():
        check_array_type(source, key, array)
    check_shapes(source, {key: array.shape for key, array in arrays.items()}, discrete=dataset.discrete)
    if dataset.discrete:
        check_action_numbers(source, dataset.actions)
    if "environment" in dataset.attributes:
        raise refusal(source, "attributes: environment is a field of its own; pass it there")


def check_actions_in_box(dataset: Dataset, low: ArrayLike, high: ArrayLike) -> None:
    """Check that every action lies in the environment's action space, both ends included, compared in float32.

    Args:
        dataset: The data set.
        low: Lower ends, a number or shape (action size,).
        high: Upper ends, alike.

    Raises:
        InputError: The actions are discrete, the bounds are of another size than the actions, or an action lies
            outside; names row and dimension.
    """
    if dataset.discrete:
        raise refusal(
            dataset.source, "actions: discrete (integers), where continuous ones belong; store floats inside the box"
        )
    with np.errstate(over="ignore"):
        lower, upper = (np.asarray(end, dtype=np.float32) for end in (low, high))
    for end in (lower, upper):
        if end.shape not in ((), (dataset.action_size,)):
            raise refusal(
                dataset.source,
                f"actions: {dataset.action_size} dimensions but the action space has shape {end.shape}; "
                "check that the data belongs to this environment",
            )
    inside = (dataset.actions >= lower) & (dataset.actions <= upper)
    if inside.all():
        return
    row, dimension = map(int, np.argwhere(~inside)[0])
    ends = [float(np.broadcast_to(end, dataset.action_size)[dimension]) for end in (lower, upper)]
    raise refusal(
        dataset.source,
        f"actions: row {row}, dimension {dimension} is {float(dataset.actions[row, dimension]):g}, outside "
        f"[{ends[0]:g}, {ends[1]:g}]; rescale or clip the actions",
    )
