"""The numbers of a summary with their meanings, as both the terminal and the page tell them."""

from collections.abc import Sequence

from seemrl.data.summary import Dimension, Spread, Summary

Fact = tuple[str, str, str]
"""Name, value, meaning."""

DIMENSION_HEADS = ("entry", "low", "mean", "high", "deviation")


def facts(summary: Summary) -> list[Fact]:
    """Every single number of a summary, in the order in which it is told."""
    count = summary.action_count
    actions = f"{summary.action_size} numbers" if count is None else f"one of {count}"
    low, high = summary.action_box
    told = [
        ("format", summary.format, ""),
        ("environment", summary.environment or "-", "the file's own word; seemrl train evaluates there"),
        ("rows", f"{summary.rows:,}", "transitions"),
        ("observation", f"{summary.observation_size:,} numbers", ""),
        ("action", actions, ""),
        ("episodes", f"{summary.episodes:,}", _unfinished(summary)),
        ("length", spread_text(summary.lengths), "steps an episode"),
        ("return", spread_text(summary.returns), "undiscounted sum of rewards of an episode"),
        ("reward", spread_text(summary.rewards), ""),
        (
            "reward bound",
            f"{summary.reward_bound:.5g}",
            f"max|r| / (1 - {summary.discount:g}): no true value is larger",
        ),
        ("terminals", _share(summary.terminals, summary.rows), "value 0 beyond; never a timeout"),
        ("timeouts", _share(summary.timeouts, summary.rows), "cut short; the value still bootstraps"),
        ("duplicates", _share(summary.duplicates, summary.rows), "rows that repeat an earlier one exactly"),
        ("not finite", _not_finite(summary), "NaN or infinite"),
    ]
    if count is None:
        ends = [dimension.at_ends or 0.0 for dimension in summary.actions]
        span = f"{min(d.low for d in summary.actions):.4g} .. {max(d.high for d in summary.actions):.4g}"
        told.insert(9, ("action range", span, f"of all entries; the box is [{low:g}, {high:g}]"))
        told.insert(
            10,
            ("saturation", f"{100 * sum(ends) / len(ends):.3g}%", "of action entries at or beyond an end of the box"),
        )
    return told


def dimension_rows(dimensions: Sequence[Dimension]) -> list[tuple[str, ...]]:
    """A row an entry, the share at the ends last where it is known."""
    rows: list[tuple[str, ...]] = []
    for number, dimension in enumerate(dimensions):
        values = (dimension.low, dimension.mean, dimension.high, dimension.deviation)
        ends = () if dimension.at_ends is None else (f"{100 * dimension.at_ends:.3g}%",)
        rows.append((str(number), *(f"{value:.4g}" for value in values), *ends))
    return rows


def spread_text(spread: Spread) -> str:
    """Lowest, mean, median and highest of numbers in a line."""
    return f"{spread.low:.4g} .. {spread.high:.4g}, mean {spread.mean:.4g}, median {spread.median:.4g}"


def sentence(text: str) -> str:
    """The text with a capital letter in front and a full stop behind."""
    return f"{text[:1].upper()}{text[1:]}."


def _unfinished(summary: Summary) -> str:
    return f"{summary.unfinished:,} of them end without a flag" if summary.unfinished else "each ends with a flag"


def _share(count: int, rows: int) -> str:
    return f"{count:,} ({100 * count / rows:.3g}%)"


def _not_finite(summary: Summary) -> str:
    broken = {key: share for key, share in summary.not_finite.items() if share}
    return ", ".join(f"{key} {100 * share:.3g}%" for key, share in broken.items()) or "none"
