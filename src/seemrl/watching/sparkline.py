"""A row of numbers as a row of block characters."""

import math
from collections.abc import Sequence

BLOCKS = "▁▂▃▄▅▆▇█"
BROKEN = "×"
"""Stands where a number is not finite."""


def sparkline(values: Sequence[float | None], width: int) -> str:
    """The numbers from the lowest block (the smallest) to the full one (the largest), in at most ``width`` characters.

    Where there are more numbers than characters, neighbours share one and the largest is drawn: a spike is seen.
    A missing number leaves a gap; what is not finite is drawn as ``×``, whatever it shares its place with.
    """
    places = min(width, len(values))
    cells = [values[place * len(values) // places : (place + 1) * len(values) // places] for place in range(places)]
    heights = [_height(cell) for cell in cells]
    finite = [height for height in heights if height is not None and math.isfinite(height)]
    low, high = min(finite, default=0.0), max(finite, default=0.0)
    return "".join(_character(height, low, high) for height in heights)


def _height(cell: Sequence[float | None]) -> float | None:
    known = [value for value in cell if value is not None]
    if not all(map(math.isfinite, known)):
        return math.nan
    return max(known, default=None)


def _character(height: float | None, low: float, high: float) -> str:
    if height is None:
        return " "
    if not math.isfinite(height):
        return BROKEN
    share = (height - low) / (high - low) if high > low else 0.0
    return BLOCKS[min(int(share * len(BLOCKS)), len(BLOCKS) - 1)]
