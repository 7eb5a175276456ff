"""What it costs to train on data that lie on the disk: updates a second and memory, beside the same data in memory.

    python -m benchmarks.out_of_core [--rows 4000000] [--window-rows 100000] [--steps 4000]

Made-up transitions of 17 + 6 numbers, TD3+BC as published. Both runs are processes of `seemrl train`, in turn. Memory
is the most that a process held of its own (RssAnon), sampled; mapped files are not in it, since the system may drop
them at any time (Linux). Updates a second are the median over the stretches between readings.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.data import ACTION, OBSERVATION
from seemrl.data.mapped import save_mapped
from seemrl.files import read_json_lines


def main() -> None:
    parser = argparse.ArgumentParser(description="Training from the disk beside training from memory.")
    parser.add_argument("--rows", type=int, default=4_000_000)
    parser.add_argument("--window-rows", type=int, default=100_000)
    parser.add_argument("--steps", type=int, default=4_000)
    parser.add_argument("--repeats", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        size = make_data(place / "data", options.rows)
        print(f"{options.rows:,} rows x ({OBSERVATION} + {ACTION}), {size / 2**20:,.0f} MiB, {options.steps:,} updates")
        print(f"{'in memory at a time':22}{'updates/s':>12}{'memory, MiB':>14}{'whole run, s':>15}")
        ways = {"all rows": 0, f"{options.window_rows:,} rows": options.window_rows}
        for turn in range(options.repeats):
            for name, window in ways.items():
                speed, memory, seconds = train(place, f"{window}-{turn}", window, options.steps)
                print(f"{name:22}{speed:>12,.1f}{memory / 2**20:>14,.0f}{seconds:>15,.1f}", flush=True)


def make_data(place: Path, rows: int) -> int:
    """A directory as `seemrl data map` makes them; returns the bytes of its arrays."""
    from seemrl.data.dataset import Dataset

    random = np.random.default_rng(0)
    observations = random.standard_normal((rows + 1, OBSERVATION), dtype=np.float32)
    data = Dataset(
        observations=observations[:-1],
        actions=random.uniform(-1, 1, (rows, ACTION)).astype(np.float32),
        rewards=random.standard_normal(rows, dtype=np.float32),
        next_observations=observations[1:],
        terminals=np.zeros(rows, np.bool_),
        timeouts=np.arange(rows) % 1000 == 999,
        environment=None,
        source="made",
    )
    save_mapped(data, place)
    return sum(array.nbytes for array in data.arrays().values())


def train(place: Path, name: str, window: int, steps: int) -> tuple[float, int, float]:
    """Updates a second, the most memory and the seconds of one run."""
    command = f"train --data data --out {name} --steps {steps} --window-rows {window} --env none"
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "seemrl", *command.split()], cwd=place, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    most = 0
    while process.poll() is None:
        most = max(most, own_memory(process.pid))
        time.sleep(0.02)
    if process.returncode:
        sys.exit(process.stderr.read().decode() if process.stderr else "failed")
    rows = read_json_lines(place / name / "metrics.jsonl")[1:]  # the first stretch compiles
    return statistics.median(row["updates_per_second"] for row in rows), most, time.perf_counter() - started


def own_memory(process: int) -> int:
    """Bytes that a process holds and no file backs."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("RssAnon")), 0)


if __name__ == "__main__":
    main()
