"""What the corpus says of the forecasts.

python -m benchmarks.forecast.score --corpus corpus      (about two minutes)
"""

import os
from pathlib import Path
from typing import Literal

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import tyro
from rich.console import Console
from rich.progress import track

from benchmarks.forecast import calls, growth
from benchmarks.forecast.record import Record
from benchmarks.forecast.tables import replace_part
from seemrl.errors import InputError


def main(
    corpus: Path = Path("corpus"),
    half: Literal["tuning", "held-out"] = "held-out",
    markdown: Path | None = None,
    figure: Path | None = None,
) -> None:
    """Score one half of the corpus; print the tables.

    Args:
        corpus: directory that `benchmarks.forecast.corpus` filled.
        half: which half; simpler rules take their thresholds from the tuning half in any case.
        markdown: a page whose part between the marking comments is replaced by the tables.
        figure: where to draw runs with their forecasts (.svg or .png).
    """
    files = sorted(corpus.glob("*.json.gz"))
    if not files:
        raise InputError(f"{corpus}: no runs; make them with: python -m benchmarks.forecast.corpus --out {corpus}")
    console = Console()
    records = [Record.load(file) for file in track(files, "Reading", console=Console(stderr=True))]
    halves = {name: [record for record in records if record.half == name] for name in ("tuning", "held-out")}
    chosen = halves[half]
    tables = [
        calls.call_table(chosen, halves["tuning"], half),
        calls.group_table(chosen),
        calls.early_table(chosen),
        growth.growth_table(chosen),
        growth.law_table(chosen),
        growth.crash_table(chosen),
        calls.missed(chosen),
    ]
    for table in tables:
        console.print(table.shown())
    if markdown is not None:
        replace_part(markdown, "benchmarks.forecast.score", tables)
    if figure is not None:
        from benchmarks.forecast.score_figure import draw

        draw(chosen, figure)


if __name__ == "__main__":
    try:
        tyro.cli(main)
    except InputError as error:
        raise SystemExit(f"benchmarks.forecast.score: error: {error}") from None
