"""An answer for people: the verdict, then every number with its meaning."""

import math
from collections.abc import Iterator

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from seemrl.instrument.forecast.advice import Advice
from seemrl.instrument.forecast.terminal import styled
from seemrl.measuring.checkpoint import Answer

MEANINGS = (
    ("seem", "SEEM, in the kernel's scale: above 0 some error feeds itself"),
    ("normalized", "SEEM without scale, comparable between networks; near 0 in healthy ones"),
    ("normalized_error", "standard error of the normalized SEEM, from drawing rows"),
    ("rate", "growth of log |error| per critic update"),
    ("rate_error", "standard error of the rate, from drawing rows"),
    ("elasticity", "of that rate to larger kernels: 1 where it grows with them, near 0 where target averaging caps it"),
    ("oscillation", "log growth per update of the fastest mode that swings; above 0: the step is too large"),
    ("flow", "growth of log mean |Q| after so many updates, if the kernels stayed as they are"),
    ("kernel_norm", "size of the update's own operator, step size included"),
    ("td_error", "root mean square of the TD errors"),
    ("spectral_radius", "of one plain gradient step; above 1 while SEEM <= 0: the step is too large"),
    ("numerical_abscissa", "bound on transient growth; large in healthy critics too"),
    ("residual", "backward error of the eigenvalues, relative to the matrix"),
    ("leading", "the rightmost eigenvalues, where asked for"),
    ("q_mean", "mean |Q| over rows and heads"),
    ("q_max", "largest |Q|"),
    ("reward_bound", "max|r| / (1 - discount): no true value is larger; ten times it is diverged"),
    ("parameter_norm", "Euclidean norm of the critic's parameters"),
    ("rows", "transitions read on"),
    ("heads", "how the heads form the target"),
    ("method", "how the kernel was computed, and by which rule"),
    ("by_sample", "parameters without a formula, read by one gradient per row"),
    ("seconds", "time that the reading took"),
)
"""Every number that is shown, in this order."""

_SIGNED = ("seem", "normalized", "rate", "oscillation", "numerical_abscissa")
_FLOW_SHOWN = (64.0, 1024.0, 16384.0)  # updates ahead


def show(answer: Answer, console: Console) -> None:
    """Print the verdict, a table of the numbers and the notes."""
    console.print(f"{styled(answer.verdict)}: {escape(answer.why)}", highlight=False, soft_wrap=True)
    table = Table("number", "value", "meaning", box=None, pad_edge=False)
    for row in table_rows(answer):
        table.add_row(*map(escape, row))
    console.print(table)
    if answer.advice is not None:
        show_advice(answer.advice, console)
    for note in (*answer.notes, f"kernel {answer.reading.method}"):
        console.print(note, markup=False, highlight=False, soft_wrap=True)


def show_advice(advice: Advice, console: Console) -> None:
    """The ranked remedies with what they do to both numbers, then the signs of a bug."""
    table = Table("remedy", "standing", "normalized SEEM", "rate per update", "what to do", box=None, pad_edge=False)
    for remedy in advice.remedies:
        changes = (
            _change(remedy.normalized_before, remedy.normalized_after),
            _change(remedy.rate_before, remedy.rate_after),
        )
        table.add_row(*map(escape, (remedy.name, remedy.standing, *changes, remedy.action)))
    console.print("\nWhat would end it, measured on these rows:", highlight=False)
    console.print(table)
    for remedy in advice.remedies:
        console.print(
            f"{remedy.name}: {remedy.effect} ({remedy.obtained})", markup=False, highlight=False, soft_wrap=True
        )
    signs = [f"{sign.name}: {sign.seen}; {sign.why}; {sign.action}" for sign in advice.signs]
    for line in signs or ["no sign of a plain bug in the data or the step"]:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    console.print()


def _change(before: float | None, after: float | None) -> str:
    return f"{_signed(before)} -> {_signed(after)}"


def _signed(value: float | None) -> str:
    return "-" if value is None else format(value, "+.2g")


def table_rows(answer: Answer) -> Iterator[tuple[str, str, str]]:
    """Name, value and meaning of every number there is."""
    for name, meaning in MEANINGS:
        if name == "method":  # a line of its own, below
            continue
        value = answer.reward_bound if name == "reward_bound" else getattr(answer.reading, name)
        yield name, _text(name, value), f"{meaning}{_doubling(value) if name == 'rate' else ''}"


def _text(name: str, value: object) -> str:
    if value is None or value == ():
        return "-"
    if name == "flow" and isinstance(value, tuple):
        return ", ".join(f"{steps:,.0f}: {growth:+.3g}" for steps, growth in value if steps in _FLOW_SHOWN)
    if isinstance(value, tuple | list):
        return ", ".join(map(str, value))
    return format(value, "+.4g" if name in _SIGNED else ".4g") if isinstance(value, float) else str(value)


def _doubling(rate: float | None) -> str:
    """How long a factor of two takes."""
    if rate is None or not math.isfinite(rate) or rate == 0:
        return ""
    return f": {'doubles' if rate > 0 else 'halves'} in {math.log(2) / abs(rate):,.0f} updates"
