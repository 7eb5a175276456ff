"""Which rows a random part of a data set has: exact counts, nested, and the same on every platform."""

import math
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from seemrl.data.dataset import Dataset, SubsetUnit
from seemrl.data.refusals import refusal

LARGEST_SEED = 2**63 - 1


def subset_rows(dataset: Dataset, percent: float, by: SubsetUnit, seed: int) -> NDArray[np.int64]:
    """Sorted numbers of the rows in a part of the data; see `Dataset.subset`.

    Raises:
        InputError: The percentage or the seed is out of range.
    """
    if not 0 < percent <= 100:
        raise refusal(dataset.source, f"a subset of {percent}% has no meaning; use a percentage above 0, up to 100")
    if not 0 <= seed <= LARGEST_SEED:
        raise refusal(dataset.source, f"subset seed {seed} is out of range; use 0 to {LARGEST_SEED}")
    if by == "transitions":
        return np.sort(_shuffled(len(dataset), seed)[: _part(len(dataset), percent)])
    episodes = dataset.episodes()
    chosen = np.sort(_shuffled(len(episodes), seed)[: _part(len(episodes), percent)])
    return np.concatenate([np.arange(start, stop) for start, stop in episodes[chosen]])


def _part(things: int, percent: float) -> int:
    """``things * percent / 100`` to the nearest, halves up, at least 1; in exact arithmetic on the decimal given."""
    return max(1, math.floor(things * Fraction(str(percent)) / 100 + Fraction(1, 2)))


def _shuffled(things: int, seed: int) -> NDArray[np.int64]:
    """The numbers 0 to things - 1 in an order that depends on both arguments alone.

    Sorted by the raw output of Philox (Salmon et al., 2011), which is a published algorithm and part of NumPy's
    guarantee for its bit generators; the order that ``Generator.permutation`` gives may change between versions.
    """
    return np.argsort(np.random.Philox(key=seed).random_raw(things), kind="stable")
