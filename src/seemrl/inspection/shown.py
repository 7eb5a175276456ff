"""A data set in a terminal: findings, every number with its meaning, and the returns as bars."""

from collections.abc import Iterator

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from seemrl.data.checks import Finding
from seemrl.data.refusals import one_line
from seemrl.data.summary import Histogram, Summary
from seemrl.inspection.facts import DIMENSION_HEADS, dimension_rows, facts, sentence

SHOWN_DIMENSIONS = 12
BAR_WIDTH = 40
SHOWN_BARS = 12

_STYLES = {"warning": "bold yellow", "note": "cyan"}


def show(summary: Summary, console: Console) -> None:
    """Print everything; a table of dimensions is cut where it would fill screens."""
    console.print(f"[bold]{escape(one_line(summary.source))}[/]", highlight=False, soft_wrap=True)
    table = Table("number", "value", "meaning", box=None, pad_edge=False)
    for row in facts(summary):
        table.add_row(*(escape(one_line(text)) for text in row))
    for name, value in summary.attributes.items():
        table.add_row(escape(one_line(name)), escape(one_line(str(value))), "attribute of the file")
    console.print(table)
    console.print("\n[bold]Returns[/], episodes by return", highlight=False)
    for line in bars(summary.return_histogram):
        console.print(line, highlight=False, markup=False)
    for heading, dimensions in (("Actions", summary.actions), ("Observations", summary.observations)):
        _show_dimensions(heading, dimension_rows(dimensions), console)
    if summary.action_counts:
        console.print(f"\n[bold]Actions[/], times taken: {_counts(summary.action_counts)}", highlight=False)
    console.print()
    for finding in summary.findings:
        _show_finding(finding, console)
    if not summary.findings:
        console.print("[green]no warning[/]: nothing found that makes critics diverge")


def bars(histogram: Histogram) -> Iterator[str]:
    """The histogram as lines, neighbouring bars joined so that they fit a screen."""
    together = -(-len(histogram.counts) // SHOWN_BARS)
    counts = [sum(histogram.counts[i : i + together]) for i in range(0, len(histogram.counts), together)]
    edges = [*histogram.edges[:-1:together], histogram.edges[-1]]
    most = max(counts)
    for low, high, count in zip(edges[:-1], edges[1:], counts, strict=True):
        bar = "█" * max(int(count > 0), round(BAR_WIDTH * count / most))
        yield f"{low:>10.4g} .. {high:<10.4g} {bar} {count:,}"


def _show_dimensions(heading: str, rows: list[tuple[str, ...]], console: Console) -> None:
    if not rows:
        return
    heads = (*DIMENSION_HEADS, "at ends")[: len(rows[0])]
    table = Table(*heads, box=None, pad_edge=False)
    for row in rows[:SHOWN_DIMENSIONS]:
        table.add_row(*row)
    more = f", the first {SHOWN_DIMENSIONS} of {len(rows)} (--json has all)" if len(rows) > SHOWN_DIMENSIONS else ""
    console.print(f"\n[bold]{heading}[/]{more}", highlight=False)
    console.print(table)


def _show_finding(finding: Finding, console: Console) -> None:
    where = "" if finding.row is None else f" (first: row {finding.row})"
    console.print(
        f"[{_STYLES[finding.severity]}]{finding.severity}[/] {finding.name}: {escape(finding.problem)}{where}; "
        f"{escape(finding.consequence)}. {escape(sentence(finding.remedy))}",
        highlight=False,
        soft_wrap=True,
    )


def _counts(counts: tuple[int, ...], most: int = 32) -> str:
    shown = ", ".join(f"{action}: {count:,}" for action, count in enumerate(counts[:most]))
    return shown if len(counts) <= most else f"{shown} and {len(counts) - most} more (--json has all)"
