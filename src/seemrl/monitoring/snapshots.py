"""Rolling snapshots of what is trained, and the way back to one."""

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import safetensors

from seemrl.errors import InputError
from seemrl.files import write_directory_atomically
from seemrl.monitoring.states import Encoded, decode, encode

KEPT = 2
"""Snapshots at a time."""
_DAMAGE = (OSError, ValueError, KeyError, TypeError, safetensors.SafetensorError)


class Snapshots:
    """The newest states of some parts, in memory or on the disk.

    Args:
        parts: name -> an object with state_dict and load_state_dict, or a pair of functions that get and set a pytree.
            A sequence of those, or one alone, is numbered.
        directory: where to keep them; None for memory.

    Raises:
        InputError: a part is neither, or its state holds what cannot be kept.
    """

    def __init__(self, parts: Any, directory: Path | None) -> None:
        self._parts = _parts_by_name(parts)
        self._directory = directory
        self._memory: dict[int, Encoded] = {}
        self._state()

    def take(self, step: int) -> None:
        """Keep the present state, and drop all but the newest two."""
        state = self._state()
        if self._directory is None:
            self._memory[step] = state
        elif not self._place(step).exists():
            self._directory.mkdir(exist_ok=True)
            write_directory_atomically(self._place(step), lambda temporary: _write(state, temporary, step))
        for outdated in self.steps()[:-KEPT]:
            self._drop(outdated)

    def restore(self, warn: Callable[[str], object]) -> int | None:
        """Return to the newest state that is whole; its step, or None where there is none."""
        for step in reversed(self.steps()):
            try:
                states = decode(self._kept(step))
            except _DAMAGE as error:
                warn(f"{self._place(step)}: snapshot is damaged ({error}); it is passed over")
                continue
            for name, (_, put) in self._parts.items():
                put(states[name])
            return step
        return None

    def cut(self, step: int) -> None:
        """Drop those later than a step."""
        for later in self.steps():
            if later > step:
                self._drop(later)

    def steps(self) -> list[int]:
        """At which states are kept, in order."""
        if self._directory is None:
            return sorted(self._memory)
        return sorted(int(place.name.removeprefix("step_")) for place in self._directory.glob("step_*"))

    def _state(self) -> Encoded:
        return encode({name: get() for name, (get, _) in self._parts.items()})

    def _kept(self, step: int) -> Encoded:
        if self._directory is None:
            return self._memory[step]
        place = self._place(step)
        stored = json.loads((place / "snapshot.json").read_text(encoding="utf-8"))
        return Encoded.load(place, stored["state"])

    def _place(self, step: int) -> Path:
        return Path("memory" if self._directory is None else self._directory) / f"step_{step:09d}"

    def _drop(self, step: int) -> None:
        if self._directory is None:
            del self._memory[step]
        else:
            shutil.rmtree(self._place(step))


def default_parts(critic: Any, target_critic: Any, optimizer: Any, policy: Any) -> dict[str, Any]:
    """What is kept where nothing is said: those of these that have a state."""
    given = {"critic": critic, "target_critic": target_critic, "optimizer": optimizer, "policy": policy}
    if isinstance(optimizer, list):
        given |= {f"optimizer {number}": one for number, one in enumerate(optimizer)}
    return {name: part for name, part in given.items() if _has_state(part)}


def _write(state: Encoded, directory: Path, step: int) -> None:
    state.save(directory)
    text = json.dumps({"format": 1, "step": step, "state": state.shape}, allow_nan=False)
    (directory / "snapshot.json").write_text(text + "\n", encoding="utf-8")


_Access = tuple[Callable[[], Any], Callable[[Any], object]]


def _parts_by_name(parts: Any) -> dict[str, _Access]:
    if _has_state(parts) or _is_pair(parts):
        named: dict[str, Any] = {"0": parts}
    elif isinstance(parts, Mapping):
        named = {str(name): part for name, part in parts.items()}
    elif isinstance(parts, Sequence) and not isinstance(parts, str):
        named = {str(number): part for number, part in enumerate(parts)}
    else:
        named = {"0": parts}
    if not named:
        raise InputError(
            "snapshots: nothing to restore is known; give modules and optimizers, or a pair of functions that get and "
            "set a pytree"
        )
    return {name: _access(name, part) for name, part in named.items()}


def _access(name: str, part: Any) -> _Access:
    if _has_state(part):
        return part.state_dict, part.load_state_dict
    if _is_pair(part):
        return (lambda: _leaves(part[0]())), (lambda leaves: part[1](_with_leaves(part[0](), leaves)))
    raise InputError(
        f"snapshots: {name} is a {type(part).__name__}; give an object with state_dict and load_state_dict, or a pair "
        "of functions that get and set a pytree"
    )


def _has_state(part: Any) -> bool:
    return callable(getattr(part, "state_dict", None)) and callable(getattr(part, "load_state_dict", None))


def _is_pair(part: Any) -> bool:
    return isinstance(part, tuple) and len(part) == 2 and all(callable(item) and not _has_state(item) for item in part)


def _leaves(tree: Any) -> dict[int, Any]:
    """The leaves of a pytree that change in training, by number: arrays and numbers; a typed key as its raw data."""
    import jax

    leaves = {number: leaf for number, leaf in enumerate(jax.tree.leaves(tree)) if not callable(leaf)}
    return {number: jax.random.key_data(leaf) if _is_key(leaf) else leaf for number, leaf in leaves.items()}


def _with_leaves(tree: Any, kept: dict[int, Any]) -> Any:
    """The same pytree with the leaves that were kept."""
    import jax

    leaves, structure = jax.tree.flatten(tree)
    if not kept.keys() <= set(range(len(leaves))):
        raise ValueError("the pytree has another structure than the one that was kept")
    restored = [_like(leaf, kept[number]) if number in kept else leaf for number, leaf in enumerate(leaves)]
    return jax.tree.unflatten(structure, restored)


def _like(leaf: Any, kept: Any) -> Any:
    import jax

    if _is_key(leaf):
        return jax.random.wrap_key_data(jax.numpy.asarray(kept), impl=jax.random.key_impl(leaf))
    return jax.numpy.asarray(kept) if isinstance(leaf, jax.Array) else kept


def _is_key(leaf: Any) -> bool:
    import jax

    return isinstance(leaf, jax.Array) and jax.numpy.issubdtype(leaf.dtype, jax.dtypes.prng_key)
