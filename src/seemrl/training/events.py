"""TensorBoard events beside the JSON lines, where that extra is installed."""

import logging
import sys
from pathlib import Path
from typing import Any

from seemrl.training.loop import Progress


class EventLog:
    """Writes a run's numbers as TensorBoard scalars; does nothing where tensorboardX is missing.

    Args:
        run: the run directory.
        step: where the run stands; later events of an earlier, killed process are hidden.
    """

    def __init__(self, run: Path, step: int) -> None:
        writer = _summary_writer()
        self._writer = None if writer is None else writer(str(run / "tensorboard"), purge_step=step + 1)

    def write(self, progress: Progress) -> None:
        """Everything new at one stop."""
        if self._writer is None:
            return
        scalars: dict[str, float | None] = {f"train/{name}": value for name, value in progress.metrics.items()}
        if progress.reading is not None:
            numbers = ("seem", "normalized", "rate", "q_mean", "q_max", "parameter_norm")
            scalars |= {f"critic/{name}": getattr(progress.reading, name) for name in numbers}
        if progress.evaluation is not None:
            scalars |= {f"evaluation/{name}": progress.evaluation[name] for name in ("return_mean", "score_mean")}
        for name, value in scalars.items():
            if value is not None:  # no rate is known, or the environment has no reference
                self._writer.add_scalar(name, value, progress.step)
        self._writer.flush()  # a killed process leaves what it has shown

    def close(self) -> None:
        """Flush the events to the disk."""
        if self._writer is not None:
            self._writer.close()


def _summary_writer() -> Any:
    """The class that writes events, or None where tensorboardX is missing."""
    modules: dict[str, Any] = sys.modules
    hide_torch = "torch" not in modules
    if hide_torch:  # tensorboardX would spend seconds on importing it, to know the name of one type
        modules["torch"] = None
    try:
        from tensorboardX import SummaryWriter
    except ImportError:
        return None
    finally:
        if hide_torch:
            del modules["torch"]
    # It warns of every number that is not finite; the forecast says so once.
    logging.getLogger("tensorboardX").setLevel(logging.ERROR)
    return SummaryWriter
