"""TensorBoard event files, through the `tensorboard` package, which reads them without TensorFlow."""

import logging
from collections.abc import Sequence
from pathlib import Path

from seemrl.errors import InputError, MissingPartError
from seemrl.logs.tables import Cell, Table

EVENT_MARK = "tfevents"
"""Part of the name of every event file."""


def is_event_file(path: Path) -> bool:
    """Whether a file's name is one that TensorBoard's writers give."""
    return EVENT_MARK in path.name


def event_directories(path: Path) -> list[Path]:
    """The directories below this one, itself included, that hold event files."""
    return sorted({file.parent for file in path.rglob(f"*{EVENT_MARK}*") if file.is_file()})


class Events:
    """The scalars of one event file, or of all event files of a directory.

    Args:
        path: file or directory.

    Raises:
        InputError: no scalar is in it.
        MissingPartError: tensorboard is not installed.
    """

    def __init__(self, path: Path) -> None:
        logging.getLogger("tensorboard").setLevel(logging.ERROR)  # it reports a half-written last event
        try:
            from tensorboard.backend.event_processing import event_accumulator
        except ImportError:
            raise MissingPartError("tensorboard", "tensorboard", f"reading {path}") from None
        everything = {event_accumulator.SCALARS: 0, event_accumulator.TENSORS: 0}
        self._source = str(path)
        self._log = event_accumulator.EventAccumulator(str(path), size_guidance=everything)
        self._log.Reload()
        tags = self._log.Tags()
        self._scalars: Sequence[str] = tags[event_accumulator.SCALARS]
        self._tensors: Sequence[str] = tags[event_accumulator.TENSORS]
        if not self.tags:
            raise InputError(f"{path}: no scalars are in it; give the run's own event file or directory")

    @property
    def tags(self) -> list[str]:
        """Names of the curves."""
        return [*self._scalars, *self._tensors]

    def table(self, tag: str) -> Table:
        """One curve, as the columns ``step`` and the tag's own."""
        steps: list[Cell]
        values: list[Cell]
        if tag in self._scalars:
            rows = self._log.Scalars(tag)
            steps, values = [row.step for row in rows], [row.value for row in rows]
        else:
            from tensorboard.util import tensor_util

            rows = self._log.Tensors(tag)
            arrays = [tensor_util.make_ndarray(row.tensor_proto) for row in rows]
            if any(array.size != 1 for array in arrays):
                raise InputError(
                    f"{self._source}: '{tag}' holds more than one number a step; choose another --q-column"
                )
            steps, values = [row.step for row in rows], [float(array.item()) for array in arrays]
        return Table(self._source, {"step": steps, tag: values}, 0)
