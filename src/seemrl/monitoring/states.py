"""State dicts and pytrees as arrays and JSON: nothing is pickled, and what comes back is what went in."""

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import numpy as of_numpy

from seemrl.errors import InputError

_TORCH, _ARRAYS = "tensors.safetensors", "arrays.safetensors"


@dataclass(frozen=True)
class Encoded:
    """A state taken apart.

    Attributes:
        shape: the state in JSON's types, with the name of an array in each array's place.
        tensors: copies of its torch tensors, on the CPU.
        arrays: copies of its other arrays.
    """

    shape: Any
    tensors: dict[str, Any]
    arrays: dict[str, np.ndarray]

    def save(self, directory: Path) -> None:
        """Write the arrays as safetensors; the shape is the caller's to write."""
        if self.tensors:
            from safetensors import torch as of_torch

            (directory / _TORCH).write_bytes(of_torch.save(self.tensors))
        if self.arrays:
            (directory / _ARRAYS).write_bytes(of_numpy.save(self.arrays))

    @classmethod
    def load(cls, directory: Path, shape: Any) -> "Encoded":
        """What `save` wrote."""
        tensors: dict[str, Any] = {}
        if (directory / _TORCH).exists():
            from safetensors import torch as of_torch

            tensors = of_torch.load((directory / _TORCH).read_bytes())
        arrays: dict[str, np.ndarray] = {}
        if (directory / _ARRAYS).exists():
            arrays = of_numpy.load((directory / _ARRAYS).read_bytes())
        return cls(shape, tensors, arrays)


def encode(state: Any) -> Encoded:
    """Take a state apart: dicts, lists and tuples of arrays, numbers, texts, None.

    Raises:
        InputError: something else is in it; the message says where.
    """
    encoded = Encoded({}, {}, {})
    return Encoded(_taken(state, "state", encoded), encoded.tensors, encoded.arrays)


def decode(encoded: Encoded) -> Any:
    """The state again, its arrays copied once more: whoever loads them may change them in place."""
    return _given(encoded.shape, encoded)


def _taken(value: Any, place: str, into: Encoded) -> Any:
    if isinstance(value, Mapping):
        return {"dict": [[_key(key, place), _taken(item, f"{place}.{key}", into)] for key, item in value.items()]}
    if isinstance(value, list | tuple):
        items = [_taken(item, f"{place}.{number}", into) for number, item in enumerate(value)]
        return {"list" if isinstance(value, list) else "tuple": items}
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": repr(float(value))}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    torch: Any = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor):
        into.tensors[place] = value.detach().to("cpu", copy=True).contiguous()
        return {"tensor": place}
    array = np.asarray(value) if hasattr(value, "__array__") else None
    if array is None or array.dtype.kind == "O":
        raise InputError(
            f"snapshots: {place} is a {type(value).__name__}, which is no array, number or text; "
            "give objects whose state_dict holds nothing else"
        )
    into.arrays[place] = np.array(array, order="C")
    return {"array": place}


def _key(key: Any, place: str) -> str | int:
    if isinstance(key, str | int):
        return key
    raise InputError(f"snapshots: {place} has the key {key!r}; keys must be texts or whole numbers")


def _given(shape: Any, encoded: Encoded) -> Any:
    if not isinstance(shape, dict):
        return shape
    ((kind, content),) = shape.items()
    if kind == "dict":
        return {key: _given(item, encoded) for key, item in content}
    if kind in ("list", "tuple"):
        items = [_given(item, encoded) for item in content]
        return items if kind == "list" else tuple(items)
    if kind == "float":
        return float(content)
    return encoded.tensors[content].clone() if kind == "tensor" else encoded.arrays[content].copy()
