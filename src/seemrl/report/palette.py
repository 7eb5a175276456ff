"""Colours, marks and number formats that every part of the report shares.

Runs take the colour-blind-safe colours of Okabe and Ito; verdicts are told apart by word and mark as well as by colour.
"""

import math

RUN_COLOURS = ("#0072B2", "#E69F00", "#CC79A7", "#56B4E9", "#009E73", "#D55E00")
RUN_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "pentagon", "star")
NEUTRAL = "#7B828C"

VERDICT_COLOURS = {"stable": "#00805F", "watch": "#F0C419", "diverging": "#C25100", "diverged": "#882255"}
VERDICT_INKS = {"stable": "#FFFFFF", "watch": "#1F1A00", "diverging": "#FFFFFF", "diverged": "#FFFFFF"}
VERDICT_MARKS = {"stable": "●", "watch": "▲", "diverging": "◆", "diverged": "✖"}

_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def run_colour(index: int) -> str:
    """The colour of the run in this place; the same one in every chart and card."""
    return RUN_COLOURS[index % len(RUN_COLOURS)]


def run_symbol(index: int) -> str:
    """The marker of the run in this place; changes again when the colours are used up."""
    return RUN_SYMBOLS[(index + index // len(RUN_COLOURS)) % len(RUN_SYMBOLS)]


def translucent(colour: str, alpha: float) -> str:
    """A ``#RRGGBB`` colour as CSS ``rgba(...)``."""
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha})"


def number(value: float | None) -> str:
    """A number for people: 0.123, 12.3, 4,567, 1.2 × 10⁷; words for what is not one."""
    if value is None:
        return "unknown"
    if not math.isfinite(value):
        return "not finite"
    size = abs(value)
    if value == 0.0 or 1e-3 <= size < 999.5:
        return f"{value:.3g}".replace("-", "−")
    if 999.5 <= size < 1e6:
        return f"{value:,.0f}".replace("-", "−")
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa.replace('-', '−')} × 10{str(int(exponent)).translate(_SUPERSCRIPTS)}"


def step_text(step: float) -> str:
    """A training step with thousands separated."""
    return f"{step:,.0f}" if math.isfinite(step) else "never"
