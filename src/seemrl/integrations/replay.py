"""Fixed rows of a replay that goes on changing: kept beside the log, and how far the replay has moved from them."""

from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
from safetensors.numpy import load_file, save_file

from seemrl.errors import InputError
from seemrl.files import write_atomically
from seemrl.instrument.batch import Batch
from seemrl.integrations.parts import Parts
from seemrl.monitoring.monitor import Monitor

ROWS = "rows.safetensors"
PRESENT_ROWS = 1000
"""Of a replay, for its drift."""
_ALIKE = 1e-6  # relative difference of means that rounding makes


class Growing:
    """Rows of a replay as it is now, once anything was written into it since this was made; none of data at rest.

    Args:
        place: where writing stands: equal to an earlier answer as long as nothing was written.
        draw: draws so many rows.
    """

    def __init__(self, place: Callable[[], object], draw: Callable[[int], Batch]) -> None:
        self._place, self._draw = place, draw
        self._began, self._moved = place(), False

    def __call__(self) -> Batch | None:
        """1,000 rows, or as many as there are; None where nothing was written."""
        self._moved = self._moved or self._place() != self._began
        return self._draw(PRESENT_ROWS) if self._moved else None


def monitor_of_replay(
    parts: Parts, draw: Callable[[], Batch], options: dict[str, Any], present: Callable[[], Batch | None]
) -> Monitor:
    """A monitor on rows drawn once. With a ``directory`` they are kept in it, for the monitor that continues the log.

    Args:
        parts: what is read.
        draw: draws the rows; called where none were kept.
        options: of `seemrl.Monitor`.
        present: draws rows of the replay as it is now, for its drift beside each reading; None where it is at rest.

    Raises:
        InputError: as `seemrl.Monitor` does; or the directory cannot be written, or the rows kept in it are damaged.
    """
    if options.get("directory") is None:
        return _monitor(parts, draw(), options, present)
    file = Path(options["directory"]) / ROWS
    if file.exists():
        return _monitor(parts, _kept(file), options, present)
    rows = draw()
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, lambda temporary: save_file(_columns(rows), temporary))
    except OSError as error:
        raise InputError(f"{file.parent}: cannot be written ({error.strerror}); choose another directory") from error
    try:
        return _monitor(parts, rows, options, present)
    except InputError:
        file.unlink()
        raise


def _monitor(parts: Parts, rows: Batch, options: dict[str, Any], present: Callable[[], Batch | None]) -> Monitor:
    """With the drift beside each reading, and the numbers that ``extra_numbers`` gives."""
    others: Callable[[], Mapping[str, float]] | None = options.get("extra_numbers")

    def numbers() -> dict[str, float]:
        now = present()
        drifted = {} if now is None else {"replay_drift": drift(rows, now)}
        return drifted if others is None else drifted | dict(others())

    return parts.monitor(rows, **(options | {"extra_numbers": numbers}))


def drift(rows: Batch, present: Batch) -> float:
    """How far a replay has moved from some rows: the largest standardised difference of means (Cohen's d).

    Over the entries of observation and action (unless discrete) and the reward: |difference of the two means| / square
    root of the mean of the two variances. Of two samples of one distribution it is a few times 1 / sqrt(rows).

    Args:
        rows: those drawn earlier.
        present: drawn now.
    """
    before, now = _entries(rows), _entries(present)
    shift = np.abs(now.mean(axis=0) - before.mean(axis=0))
    spread = np.sqrt((_variance(now) + _variance(before)) / 2)
    moved = shift > _ALIKE * (np.abs(now).max(axis=0) + np.abs(before).max(axis=0))
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.where(moved, shift / spread, 0.0).max())


def _entries(batch: Batch) -> np.ndarray:
    actions = [] if batch.discrete else [batch.actions]
    return np.concatenate([batch.observations, *actions, batch.rewards[:, None]], axis=1)


def _variance(entries: np.ndarray) -> np.ndarray:
    return np.where(np.ptp(entries, axis=0) > 0, entries.var(axis=0), 0.0)  # of what is constant: 0, without rounding


def _columns(batch: Batch) -> dict[str, np.ndarray]:
    columns = {column.name: np.ascontiguousarray(getattr(batch, column.name)) for column in fields(batch)}
    return columns | {"actions": batch.actions[:, 0].astype(np.int64)} if batch.discrete else columns


def _kept(file: Path) -> Batch:
    try:
        return Batch(**load_file(file))
    except (OSError, TypeError, safetensors.SafetensorError, InputError) as error:
        raise InputError(
            f"{file}: the rows kept there cannot be read ({error}); move the log away, or choose another directory"
        ) from error
