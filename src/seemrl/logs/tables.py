"""Text logs as columns of cells: CSV of any trainer, JSON lines, and Parquet where pyarrow is installed."""

import csv
import io
import json
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from seemrl.errors import InputError, MissingPartError

Cell = Any
"""A number, a text that may be one, or None where the log has nothing."""

_TEXTLESS = ("epoch", "step")  # d3rlpy writes one file a metric: epoch, step, value, without a heading
_JOINER = "/"


@dataclass(frozen=True)
class Table:
    """A log as columns, all of the same length.

    Attributes:
        source: where it came from.
        columns: cells by column name.
        first_line: line of the file in which the first row stands; 0 where rows have no lines.
    """

    source: str
    columns: dict[str, list[Cell]]
    first_line: int

    def place(self, row: int) -> str:
        """A row as a person finds it."""
        return f"{self.source}: line {row + self.first_line}" if self.first_line else f"{self.source}: row {row + 1}"


def read_csv(path: Path) -> Table:
    """A CSV file with a heading, or one of d3rlpy's without; commas, semicolons or tabs.

    Raises:
        InputError: it is not one.
    """
    text = _read_text(path)
    heading = text.partition("\n")[0]
    delimiter = max(",;\t", key=heading.count)
    rows = [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter) if row]
    if not rows:
        raise InputError(f"{path}: the file is empty")
    first = rows[0]
    if len(first) == len(_TEXTLESS) + 1 and all(as_number(cell) is not None for cell in first):
        names, begin = [*_TEXTLESS, path.stem], 0
    else:
        names, begin = [name.strip() for name in first], 1
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"{path}: two columns are called '{twice}'; rename one")
    columns: dict[str, list[Cell]] = {name: [] for name in names}
    for line, row in enumerate(islice(rows, begin, None), start=begin + 1):
        if len(row) != len(names):
            raise InputError(f"{path}: line {line} has {len(row)} cells instead of {len(names)}; repair or remove it")
        for name, cell in zip(names, row, strict=True):
            columns[name].append(cell)
    return Table(str(path), columns, begin + 1)


def read_json_rows(path: Path) -> Table:
    """JSON lines, or one JSON list, of objects; nested ones become columns joined by ``/``.

    A last line that a killed process left half-written is not a row yet.

    Raises:
        InputError: it is not such a file.
    """
    text = _read_text(path)
    rows: list[Any] = []
    if text.lstrip().startswith("["):
        try:
            rows = json.loads(text)
        except ValueError as error:
            raise InputError(f"{path}: not JSON ({error})") from None
    else:
        lines = text.split("\n")
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                rows.append(json.loads(line))
            except ValueError:
                if number == len(lines):
                    break
                raise InputError(f"{path}: line {number} is not a JSON object; remove that line") from None
    flat: list[dict[str, Cell]] = []
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            raise InputError(f"{path}: row {number} is not a JSON object; remove it")
        flat.append(_flat(row))
    names = list(dict.fromkeys(name for row in flat for name in row))
    return Table(str(path), {name: [row.get(name) for row in flat] for name in names}, 0)


def read_parquet(path: Path) -> Table:
    """A Parquet file.

    Raises:
        InputError: it is none.
        MissingPartError: pyarrow is not installed.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise MissingPartError("pyarrow", "data", f"reading {path}") from None
    try:
        columns = parquet.read_table(path).to_pydict()
    except (OSError, pyarrow.ArrowException) as error:
        raise InputError(f"{path}: not a readable Parquet file ({error})") from None
    return Table(str(path), columns, 0)


def as_number(cell: Cell) -> float | None:
    """The number in a cell, ``nan`` and ``inf`` among them; None where there is none."""
    if isinstance(cell, bool) or cell is None:
        return None
    if isinstance(cell, str) and not cell.strip():
        return None
    try:
        return float(cell)
    except (TypeError, ValueError):
        return None


def is_missing(cell: Cell) -> bool:
    """Whether a log left the cell out, as sparse logs do between two values."""
    return cell is None or (isinstance(cell, str) and not cell.strip())


def _flat(row: dict[str, Any], start: str = "") -> dict[str, Cell]:
    flat: dict[str, Cell] = {}
    for name, value in row.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{start}{name}{_JOINER}")
        else:
            flat[f"{start}{name}"] = value
    return flat


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{path}: not a text file; a log is CSV, JSON lines, Parquet or TensorBoard events") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or type(error).__name__})") from None
