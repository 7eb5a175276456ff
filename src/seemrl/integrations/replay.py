"""Fixed rows of a replay that goes on changing: kept beside the log, and how far the replay has moved from them."""

from collections.abc import Callable
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
_ALIKE = 1e-6  # relative difference of means that rounding makes


def monitor_of_replay(parts: Parts, draw: Callable[[], Batch], options: dict[str, Any]) -> Monitor:
    """A monitor on rows drawn once. With a ``directory`` they are kept in it, for the monitor that continues the log.

    Args:
        parts: what is read.
        draw: draws the rows; called where none were kept.
        options: of `seemrl.Monitor`.

    Raises:
        InputError: as `seemrl.Monitor` does; or the directory cannot be written, or the rows kept in it are damaged.
    """
    if options.get("directory") is None:
        return parts.monitor(draw(), **options)
    file = Path(options["directory"]) / ROWS
    if file.exists():
        return parts.monitor(_kept(file), **options)
    rows = draw()
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, lambda temporary: save_file(_columns(rows), temporary))
    except OSError as error:
        raise InputError(f"{file.parent}: cannot be written ({error.strerror}); choose another directory") from error
    try:
        return parts.monitor(rows, **options)
    except InputError:
        file.unlink()
        raise


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
