"""The data set every trainer and instrument reads: N transitions in memory, validated when constructed."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from seemrl.data.refusals import refusal

Floats = NDArray[np.float32]
Flags = NDArray[np.bool_]

RANKS: Mapping[str, int] = {
    "observations": 2,
    "actions": 2,
    "rewards": 1,
    "next_observations": 2,
    "terminals": 1,
    "timeouts": 1,
}
"""The arrays of a data set, in the order of `Dataset`, with their number of axes."""

FLAGS = frozenset({"terminals", "timeouts"})
"""The arrays of booleans; the others are float32."""

STANDARD_DEVIATION_FLOOR = 1e-3
"""Added to each observation's standard deviation, as TD3+BC does (Fujimoto and Gu, 2021, arXiv 2106.06860)."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """N transitions ``(s, a, r, s')`` of one source.

    Where neither flag is set, ``next_observations[i]`` is what the agent saw at row ``i + 1`` if the source kept its
    rows in order; nothing here relies on the order.

    Attributes:
        observations: Shape (N, observation size), float32.
        actions: Shape (N, action size), float32.
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
    actions: Floats
    rewards: Floats
    next_observations: Floats
    terminals: Flags
    timeouts: Flags
    environment: str | None
    source: str
    attributes: Mapping[str, float | int | str] = field(default_factory=dict[str, float | int | str])

    def __post_init__(self) -> None:
        """Validate; see the class's ``Raises``."""
        arrays = self.arrays()
        for key, array in arrays.items():
            _check_array_type(self.source, key, array)
        check_shapes(self.source, {key: array.shape for key, array in arrays.items()})
        for key in RANKS.keys() - FLAGS:
            check_finite(self.source, key, arrays[key])
        if "environment" in self.attributes:
            raise refusal(self.source, "attributes: environment is a field of its own; pass it there")

    def __len__(self) -> int:
        """The number of transitions, N."""
        return len(self.rewards)

    @property
    def observation_size(self) -> int:
        """Numbers in one observation."""
        return self.observations.shape[1]

    @property
    def action_size(self) -> int:
        """Numbers in one action."""
        return self.actions.shape[1]

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
        mean = self.observations.mean(axis=0, dtype=np.float64)
        deviation = self.observations.std(axis=0, dtype=np.float64) + STANDARD_DEVIATION_FLOOR
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


def check_shapes(source: object, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Check that arrays of these shapes belong together as transitions.

    Args:
        source: Where they came from, for the message.
        shapes: Shapes by key; keys of `RANKS`, ``observations`` among them.

    Raises:
        InputError: A wrong rank, an empty array, differing numbers of rows, or observations and next observations of
            differing size.
    """
    for key, shape in shapes.items():
        if len(shape) != RANKS[key]:
            expected = "(rows, size of one)" if RANKS[key] == 2 else "(rows,)"
            raise refusal(source, f"{key}: shape {shape} where {expected} belongs; reshape the array")
        if 0 in shape:
            raise refusal(source, f"{key}: shape {shape} holds no values; give at least one transition")
    rows = shapes["observations"][0]
    for key, shape in shapes.items():
        if shape[0] != rows:
            raise refusal(source, f"{key}: {shape[0]} rows but observations has {rows}; make all keys equally long")
    following = shapes.get("next_observations", shapes["observations"])
    if following != shapes["observations"]:
        expected = shapes["observations"]
        raise refusal(source, f"next_observations: shape {following} but observations has {expected}; make them equal")


def check_finite(source: object, key: str, array: NDArray[Any]) -> None:
    """Raise `InputError` naming the first row of an (N,) or (N, size) array that holds NaN or an infinity."""
    finite = np.isfinite(array)
    if finite.all():
        return
    row, *column = map(int, np.argwhere(~finite)[0])
    place = f"row {row}, column {column[0]}" if column else f"row {row}"
    value = float(array[(row, *column)])
    raise refusal(source, f"{key}: {place} is {value}, not a finite float32; remove or repair that transition")


def check_actions_in_box(dataset: Dataset, low: ArrayLike, high: ArrayLike) -> None:
    """Check that every action lies in the environment's action space, both ends included, compared in float32.

    Args:
        dataset: The data set.
        low: Lower ends, a number or shape (action size,).
        high: Upper ends, alike.

    Raises:
        InputError: The bounds are of another size than the actions, or an action lies outside; names row and dimension.
    """
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


def _check_array_type(source: str, key: str, array: object) -> None:
    expected = np.bool_ if key in FLAGS else np.float32
    name = np.dtype(expected).name
    if not isinstance(array, np.ndarray):
        raise refusal(source, f"{key}: {type(array).__name__} where a NumPy array of {name} belongs; convert it")
    if array.dtype != expected:
        raise refusal(source, f"{key}: type {array.dtype} where {name} belongs; convert with .astype({name!r})")
