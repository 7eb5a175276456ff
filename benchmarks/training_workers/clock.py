"""How every trainer is timed: some stretches of updates, each about as long as asked for."""

import json
import sys
from collections.abc import Callable
from time import perf_counter

_FIRST = 200


def report(train: Callable[[int], object]) -> None:
    """Time ``train(updates)`` and print the updates a second of each stretch as JSON.

    Reads seconds a stretch and the number of stretches from the command line. Two calls come first: one that
    compiles, and one that says how many updates fit into a stretch.
    """
    seconds, repeats = float(sys.argv[1]), int(sys.argv[2])
    train(_FIRST)
    started = perf_counter()
    train(_FIRST)
    updates = max(2, round(_FIRST * seconds / (perf_counter() - started)) // 2 * 2)
    speeds = []
    for _ in range(repeats):
        started = perf_counter()
        train(updates)
        speeds.append(updates / (perf_counter() - started))
    print(json.dumps(speeds))
