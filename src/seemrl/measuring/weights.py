"""State dicts from files, without running code in them, and into modules, without a key left over."""

import pickle
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from seemrl.errors import InputError, reason

_WRAPPERS = ("module.", "_orig_mod.")  # DataParallel, torch.compile
_SHOWN = 5
_SUFFIXES = (".safetensors", ".pt", ".pth")
_DEEPEST = 3


def load_weights(option: str, name: str) -> dict[str, torch.Tensor]:
    """The state dict that ``FILE`` or ``FILE#key.key`` names, on the CPU; wrappers' prefixes are taken off its keys.

    Raises:
        InputError: the file cannot be read, or holds no state dict there; the message lists those it holds.
    """
    what = "a state dict, whose values are all tensors"
    state = _loaded(option, name, _is_state_dict, what, "save critic.state_dict() or a safetensors file")
    while prefix := next((prefix for prefix in _WRAPPERS if all(key.startswith(prefix) for key in state)), None):
        state = {key.removeprefix(prefix): value for key, value in state.items()}
    return state


def load_optimizer_state(option: str, name: str) -> dict[str, Any]:
    """The state of a torch optimizer that ``FILE`` or ``FILE#key.key`` names.

    Raises:
        InputError: the file cannot be read, or holds no such state there; the message lists those it holds.
    """
    what = "an optimizer's state, which has state and param_groups"
    return _loaded(option, name, _is_optimizer_state, what, "save optimizer.state_dict()")


def fill(module: torch.nn.Module, state: Mapping[str, torch.Tensor], option: str, name: str) -> None:
    """Load a state dict into a module of the same keys and shapes, and put the module into eval mode.

    Raises:
        InputError: keys are missing, left over or of another shape; up to five of each are listed.
    """
    own = module.state_dict()
    missing, left = [key for key in own if key not in state], [key for key in state if key not in own]
    if missing or left:
        parts = [f"{text}: {_listed(keys)}" for text, keys in (("not in it", missing), ("only in it", left)) if keys]
        raise InputError(f"{option} {name}: its keys are not those of the module ({'; '.join(parts)}); check the class")
    other = [
        f"{key} is {tuple(state[key].shape)}, not {tuple(value.shape)}"
        for key, value in own.items()
        if isinstance(value, torch.Tensor) and state[key].shape != value.shape
    ]
    if other:
        raise InputError(f"{option} {name}: shapes are not those of the module ({_listed(other)}); check the arguments")
    try:
        module.load_state_dict(dict(state))
    except Exception as error:  # a module may have its own way of loading
        raise InputError(f"{option} {name}: the module does not load it ({reason(error)})") from error
    module.eval()


def _loaded(option: str, name: str, wanted: Callable[[Any], bool], what: str, remedy: str) -> dict[str, Any]:
    """What ``FILE#key`` names, if it is what is wanted; else the places in the file where that lies."""
    path, key = _split(name)
    tree = _chosen(option, path, key)
    if not wanted(tree):
        found = [f"{path}#{place}" for place in _places(tree, wanted, key)]
        hint = f"choose {' or '.join(found[:_SHOWN])}" if found else remedy
        raise InputError(f"{option} {name}: not {what}; {hint}")
    return dict(tree)


def _split(name: str) -> tuple[Path, list[str]]:
    """Path and keys; a file that has the character # in its own name goes first."""
    path, _, key = name.rpartition("#")
    if not path or Path(name).exists():
        return Path(name), []
    return Path(path), key.split(".")


def _chosen(option: str, path: Path, keys: list[str]) -> Any:
    """What lies under the keys; in a flat state dict these are the beginning of its own keys."""
    tree = _opened(option, path)
    for depth, key in enumerate(keys):
        if isinstance(tree, Mapping) and key in tree:
            tree = tree[key]
            continue
        start = ".".join(keys[depth:]) + "."
        below = {name.removeprefix(start): value for name, value in _items(tree) if name.startswith(start)}
        if not below:
            present = sorted({name for name, _ in _items(tree)})
            raise InputError(f"{option} {path}: it has no {'.'.join(keys)}; the keys there are {_listed(present)}")
        return below
    return tree


def _opened(option: str, path: Path) -> Any:
    if path.suffix not in _SUFFIXES:
        raise InputError(f"{option} {path}: it must end in {', '.join(_SUFFIXES)}")
    if not path.is_file():
        raise InputError(f"{option} {path}: {'a directory' if path.is_dir() else 'no such file'}")
    try:
        return load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        what = re.search(r"GLOBAL ([\w.]+)", str(error))
        held = f"it holds {what[1]}" if what else "it is no file of torch.save's"
        raise InputError(
            f"{option} {path}: only tensors are read from it, since opening anything else may run code, and {held}; "
            "save critic.state_dict() alone, or a safetensors file"
        ) from error
    except OSError as error:
        raise InputError(f"{option} {path}: it cannot be read ({error.strerror or reason(error)})") from error
    except (SafetensorError, RuntimeError, EOFError, LookupError, ValueError, TypeError, AttributeError) as error:
        kind = "a safetensors file" if path.suffix == ".safetensors" else "a state dict that torch.save wrote"
        raise InputError(f"{option} {path}: damaged, or not {kind} ({reason(error)})") from error


def _items(tree: Any) -> list[tuple[str, Any]]:
    return [(str(key), value) for key, value in tree.items()] if isinstance(tree, Mapping) else []


def _is_state_dict(tree: Any) -> bool:
    return bool(_items(tree)) and all(isinstance(value, torch.Tensor) for _, value in _items(tree))


def _is_optimizer_state(tree: Any) -> bool:
    return {"state", "param_groups"} <= {key for key, _ in _items(tree)}


def _places(tree: Any, wanted: Callable[[Any], bool], keys: list[str]) -> Iterator[str]:
    """Where in a tree something wanted lies, as keys joined by dots; an optimizer's state is not looked into."""
    for key, value in _items(tree):
        if wanted(value):
            yield ".".join([*keys, key])
        elif len(keys) < _DEEPEST and not _is_optimizer_state(value):
            yield from _places(value, wanted, [*keys, key])


def _listed(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
