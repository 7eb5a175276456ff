"""The configuration table: what differs between the runs first, what they share folded away."""

import json
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from seemrl.report.cards import swatch
from seemrl.report.runs import Row, RunRecord

_ABSENT = "—"
_NOT_SETTINGS = ("format", "label", "out", "resume")
"""What the page says elsewhere, and where a run happens to lie."""


def settings_panel(runs: Sequence[RunRecord]) -> str:
    """The settings of all runs as HTML tables, a column a run."""
    tables = [_flat(run.config) for run in runs]
    keys = list(dict.fromkeys(key for table in tables for key in table))
    differing = [key for key in keys if len({table.get(key, _ABSENT) for table in tables}) > 1]
    common = [key for key in keys if key not in differing]
    parts = ['<section class="panel"><h2>Configuration</h2>']
    if differing:
        parts.append(_table(runs, tables, differing, differs=True))
    elif len(runs) > 1:
        parts.append('<p class="soft">The runs have the same configuration.</p>')
    if common:
        word = "settings" if len(runs) == 1 else "settings that all runs share"
        shared = _table(runs[:1], tables[:1], common, differs=False)
        parts.append(f"<details><summary>{len(common)} {word}</summary>{shared}</details>")
    return "".join(parts) + "</section>"


def _table(
    runs: Sequence[RunRecord], tables: Sequence[Mapping[str, str]], keys: Sequence[str], *, differs: bool
) -> str:
    head = ""
    if differs:
        names = "".join(
            f'<th scope="col">{swatch(index)} <span class="label">{escape(run.label)}</span></th>'
            for index, run in enumerate(runs)
        )
        head = f'<thead><tr><th scope="col">differs</th>{names}</tr></thead>'
    row = '<tr class="differs">' if differs else "<tr>"
    body = "".join(
        f'{row}<th scope="row">{escape(key)}</th>{_cells([table.get(key, _ABSENT) for table in tables])}</tr>'
        for key in keys
    )
    return f'<div class="scroll" tabindex="0"><table>{head}<tbody>{body}</tbody></table></div>'


def _cells(texts: Sequence[str]) -> str:
    return "".join(f"<td>{escape(text)}</td>" for text in texts)


def _flat(config: Row) -> dict[str, str]:
    """Dotted keys and short texts; the settings themselves stand without the leading ``config.``."""
    flat: dict[str, str] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            prefix = "" if key == "config" else f"{key}."
            flat |= {f"{prefix}{name}": _text(item) for name, item in value.items()}
        else:
            flat[key] = _text(value)
    return {key: text for key, text in flat.items() if key not in _NOT_SETTINGS}


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)
