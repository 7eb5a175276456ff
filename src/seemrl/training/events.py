"""TensorBoard events beside the JSON lines, where that extra is installed."""

from pathlib import Path

from seemrl.errors import MissingPartError
from seemrl.monitoring.events import EventFile
from seemrl.training.loop import Progress


class EventLog:
    """Writes a run's numbers as TensorBoard scalars; does nothing where tensorboard is missing.

    Args:
        run: the run directory.
        step: where the run stands; later events of an earlier, killed process are hidden.
    """

    def __init__(self, run: Path, step: int) -> None:
        try:
            self._file = EventFile(run / "tensorboard", purge_step=step + 1)
        except MissingPartError:
            self._file = None

    def write(self, progress: Progress) -> None:
        """Everything new at one stop; a killed process leaves it."""
        if self._file is None:
            return
        scalars: dict[str, float | None] = {f"train/{name}": value for name, value in progress.metrics.items()}
        if progress.reading is not None:
            numbers = ("seem", "normalized", "rate", "q_mean", "q_max", "parameter_norm")
            scalars |= {f"critic/{name}": getattr(progress.reading, name) for name in numbers}
        if progress.evaluation is not None:
            scalars |= {f"evaluation/{name}": progress.evaluation[name] for name in ("return_mean", "score_mean")}
        # a rate may be unknown, and an environment without reference scores
        self._file.write(progress.step, {name: value for name, value in scalars.items() if value is not None})

    def close(self) -> None:
        """End the file."""
        if self._file is not None:
            self._file.close()
