"""How an experiment begins and ends: a console for its progress; a table on it, as Markdown and JSON, and a page."""

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib.metadata import version
from pathlib import Path
from typing import Any

from seemrl.errors import InputError
from seemrl.files import write_json, write_text
from seemrl.report.canvas import Figure, Trace, label_text
from seemrl.report.page import assemble, chart_html, table_html, write_page
from seemrl.report.palette import RUN_COLOURS
from seemrl.report.runs import RunRecord
from seemrl.training.backend import prepare_jax
from seemrl.training.scores import Aggregate

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


def told(found: Aggregate) -> str:
    """A mean over runs, with its interval where there is one."""
    interval = "" if found.interval is None else " ({:.1f} to {:.1f})".format(*found.interval)
    return f"{found.mean:.1f}{interval}"


def hidden_layers(runs: Iterable[RunRecord]) -> str:
    """Their sizes, by agent."""
    sizes: dict[str, set[str]] = {}
    for run in runs:
        sizes.setdefault(run.config["agent"], set()).add("x".join(map(str, run.config["config"]["hidden_sizes"])))
    return "; ".join(f"{agent} {', '.join(sorted(found))}" for agent, found in sizes.items())


def marks(name: str, places: Sequence[str], found: Sequence[Aggregate], marker: Mapping[str, Any]) -> Trace:
    """Means at named places, with their intervals as bars."""
    intervals = [item.interval or (item.mean, item.mean) for item in found]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": label_text(name),
        "x": [label_text(place) for place in places],
        "y": [item.mean for item in found],
        "marker": dict(marker),
        "error_y": {
            "type": "data",
            "symmetric": False,
            "array": [high - item.mean for item, (_, high) in zip(found, intervals, strict=True)],
            "arrayminus": [item.mean - low for item, (low, _) in zip(found, intervals, strict=True)],
        },
        "hovertemplate": "%{y:.4~g}",
    }


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
