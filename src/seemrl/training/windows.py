"""Data larger than memory: the run learns from a window of it at a time, made of shuffled blocks of rows.

A window stays for as many updates as draw each of its rows once on average; the next one is read meanwhile. Which rows
a window has derives from the seed and its number, and its number from the step: a run that is resumed has the same.
"""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
from jaxtyping import Int

from seemrl.agents.agent import Transitions

ROWS_IN_BLOCK = 1024
"""Rows that lie together on the disk and come together; few, so that a window has many parts of the data."""
_SEED = 0xB10C  # so that blocks are shuffled by other numbers than anything else of the run


class Blocks:
    """The order in which blocks of rows come: all of them in every epoch, in an order of its own.

    Each epoch cuts the rows into blocks anew, from a random row on, so that what is left over of it (less than a block)
    is somewhere else each time, and every row comes equally often in the long run.

    Args:
        rows: of the data.
        size: rows in a block; at most ``rows``.
        seed: of everything random in it.
    """

    def __init__(self, rows: int, size: int, seed: int) -> None:
        self.rows, self.size, self._seed = rows, min(size, rows), seed
        self.count = rows // self.size

    def of(self, numbers: range) -> Int[np.ndarray, " rows_of_blocks"]:
        """Rows of these blocks of the endless sequence, block after block."""
        starts = np.concatenate(
            [
                self._starts(epoch)[
                    max(numbers.start - epoch * self.count, 0) : min(numbers.stop - epoch * self.count, self.count)
                ]
                for epoch in range(numbers.start // self.count, (numbers.stop - 1) // self.count + 1)
            ]
        )
        return ((starts[:, None] + np.arange(self.size)) % self.rows).ravel()

    def _starts(self, epoch: int) -> Int[np.ndarray, " blocks"]:
        random = np.random.Generator(np.random.PCG64([_SEED, self._seed, epoch]))
        return random.integers(self.rows) + self.size * random.permutation(self.count)


class Windows:
    """Windows of the data one after another, the next one read ahead by a thread.

    Args:
        read: what the run learns from, of these rows; called with numbers of rows, block after block.
        blocks: of the data.
        rows: in a window; a whole number of blocks, at least one.
        updates: from one window to the next.
    """

    def __init__(self, read: Callable[[np.ndarray], Transitions], blocks: Blocks, rows: int, updates: int) -> None:
        self.updates = updates
        self._read, self._blocks = read, blocks
        self._blocks_in_window = max(1, min(rows // blocks.size, blocks.count))
        self._reader = ThreadPoolExecutor(1, "window")
        self._coming: dict[int, Future[Transitions]] = {}
        self._here: tuple[int, Transitions] | None = None

    def at(self, step: int) -> tuple[Transitions, int]:
        """What the update after so many learns from, and the step at which the next window comes."""
        number = step // self.updates
        if self._here is None or self._here[0] != number:
            coming = self._coming.pop(number, None) or self._ask(number)
            self._here = None  # two windows in memory, not three
            self._here = number, coming.result()
            self._coming = {number + 1: self._ask(number + 1)}
        return self._here[1], (number + 1) * self.updates

    def rows_of(self, number: int) -> Int[np.ndarray, " rows"]:
        """Rows of the window of this number."""
        first = number * self._blocks_in_window
        return self._blocks.of(range(first, first + self._blocks_in_window))

    def _ask(self, number: int) -> Future[Transitions]:
        return self._reader.submit(lambda: self._read(self.rows_of(number)))
