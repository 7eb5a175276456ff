"""Where a monitor's numbers go besides its own log: the dashboards people have."""

import csv
import logging
import sys
import time
from collections.abc import Callable, Hashable, Iterator, Mapping
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import Any, Protocol, get_args, runtime_checkable

from seemrl.errors import InputError, MissingPartError
from seemrl.files import drop_half_line, write_atomically
from seemrl.instrument.forecast.outlook import Forecast
from seemrl.instrument.forecast.verdict import Verdict
from seemrl.instrument.reading import Reading
from seemrl.monitoring.events import EventFile, check_installed

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
        to: a directory, or a ``SummaryWriter`` (torch's or tensorboardX's) that is there already. A row is on the disk
            when `log` returns, but for tensorboardX, whose newest row waits for the next one or for its ``close``.
        alone: nobody else writes in the directory: where steps go back, as after a crash, hide what they had before.

    Raises:
        MissingPartError: a directory is given and tensorboard is not installed.
    """

    def __init__(self, to: str | Path | Any, *, alone: bool = False) -> None:
        if isinstance(to, str | Path):
            check_installed()
        elif not (hasattr(to, "add_scalar") and hasattr(to, "flush")):
            raise InputError(f"TensorBoardLogger: a {type(to).__name__} is neither a directory nor a SummaryWriter")
        self._to, self._alone = to, alone
        self._file: EventFile | None = None
        self._step = -1

    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        """Write a row, and flush."""
        if isinstance(self._to, str | Path):
            if self._alone and step <= self._step:
                self.close()
            if self._file is None:
                self._file = EventFile(Path(self._to), purge_step=step if self._alone else None)
            self._file.write(step, numbers)
        else:
            for name, number in numbers.items():
                self._to.add_scalar(name, number, step)
            self._to.flush()
        self._step = step

    def close(self) -> None:
        """End the file; a writer that was given is left open."""
        if self._file is not None:
            self._file.close()
            self._file = None


class WandbLogger:
    """Numbers in a Weights & Biases run, online or offline, as the run is.

    They join the row that the run is at, so that rows and steps stay the caller's; a row of their own begins only where
    the caller has logged nothing since the last reading. Charts have ``critic/step`` as their axis.

    Args:
        run: what ``wandb.init()`` returned; None begins an offline run under ``./wandb``, for ``wandb sync``.
        project: of a new run.

    Raises:
        MissingPartError: no run is given and W&B is not installed.
    """

    def __init__(self, run: Any = None, *, project: str = "seemrl") -> None:
        self._begun = run is None
        if run is None:
            try:
                import wandb  # pyright: ignore[reportMissingImports]
            except ImportError as error:
                raise MissingPartError("wandb", "wandb", "WandbLogger") from error
            run = wandb.init(project=project, mode="offline")
        if not (hasattr(run, "log") and hasattr(run, "define_metric")):
            raise InputError(f"WandbLogger: a {type(run).__name__} is no W&B run; pass what wandb.init() returns")
        self._run: Any = run
        self._joined: int | None = None
        run.define_metric("critic/step")
        run.define_metric("critic/*", step_metric="critic/step")

    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        """Add them to the run's present row."""
        if self._run.step == self._joined:  # the row holds our last reading, and nobody has ended it
            self._run.log({}, commit=True)
        self._run.log({"critic/step": step, **numbers}, commit=False)
        self._joined = self._run.step

    def close(self) -> None:
        """End a run that was begun here; a run that was given is left open."""
        if self._begun:
            self._run.finish()


class MLflowLogger:
    """Metrics in an MLflow run, in whatever store; a local SQLite file will do.

    SQL stores keep infinities as the largest number of their kind, 1.8e308.

    Args:
        tracking_uri: such as ``sqlite:///mlflow.db``; None for MLflow's own setting.
        run_id: of a run that is there; None begins one.
        experiment: of a new run.

    Raises:
        MissingPartError: MLflow is not installed.
    """

    def __init__(self, tracking_uri: str | None = None, run_id: str | None = None, experiment: str = "seemrl") -> None:
        try:
            from mlflow.entities import Metric  # pyright: ignore[reportMissingImports]
            from mlflow.tracking import MlflowClient  # pyright: ignore[reportMissingImports]
        except ImportError as error:
            raise MissingPartError("mlflow", "mlflow", "MLflowLogger") from error
        self._metric: Any = Metric
        self._client: Any = MlflowClient(tracking_uri)
        self._begun = run_id is None
        if run_id is None:
            found = self._client.get_experiment_by_name(experiment)
            number = self._client.create_experiment(experiment) if found is None else found.experiment_id
            run_id = str(self._client.create_run(number).info.run_id)
        self.run_id: str = run_id

    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        """Log all of them at once."""
        now = int(1000 * time.time())
        self._client.log_batch(self.run_id, [self._metric(*item, now, step) for item in numbers.items()])

    def close(self) -> None:
        """End a run that was begun here; a run that was given is left open."""
        if self._begun:
            self._client.set_terminated(self.run_id)


class CSVLogger:
    """One row a reading in a CSV file, appended to if it is there; a number that no row had before gets a column.

    What a killed process left of a last row is cut off.

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
        drop_half_line(self._path)
        row, columns = {"step": step, **numbers}, self._header()
        if columns and row.keys() <= set(columns):
            with self._path.open("a", encoding="utf-8", newline="") as file:
                csv.DictWriter(file, columns).writerow(row)
            return
        text, rows = StringIO(newline=""), self._rows()
        writer = csv.DictWriter(text, list(dict.fromkeys([*(columns or self._COLUMNS), *row])))
        writer.writeheader()
        writer.writerows([*rows, row])
        write_atomically(self._path, lambda temporary: temporary.write_bytes(text.getvalue().encode()))

    def _header(self) -> list[str]:
        if not self._path.exists():
            return []
        with self._path.open(encoding="utf-8", newline="") as file:
            return next(csv.reader(file), [])

    def _rows(self) -> list[dict[str, Any]]:
        if not self._path.exists():
            return []
        with self._path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))


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


class LoggersAtHand:
    """Logs to whatever is there, looked for anew at every reading; nothing is loaded or begun for it.

    The W&B run and the MLflow run that this process has begun, and, beside a monitor's own log, TensorBoard events
    where the ``tensorboard`` package is installed.

    Args:
        directory: of the monitor's log; None where it has none.
    """

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory
        self._made: dict[Hashable, Logger] = {}

    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        """Log to each; where some fail, the others have been logged to, and the first failure is raised."""
        failures: list[Exception] = []
        for key, make in list(self._there()):
            try:
                self._made[key] = self._made.get(key) or make()
                self._made[key].log(step, numbers)
            except Exception as failure:
                failures.append(failure)
        if failures:
            raise failures[0]

    def _there(self) -> Iterator[tuple[Hashable, Callable[[], Logger]]]:
        directory, modules = self._directory, sys.modules
        if directory is not None and find_spec("tensorboard") is not None:
            yield "tensorboard", lambda: TensorBoardLogger(directory / "tensorboard", alone=True)
        run: Any = getattr(modules.get("wandb"), "run", None)
        if run is not None:
            yield ("wandb", run.id), lambda: WandbLogger(run)
        active_run: Any = getattr(modules.get("mlflow"), "active_run", None)
        active = None if active_run is None else active_run()
        if active is not None:
            yield ("mlflow", active.info.run_id), lambda: MLflowLogger(run_id=active.info.run_id)
