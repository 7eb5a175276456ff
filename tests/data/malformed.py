"""What makes malformed files of every format, for `malformed_cases`."""

import io
import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as arrow
import pyarrow.parquet as parquet
from make_tiny import TINY, arrays

Spoil = Callable[[dict[str, Any]], object]
Make = Callable[[Path], object]
ROWS = 15


class Code:
    """Unpickling one of these would run code."""

    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("unpickled",)


def put(key: str, value: Any) -> Spoil:
    return lambda stored: stored.update({key: value})


def without(key: str) -> Spoil:
    return lambda stored: stored.pop(key)


def at(key: str, place: Any, value: Any) -> Spoil:
    def spoil(stored: dict[str, Any]) -> None:
        stored[key] = np.array(stored[key])
        stored[key][place] = value

    return spoil


def change(key: str, function: Callable[[Any], Any]) -> Spoil:
    return lambda stored: stored.update({key: function(stored[key])})


# npz


def npz(*spoils: Spoil, of: str = "plain.npz") -> Make:
    def make(path: Path) -> None:
        with np.load(TINY / of) as file:
            stored: dict[str, Any] = {key: file[key] for key in file.files}
        for spoil in spoils:
            spoil(stored)
        np.savez(path, **stored)

    return make


def members(**replaced: bytes | Callable[[bytearray, int], None]) -> Make:
    """The plain archive with the raw bytes of some members, or their directory entries, replaced."""

    def make(path: Path) -> None:
        with zipfile.ZipFile(TINY / "plain.npz") as source, zipfile.ZipFile(path, "w") as target:
            for info in source.infolist():
                data = source.read(info)
                given = replaced.get(info.filename.removesuffix(".npy"))
                if isinstance(given, bytes):
                    data = given
                target.writestr(info.filename, data)
        for name, given in replaced.items():
            if not isinstance(given, bytes):
                raw = bytearray(path.read_bytes())
                given(raw, raw.rfind(b"PK\x01\x02", 0, raw.rfind(f"{name}.npy".encode())))
                path.write_bytes(raw)

    return make


def set_field(offset: int, value: int, size: int) -> Callable[[bytearray, int], None]:
    """Change a number of a member's entry in the archive's directory."""

    def edit(raw: bytearray, entry: int) -> None:
        raw[entry + offset : entry + offset + size] = value.to_bytes(size, "little")

    return edit


def bomb(path: Path) -> None:
    """Header and directory agree on 2 GiB, of which the archive holds nothing."""
    start = header(plain_header(f"({2**29},)"))
    members(rewards=start)(path)
    data = bytearray(path.read_bytes())
    entry = data.rfind(b"PK\x01\x02", 0, data.rfind(b"rewards.npy"))
    set_field(24, 2**31 + len(start), 4)(data, entry)
    path.write_bytes(data)


def header(text: str, version: tuple[int, int] = (1, 0), data: bytes = b"") -> bytes:
    """An npy file with this header."""
    line = text.encode() + b"\n"
    length = len(line).to_bytes(2 if version == (1, 0) else 4, "little")
    return b"\x93NUMPY" + bytes(version) + length + line + data


def plain_header(shape: str, descr: str = "'<f4'") -> str:
    return f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}}}"


def truncated(name: str, keep: float = 0.6) -> Make:
    def make(path: Path) -> None:
        data = (TINY / name).read_bytes()
        path.write_bytes(data[: int(keep * len(data))])

    return make


def raw(data: bytes) -> Make:
    return lambda path: path.write_bytes(data)


def npy(path: Path) -> None:
    buffer = io.BytesIO()
    np.save(buffer, np.zeros(3))
    path.write_bytes(buffer.getvalue())


# HDF5


def hdf5(name: str, *edits: Callable[[h5py.File], object]) -> Make:
    def make(path: Path) -> None:
        shutil.copy(TINY / name, path)
        with h5py.File(path, "a") as file:
            for edit in edits:
                edit(file)

    return make


def store(key: str, value: Any) -> Callable[[Any], None]:
    def edit(file: Any) -> None:
        if key in file:
            del file[key]
        file[key] = value

    return edit


def remove(key: str) -> Callable[[Any], None]:
    def edit(file: Any) -> None:
        del file[key]

    return edit


def damaged_text_attribute(path: Path) -> None:
    """A length of variable text that lies: reading it has crashed libhdf5."""
    shutil.copy(TINY / "d4rl.hdf5", path)
    with h5py.File(path, "a") as file:
        file.attrs["note"] = "a text of variable length"
    data = bytearray(path.read_bytes())
    place = data.index(b"GCOL")
    data[place + 16 : place + 32] = b"\xff" * 16
    path.write_bytes(data)


# Minari


def minari(layout: str = "hdf5", name: str = "box", **metadata: Any) -> Make:
    """A copy of a tiny set with other metadata; None removes a key."""

    def make(path: Path) -> None:
        shutil.copytree(TINY / "minari" / layout / f"{name}-v0", path)
        file = path / "data/metadata.json"
        kept = json.loads(file.read_text()) | metadata
        file.write_text(json.dumps({key: value for key, value in kept.items() if value is not None}))

    return make


def minari_hdf5(*edits: Callable[[h5py.File], object], name: str = "box") -> Make:
    def make(path: Path) -> None:
        minari(name=name)(path)
        with h5py.File(path / "data/main_data.hdf5", "a") as file:
            for edit in edits:
                edit(file)

    return make


def minari_file(file: str, data: bytes | None, layout: str = "hdf5") -> Make:
    def make(path: Path) -> None:
        minari(layout)(path)
        place = path / "data" / file
        if data is None:
            place.unlink()
        else:
            place.write_bytes(data)

    return make


def minari_arrow(spoil: Callable[[Any], Any]) -> Make:
    def make(path: Path) -> None:
        minari("arrow")(path)
        place = str(path / "data/1/part-0.arrow")
        with arrow.OSFile(place) as source:
            table = arrow.ipc.open_file(source).read_all()
        table = spoil(table)
        with arrow.OSFile(place, "wb") as sink, arrow.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)

    return make


IMAGES = json.dumps({"type": "Box", "dtype": "uint8", "shape": [8, 8, 3], "low": [], "high": []})
TEXT = json.dumps({"type": "Text", "max_length": 3, "min_length": 1, "charset": "ab"})
PAIR = json.dumps({"type": "MultiDiscrete", "dtype": "int64", "nvec": [2, 3], "start": [0, 0]})
HUGE = json.dumps({"type": "Box", "dtype": "float32", "shape": [2**40], "low": [], "high": []})
WIDER = json.dumps({"type": "Box", "dtype": "float32", "shape": [5], "low": [], "high": []})
DEEP = '{"type": "Tuple", "subspaces": [' * 5000 + "]}" * 5000


# Tables


def table(*spoils: Spoil, file: str = "a.parquet") -> Make:
    """Lists and numbers; None is a null."""

    def make(path: Path) -> None:
        stored: dict[str, Any] = {key: array.tolist() for key, array in arrays().items()}
        for spoil in spoils:
            spoil(stored)
        built = arrow.table(stored)
        if file.endswith("parquet"):
            parquet.write_table(built, path)
        else:
            with arrow.OSFile(str(path), "wb") as sink, arrow.ipc.new_file(sink, built.schema) as writer:
                writer.write_table(built)

    return make


def row(key: str, number: int, value: Any) -> Spoil:
    def spoil(stored: dict[str, Any]) -> None:
        stored[key] = list(stored[key])
        stored[key][number] = value

    return spoil
