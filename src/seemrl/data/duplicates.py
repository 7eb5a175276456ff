"""How many transitions of a data set occur more than once."""

import numpy as np
from numpy.typing import NDArray

from seemrl.data.dataset import Dataset

_ROWS_IN_BLOCK = 2**14


def count_duplicates(dataset: Dataset) -> int:
    """Rows that equal an earlier one bit by bit in everything but the timeout.

    Rows are compared by a 64-bit hash, a random linear form of their 32-bit words: among a million different rows, two
    share one with a probability of about 3e-8.
    """
    words = [
        np.ascontiguousarray(array).reshape(len(dataset), -1).view(np.uint32)
        for array in dataset.arrays().values()
        if array.dtype != np.bool_
    ]
    sizes = [array.shape[1] for array in words]
    factors = np.random.Philox(key=0).random_raw(sum(sizes) + 1) | np.uint64(1)
    starts = np.cumsum([0, *sizes])
    hashes = np.where(dataset.terminals, factors[-1], np.uint64(0))
    for start in range(0, len(dataset), _ROWS_IN_BLOCK):  # blocks, so that the products stay in the cache
        block = slice(start, start + _ROWS_IN_BLOCK)
        for array, first, size in zip(words, starts[:-1], sizes, strict=True):
            hashes[block] += _linear_form(array[block], factors[first : first + size])
    hashes ^= hashes >> np.uint64(32)
    hashes.sort()
    return int((hashes[1:] == hashes[:-1]).sum())


def _linear_form(words: NDArray[np.uint32], factors: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Sum over a row's words times factors, modulo 2**64."""
    return (words * factors).sum(axis=1, dtype=np.uint64)
