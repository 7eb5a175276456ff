"""One self-contained HTML page about one or several runs: works offline, loads nothing, trusts no text of the files."""

import base64
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template

from plotly.offline import get_plotlyjs  # pyright: ignore[reportUnknownVariableType]

from seemrl.errors import InputError
from seemrl.files import write_atomically
from seemrl.report import plots
from seemrl.report.advice import advice_panel
from seemrl.report.canvas import Figure
from seemrl.report.cards import reasons_panel, verdict_cards
from seemrl.report.runs import RunRecord
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
    if out.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"{out}: a report is an HTML file; give --out a name that ends in .html")
    page = _page(_told_apart(runs), title, notes).encode("utf-8", errors="replace")
    try:
        write_atomically(out, lambda temporary: temporary.write_bytes(page))
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise InputError(f"{out}: cannot write the report ({reason}); choose another file with --out") from None
    return out


def _page(runs: Sequence[RunRecord], title: str, notes: Sequence[str]) -> str:
    charts = (_Q_VALUES, _SEEM, _COSINE, _NORM, _RATE, _VERDICTS, _EVALUATIONS)
    figures = {chart.name: chart.draw(runs) for chart in charts}
    has_evaluations = any(run.evaluations for run in runs)

    def place(chart: _Chart) -> str:
        return _chart_html(chart, drawn=figures[chart.name] is not None)

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
        _resource("glossary.html"),
    ]
    scripts = {"plotly": str(get_plotlyjs()), "script": _resource("page.js")}
    version = escape(str(runs[0].config.get("seemrl_version") or ""))
    return Template(_resource("template.html")).substitute(
        policy=_content_policy(scripts.values()),
        title=escape(title),
        style=_resource("style.css"),
        subtitle=f"{len(runs)} {'run' if len(runs) == 1 else 'runs'}, measured by seemrl {version}".rstrip(),
        notes="".join(f'<p class="note">{escape(note)}</p>' for note in notes),
        body="\n".join(body),
        footer="Everything on this page is in this file: it loads nothing and works offline.",
        figures="\n".join(_data_block(name, figure) for name, figure in figures.items() if figure is not None),
        **scripts,
    )


def _chart_html(chart: _Chart, *, drawn: bool) -> str:
    place = f'<div class="chart" id="chart-{chart.name}" data-figure="figure-{chart.name}"></div>'
    missing = f'<p class="missing">{chart.missing}</p>'
    return (
        f'<figure class="panel"><figcaption><h2>{chart.heading}</h2><p class="soft">{chart.caption}</p></figcaption>'
        f"{place if drawn else missing}</figure>"
    )


def _data_block(name: str, figure: Figure) -> str:
    """A figure as an inert JSON block; no text in it can end the block or start markup."""
    text = json.dumps(figure, allow_nan=False, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return f'<script type="application/json" id="figure-{name}">{text}</script>'


def _content_policy(scripts: Iterable[str]) -> str:
    """Only the page's own scripts may run, known by their hashes, and nothing may be fetched."""
    digests = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests)
    return f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:"


def _told_apart(runs: Sequence[RunRecord]) -> list[RunRecord]:
    """The runs, those of the same label numbered."""
    counts = Counter(run.label for run in runs)
    seen: Counter[str] = Counter()
    named: list[RunRecord] = []
    for run in runs:
        seen[run.label] += 1
        named.append(replace(run, label=f"{run.label} #{seen[run.label]}") if counts[run.label] > 1 else run)
    return named


def _resource(name: str) -> str:
    return (files("seemrl.report") / name).read_text(encoding="utf-8")
