"""Several seeds whose process is killed for good: theirs end too, and the runs can be continued."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from seemrl.files import hold, read_json_lines
from seemrl_process import EMBEDDED, start

OPTIONS = (
    "--agent bc --seeds 2 --steps 1000000 --read-every 10 --checkpoint-every 10 --env none "
    "--hidden-sizes 8 --batch-size 16"
)
PROCESSES = Path("/proc")


def children(process: int) -> list[int]:
    """Processes that a process has begun, and those that these have."""
    try:
        found = [int(child) for child in (PROCESSES / f"{process}/task/{process}/children").read_text().split()]
    except OSError:
        return []
    return found + [further for child in found for further in children(child)]


def alive(process: int) -> bool:
    """Whether it runs; one that has ended but that nobody has asked about does not."""
    try:
        return (PROCESSES / str(process) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_for(condition: Callable[[], bool], seconds: float) -> bool:
    until = time.monotonic() + seconds
    while not condition() and time.monotonic() < until:
        time.sleep(0.02)
    return condition()


@pytest.mark.skipif(not PROCESSES.is_dir(), reason="the processes are found in /proc")
@pytest.mark.parametrize("moment", ["loading", "training"])
def test_no_seed_outlives_the_process_that_was_killed(moment, tmp_path):
    process = start("train", "--data", EMBEDDED, "--out", "both", *OPTIONS.split(), cwd=tmp_path)
    seeds = [tmp_path / "both" / f"seed{seed}" for seed in (0, 1)]

    def begun() -> bool:
        if moment == "loading":
            return len(children(process.pid)) >= 3  # two that train and one that clears up behind them
        return all(read_json_lines(seed / "metrics.jsonl") for seed in seeds)

    assert wait_for(begun, 120), process.poll()
    workers = children(process.pid)
    assert len(workers) >= 3 and all(map(alive, workers))
    process.send_signal(signal.SIGKILL)
    process.wait()
    ended = wait_for(lambda: not any(map(alive, workers)), 10)
    for worker in filter(alive, workers):
        os.kill(worker, signal.SIGKILL)
    assert ended, "they train on with nobody to hear of it"
    process.communicate()
    for seed in seeds:
        if seed.exists():
            os.close(hold(seed))  # raises where somebody is writing there still
