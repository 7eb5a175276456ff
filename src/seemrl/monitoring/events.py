"""TensorBoard's event files, written so that a row is on the disk when the call returns."""

import time
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from seemrl.errors import MissingPartError


def check_installed() -> None:
    """Raises MissingPartError where the package is not installed."""
    if find_spec("tensorboard") is None:
        raise MissingPartError("tensorboard", "tensorboard", "writing TensorBoard events")


class EventFile:
    """A new event file of scalars.

    Through the ``tensorboard`` package itself, which does not load torch, and whose flush waits until everything is
    written. tensorboardX's does not wait for its own queue: the newest row stays in it until the next one, and is lost
    with a killed process.

    Args:
        directory: made if it is missing.
        purge_step: hide what earlier files of the directory have at this step or later; None to leave them alone.

    Raises:
        MissingPartError: tensorboard is not installed.
    """

    def __init__(self, directory: Path, purge_step: int | None = None) -> None:
        check_installed()
        from tensorboard.compat.proto import event_pb2, summary_pb2
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self._event: Any = event_pb2.Event
        self._summary: Any = summary_pb2.Summary
        self._writer: Any = EventFileWriter(str(directory))
        if purge_step is not None:
            start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
            self._writer.add_event(self._event(wall_time=time.time(), step=purge_step, session_log=start))

    def write(self, step: int, numbers: Mapping[str, float]) -> None:
        """One row; what is not finite is written as it is, and TensorBoard marks it."""
        values = [self._summary.Value(tag=name, simple_value=number) for name, number in numbers.items()]
        self._writer.add_event(self._event(wall_time=time.time(), step=step, summary=self._summary(value=values)))
        self._writer.flush()

    def close(self) -> None:
        """End the file."""
        self._writer.close()
