"""What the corpus says of the forecasts.

python -m benchmarks.forecast.score --corpus corpus      (about two minutes)
"""

import os
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import tyro
from rich.console import Console

from benchmarks.forecast import calls, growth
from benchmarks.forecast.record import load_half
from benchmarks.forecast.settings import Half
from benchmarks.forecast.tables import replace_part
from seemrl.errors import InputError


def main(
    corpus: tuple[Path, ...] = (Path("corpus"),),
    half: Half = "fresh",
    markdown: Path | None = None,
    figure: Path | None = None,
) -> None:
    """Score one part of the corpus; print the tables.

    Args:
        corpus: directories that `benchmarks.forecast.corpus` filled.
        half: which part; simpler rules take their thresholds from the tuning half in any case.
        markdown: a page whose part between the marking comments is replaced by the tables.
        figure: where to draw runs with their forecasts (.svg or .png).
    """
    console = Console()
    with Console(stderr=True).status("Reading the corpus"):
        chosen, tuning = load_half(corpus, half), load_half(corpus, "tuning")
    tables = [
        calls.call_table(chosen, tuning, half),
        calls.group_table(chosen),
        calls.early_table(chosen),
        calls.chance_table(chosen),
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
