"""A reading with its forecast as one row of readings.jsonl, in a run directory or a monitor's log."""

from typing import Any

from seemrl.instrument.forecast.outlook import Forecast
from seemrl.instrument.reading import Reading


def reading_row(reading: Reading, previous: Reading | None, outlook: Forecast) -> dict[str, Any]:
    """The row, not all of its numbers finite.

    Args:
        reading: the last one.
        previous: the one before it, for the cosine of the kernels' directions; None for the first.
        outlook: the forecast from all readings up to this one.
    """
    cosine = None if previous is None else reading.ntk_cosine(previous)
    return reading.to_dict() | {"ntk_cosine": cosine, "forecast": outlook.to_dict()}
