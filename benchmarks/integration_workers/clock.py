"""How a training is timed, with a monitor and without: after a stretch that warms up and one that tells its pace."""

import json
import sys
import time
from collections.abc import Callable
from typing import Any

from seemrl import Monitor

_WARM_UP, _PACE = 300, 100  # updates; a monitor is made and takes its first reading in the first ones


def watched() -> bool:
    """Whether this process is the one with a monitor."""
    return sys.argv[1] == "watched"


class Stopwatch:
    """Train ``ahead`` updates, say `passed`; the training is over when none are ahead, and its numbers are printed.

    Args:
        monitor: called at the end.
    """

    def __init__(self, monitor: Callable[[], Monitor | None]) -> None:
        self.ahead = _WARM_UP
        self._monitor, self._stretch = monitor, 0
        self._inside = 0.0
        self._listen()
        self._start()

    def passed(self) -> None:
        wall, processor = time.perf_counter() - self._wall, time.process_time() - self._processor
        if self._stretch == 0:
            self._warm_up, self.ahead = wall, _PACE
        elif self._stretch == 1:
            self.ahead = max(round(int(sys.argv[2]) / wall * _PACE), 1)
        else:
            found, updates, self.ahead = self._monitor(), self.ahead, 0
            said = {} if found is None else {"time_share": found.time_share, "readings": len(found.history)}
            said |= {"inside": self._inside / processor, "updates": updates, "warm_up": self._warm_up}
            print(json.dumps({"wall": wall / updates, "processor": processor / updates, "seconds": wall, **said}))
        self._stretch += 1
        self._start()

    def _start(self) -> None:
        self._inside = 0.0
        self._wall, self._processor = time.perf_counter(), time.process_time()

    def _listen(self) -> None:
        """Sum the processor's seconds in a monitor's calls: of this thread, or of all where a reading was taken."""
        update: Any = Monitor.update

        def counted(*args: Any, **options: Any) -> Any:
            thread, process = time.thread_time(), time.process_time()
            reading = update(*args, **options)
            thread, process = time.thread_time() - thread, time.process_time() - process
            self._inside += thread if reading is None else process
            return reading

        Monitor.update = counted


def report(train: Callable[[int], object], monitor: Callable[[], Monitor | None]) -> None:
    """Time ``train(updates)``, which is called several times."""
    stopwatch = Stopwatch(monitor)
    while stopwatch.ahead:
        train(stopwatch.ahead)
        stopwatch.passed()
