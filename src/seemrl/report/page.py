"""A self-contained HTML page: it works offline, loads nothing and trusts no text of the files it is made from."""

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template

from plotly.offline import get_plotlyjs  # pyright: ignore[reportUnknownVariableType]

from seemrl.errors import InputError
from seemrl.files import write_atomically
from seemrl.report.canvas import Figure


def assemble(
    *, title: str, subtitle: str, notes: Sequence[str], body: Sequence[str], figures: Mapping[str, Figure]
) -> str:
    """The page's text.

    Args:
        title: heading, plain text.
        subtitle: HTML below it.
        notes: plain-text paragraphs below that.
        body: pieces of HTML.
        figures: Plotly figures by the names that `chart_html` gave their places.
    """
    scripts = {"plotly": str(get_plotlyjs()), "script": resource("page.js")}
    return Template(resource("template.html")).substitute(
        policy=_content_policy(scripts.values()),
        title=escape(title),
        style=resource("style.css"),
        subtitle=subtitle,
        notes="".join(f'<p class="note">{escape(note)}</p>' for note in notes),
        body="\n".join(body),
        footer="Everything on this page is in this file: it loads nothing and works offline.",
        figures="\n".join(_data_block(name, figure) for name, figure in figures.items()),
        **scripts,
    )


def chart_html(name: str, heading: str, caption: str, *, missing: str | None = None) -> str:
    """A chart's place on the page, or what its absence means."""
    inside = (
        f'<div class="chart" id="chart-{name}" data-figure="figure-{name}"></div>'
        if missing is None
        else f'<p class="missing">{missing}</p>'
    )
    return (
        f'<figure class="panel"><figcaption><h2>{heading}</h2><p class="soft">{caption}</p></figcaption>'
        f"{inside}</figure>"
    )


def table_html(heading: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table with its heading, all of it plain text; nothing where it has no rows."""
    if not rows:
        return ""
    head = "".join(f'<th scope="col">{escape(text)}</th>' for text in heads)
    body = "".join(
        f'<tr><th scope="row">{escape(row[0])}</th>{"".join(f"<td>{escape(text)}</td>" for text in row[1:])}</tr>'
        for row in rows
    )
    return (
        f'<section class="panel"><h2>{escape(heading)}</h2><div class="scroll" tabindex="0">'
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div></section>"
    )


def write_page(page: str, out: Path) -> Path:
    """Write a page to an HTML file, atomically, and return the file.

    Raises:
        InputError: the name is not an HTML file's, or it cannot be written.
    """
    check_name(out)
    try:
        write_atomically(out, lambda temporary: temporary.write_bytes(page.encode("utf-8", errors="replace")))
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise InputError(f"{out}: cannot write the report ({reason}); choose another file with --out") from None
    return out


def check_name(out: Path) -> None:
    """Refuse a name that no browser takes for a page.

    Raises:
        InputError: it does not end in ``.html``.
    """
    if out.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"{out}: a report is an HTML file; give --out a name that ends in .html")


def resource(name: str) -> str:
    """One of the page's own files."""
    return (files("seemrl.report") / name).read_text(encoding="utf-8")


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
