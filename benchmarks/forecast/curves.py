"""How good `forecast_curve` is on recorded curves of real runs.

python -m benchmarks.forecast.curves --data curves.parquet      (about three minutes on two cores for 660 runs)
"""

import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # set before NumPy loads, for the processes too
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import tyro
from rich.console import Console
from rich.progress import track

from benchmarks.forecast.curve_figure import draw
from benchmarks.forecast.curve_runs import follow, read_runs
from benchmarks.forecast.curve_tables import tables
from benchmarks.forecast.tables import replace_part
from seemrl.errors import InputError


@dataclass(frozen=True, kw_only=True)
class CurvesConfig:
    """Follow recorded Q curves as they would have been seen, and score alarms and forecasts.

    The file has a row for each log entry and the columns algo, dataset, seed, step, mean_q, critic_loss.
    """

    data: str
    """Parquet file of the curves."""
    markdown: str = ""
    """Markdown file whose part between the two marking comments is replaced by the tables."""
    figure: str = ""
    """Where to draw the figure (.svg or .png)."""
    seeds: tuple[int, ...] = ()
    """Only these seeds; all if empty."""
    processes: int = 2
    """Runs followed at a time."""


def main(config: CurvesConfig) -> None:
    """Score the curves; print the tables, and write what was asked for."""
    runs = [run for run in read_runs(Path(config.data)) if not config.seeds or run.seed in config.seeds]
    if not runs:
        raise InputError(f"{config.data}: no run has one of the seeds {config.seeds}")
    console = Console()
    with ProcessPoolExecutor(config.processes) as pool:
        followed = list(
            track(
                pool.map(follow, runs, chunksize=4),
                "Following the curves",
                len(runs),
                console=Console(stderr=True),
            )
        )
    scored = tables(followed)
    for table in scored:
        console.print(table.shown())
    if config.markdown:
        replace_part(Path(config.markdown), "benchmarks.forecast.curves", scored)
    if config.figure:
        draw(runs, followed, Path(config.figure))


if __name__ == "__main__":
    try:
        main(tyro.cli(CurvesConfig))
    except InputError as error:
        raise SystemExit(f"benchmarks.forecast.curves: error: {error}") from None
