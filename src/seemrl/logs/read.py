"""`read_curve`: from whatever file or directory somebody has to the steps and Q values in it."""

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from seemrl.errors import InputError, MissingPartError
from seemrl.logs.columns import Q_NAMES, STEP_NAMES, find_column, named_column, shown
from seemrl.logs.events import Events, event_directories, is_event_file
from seemrl.logs.tables import Table, as_number, is_missing, read_csv, read_json_rows, read_parquet

RUN_LOGS = ("readings.jsonl", "metrics.jsonl")
"""Logs of a run directory of ours that hold a Q curve, the better one first."""

_READERS = {
    ".csv": read_csv,
    ".tsv": read_csv,
    ".txt": read_csv,
    ".jsonl": read_json_rows,
    ".ndjson": read_json_rows,
    ".json": read_json_rows,
    ".parquet": read_parquet,
    ".pq": read_parquet,
}
_KINDS = "CSV, JSON lines, Parquet, TensorBoard events, or a directory with one of them"


@dataclass(frozen=True)
class LoggedCurve:
    """A Q curve and where it was found.

    Attributes:
        label: the file's or the run's name.
        source: file that was read.
        step_column: its column of steps.
        q_column: its column of Q values.
        steps: training steps.
        q_values: mean Q; infinite from the row on at which the critic stays not finite.
        notes: what a reader should know of how the log was taken.
        settings: discount, target_rate and reward_bound, where the log's own run states them.
    """

    label: str
    source: str
    step_column: str
    q_column: str
    steps: list[float]
    q_values: list[float]
    notes: list[str] = field(default_factory=list)
    settings: dict[str, float] = field(default_factory=dict)


def read_curve(path: str | Path, *, step_column: str | None = None, q_column: str | None = None) -> LoggedCurve:
    """The Q curve of one log.

    Args:
        path: file, or directory: one of ours, of d3rlpy's, or one with event files.
        step_column: name of the steps' column; found by its usual names if None.
        q_column: name of the Q column, or the tag of an event file; found likewise.

    Raises:
        InputError: there is no such file, or it holds no curve; one line names file, column and row.
        MissingPartError: the package that reads this kind of file is not installed.
    """
    log = Path(path)
    if not log.exists():
        raise InputError(f"{log}: no such file or directory")
    settings: dict[str, float] = {}
    label = log.name or str(log.resolve().name)
    if log.is_dir():
        settings = _run_settings(log / "config.json")
        log = _log_in(log, q_column)
    elif log.name in RUN_LOGS:
        settings = _run_settings(log.with_name("config.json"))
    try:
        table, step_name, q_name = _columns(log, step_column, q_column)
    except MissingPartError:
        raise
    except InputError as error:
        if str(error).startswith(str(log)):
            raise
        raise InputError(f"{log}: {error}") from None
    steps, values, notes = _rows(table, step_name, q_name)
    return LoggedCurve(label, str(log), step_name, q_name, steps, values, notes, settings)


def _columns(log: Path, step_column: str | None, q_column: str | None) -> tuple[Table, str, str]:
    """The log as a table, and the names of its two columns."""
    if log.is_dir() or is_event_file(log):
        if step_column is not None:
            raise InputError("event files have steps of their own; leave --step-column out")
        events = Events(log)
        tag = _chosen(events.tags, q_column, Q_NAMES, "mean Q", "--q-column")
        return events.table(tag), "step", tag
    reader = _READERS.get(log.suffix.lower())
    if reader is None:
        raise InputError(f"a log is {_KINDS}; rename this one or convert it")
    table = reader(log)
    names = list(table.columns)
    step_name = _chosen(names, step_column, STEP_NAMES, "the training step", "--step-column")
    return table, step_name, _chosen(names, q_column, Q_NAMES, "mean Q", "--q-column")


def _chosen(columns: list[str], named: str | None, usual: tuple[str, ...], what: str, option: str) -> str:
    if named is not None:
        return named_column(columns, named, option)
    return find_column(columns, usual, what, option)


def _log_in(directory: Path, q_column: str | None) -> Path:
    """The file to read in a directory, or the directory of event files."""
    for name in RUN_LOGS:
        if (directory / name).is_file() and (directory / name).stat().st_size:
            return directory / name
    tables = sorted(file for file in directory.iterdir() if file.suffix.lower() == ".csv")
    stems = [file.stem for file in tables]
    if tables and (q_column in stems or not event_directories(directory)):
        if len(tables) == 1:
            return tables[0]
        if q_column is not None and q_column not in stems:
            raise InputError(f"{directory}: --q-column {q_column}: there is no such file; there are {shown(stems)}")
        stem = q_column or find_column(stems, Q_NAMES, f"mean Q in {directory}", "--q-column")
        return directory / f"{stem}.csv"
    runs = event_directories(directory)
    if not runs:
        raise InputError(f"{directory}: no log is in it; a log is {_KINDS}")
    if len(runs) > 1:
        names = [str(run.relative_to(directory)) for run in runs]
        raise InputError(f"{directory}: event files of several runs are in it; give one of {shown(names)}")
    return runs[0]


def _rows(table: Table, step_name: str, q_name: str) -> tuple[list[float], list[float], list[str]]:
    """The rows that have both numbers; sparse logs leave cells out, which is no mistake."""
    steps: list[float] = []
    values: list[float] = []
    places: list[int] = []
    for row, (step, value) in enumerate(zip(table.columns[step_name], table.columns[q_name], strict=True)):
        if is_missing(step) or is_missing(value):
            continue
        numbers = as_number(step), as_number(value)
        for name, number, cell in zip((step_name, q_name), numbers, (step, value), strict=True):
            if number is None:
                raise InputError(f"{table.place(row)}: {name} is not a number: {str(cell)[:40]!r}; repair or remove it")
        steps.append(float(numbers[0] or 0.0))
        values.append(float(numbers[1] or 0.0))
        places.append(row)
    if not steps:
        raise InputError(f"{table.source}: no row has both {step_name} and {q_name}")
    finite = [math.isfinite(value) for value in values]
    end = len(values) - finite[::-1].index(True) if any(finite) else 0
    for number in range(end):
        if not finite[number]:
            raise InputError(
                f"{table.place(places[number])}: {q_name} is {values[number]} and finite later; remove that row"
            )
    for number in range(1, len(steps)):
        if not steps[number] > steps[number - 1]:
            raise InputError(
                f"{table.place(places[number])}: {step_name} is {steps[number]:g} after {steps[number - 1]:g}, but "
                "steps must rise; keep the rows of one run, one for each step"
            )
    notes = (
        [] if end == len(values) else [f"{q_name} is not finite from step {steps[end]:g} on: the critic broke there"]
    )
    return steps, values[:end] + [math.inf] * (len(values) - end), notes


def _run_settings(file: Path) -> dict[str, float]:
    """What a run directory of ours says of discount, target averaging and rewards; nothing of anybody else's."""
    try:
        described: Any = json.loads(file.read_text(encoding="utf-8"))
        stated: dict[str, Any] = described["config"] | {"reward_bound": described["reward_bound"]}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    names = ("discount", "target_rate", "reward_bound")
    numbers = {name: as_number(stated.get(name)) for name in names}
    return {name: number for name, number in numbers.items() if number is not None and math.isfinite(number)}
