"""Gymnasium's spaces as Minari writes them in JSON, flattened in one stated order.

A ``Dict`` is laid out in the alphabetical order of its keys, a ``Tuple`` in its own, a ``Box`` row by row; ``Discrete``
and ``MultiDiscrete`` observations are one-hot. That is the order of ``gymnasium.spaces.flatten``. Gymnasium itself is
not needed.
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

LARGEST_SPACE = 2**20
"""Numbers in one flattened observation."""

_MOST_NESTED = 8


@dataclass(frozen=True)
class Leaf:
    """A part of a space that is stored as one array.

    Attributes:
        path: Keys from the whole to it; Minari writes the n-th part of a tuple as ``_index_n`` in HDF5.
        counts: Numbers of choices where it is discrete (one for ``Discrete``), empty for numbers.
        starts: The first choice of each.
        shape: Shape of one value.
    """

    path: tuple[str | int, ...]
    shape: tuple[int, ...]
    counts: tuple[int, ...] = ()
    starts: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        """The keys with slashes."""
        return "/".join(map(str, self.path))

    @property
    def size(self) -> int:
        """Numbers in it when flattened."""
        return sum(self.counts) if self.counts else math.prod(self.shape)

    def flatten(self, values: NDArray[Any]) -> NDArray[Any]:
        """Values (rows, *shape) as (rows, size); one-hot where discrete.

        Raises:
            ValueError: A choice is not one of the space.
        """
        if not self.counts:
            return values.reshape(len(values), -1)
        choices = values.reshape(len(values), -1).astype(np.int64) - np.array(self.starts)
        wrong = ((choices < 0) | (choices >= np.array(self.counts))).any(axis=1)
        if wrong.any():
            raise ValueError(f"step {int(np.argmax(wrong))} is none of the {self.counts} choices")
        hot = np.zeros((len(values), self.size), dtype=np.float32)
        offsets = np.cumsum((0, *self.counts[:-1]))
        hot[np.arange(len(values))[:, None], offsets + choices] = 1
        return hot


def leaves(space: object) -> list[Leaf]:
    """The parts of a space in the order in which they are laid out.

    Args:
        space: What Minari stores: a mapping with ``type``, or its JSON text.

    Raises:
        ValueError: It is not a space, or of a kind that is no vector of numbers (images, texts).
    """
    try:
        if isinstance(space, str):
            space = json.loads(space)
        found = list(_leaves(space, ()))
    except (KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise ValueError(f"not a space that Minari writes ({type(error).__name__})") from error
    if not 0 < sum(leaf.size for leaf in found) <= LARGEST_SPACE:
        raise ValueError(f"a space of {sum(leaf.size for leaf in found)} numbers")
    return found


def _leaves(space: Any, path: tuple[str | int, ...]) -> Iterator[Leaf]:
    kind = space["type"]
    if len(path) > _MOST_NESTED:
        raise ValueError(f"nested more than {_MOST_NESTED} deep")
    if kind in _NESTED:
        for key, part in _NESTED[kind](space["subspaces"]):
            yield from _leaves(part, (*path, key))
    elif kind == "Box":
        shape = _sizes(space["shape"])
        if len(shape) >= 3 and space["dtype"] == "uint8":
            raise ValueError("images, which are not supported")
        yield Leaf(path, shape)
    elif kind == "MultiBinary":
        yield Leaf(path, _sizes(space["n"] if isinstance(space["n"], list) else [space["n"]]))
    elif kind == "Discrete":
        yield Leaf(path, (), _sizes([space["n"]]), (int(space.get("start", 0)),))
    elif kind == "MultiDiscrete":
        counts = _sizes(np.ravel(space["nvec"]).tolist())
        starts = np.ravel(space.get("start", np.zeros(len(counts), int))).tolist()
        if len(starts) != len(counts):
            raise ValueError("MultiDiscrete with starts of another length")
        yield Leaf(path, (len(counts),), counts, tuple(map(int, starts)))
    else:
        raise ValueError(f"a {kind} space, which holds no numbers")


_NESTED: Mapping[str, Callable[[Any], list[tuple[str | int, Any]]]] = {
    "Dict": lambda parts: sorted(parts.items()),
    "Tuple": lambda parts: list(enumerate(parts)),
}


def _sizes(values: Any) -> tuple[int, ...]:
    sizes = tuple(map(int, values))
    if any(not 0 <= size <= LARGEST_SPACE for size in sizes):
        raise ValueError(f"sizes {sizes}, not 0 to {LARGEST_SPACE}")
    return sizes
