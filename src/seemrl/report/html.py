"""One self-contained HTML page about one or several runs: works offline, loads nothing, trusts no text of the files."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from seemrl.errors import InputError
from seemrl.report import plots
from seemrl.report.advice import advice_panel
from seemrl.report.canvas import Figure
from seemrl.report.cards import reasons_panel, verdict_cards
from seemrl.report.page import assemble, chart_html, check_name, resource, write_page
from seemrl.report.runs import RunRecord, told_apart
from seemrl.report.settings import settings_panel


@dataclass(frozen=True)
class _Chart:
    """A chart's place on the page; ``caption`` says what to look for, ``missing`` what its absence means."""

    name: str
    heading: str
    caption: str
    missing: str
    draw: Callable[[Sequence[RunRecord]], Figure | None]


_Q_VALUES = _Chart(
    "q-values",
    "Mean |Q| over fixed rows",
    "A healthy critic levels off below the dashed reward bound; past the dotted line the run has diverged. A straight "
    "climb on this logarithmic axis is exponential growth. The wide band is the forecast at the alarm, the narrow one "
    "the last before the bound: did the measured curve stay inside?",
    "No reading with a finite |Q| yet.",
    plots.plot_q_values,
)
_SEEM = _Chart(
    "seem",
    "Normalised SEEM",
    "Values that stay above zero mean errors feed themselves. One isolated spike is no alarm.",
    "No reading yet.",
    plots.plot_seem,
)
_COSINE = _Chart(
    "ntk-cosine",
    "NTK cosine between consecutive readings",
    "Once it stays above 0.99 (the star) the kernel has stopped turning, and growth follows a law.",
    "Needs at least two readings.",
    plots.plot_ntk_cosine,
)
_NORM = _Chart(
    "parameter-norm",
    "Parameter norm of the critic",
    "Under Adam a diverging critic's norm rises in a straight line; a healthy one's flattens.",
    "No reading yet.",
    plots.plot_parameter_norm,
)
_VERDICTS = _Chart(
    "verdicts",
    "Verdict over time",
    "A verdict holds from its reading until the next one. Look for how early the colour changes, and whether it "
    "changes back.",
    "No reading yet.",
    plots.plot_verdicts,
)
_RATE = _Chart(
    "rate",
    "Predicted growth per update",
    "The logarithmic rate at which |Q| should grow now: above zero it grows, and 0.001 is a factor e in 1,000 updates.",
    "No rate is known: there is no reading yet, or the readings were taken without a learning rate.",
    plots.plot_rate,
)
_EVALUATIONS = _Chart(
    "evaluations",
    "Evaluation",
    "How well the policy acts. A critic can diverge while returns still look fine, and the other way round.",
    "These runs have no evaluations.",
    plots.plot_evaluations,
)


def write_report(
    runs: Sequence[RunRecord], out: Path, *, title: str = "Will these Q-values blow up?", notes: Sequence[str] = ()
) -> Path:
    """Write the report of these runs to one HTML file, atomically.

    Args:
        runs: at least one run; their order gives them their colours.
        out: the file to write, ending in ``.html``.
        title: heading of the page.
        notes: plain-text paragraphs below the heading.

    Returns:
        ``out``.

    Raises:
        InputError: there is no run, or the file cannot be written.
    """
    if not runs:
        raise InputError("no run to report on; name at least one run directory")
    check_name(out)
    return write_page(_page(told_apart(runs), title, notes), out)


def _page(runs: Sequence[RunRecord], title: str, notes: Sequence[str]) -> str:
    charts = (_Q_VALUES, _SEEM, _COSINE, _NORM, _RATE, _VERDICTS, _EVALUATIONS)
    figures = {chart.name: chart.draw(runs) for chart in charts}
    has_evaluations = any(run.evaluations for run in runs)

    def place(chart: _Chart) -> str:
        drawn = figures[chart.name] is not None
        return chart_html(chart.name, chart.heading, chart.caption, missing=None if drawn else chart.missing)

    body = [
        verdict_cards(runs),
        place(_Q_VALUES),
        f'<div class="pair">{place(_SEEM)}{place(_COSINE)}</div>',
        place(_VERDICTS),
        f'<div class="pair">{place(_NORM)}{place(_RATE)}</div>',
        place(_EVALUATIONS) if has_evaluations else "",
        advice_panel(runs),
        reasons_panel(runs),
        settings_panel(runs),
        resource("glossary.html"),
    ]
    version = escape(str(runs[0].config.get("seemrl_version") or ""))
    subtitle = f"{len(runs)} {'run' if len(runs) == 1 else 'runs'}, measured by seemrl {version}".rstrip()
    drawn = {name: figure for name, figure in figures.items() if figure is not None}
    return assemble(title=title, subtitle=subtitle, notes=notes, body=body, figures=drawn)
