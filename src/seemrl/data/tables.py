"""Parquet files and Arrow tables with named columns: what a warehouse exports. Needs pyarrow (extra ``data``)."""

import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seemrl.data.arrays import RANKS
from seemrl.data.columns import Columns, Declared, check_declared, columns, converted, missing_key
from seemrl.data.refusals import refusal, shortened
from seemrl.data.sizes import check_size
from seemrl.data.table_columns import find_columns, table_array
from seemrl.errors import InputError, MissingPartError

PARQUET = "Parquet"
ARROW = "Arrow"
PURPOSE = "reading Parquet and Arrow files"
ROWS_IN_PIECE = 2**16


def read_parquet(path: Path) -> Columns:
    """The transitions of a Parquet file; see `columns_of_table` for its columns."""
    return _read(path, PARQUET, _wanted_columns)


def read_arrow(path: Path) -> Columns:
    """The transitions of an Arrow file (Feather 2) or stream; see `columns_of_table` for its columns."""
    return _read(path, ARROW, arrow_table)


def columns_of_table(path: Path, format: str, table: Any) -> Columns:
    """The transitions in a table.

    A vector is one column of lists, all equally long, or several columns of numbers whose names begin with its own:
    ``observation_age, observation_pulse, ...``, in the order of the table, or of their numbers where all end in one.
    Names may be plural or singular (``rewards``, ``reward``); ``terminations``, ``terminated``, ``truncations`` and
    ``truncated`` are understood. A column ``episode`` of anything ends an episode where it changes: there, unless the
    row is a terminal, it was cut short. Other columns are ignored.

    Raises:
        InputError: A column is missing, is no column of numbers, or has a null or a list of another length.
    """
    found = find_columns(path, table.column_names)
    arrays = {key: table_array(path, key, names, table) for key, names in found.items() if key != "episode"}
    for key in ("observations", "actions", "rewards", "terminals"):
        if key not in arrays:
            shown = ", ".join(map(str, table.column_names[:12]))
            raise missing_key(path, key, shown, "rename the columns, for example SELECT age AS observation_age")
    shapes = check_declared(path, {key: Declared(array.shape, array.dtype) for key, array in arrays.items()})
    arrays = {key: converted(path, key, np.reshape(array, shapes[key])) for key, array in arrays.items()}
    if "episode" in found:
        ends = _episode_ends(path, found["episode"][0], table) & ~arrays["terminals"]
        arrays["timeouts"] = arrays.get("timeouts", np.zeros_like(ends)) | ends
    return columns(path, format, {key: arrays[key] for key in RANKS if key in arrays})


def _read(path: Path, format: str, read_table: Callable[[Path], Any]) -> Columns:
    arrow = import_arrow(PURPOSE)
    try:
        table = read_table(path)
        table.validate(full=True)
        return columns_of_table(path, format, table)
    except InputError:
        raise
    except (MemoryError, arrow.ArrowMemoryError) as error:
        raise refusal(path, "does not fit into memory; give a smaller file") from error
    except (arrow.ArrowException, OSError, ValueError, TypeError, LookupError, OverflowError) as error:
        raise refusal(
            path, f"damaged or incomplete {format} file ({shortened(error)}); fetch or write it again"
        ) from error


def import_arrow(purpose: str) -> Any:
    """The pyarrow module.

    Raises:
        MissingPartError: It is not installed.
    """
    try:
        return importlib.import_module("pyarrow")
    except ImportError as error:
        raise MissingPartError("pyarrow", "data", purpose) from error


def _wanted_columns(path: Path) -> Any:
    def wanted(columns: Sequence[str]) -> list[str]:
        return [name for names in find_columns(path, columns).values() for name in names]

    return parquet_table(path, wanted)


def parquet_table(path: Path, wanted: Callable[[Sequence[str]], Sequence[str]]) -> Any:
    """Some columns of a Parquet file, read piece by piece: what it declares says little about what unpacks.

    Raises:
        InputError: They unpack to too much for the file.
    """
    arrow = importlib.import_module("pyarrow")
    parquet = importlib.import_module("pyarrow.parquet")
    with parquet.ParquetFile(path) as file:
        names = wanted(file.schema_arrow.names)
        pieces: list[Any] = []
        for piece in file.iter_batches(batch_size=ROWS_IN_PIECE, columns=names, use_threads=False):
            pieces.append(piece)
            rows = sum(map(len, pieces))
            check_size(path, {"all columns": ((rows, len(names)), sum(piece.nbytes for piece in pieces))})
        schema = arrow.schema([file.schema_arrow.field(name) for name in names])
        return arrow.Table.from_batches(pieces, schema=pieces[0].schema if pieces else schema)


def arrow_table(path: Path) -> Any:
    """All columns of an Arrow file or stream."""
    arrow = importlib.import_module("pyarrow")
    with arrow.OSFile(str(path)) as file:
        is_file = bytes(file.read(6)) == b"ARROW1"
        file.seek(0)
        reader = arrow.ipc.open_file(file) if is_file else arrow.ipc.open_stream(file)
        return reader.read_all()


def _episode_ends(path: Path, name: str, table: Any) -> NDArray[np.bool_]:
    """Where the column's value changes, and the last row.

    Raises:
        InputError: An episode's rows do not lie together.
    """
    column = table.column(name).combine_chunks()
    if column.null_count:
        raise refusal(path, f"{name}: {column.null_count} nulls; name the episode of every row")
    codes = np.asarray(column.dictionary_encode().indices)
    ends = np.concatenate([codes[1:] != codes[:-1], [True]])
    starts = np.flatnonzero(np.concatenate([[True], ends[:-1]]))
    _, first = np.unique(codes[starts], return_index=True)
    if len(first) != len(starts):
        again = np.setdiff1d(np.arange(len(starts)), first)[0]
        raise refusal(
            path, f"{name}: row {int(starts[again])} returns to an earlier episode; sort the rows by episode and step"
        )
    return ends
