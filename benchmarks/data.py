"""How long loading takes against a bare h5py read of the same arrays, how much memory, and how long info takes.

    python -m benchmarks.data [--rows 1000000] [--repeats 5]

Files of rows x (17 + 6) numbers, as `Dataset.save` writes them (gzip), as D4RL's own are (gzip, without next
observations), and uncompressed. Both readers take turns in processes of their own, on a file that the system holds in
memory; the ratio is that of their medians. Times are processor time, which other work on the machine disturbs less;
both readers have one thread. Memory is the peak of the loading process above what it holds before, over the bytes of
the arrays (Linux).
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np

OBSERVATION, ACTION = 17, 6
KEYS = ("observations", "actions", "rewards", "next_observations", "terminals", "timeouts")

_COMMON = """
import json, sys, time
import h5py, numpy
def peak():
    with open("/proc/self/status") as status:  # the kernel's own high-water mark; getrusage inherits the parent's
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))
"""
BARE = (
    _COMMON
    + """
before, start = peak(), time.process_time()
with h5py.File(sys.argv[1]) as file:
    arrays = {key: file[key][()] for key in file}
seconds = time.process_time() - start
print(json.dumps({"seconds": seconds, "memory": peak() - before, "arrays": sum(a.nbytes for a in arrays.values())}))
"""
)
LOAD = (
    _COMMON
    + """
from seemrl.data.loading import load
before, start = peak(), time.process_time()
data = load(sys.argv[1])
seconds = time.process_time() - start
arrays = sum(a.nbytes for a in data.arrays().values())
print(json.dumps({"seconds": seconds, "memory": peak() - before, "arrays": arrays}))
"""
)
INFO = (
    _COMMON
    + """
from seemrl.data.loading import read
from seemrl.data.summary import summarize
before, start = peak(), time.process_time()
summary = summarize(read(sys.argv[1]))
print(json.dumps({"seconds": time.process_time() - start, "memory": peak() - before, "arrays": 1}))
"""
)


def main() -> None:
    parser = argparse.ArgumentParser(description="Loading against a bare h5py read.")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        print(f"{options.rows:,} rows x ({OBSERVATION} + {ACTION}), median of {options.repeats}")
        print(f"{'file':34}{'bare h5py':>11}{'load':>9}{'ratio':>8}{'memory / arrays':>17}{'info':>9}")
        for name, path in written(Path(directory), options.rows).items():
            report(name, path, options.repeats)


def written(directory: Path, rows: int) -> dict[str, Path]:
    """The files, by what they are."""
    from seemrl.data.dataset import Dataset

    random = np.random.default_rng(0)
    observations = random.standard_normal((rows + 1, OBSERVATION), dtype=np.float32)
    arrays: dict[str, Any] = {
        "observations": observations[:-1],
        "actions": random.uniform(-1, 1, (rows, ACTION)).astype(np.float32),
        "rewards": random.standard_normal(rows, dtype=np.float32),
        "next_observations": observations[1:].copy(),
        "terminals": np.zeros(rows, dtype=np.bool_),
        "timeouts": np.arange(rows) % 1000 == 999,
    }
    paths = {
        name: directory / f"{number}.hdf5"
        for number, name in enumerate(("seemrl's, gzip", "D4RL's, gzip", "D4RL's, float64", "uncompressed"))
    }
    Dataset(**arrays, environment="HalfCheetah-v5", source="made").save(paths["seemrl's, gzip"])
    flat = {key: array for key, array in arrays.items() if key != "next_observations"}
    _write(paths["D4RL's, gzip"], flat, compression="gzip")
    doubles = {key: array if array.dtype == bool else array.astype(np.float64) for key, array in flat.items()}
    _write(paths["D4RL's, float64"], doubles)
    _write(paths["uncompressed"], arrays)
    return paths


def _write(path: Path, arrays: dict[str, Any], **options: Any) -> None:
    with h5py.File(path, "w") as file:
        for key, array in arrays.items():
            file.create_dataset(key, data=array, **options)


def report(name: str, path: Path, repeats: int) -> None:
    """Measure both readers in turn and print a line."""
    path.read_bytes()  # into the system's memory
    taken: dict[str, list[dict[str, float]]] = {BARE: [], LOAD: []}
    for _ in range(repeats):
        for code, results in taken.items():
            results.append(_run(code, path))
    bare, loaded = (statistics.median(result["seconds"] for result in results) for results in taken.values())
    memory = max(result["memory"] / result["arrays"] for result in taken[LOAD])
    info = _run(INFO, path)["seconds"]
    print(f"{name:34}{bare:>10.2f}s{loaded:>8.2f}s{loaded / bare:>8.2f}{memory:>17.2f}{info:>8.1f}s", flush=True)


def _run(code: str, path: Path) -> dict[str, float]:
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, check=True, text=True)
    return json.loads(done.stdout)


if __name__ == "__main__":
    main()
