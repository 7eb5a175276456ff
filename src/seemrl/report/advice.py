"""What would end it, as it was measured at the alarm: the remedies of a run's advice.json, checked and escaped."""

from collections.abc import Sequence
from html import escape

from seemrl.report.cards import swatch
from seemrl.report.palette import number, step_text
from seemrl.report.runs import Row, RunRecord


def advice_panel(runs: Sequence[RunRecord]) -> str:
    """A table of remedies for each run that has advice; nothing where none has."""
    parts = [_part(index, run.label, run.advice) for index, run in enumerate(runs) if run.advice is not None]
    if not parts:
        return ""
    return (
        '<section class="panel reasons"><h2>What would end it</h2>'
        '<p class="soft">Measured on the same rows at the alarm, best first. Where the normalised SEEM falls to about '
        f"zero, errors no longer feed themselves.</p>{''.join(parts)}</section>"
    )


def _part(index: int, label: str, advice: Row) -> str:
    head = (
        f'<h3>{swatch(index)}<span class="label">{escape(label)}</span> '
        f'<span class="soft">at step {step_text(advice["step"])}</span></h3>'
    )
    titles = ("remedy", "standing", "normalised SEEM", "rate per update", "what to do")
    columns = "".join(f'<th scope="col">{title}</th>' for title in titles)
    rows = "".join(map(_row, advice["remedies"]))
    signs = "".join(
        f"<li>{escape(sign['name'])}: {escape(sign['seen'])}; {escape(sign['action'])}</li>" for sign in advice["signs"]
    )
    mistakes = f'<p class="soft">Looks like a mistake:</p><ul>{signs}</ul>' if signs else ""
    return (
        f'{head}<div class="scroll" tabindex="0"><table><thead><tr>{columns}</tr></thead><tbody>{rows}</tbody></table>'
        f"</div>{mistakes}"
    )


def _row(remedy: Row) -> str:
    cells = (
        escape(remedy["standing"]),
        _change(remedy["normalized_before"], remedy["normalized_after"]),
        _change(remedy["rate_before"], remedy["rate_after"]),
        f'{escape(remedy["action"])}<br><span class="soft">{escape(remedy["effect"])} '
        f"({escape(remedy['obtained'])})</span>",
    )
    return f'<tr><th scope="row">{escape(remedy["name"])}</th>{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>'


def _change(before: float | None, after: float | None) -> str:
    return "not measured" if after is None else f"{number(before)} → {number(after)}"
