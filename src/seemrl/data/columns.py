"""What a file holds, brought into a data set's arrays: the one way from any format to a `Dataset`."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from seemrl.data.arrays import (
    FLAGS,
    RANKS,
    Flags,
    Room,
    check_action_numbers,
    check_shapes,
)
from seemrl.data.completing import Stored, completed
from seemrl.data.dataset import Dataset, of_finite_arrays
from seemrl.data.refusals import refusal
from seemrl.errors import InputError

REQUIRED = ("observations", "actions", "rewards", "terminals")
OPTIONAL = ("timeouts", "next_observations")

LARGEST_EXACT_INTEGER = 2**24
"""Up to here every integer is a float32."""


class Declared(NamedTuple):
    """Shape and type that a file states for an array, before it is read."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]


@dataclass(frozen=True, eq=False)
class Columns:
    """The transitions of a file in a data set's arrays and types; floats may still be NaN or infinite.

    Attributes:
        source: The file.
        format: Name of its format.
        arrays: The six arrays of `Dataset`.
        environment: Gymnasium id, None when unknown.
        attributes: What else the file says of itself.
        rows: Transitions that the file holds, of which some may be dropped for want of a next observation.
        sizes: Numbers that each of the file's arrays of floats holds.
        not_finite: How many of those are NaN or infinite.
        problem: The refusal that names the first of them by its row in the file.
    """

    source: str
    format: str
    arrays: Mapping[str, NDArray[Any]]
    environment: str | None
    attributes: Mapping[str, float | int | str]
    rows: int
    sizes: Mapping[str, int]
    not_finite: Mapping[str, int]
    problem: InputError | None

    def dataset(self) -> Dataset:
        """The data set.

        Raises:
            InputError: A value is not finite; names key and row of the file.
        """
        if self.problem is not None:
            raise self.problem
        return of_finite_arrays(self.arrays, self.environment, self.source, self.attributes)

    def finite_part(self) -> Dataset:
        """The rows without NaN and infinities.

        Raises:
            InputError: No row is left.
        """
        if self.problem is None:
            return self.dataset()
        finite = np.ones(len(self.arrays["rewards"]), dtype=np.bool_)
        for array in self.arrays.values():
            if array.dtype.kind == "f":
                finite &= np.isfinite(array).reshape(len(array), -1).all(axis=1)
        if not finite.any():
            raise refusal(self.source, "every row holds a value that is not finite; repair the data")
        kept = {key: array[finite] for key, array in self.arrays.items()}
        return replace(self, arrays=kept, problem=None).dataset()


def columns(
    source: object,
    format: str,
    arrays: Mapping[str, NDArray[Any] | Stored],
    environment: str | None = None,
    attributes: Mapping[str, float | int | str] | None = None,
    room: Room = np.empty,
) -> Columns:
    """What a file holds, from its arrays in a data set's types (see `converted`).

    Without ``timeouts`` there are none. Without ``next_observations`` the following row is next: rows that have none
    are dropped, in place, so the arrays belong to the result from here on; ``room`` is where arrays go that have no
    place yet.

    Raises:
        InputError: No row has a known next observation.
    """
    rows = arrays["rewards"].shape[0]
    found = completed(source, arrays, room)
    return Columns(
        source=str(source),
        format=format,
        rows=rows,
        sizes=found.sizes,
        arrays=found.arrays,
        environment=environment,
        attributes={} if attributes is None else attributes,
        not_finite=found.not_finite,
        problem=found.problem,
    )


def check_declared(source: object, declared: Mapping[str, Declared]) -> dict[str, tuple[int, ...]]:
    """Check the types and shapes that a file states, before anything is read.

    Integers are numbers too: in observations and rewards they become float32 where that is exact, in actions they are
    discrete. (N, 1) counts as (N,) where one axis belongs.

    Args:
        source: The file.
        declared: Keys of `RANKS` that it has.

    Returns:
        The shapes that the arrays of the data set have.

    Raises:
        InputError: A required key is missing, a type is not a number's, or shapes do not fit together.
    """
    for key, (_, dtype) in declared.items():
        _check_type(source, key, dtype)
    discrete = "actions" in declared and declared["actions"].dtype.kind in "iu"
    flat = {key for key, rank in RANKS.items() if rank == 1} | ({"actions"} if discrete else set())
    shapes = {
        key: shape[:1] if key in flat and len(shape) == 2 and shape[1] == 1 else shape
        for key, (shape, _) in declared.items()
    }
    if discrete and len(shapes["actions"]) == 2 and 0 not in shapes["actions"]:
        many = shapes["actions"][1]
        raise refusal(
            source,
            f"actions: {many} integers a row, where a discrete action is one; number the combinations, "
            "or convert continuous values to float32",
        )
    check_shapes(source, shapes, discrete=discrete)
    return shapes


def missing_key(source: object, key: str, found: str, remedy: str) -> Exception:
    """The refusal of a file that lacks a key; ``found`` lists those it has."""
    return refusal(source, f"{key}: key is missing (found: {found}); {remedy}")


def converted(source: object, key: str, array: NDArray[Any]) -> NDArray[Any]:
    """An array in the type that a data set keeps under its key.

    Raises:
        InputError: A flag is neither 0 nor 1, a discrete action has no sensible number, or an integer is beyond
            float32's exact ones; names the row.
    """
    if key in FLAGS:
        return _flags(source, key, array)
    if array.dtype.kind not in "iu":
        with np.errstate(over="ignore", invalid="ignore"):
            return np.ascontiguousarray(array, dtype=np.float32)
    if key == "actions":
        check_action_numbers(source, array)
        return np.ascontiguousarray(array, dtype=np.int64)
    inexact = (array > LARGEST_EXACT_INTEGER) | (array < -LARGEST_EXACT_INTEGER)
    if inexact.any():
        row = tuple(map(int, np.argwhere(inexact)[0]))
        raise refusal(source, f"{key}: row {row[0]} is {array[row]}, an integer that float32 cannot hold; rescale it")
    return np.ascontiguousarray(array, dtype=np.float32)


def _check_type(source: object, key: str, dtype: np.dtype[Any]) -> None:
    if dtype.kind == "O":
        raise refusal(source, f"{key}: type object, whose values could run code when read; store plain numbers")
    if key in FLAGS:
        if dtype.kind not in "biuf":
            raise refusal(source, f"{key}: type {dtype} where booleans belong; store True and False, or 1 and 0")
    elif dtype.kind not in "iuf":
        raise refusal(source, f"{key}: type {dtype} where floats belong; convert the array to float32")


def _flags(source: object, key: str, array: NDArray[Any]) -> Flags:
    if array.dtype == np.bool_:
        return np.ascontiguousarray(array)
    neither = (array != 0) & (array != 1)
    if neither.any():
        row = int(np.argmax(neither))
        raise refusal(source, f"{key}: row {row} is {array[row]}, neither 0 nor 1; store True and False, or 1 and 0")
    return array == 1
