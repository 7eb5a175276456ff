"""When to read: every so many updates, or when values may have moved; never beyond a share of the time."""

import time
from collections import deque
from collections.abc import Callable, Generator
from contextlib import contextmanager

from seemrl.errors import InputError
from seemrl.instrument.forecast.cadence import steps_to_next
from seemrl.instrument.reading import Reading
from seemrl.monitoring.compiling import compiling

FIRST = 100
"""Updates before the first reading where the cadence is chosen by itself, and the longest gap early on."""
_SHORTEST, _LONGEST = 0.01, 0.1  # gaps as shares of the steps so far
_MARGIN = 1.25  # of what a reading may cost beyond the dearest of the last few
_RECENT = 5
_FORECAST = 0.06  # seconds that a forecast costs once values rise, beyond one of a critic that stands still
_LONGEST_WAIT = 1800.0  # seconds, for the second reading


class Schedule:
    """Decides whether a reading is due, and whether there is time for it.

    The time counted is everything that readings cost: measuring, forecasting, logs and snapshots. The first reading is
    not counted, since it loads and compiles what all others use. A reading that is due is put off to the first update
    at which the time spent and what it will cost are within the share. It may cost a quarter more than the dearest of
    the last few; for the second, than the first without what JAX compiled in it; and a forecast of rising values,
    which takes longer. So the share holds after every reading but the first, unless one costs more than that.

    What else is done once, torch.compile's compiling above all, is not told apart from the first reading's cost. After
    half an hour the second is taken whatever the first has cost.

    Args:
        every: updates between readings: due at its multiples. None: by how fast the last reading says
            that values move.
        time_share: of the wall clock since now; None for no limit.
        clock: seconds since some moment.

    Raises:
        InputError: a number is out of range.
    """

    def __init__(
        self, every: int | None, time_share: float | None, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        if every is not None and every < 1:
            raise InputError(f"every: {every} is below 1; give updates between readings, or None to choose by itself")
        if time_share is not None and not 0 < time_share <= 1:
            raise InputError(f"time_share: {time_share} is outside (0, 1]; give a share of the time, or None")
        self._every, self._share, self._clock = every, time_share, clock
        self._next = FIRST if every is None else every
        self._made = clock()
        self._first_cost: float | None = None
        self._costs: deque[float] = deque(maxlen=_RECENT)
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
        return self.spent / max(self._elapsed(), 1e-9)

    @contextmanager
    def timed(self) -> Generator[None]:
        """Count what happens inside as the cost of one reading."""
        started = self._clock()
        with compiling() as compiled:
            try:
                yield
            finally:
                taken = self._clock() - started
                again = max(taken - compiled.seconds, 0.0)
                if self._first_cost is None:
                    self._first_cost = again
                else:
                    self.spent += taken
                    self._costs.append(again)

    def _affordable(self) -> bool:
        if self._share is None or self._first_cost is None:
            return True
        if not self._costs and self._elapsed() >= _LONGEST_WAIT:
            return True
        expected = _MARGIN * max(self._costs, default=self._first_cost) + _FORECAST
        return self.spent + expected <= self._share * self._elapsed()

    def _elapsed(self) -> float:
        return self._clock() - self._made
