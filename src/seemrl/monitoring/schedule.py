"""When to read: every so many updates, or when values may have moved; never beyond a share of the time."""

import math
import time
from collections.abc import Generator
from contextlib import contextmanager

from seemrl.errors import InputError
from seemrl.instrument.forecast.cadence import steps_to_next
from seemrl.instrument.reading import Reading

FIRST = 100
"""Updates before the first reading where the cadence is chosen by itself, and the longest gap early on."""
_SHORTEST, _LONGEST = 0.01, 0.1  # gaps as shares of the steps so far


class Schedule:
    """Decides whether a reading is due, and whether there is time for it.

    The time counted is everything that readings cost: measuring, forecasting, logs and snapshots. The first reading is
    not counted, since it loads and compiles what all others use. A reading that is due while the time spent and the
    cost of the last one would pass the share is put off to the first update at which it does not.

    Args:
        every: updates between readings: due at its multiples. None: by how fast the last reading says
            that values move.
        time_share: of the wall clock since now; None for no limit.

    Raises:
        InputError: a number is out of range.
    """

    def __init__(self, every: int | None, time_share: float | None) -> None:
        if every is not None and every < 1:
            raise InputError(f"every: {every} is below 1; give updates between readings, or None to choose by itself")
        if time_share is not None and not 0 < time_share <= 1:
            raise InputError(f"time_share: {time_share} is outside (0, 1]; give a share of the time, or None")
        self._every, self._share = every, time_share
        self._next = FIRST if every is None else every
        self._made = time.perf_counter()
        self._first = True
        self._last_cost = 0.0
        self.spent = 0.0

    def due(self, step: int) -> bool:
        """Whether to read now."""
        return step >= self._next and self._affordable()

    def after(self, step: int, reading: Reading | None) -> None:
        """A reading was taken at this step, or failed (None)."""
        if self._every is not None:
            self._next = (step // self._every + 1) * self._every
            return
        shortest, longest = (max(int(share * step), least) for share, least in ((_SHORTEST, 1), (_LONGEST, FIRST)))
        self._next = step + (longest if reading is None else steps_to_next(reading, shortest=shortest, longest=longest))

    def restart(self) -> None:
        """Nothing has been read."""
        self._next = FIRST if self._every is None else self._every

    @property
    def share(self) -> float:
        """Share of the wall clock since the start that readings took, the first one left out."""
        return self.spent / max(time.perf_counter() - self._made, 1e-9)

    @contextmanager
    def timed(self) -> Generator[None]:
        """Count what happens inside as the cost of one reading."""
        started = time.perf_counter()
        try:
            yield
        finally:
            if not self._first:
                self._last_cost = time.perf_counter() - started
                self.spent += self._last_cost
            self._first = False

    def _affordable(self) -> bool:
        allowed = math.inf if self._share is None else self._share * (time.perf_counter() - self._made)
        return self.spent + self._last_cost <= allowed
