"""SEEM by the paper's procedure, by two general ways and by this package: seconds and memory, side by side in one run.

python -m benchmarks.kernels --rows 256                                        (some minutes on two cores)
python -m benchmarks.kernels --results cells.jsonl --markdown table.md         (every size, within three hours)

Each method runs on each critic and size in a process of its own, on the same weights and points. What a cell will take
is predicted from the smaller ones, and the cheapest runs next; one that would take longer than allowed, or than is
left, is not run, and said to be. With a file of results a second call measures only what is missing.
"""

import shlex
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import get_args

import tyro
from rich.console import Console

from benchmarks.kernel_cells import Cell, Finished, Limits, Result, machine, memory, run_cell
from benchmarks.kernel_costs import Prediction, minutes, predicted
from benchmarks.kernel_critics import CriticName, Targets
from benchmarks.kernel_methods import MethodName, fits
from benchmarks.kernel_tables import markdown, show


@dataclass(frozen=True)
class KernelsConfig:
    """Compare ways to the largest real eigenvalue of the self-excitation matrix."""

    rows: tuple[int, ...] = (256, 1024, 2560, 10_000, 50_000)
    """How many transitions."""
    critics: tuple[CriticName, ...] = get_args(CriticName)
    """Which critics."""
    methods: tuple[MethodName, ...] = (
        *("paper", "vmap-float32", "curvlinops", "ours-torch", "ours-jax"),
        "products-float32-full",
    )
    """Which methods; "products" are the bare matrix products of the layerwise formula."""
    targets: Targets = "random"
    """Next points: unrelated to the rows' own, or near them with actions far outside the data as in a diverging run."""
    budget: float = 180.0
    """Minutes for everything."""
    cell_limit: float = 15.0
    """Minutes for one cell: one whose call is predicted to take longer is not run, one that does is stopped."""
    memory_limit: float | None = None
    """Gigabytes for one cell; nine tenths of what is free, if not given."""
    repeats: int = 5
    """Timed calls of a method that takes less than 20 seconds; a slower one is timed once."""
    results: Path | None = None
    """File of finished cells, one JSON line each, to go on from."""
    markdown: Path | None = None
    """File for the tables as Markdown."""


def main(config: KernelsConfig) -> None:
    finished = Finished.at(config.results)
    ends = time.monotonic() + 60 * config.budget
    shown: dict[Cell, Result] = {}
    waiting = _cells(config)
    while waiting:
        cell = min(waiting, key=lambda cell: _expected(cell, finished))  # of equals the first
        waiting.remove(cell)
        limits = _limits(config, ends - time.monotonic())
        known = finished.known(cell, limits.seconds)
        if known is None:
            known = _refused(predicted(cell, finished.results), limits, config)
        if known is None:
            known = run_cell(cell, limits)
            finished.add(cell, known)
        shown[cell] = known
        print(f"{cell.critic}, {cell.rows} rows, {cell.method}: {_outcome(known)}", file=sys.stderr, flush=True)
    ordered = {cell: shown[cell] for critic in config.critics for cell in _cells(config) if cell.critic == critic}
    show(ordered, Console(width=None if sys.stdout.isatty() else 180))
    if config.markdown is not None:
        command = f"python -m benchmarks.kernels {shlex.join(sys.argv[1:])}"
        config.markdown.write_text(markdown(ordered, machine(), command))


def _cells(config: KernelsConfig) -> list[Cell]:
    """Small sizes first."""
    return [
        Cell(method, critic, rows, config.targets)
        for rows in sorted(config.rows)
        for critic in config.critics
        for method in config.methods
        if fits(method, critic)
    ]


def _expected(cell: Cell, finished: Finished) -> float:
    """Seconds; what is unknown is the smallest of its kind, and tells what the others will cost."""
    prediction = predicted(cell, finished.results)
    return 0.0 if prediction is None else prediction.seconds


def _limits(config: KernelsConfig, left: float) -> Limits:
    available = memory("MemAvailable", "/proc/meminfo") or 8 * 2**30
    gigabytes = 0.9 * available / 1e9 if config.memory_limit is None else config.memory_limit
    return Limits(max(0.0, min(60 * config.cell_limit, left)), gigabytes, config.repeats)


def _refused(prediction: Prediction | None, limits: Limits, config: KernelsConfig) -> Result | None:
    """Why a cell is not run, if it is not: it would take longer than a cell may, or than is left of the budget."""
    if prediction is not None and prediction.seconds > 60 * config.cell_limit:
        return Result("not run", note=f"predicted {prediction}")
    wanted = 1.0 if prediction is None else prediction.of_cell(limits)
    if wanted > limits.seconds:
        known = "" if prediction is None else f", predicted {prediction}"
        return Result("not run", note=f"{minutes(limits.seconds)} left{known}")
    return None


def _outcome(result: Result) -> str:
    taken = minutes(median(result.seconds)) if result.seconds else ""
    status = "" if result.status == "measured" else result.status
    return ", ".join(part for part in (taken, status, result.note) if part)


if __name__ == "__main__":
    main(tyro.cli(KernelsConfig))
