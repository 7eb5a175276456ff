"""Scalar attributes of an HDF5 file, written and read so that a damaged file cannot take the process with it."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from seemrl.data.refusals import refusal, valid_unicode

SECONDS_FOR_TEXTS = 20

_READ_TEXTS = """
import json, resource, sys
import h5py
resource.setrlimit(resource.RLIMIT_AS, (2**31, 2**31))
with h5py.File(sys.argv[1], "r") as file:
    values = {name: file.attrs[name] for name in sys.argv[2:]}
texts = {name: value if isinstance(value, str) else value.decode("utf-8", "replace") for name, value in values.items()}
print(json.dumps(texts))
"""


def write_attributes(file: Any, attributes: Mapping[str, float | int | str]) -> None:
    """Store numbers and texts, sorted by name; texts with a fixed length, which can be read back in safety."""
    for name in sorted(attributes):
        value = attributes[name]
        if isinstance(value, str):
            text = value.encode("utf-8", "replace")
            file.attrs.create(name, np.bytes_(text), dtype=h5py.string_dtype("utf-8", max(1, len(text))))
        else:
            file.attrs[name] = value


def scalar_attributes(file: Any, path: Path) -> dict[str, float | int | str]:
    """The file's own attributes that are one number or one text; others are left out.

    Texts of variable length lie in HDF5's global heap, and libhdf5 (2.0.0 among others) crashes or never ends on some
    damaged heaps. A process of its own reads those; h5py writes them by default, seemrl does not.

    Raises:
        InputError: The texts of variable length are damaged.
    """
    found: dict[str, float | int | str] = {}
    variable: list[str] = []
    for name in file.attrs:
        attribute = file.attrs.get_id(name)
        if attribute.shape != ():
            continue
        text = h5py.check_string_dtype(attribute.dtype)
        if text is not None and text.length is None:
            variable.append(name)
        elif text is not None or attribute.dtype.kind in "biuf":
            value = file.attrs[name]
            value = value.item() if isinstance(value, np.generic) else value
            found[valid_unicode(name)] = valid_unicode(value) if isinstance(value, str | bytes) else value
    return found | (_texts(path, variable) if variable else {})


def _texts(path: Path, names: list[str]) -> dict[str, float | int | str]:
    try:
        said = subprocess.run(
            [sys.executable, "-c", _READ_TEXTS, str(path), *names],
            capture_output=True,
            check=True,
            timeout=SECONDS_FOR_TEXTS,
        )
        return {valid_unicode(name): text for name, text in json.loads(said.stdout).items()}
    except (subprocess.SubprocessError, OSError, ValueError) as error:
        raise refusal(
            path, f"attribute {names[0]}: its text cannot be read; the file is damaged, fetch or write it again"
        ) from error
