"""A file's arrays brought to their places: every row is looked at once, while it is in the processor's cache."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from seemrl.data.arrays import RANKS, Flags, Floats, Room, blocks, check_finite
from seemrl.data.refusals import refusal
from seemrl.errors import InputError

ROWS_IN_CACHE = 2**14
"""Of some dozen numbers each; half as many were read in the same time, a quarter in more."""


@runtime_checkable
class Stored(Protocol):
    """An array of floats, (rows, size), that still lies in a file."""

    shape: tuple[int, ...]
    rows_at_once: int
    """Fewer are not read in less time."""

    def read(self, rows: slice, out: Floats) -> None:
        """Fill ``out`` with these rows; a value beyond float32's range becomes infinite."""
        ...


@dataclass(frozen=True, eq=False)
class Completed:
    """A data set's six arrays, and what was seen on the way.

    Attributes:
        arrays: By name, without the rows that have no known next observation.
        sizes: Numbers that each of the file's arrays of floats holds.
        not_finite: How many of those are NaN or infinite.
        problem: The refusal that names the first of them by its row in the file.
    """

    arrays: dict[str, NDArray[Any]]
    sizes: dict[str, int]
    not_finite: dict[str, int]
    problem: InputError | None


def completed(source: object, arrays: Mapping[str, NDArray[Any] | Stored], room: Room) -> Completed:
    """All six arrays: without timeouts there are none, without next observations the following row is next.

    Args:
        source: Where they come from, for messages.
        arrays: In a data set's types. Those in memory belong to the result from here on.
        room: Where arrays are put that have no place yet.

    Raises:
        InputError: No row has a known next observation.
    """
    terminals = arrays["terminals"]
    assert isinstance(terminals, np.ndarray)
    arrays = {"timeouts": np.zeros(len(terminals), dtype=np.bool_), **arrays}
    known = None
    if "next_observations" not in arrays:
        known, arrays["timeouts"] = _known(source, terminals, arrays["timeouts"])
    found = Completed({}, {}, {}, None)
    problem = None
    for key, array in arrays.items():
        if isinstance(array, np.ndarray) and (array.ndim == 1 or known is None):
            try:
                _look_at(source, key, array, found)
            except InputError as error:
                problem = problem or error
            found.arrays[key] = array if known is None else array[known]
            continue
        moving = _Moving(source, key, array, known, terminals if key == "observations" else None, room)
        found.arrays[key] = moving.place
        if moving.following is not None:
            found.arrays["next_observations"] = moving.following
        found.sizes[key], found.not_finite[key] = moving.size, moving.not_finite
        problem = problem or moving.problem
    return Completed({key: found.arrays[key] for key in RANKS}, found.sizes, found.not_finite, problem)


def _known(source: object, terminals: Flags, timeouts: Any) -> tuple[Flags, Flags]:
    """The rows whose next observation is known or masked, and the timeouts, one for each of the rows there are.

    Unknown it is where an episode was cut short and in the last row; the row before a dropped timeout, now its
    episode's last, takes over the timeout. A terminal keeps its own observation as the next one, since it is masked.
    """
    cut_short = timeouts & ~terminals
    known = ~cut_short
    known[-1] = terminals[-1]
    if not known.any():
        raise refusal(source, "observations: no row has a known next observation; store next_observations")
    timeouts = timeouts.copy()
    timeouts[:-1] |= cut_short[1:] & ~terminals[:-1]
    return known, timeouts


def _look_at(source: object, key: str, array: NDArray[Any], found: Completed) -> None:
    """Count an array's values, and those that are not finite, of which the first is named by an `InputError`."""
    if array.dtype.kind != "f":
        return
    found.sizes[key] = array.size
    found.not_finite[key] = sum(_count_not_finite(array[block]) for block in blocks(len(array), ROWS_IN_CACHE))
    if found.not_finite[key]:
        check_finite(source, key, array)


def _count_not_finite(values: NDArray[Any]) -> int:
    return values.size - int(np.count_nonzero(np.isfinite(values)))


class _Moving:
    """One array of floats, (rows, size), on its way: checked, and moved together where rows are dropped.

    Args:
        known: The rows to keep; None: all.
        terminals: Of observations, to make the next ones; None otherwise.

    Attributes:
        place: Where the array is now.
        following: The next observations, if they were asked for.
        size, not_finite, problem: As of `Completed`.
    """

    def __init__(
        self,
        source: object,
        key: str,
        array: NDArray[Any] | Stored,
        known: Flags | None,
        terminals: Flags | None,
        room: Room,
    ) -> None:
        self._source, self._key, self._known, self._terminals = source, key, known, terminals
        rows, width = array.shape
        count = rows if known is None else int(np.count_nonzero(known))
        own = None
        if isinstance(array, np.ndarray) and array.flags.writeable and 2 * count >= rows:
            own = array[:count]  # saves a copy of nearly everything
        in_place = own is not None
        self.place: Floats = room((count, width), np.float32) if own is None else own
        self.following: Floats | None = None if terminals is None or known is None else room((count, width), np.float32)
        self.size, self.not_finite, self.problem = rows * width, 0, None
        self._behind, self._waits = 0, False
        step = ROWS_IN_CACHE if isinstance(array, np.ndarray) else max(ROWS_IN_CACHE, array.rows_at_once)
        scratch = None if known is None or in_place else np.empty((min(step, rows), width), np.float32)
        for block in blocks(rows, step):
            if isinstance(array, Stored):
                part = self.place[block] if scratch is None else scratch[: block.stop - block.start]
                array.read(block, part)
            else:
                part = array[block]
            self._check(part, block.start)
            if known is not None:
                self._move(part, block, in_place)

    def _check(self, part: Floats, start: int) -> None:
        broken = _count_not_finite(part)
        self.not_finite += broken
        if broken and self.problem is None:
            try:
                check_finite(self._source, self._key, part, start)
            except InputError as error:
                self.problem = error

    def _move(self, part: Floats, block: slice, in_place: bool) -> None:
        assert self._known is not None
        kept = np.flatnonzero(self._known[block])
        to = slice(self._behind, self._behind + len(kept))
        if self.following is not None and self._terminals is not None:
            if self._waits:  # the block before ended in a row that this one's first follows
                self.following[to.start - 1] = part[0]
            after = kept + ~self._terminals[block][kept]
            np.take(part, after, axis=0, out=self.following[to], mode="clip")
            self._waits = bool(len(after)) and int(after[-1]) == len(part)
        if not in_place:
            np.take(part, kept, axis=0, out=self.place[to], mode="clip")
        elif to != block:
            self.place[to] = np.take(part, kept, axis=0)
        self._behind = to.stop
