"""Checkpoints that a killed process cannot spoil: safetensors with a JSON seal, renamed into place when complete."""

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import equinox as eqx
import jax
import numpy as np
import safetensors.numpy

from seemrl.errors import InputError
from seemrl.files import flush_to_disk, write_atomically, write_text

State = TypeVar("State")
BEST = "best"
_KEPT = 3


@dataclass(frozen=True)
class Best:
    """The checkpoint of the evaluation with the highest mean return; of equal ones, the earliest."""

    path: Path
    step: int
    return_mean: float


def save_checkpoint(directory: Path, state: Any, step: int, healthy: int = -1) -> Path:
    """Write ``directory/step_<step>`` whole or not at all; drop all but the newest three and the newest healthy one.

    ``healthy`` is the last step known to be; the newest checkpoint up to it stays. A checkpoint holds
    ``state.safetensors`` (every array of the pytree under its path) and ``checkpoint.json`` (step, digest).
    """
    final = _place(directory, step)
    _write(final, state, {"step": step})
    refuge = _newest_up_to(directory, healthy)
    for outdated in checkpoints(directory)[:-_KEPT]:
        if outdated != refuge:
            shutil.rmtree(outdated)
    return final


def save_best(directory: Path, state: Any, step: int, return_mean: float) -> Path:
    """Write ``directory/best``, a checkpoint whose ``checkpoint.json`` also tells its return; the earlier one goes."""
    final = directory / BEST
    _write(final, state, {"step": step, "return_mean": return_mean})
    return final


def best_of(directory: Path) -> Best | None:
    """What ``directory/best`` says of itself; None where there is none that is whole."""
    path = directory / BEST
    try:
        seal = _seal(path)
        return Best(path, int(seal["step"]), float(seal["return_mean"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def drop_best_after(directory: Path, step: int) -> None:
    """Delete ``directory/best`` where it is later than this step, or does not tell its own."""
    best = best_of(directory)
    if best is None or best.step > step:
        shutil.rmtree(directory / BEST, ignore_errors=True)


def _write(final: Path, state: Any, seal: dict[str, Any]) -> None:
    final.parent.mkdir(parents=True, exist_ok=True)
    for abandoned in final.parent.glob(".*.tmp"):
        shutil.rmtree(abandoned)
    temporary = final.with_name(f".{final.name}.tmp")
    temporary.mkdir()
    content = safetensors.numpy.save(_contents(state))
    (temporary / "state.safetensors").write_bytes(content)
    flush_to_disk(temporary / "state.safetensors")
    seal = {"format": 1, **seal, "sha256": hashlib.sha256(content).hexdigest()}
    write_text(temporary / "checkpoint.json", json.dumps(seal) + "\n")
    if final.exists():
        shutil.rmtree(final)
    temporary.rename(final)
    flush_to_disk(final.parent)


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


def has_checkpoint(directory: Path, step: int) -> bool:
    """Whether there is a checkpoint of this step."""
    return _place(directory, step).is_dir()


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
            state, step = load_checkpoint(path, fresh)
            if path != _place(directory, step):
                raise ValueError(f"checkpoint.json speaks of step {step}")
            return state, step
        except (OSError, ValueError, KeyError, TypeError, safetensors.SafetensorError) as error:
            reason = " ".join(str(error).split())
            instead = "the beginning" if path == found[0] else "the previous one"
            warn(f"{path}: checkpoint is damaged ({reason}); falling back to {instead}")
    return None


def save_arrays(path: Path, state: Any) -> None:
    """Write every array of a pytree into a safetensors file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, lambda place: safetensors.numpy.save_file(_contents(state), place))


def arrays_digest(state: Any) -> str:
    """SHA-256 of every array of a pytree under its path, as hexadecimal digits."""
    return hashlib.sha256(safetensors.numpy.save(_contents(state))).hexdigest()


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


def load_checkpoint(path: Path, fresh: State) -> tuple[State, int]:
    """The state of one checkpoint and its step; ``fresh`` is as for `load_newest`.

    Raises:
        OSError, ValueError, KeyError, TypeError, SafetensorError: it is damaged, or of another kind of state.
    """
    seal = _seal(path)
    content = (path / "state.safetensors").read_bytes()
    if hashlib.sha256(content).hexdigest() != seal["sha256"]:
        raise ValueError("state.safetensors is cut short or altered")
    return _filled(fresh, safetensors.numpy.load(content)), seal["step"]


def _filled(fresh: State, stored: dict[str, np.ndarray]) -> State:
    leaves = {name: _restored(stored[name], leaf, name) for name, leaf in _named_arrays(fresh).items()}
    arrays, rest = eqx.partition(fresh, eqx.is_array)
    restored = jax.tree.unflatten(jax.tree.structure(arrays), list(leaves.values()))
    return eqx.combine(restored, rest)


def _seal(path: Path) -> dict[str, Any]:
    return json.loads((path / "checkpoint.json").read_text(encoding="utf-8"))


def _named_arrays(state: Any) -> dict[str, Any]:
    """Every array of a pytree under its path, in the pytree's own order."""
    arrays = eqx.filter(state, eqx.is_array)
    return {jax.tree_util.keystr(path).lstrip("."): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(arrays)}


def _contents(state: Any) -> dict[str, np.ndarray]:
    """Every array of a pytree under its path, as it is stored."""
    return {name: _stored(leaf) for name, leaf in _named_arrays(state).items()}


def _is_key(leaf: Any) -> bool:
    return jax.numpy.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _stored(leaf: Any) -> np.ndarray:
    return np.asarray(jax.random.key_data(leaf) if _is_key(leaf) else leaf, order="C")  # a scalar keeps its shape ()


def _restored(array: np.ndarray, like: Any, name: str) -> jax.Array:
    expected = _stored(like)
    if array.shape != expected.shape or array.dtype != expected.dtype:
        raise ValueError(f"{name} is {array.dtype} {array.shape}, not {expected.dtype} {expected.shape}")
    return jax.random.wrap_key_data(jax.numpy.asarray(array)) if _is_key(like) else jax.numpy.asarray(array)
