"""Checkpoints that a killed process cannot spoil: safetensors with a JSON seal, renamed into place when complete."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import equinox as eqx
import jax
import numpy as np
import safetensors.numpy

from seemrl.errors import InputError
from seemrl.files import flush_to_disk, write_atomically, write_text

State = TypeVar("State")
_KEPT = 3


def save_checkpoint(directory: Path, state: Any, step: int, healthy: int = -1) -> Path:
    """Write ``directory/step_<step>`` whole or not at all; drop all but the newest three and the newest healthy one.

    ``healthy`` is the last step known to be; the newest checkpoint up to it stays. A checkpoint holds
    ``state.safetensors`` (every array of the pytree under its path) and ``checkpoint.json`` (step, digest).
    """
    directory.mkdir(parents=True, exist_ok=True)
    for abandoned in directory.glob(".step_*.tmp"):
        shutil.rmtree(abandoned)
    final = _place(directory, step)
    temporary = directory / f".{final.name}.tmp"
    temporary.mkdir()
    content = safetensors.numpy.save({name: _stored(leaf) for name, leaf in _named_arrays(state).items()})
    (temporary / "state.safetensors").write_bytes(content)
    flush_to_disk(temporary / "state.safetensors")
    seal = {"format": 1, "step": step, "sha256": hashlib.sha256(content).hexdigest()}
    write_text(temporary / "checkpoint.json", json.dumps(seal) + "\n")
    if final.exists():
        shutil.rmtree(final)
    temporary.rename(final)
    flush_to_disk(directory)
    refuge = _newest_up_to(directory, healthy)
    for outdated in checkpoints(directory)[:-_KEPT]:
        if outdated != refuge:
            shutil.rmtree(outdated)
    return final


def drop_after(directory: Path, step: int) -> int | None:
    """Delete every checkpoint later than the newest of at most this step, whose own step is returned.

    Where there is none so early, nothing is deleted, and the answer is None.
    """
    refuge = _newest_up_to(directory, step)
    if refuge is None:
        return None
    for later in reversed(checkpoints(directory)):  # the newest first: one killed on the way leaves no gap
        if later > refuge:
            shutil.rmtree(later)
    return _step_of(refuge)


def _newest_up_to(directory: Path, step: int) -> Path | None:
    return max((path for path in checkpoints(directory) if _step_of(path) <= step), default=None)


def _step_of(path: Path) -> int:
    return int(path.name.removeprefix("step_"))


def checkpoints(directory: Path) -> list[Path]:
    """The complete-looking checkpoints, oldest first."""
    return sorted(directory.glob("step_*"))


def load_newest(directory: Path, fresh: State, warn: Callable[[str], object]) -> tuple[State, int] | None:
    """The newest checkpoint that is whole, or None; each damaged one is reported through ``warn`` and passed over.

    Args:
        directory: where the checkpoints are.
        fresh: a state of the same structure; its arrays are replaced.
        warn: called with one line for each checkpoint that cannot be used.
    """
    found = checkpoints(directory)
    for path in reversed(found):
        try:
            return _load(path, fresh)
        except (OSError, ValueError, KeyError, TypeError, safetensors.SafetensorError) as error:
            reason = " ".join(str(error).split())
            instead = "the beginning" if path == found[0] else "the previous one"
            warn(f"{path}: checkpoint is damaged ({reason}); falling back to {instead}")
    return None


def save_arrays(path: Path, state: Any) -> None:
    """Write every array of a pytree into a safetensors file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {name: _stored(leaf) for name, leaf in _named_arrays(state).items()}
    write_atomically(path, lambda place: safetensors.numpy.save_file(content, place))


def arrays_digest(state: Any) -> str:
    """SHA-256 of every array of a pytree under its path, as hexadecimal digits."""
    content = safetensors.numpy.save({name: _stored(leaf) for name, leaf in _named_arrays(state).items()})
    return hashlib.sha256(content).hexdigest()


def load_arrays(path: Path, fresh: State) -> State:
    """The arrays of `save_arrays` in a pytree of the same structure.

    Raises:
        InputError: the file is missing or damaged, or holds other arrays.
    """
    try:
        return _filled(fresh, safetensors.numpy.load_file(path))
    except (OSError, ValueError, KeyError, TypeError, safetensors.SafetensorError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path}: cannot be read as these networks ({reason}); restore the file") from error


def _place(directory: Path, step: int) -> Path:
    return directory / f"step_{step:09d}"


def _load(path: Path, fresh: State) -> tuple[State, int]:
    seal = json.loads((path / "checkpoint.json").read_text(encoding="utf-8"))
    if path != _place(path.parent, seal["step"]):
        raise ValueError(f"checkpoint.json speaks of step {seal['step']}")
    content = (path / "state.safetensors").read_bytes()
    if hashlib.sha256(content).hexdigest() != seal["sha256"]:
        raise ValueError("state.safetensors is cut short or altered")
    return _filled(fresh, safetensors.numpy.load(content)), seal["step"]


def _filled(fresh: State, stored: dict[str, np.ndarray]) -> State:
    leaves = {name: _restored(stored[name], leaf, name) for name, leaf in _named_arrays(fresh).items()}
    arrays, rest = eqx.partition(fresh, eqx.is_array)
    restored = jax.tree.unflatten(jax.tree.structure(arrays), list(leaves.values()))
    return eqx.combine(restored, rest)


def _named_arrays(state: Any) -> dict[str, Any]:
    """Every array of a pytree under its path, in the pytree's own order."""
    arrays = eqx.filter(state, eqx.is_array)
    return {jax.tree_util.keystr(path).lstrip("."): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(arrays)}


def _is_key(leaf: Any) -> bool:
    return jax.numpy.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _stored(leaf: Any) -> np.ndarray:
    return np.asarray(jax.random.key_data(leaf) if _is_key(leaf) else leaf, order="C")  # a scalar keeps its shape ()


def _restored(array: np.ndarray, like: Any, name: str) -> jax.Array:
    expected = _stored(like)
    if array.shape != expected.shape or array.dtype != expected.dtype:
        raise ValueError(f"{name} is {array.dtype} {array.shape}, not {expected.dtype} {expected.shape}")
    return jax.random.wrap_key_data(jax.numpy.asarray(array)) if _is_key(like) else jax.numpy.asarray(array)
