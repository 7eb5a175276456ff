"""A data set as one self-contained HTML page; everything that comes from the file is escaped."""

from collections.abc import Mapping, Sequence
from html import escape
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path

from seemrl.data.checks import Finding
from seemrl.data.summary import Summary
from seemrl.inspection.facts import DIMENSION_HEADS, dimension_rows, facts, sentence
from seemrl.report.canvas import Figure, figure, log_axis
from seemrl.report.page import assemble, chart_html, table_html, write_page
from seemrl.report.palette import RUN_COLOURS

MOST_ROWS = 200
"""Of a table of dimensions on the page."""


def write_data_page(summary: Summary, out: Path) -> Path:
    """Write the page, atomically, and return its path.

    Raises:
        InputError: It cannot be written.
    """
    figures = {"returns": _returns(summary), "scales": _scales(summary)}
    if summary.action_counts:
        figures["actions"] = _action_counts(summary)
    body = [
        _findings(summary.findings),
        chart_html("returns", "Returns", "Episodes by the undiscounted sum of their rewards."),
        table_html("Numbers", ("number", "value", "meaning"), facts(summary)),
        chart_html("actions", "Actions", "How often each was taken.") if summary.action_counts else "",
        chart_html(
            "scales",
            "Observation scale",
            "Standard deviation of each entry, on a logarithmic axis; entries that never change are left out. A critic "
            "on raw observations sees the tallest alone.",
            missing=None if any(entry.deviation > 0 for entry in summary.observations) else "No entry ever changes.",
        ),
        _dimensions("Actions, entry by entry", dimension_rows(summary.actions)),
        _dimensions("Observations, entry by entry", dimension_rows(summary.observations)),
        table_html(
            "Attributes of the file", ("name", "value"), [(key, str(v)) for key, v in summary.attributes.items()]
        ),
    ]
    page = assemble(
        title=f"What is in {Path(summary.source).name or summary.source}?",
        subtitle=f"{summary.rows:,} transitions, {escape(summary.format)}, read by seemrl {version('seemrl')}",
        notes=[summary.source],
        body=body,
        figures=figures,
    )
    return write_page(page, out)


def _findings(findings: Sequence[Finding]) -> str:
    items = "".join(
        f"<li><strong>{finding.severity}: {escape(finding.problem)}</strong>"
        f"{'' if finding.row is None else f' (first: row {finding.row})'}; {escape(finding.consequence)}. "
        f"{escape(sentence(finding.remedy))} <code>{escape(finding.name)}</code></li>"
        for finding in findings
    )
    listed = f"<ul>{items}</ul>" if items else '<p class="soft">Nothing found that makes critics diverge.</p>'
    return f'<section class="panel reasons"><h2>What to look at</h2>{listed}</section>'


def _dimensions(heading: str, rows: Sequence[Sequence[str]]) -> str:
    more = f" (the first {MOST_ROWS} of {len(rows):,})" if len(rows) > MOST_ROWS else ""
    heads = (*DIMENSION_HEADS, "at ends")[: len(rows[0]) if rows else 0]
    return table_html(heading + more, heads, rows[:MOST_ROWS])


def _returns(summary: Summary) -> Figure:
    edges, counts = summary.return_histogram.edges, summary.return_histogram.counts
    middles = [(low + high) / 2 for low, high in pairwise(edges)]
    widths = [(high - low) or 1.0 for low, high in pairwise(edges)]
    spans = [f"{low:.4g} to {high:.4g}" for low, high in pairwise(edges)]
    bar = {"x": middles, "y": list(counts), "width": widths, "customdata": spans}
    return _bars(bar, "return", "episodes", "%{customdata}: %{y:,d} episodes<extra></extra>")


def _action_counts(summary: Summary) -> Figure:
    bar = {"x": list(range(len(summary.action_counts))), "y": list(summary.action_counts)}
    return _bars(bar, "action", "times taken", "action %{x}: %{y:,d}<extra></extra>")


def _scales(summary: Summary) -> Figure:
    moving = {i: entry.deviation for i, entry in enumerate(summary.observations[:MOST_ROWS]) if entry.deviation > 0}
    bar = {"x": list(moving), "y": list(moving.values())}
    drawn = _bars(bar, "entry", "standard deviation", "entry %{x}: %{y:.4~g}<extra></extra>")
    if moving:
        drawn["layout"]["yaxis"] |= log_axis("standard deviation", list(moving.values()))
    return drawn


def _bars(bar: Mapping[str, object], x_title: str, y_title: str, hover: str) -> Figure:
    trace = {"type": "bar", "marker": {"color": RUN_COLOURS[0]}, "hovertemplate": hover, **bar}
    x_axis = {"title": {"text": x_title, "standoff": 8}, "zeroline": False, "automargin": True}
    return figure(
        [trace],
        {"title": {"text": y_title}},
        height=340,
        xaxis=x_axis,
        hovermode="closest",
        showlegend=False,
        bargap=0.05,
    )
