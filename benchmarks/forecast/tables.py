"""Tables for a terminal and for the documentation."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.table import Table as Shown
from scipy.stats import binomtest, rankdata

from seemrl.errors import InputError
from seemrl.files import write_text

Rows = list[list[str]]


@dataclass(frozen=True)
class Table:
    """A table with a title, for a terminal and for Markdown."""

    title: str
    headings: list[str]
    rows: Rows

    def markdown(self) -> str:
        """The table as Markdown."""
        lines = [self.headings, ["---"] * len(self.headings), *self.rows]
        body = "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
        return f"**{self.title}**\n\n{body}\n"

    def shown(self) -> Shown:
        """The table for a terminal."""
        shown = Shown(*self.headings, title=self.title)
        for row in self.rows:
            shown.add_row(*row)
        return shown


def replace_part(page: Path, mark: str, scored: Sequence[Table]) -> None:
    """Put the tables between the comments ``<!-- mark -->`` and ``<!-- end -->`` of a Markdown page."""
    begin, end = f"<!-- {mark} -->", "<!-- end -->"
    text = page.read_text(encoding="utf-8")
    if text.count(begin) != 1 or text.count(end) != 1:
        raise InputError(f"{page}: needs the comments '{begin}' and '{end}' once each")
    before, _, rest = text.partition(begin)
    _, _, after = rest.partition(end)
    body = "\n".join(table.markdown() for table in scored)
    write_text(page, f"{before}{begin}\n\n{body}\n{end}{after}")


def area(positive: np.ndarray, score: np.ndarray) -> float:
    """Area under the receiver operating characteristic: the chance that a positive scores above a negative."""
    ranks, count = rankdata(score), int(positive.sum())
    others = len(positive) - count
    if not count or not others:
        return float("nan")
    return float((ranks[positive].sum() - count * (count + 1) / 2) / (count * others))


def area_told(positive: np.ndarray, score: np.ndarray) -> str:
    """The area with its 95% interval, from 1,000 draws of the same runs."""
    random = np.random.default_rng(0)
    draws = random.integers(0, len(positive), (1000, len(positive)))
    low, high = np.nanquantile([area(positive[draw], score[draw]) for draw in draws], (0.025, 0.975))
    return f"{area(positive, score):.2f} [{low:.2f}, {high:.2f}]"


def share(hits: int, of: int) -> str:
    """A share with its exact 95% interval."""
    if not of:
        return "-"
    interval = binomtest(hits, of).proportion_ci()
    return f"{hits} of {of} = {hits / of:.0%} ({interval.low:.0%} to {interval.high:.0%})"
