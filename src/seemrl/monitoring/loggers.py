"""Where a monitor's numbers go besides its own log: the dashboards people have."""

import csv
import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, get_args, runtime_checkable

from seemrl.errors import InputError, MissingPartError
from seemrl.instrument.forecast.outlook import Forecast
from seemrl.instrument.forecast.verdict import Verdict
from seemrl.instrument.reading import Reading

_OF_READINGS = ("seem", "normalized", "rate", "q_mean", "q_max", "parameter_norm")


@runtime_checkable
class Logger(Protocol):
    """Takes the numbers of a reading."""

    def log(self, step: int, numbers: Mapping[str, float]) -> object:
        """Numbers by name, such as ``critic/q_mean``; a name is left out where its number is unknown."""
        ...


def numbers_of(reading: Reading, outlook: Forecast) -> dict[str, float]:
    """What loggers are given: the reading's numbers, the verdict as 0 (stable) to 3 (diverged), and the crash step."""
    numbers: dict[str, float | None] = {name: getattr(reading, name) for name in _OF_READINGS}
    numbers |= {"verdict": float(get_args(Verdict).index(outlook.verdict)), "crash_step": outlook.crash_step}
    return {f"critic/{name}": float(number) for name, number in numbers.items() if number is not None}


class TensorBoardLogger:
    """Scalars in TensorBoard's event files.

    Args:
        to: a directory, or a ``SummaryWriter`` (torch's or tensorboardX's) that is there already.

    Raises:
        MissingPartError: neither tensorboardX nor torch with tensorboard is installed.
    """

    def __init__(self, to: str | Path | Any) -> None:
        self._writer: Any = _summary_writer()(str(to)) if isinstance(to, str | Path) else to
        if not hasattr(self._writer, "add_scalar"):
            raise InputError(f"TensorBoardLogger: a {type(to).__name__} is neither a directory nor a SummaryWriter")

    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        """Write them; the last row may reach the disk with the next one, or with `close`."""
        for name, number in numbers.items():
            if math.isfinite(number):  # tensorboardX warns of every other, and no chart shows one
                self._writer.add_scalar(name, number, step)
        self._writer.flush()

    def close(self) -> None:
        """Flush everything to the disk and end the file."""
        self._writer.close()


class CSVLogger:
    """One row a reading in a CSV file, appended to if it is there.

    Args:
        path: the file.
    """

    _COLUMNS = ("step", *(f"critic/{name}" for name in (*_OF_READINGS, "verdict", "crash_step")))

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        if self._path.is_dir() or not self._path.parent.is_dir():
            raise InputError(f"{path}: not a file in a directory that exists; give CSVLogger the name of a file")

    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        """Append a row; unknown numbers are left empty."""
        begins = not self._path.exists() or self._path.stat().st_size == 0
        with self._path.open("a", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, self._COLUMNS, extrasaction="ignore")
            if begins:
                writer.writeheader()
            writer.writerow({"step": step, **numbers})


class TextLogger:
    """One line a reading through Python's `logging`.

    Args:
        name: of the logger.
        level: of the lines.
    """

    def __init__(self, name: str = "seemrl", level: int = logging.INFO) -> None:
        self._logger, self._level = logging.getLogger(name), level

    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        """Log the line."""
        said = "  ".join(f"{name.removeprefix('critic/')} {number:.4g}" for name, number in numbers.items())
        self._logger.log(self._level, "step %d  %s", step, said)


def _summary_writer() -> Any:
    try:
        from tensorboardX import SummaryWriter
    except ImportError:
        try:
            from torch.utils.tensorboard.writer import SummaryWriter
        except ImportError as error:
            raise MissingPartError("tensorboardX", "tensorboard", "TensorBoardLogger") from error
    return SummaryWriter
