"""Files that are never half-written: atomic replacement, append-only JSON lines, strict JSON numbers, one writer."""

import fcntl
import json
import math
import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from seemrl.errors import InputError


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let ``write`` fill a temporary file beside ``path``, flush it to the disk and rename it into place."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        write(temporary)
        flush_to_disk(temporary)
        os.replace(temporary, path)
        flush_to_disk(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_directory_atomically(path: Path, write: Callable[[Path], object], *, replace: bool = False) -> None:
    """Let ``write`` fill a temporary directory beside ``path`` and rename it into place.

    ``path`` must not exist, or is to be replaced: then it goes once the new one is complete.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    outdated = path.with_name(f".{path.name}.{os.getpid()}.old")
    try:
        temporary.mkdir()
        write(temporary)
        for file in temporary.rglob("*"):
            flush_to_disk(file)
        if replace and path.exists():
            os.rename(path, outdated)
        try:
            os.rename(temporary, path)
        except OSError:
            if outdated.exists():
                os.rename(outdated, path)
            raise
        flush_to_disk(path.parent)
        shutil.rmtree(outdated, ignore_errors=True)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Replace the text of a file atomically."""
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write strict, indented JSON atomically; numbers that JSON lacks become strings (see `strict`)."""
    write_text(path, json.dumps(strict(value), indent=2, allow_nan=False) + "\n")


def append_json_line(path: Path, row: Mapping[str, Any]) -> None:
    """Append one row to a JSON-lines file and flush it to the disk."""
    with path.open("a", encoding="utf-8") as file:
        file.write(_json_line(row))
        file.flush()
        os.fsync(file.fileno())


def write_json_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Replace a JSON-lines file atomically."""
    write_text(path, "".join(map(_json_line, rows)))


def read_json_lines(path: Path) -> list[dict[str, Any]]:
    """Rows of a JSON-lines file; a last line that a killed process left half-written is not a row yet.

    Raises:
        InputError: a line before the last is not a JSON object; the message names file and line.
    """
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(lines[:-1], start=1):  # what follows the last newline is unfinished
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            row = None
        if not isinstance(row, dict):
            raise InputError(f"{path}: line {number} is not a JSON object; remove that line")
        rows.append(row)
    return rows


def drop_half_line(file: Path) -> None:
    """Cut off what a killed process left of a last line, so that the next one begins on its own."""
    if file.exists():
        content = file.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            os.truncate(file, whole)


def strict(value: Any) -> Any:
    """The same value in strict JSON: NaN and the infinities become the strings ``nan``, ``inf`` and ``-inf``.

    ``float(...)`` reads all of them back.
    """
    if isinstance(value, Mapping):
        return {str(key): strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [strict(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return repr(float(value))
    return value


def _json_line(row: Mapping[str, Any]) -> str:
    return json.dumps(strict(row), allow_nan=False) + "\n"


def hold(directory: Path) -> int:
    """Keep other writers out of a directory until the descriptor returned is closed or this process is gone.

    On a file system without locks nobody is kept out.

    Raises:
        InputError: another writer holds it, or this process may not write there.
    """
    try:
        descriptor = os.open(directory / ".lock", os.O_CREAT | os.O_RDWR, 0o666)
    except OSError as error:
        raise InputError(f"{directory}: cannot be written ({error.strerror}); check its permissions") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise InputError(
            f"{directory}: another process is writing in it; wait for it or choose another directory"
        ) from error
    except OSError:
        pass
    return descriptor


def flush_to_disk(path: Path) -> None:
    """Wait until a file, or the entries of a directory, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
