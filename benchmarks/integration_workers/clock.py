"""How a training is timed with a monitor and without: once a stretch that warms up, once the stretch that counts."""

import json
import sys
import time
from collections.abc import Callable

from seemrl import Monitor

WARM_UP = 300  # updates, in which a monitor is made and takes its first reading


def watched() -> bool:
    """Whether this process is the one with a monitor."""
    return sys.argv[1] == "watched"


def report(train: Callable[[int], object], monitor: Callable[[], Monitor | None]) -> None:
    """Time ``train(updates)`` and print seconds of the processor and of the wall, and what the monitor says."""
    updates = int(sys.argv[2])
    started = time.perf_counter()
    train(WARM_UP)
    warm_up = time.perf_counter() - started
    wall, processor = time.perf_counter(), time.process_time()
    train(updates)
    seconds = {"wall": time.perf_counter() - wall, "processor": time.process_time() - processor}
    found = monitor()
    said = {} if found is None else {"time_share": found.time_share, "readings": len(found.history)}
    print(json.dumps({"updates": updates, "warm_up": warm_up, **seconds, **said}))
