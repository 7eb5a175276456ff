"""How an experiment begins and ends: a console for its progress; a table on it, as Markdown and JSON, and a page."""

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib.metadata import version
from pathlib import Path
from typing import Any

from seemrl.errors import InputError
from seemrl.files import write_json, write_text
from seemrl.report.canvas import Figure
from seemrl.report.page import assemble, chart_html, table_html, write_page
from seemrl.report.palette import RUN_COLOURS
from seemrl.training.backend import prepare_jax

NORM_COLOURS = {"none": RUN_COLOURS[5], "layer": RUN_COLOURS[0]}
"""Of critics without and with LayerNorm, in every chart."""
Table = list[list[str]]
"""A head, then rows."""


@dataclass(frozen=True)
class Results:
    """What an experiment has to show.

    Attributes:
        title: of the page, as a question.
        notes: what was run, in plain sentences.
        tables: by heading.
        charts: figures by heading; each caption says what to look for.
        rows: the tables' numbers, for programs.
    """

    title: str
    notes: Sequence[str]
    tables: Mapping[str, Table]
    charts: Mapping[str, tuple[str, Figure]]
    rows: Mapping[str, Any]


def start() -> Any:
    """A console on stderr, when everything that trains is installed.

    Raises:
        MissingPartError: the training extra is not installed.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    prepare_jax()
    from rich.console import Console

    return Console(stderr=True, width=None if sys.stderr.isatty() else 140)


def finish(out: Path, console: Any, results: Results) -> Path:
    """Show the tables, write results.json, results.md and report.html, and print the page's path.

    Raises:
        InputError: they cannot be written.
    """
    for heading, table in results.tables.items():
        console.print(_shown(heading, table))
    try:
        write_json(out / "results.json", {"seemrl_version": version("seemrl"), **results.rows})
        write_text(out / "results.md", _markdown(results))
    except OSError as error:
        raise InputError(f"{out}: cannot be written ({error.strerror}); choose another --out") from error
    page = write_page(_page(results), out / "report.html")
    print(page)
    return page


def _shown(heading: str, table: Table) -> Any:
    from rich.markup import escape as plain
    from rich.table import Table as Shown

    shown = Shown(*map(plain, table[0]), title=heading, title_justify="left")
    for row in table[1:]:
        shown.add_row(*map(plain, row))
    return shown


def _markdown(results: Results) -> str:
    parts = [f"# {results.title}", *results.notes]
    for heading, table in results.tables.items():
        lines = ["| " + " | ".join(cell.replace("|", r"\|") for cell in row) + " |" for row in table]
        lines.insert(1, "|" + " --- |" * len(table[0]))
        parts += [f"## {heading}", "\n".join(lines)]
    return "\n\n".join(parts) + "\n"


def _page(results: Results) -> str:
    names = {heading: f"chart{number}" for number, heading in enumerate(results.charts)}
    body = [table_html(heading, table[0], table[1:]) for heading, table in results.tables.items()]
    body += [chart_html(names[heading], escape(heading), caption) for heading, (caption, _) in results.charts.items()]
    return assemble(
        title=results.title,
        subtitle=f"by seemrl {escape(version('seemrl'))}",
        notes=results.notes,
        body=body,
        figures={names[heading]: figure for heading, (_, figure) in results.charts.items()},
    )
