"""Updates a second of TD3+BC: this package, a plain PyTorch loop and d3rlpy, side by side on the same data and sizes.

python -m benchmarks.training                                     (about four minutes on two cores)
python -m benchmarks.training --d3rlpy .venv-d3rlpy/bin/python    (with d3rlpy, from an environment of its own)
python -m benchmarks.training --compiling-alone                   (what compiling takes instead; about a minute)

Each number comes from a process of its own that may use so many cores, and leaves compiling and a first stretch of
updates out. The peak is that of the matrix products of one update, in the same numbers and shapes and in float32,
timed in the same run. Compiling is told in processor seconds, which others on the machine hardly change.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import tyro
from rich.console import Console
from rich.table import Table

_ROOT = Path(__file__).parent.parent
_WORKERS = Path(__file__).parent / "training_workers"


@dataclass(frozen=True)
class TrainingConfig:
    """Compare trainers of TD3+BC by updates a second."""

    cores: tuple[int, ...] = (1, 2)
    """How many cores a process may use."""
    seeds: int = 4
    """Seeds trained at once, by this package and by processes of the plain loop, on all cores."""
    seconds: float = 8.0
    """How long each is timed."""
    repeats: int = 3
    """Timed stretches; their median counts."""
    d3rlpy: str = ""
    """Python of an environment with d3rlpy; without it d3rlpy is left out."""
    compiling_alone: bool = False
    """Instead, the processor seconds until the first update of each agent: compiled, and from the cache of programs."""
    agents: tuple[str, ...] = ("td3_bc", "iql", "cql", "diffusion_ql")
    """Agents whose compiling is timed."""


def main(config: TrainingConfig) -> None:
    if config.compiling_alone:
        _show_compiling({name: _compiling(name, config.repeats) for name in config.agents})
        return
    rows: dict[str, dict[str, float]] = {}
    for cores in config.cores:
        column = f"1 seed, {cores} core{'s' if cores > 1 else ''}"
        for name in _trainers(config):
            rows.setdefault(name, {})[column] = _alone(config, name, cores)
    column = f"{config.seeds} seeds, {max(config.cores)} cores"
    for name in ("seemrl", "plain PyTorch"):
        rows[name][column] = _together(config, name, max(config.cores))
    _show(rows)


def _trainers(config: TrainingConfig) -> tuple[str, ...]:
    return ("seemrl", "plain PyTorch", "matrix products", *(("d3rlpy",) if config.d3rlpy else ()))


def _start(config: TrainingConfig, name: str, cores: range) -> subprocess.Popen[str]:
    python = config.d3rlpy if name == "d3rlpy" else sys.executable
    worker = (
        _WORKERS
        / {
            "seemrl": "ours.py",
            "plain PyTorch": "plain_torch.py",
            "matrix products": "products.py",
            "d3rlpy": "with_d3rlpy.py",
        }[name]
    )
    count = str(len(cores))
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), count)
    pinned = ["taskset", "--cpu-list", ",".join(map(str, cores))]
    return subprocess.Popen(
        [*pinned, python, str(worker), str(config.seconds), str(config.repeats)],
        env=os.environ | threads | {"PYTHONPATH": f"{_ROOT}{os.pathsep}{_ROOT / 'src'}"},
        stdout=subprocess.PIPE,
        text=True,
    )


def _speed(process: subprocess.Popen[str]) -> float:
    said, _ = process.communicate()
    if process.returncode:
        raise SystemExit(f"{process.args}: ended with {process.returncode}")
    return median(json.loads(said.splitlines()[-1]))


def _alone(config: TrainingConfig, name: str, cores: int) -> float:
    speed = _speed(_start(config, name, range(cores)))
    print(f"{name}, {cores} core(s): {speed:.1f} updates/s", file=sys.stderr, flush=True)
    return speed


def _together(config: TrainingConfig, name: str, cores: int) -> float:
    """Updates a second of all seeds together: as many processes at a time as there are cores, a core each."""
    at_once = min(cores, config.seeds)
    started = time.monotonic()
    speeds: list[float] = []
    for first in range(0, config.seeds, at_once):
        several = [_start(config, name, range(place, place + 1)) for place in range(min(at_once, config.seeds - first))]
        speeds += [_speed(process) for process in several]
    total = sum(speeds) / len(speeds) * at_once
    print(
        f"{name}, {config.seeds} seeds: {total:.1f} ({time.monotonic() - started:.0f} s)", file=sys.stderr, flush=True
    )
    return total


def _compiling(name: str, repeats: int) -> dict[str, float]:
    """Medians of processor seconds to the first update, with an empty cache of programs and with a full one."""
    seconds: dict[str, list[float]] = {"cold": [], "cached": []}
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as cache:
            paths = {"PYTHONPATH": f"{_ROOT}{os.pathsep}{_ROOT / 'src'}", "JAX_COMPILATION_CACHE_DIR": cache}
            for taken in seconds.values():
                worker = [sys.executable, str(_WORKERS / "compiling.py"), name]
                said = subprocess.run(worker, env=os.environ | paths, stdout=subprocess.PIPE, text=True, check=True)
                taken.append(float(said.stdout.split()[-1]))
    print(name, seconds, file=sys.stderr, flush=True)
    return {column: median(taken) for column, taken in seconds.items()}


def _show_compiling(rows: dict[str, dict[str, float]]) -> None:
    table = Table("processor seconds to the first update", "compiled", "from the cache")
    for name, taken in rows.items():
        table.add_row(name, f"{taken['cold']:.1f}", f"{taken['cached']:.1f}")
    Console(width=None if sys.stdout.isatty() else 120).print(table)


def _show(rows: dict[str, dict[str, float]]) -> None:
    columns = list(rows["seemrl"])
    table = Table("updates/s", *columns)
    for name, speeds in rows.items():
        table.add_row(name, *(f"{speeds[column]:.1f}" if column in speeds else "" for column in columns))
    for name in rows:
        if name != "seemrl":
            ratios = [
                f"{rows['seemrl'][column] / rows[name][column]:.2f}" if column in rows[name] else ""
                for column in columns
            ]
            table.add_row(f"seemrl / {name}", *ratios)
    Console(width=None if sys.stdout.isatty() else 120).print(table)


if __name__ == "__main__":
    main(tyro.cli(TrainingConfig, description=__doc__))
