"""What the user names as pkg.module:Class: imported, given its arguments and called."""

import importlib
import importlib.util
import inspect
import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from seemrl.data.dataset import Dataset
from seemrl.errors import InputError, reason

_OBSERVATION_NAMES = ("observation_size", "observation_dim", "obs_size", "obs_dim", "state_size", "state_dim")
_ACTION_NAMES = ("action_size", "action_dim", "act_size", "act_dim")
_SHOWN = 8


@dataclass(frozen=True)
class Factory:
    """A class, or a function that builds an object.

    Attributes:
        option: the option that names it, ``--critic`` or ``--policy``.
        name: what was given there.
        call: the class or function.
        file: the source file of its module, empty where it has none.
    """

    option: str
    name: str
    call: Callable[..., object]
    file: str

    @property
    def label(self) -> str:
        """How messages begin."""
        return f"{self.option} {self.name}"


def find_factory(option: str, name: str) -> Factory:
    """Import what ``pkg.module:Class`` or ``path/to/file.py:Class`` names; importing runs the module's code.

    Raises:
        InputError: the name has another form, the module cannot be imported, or it holds no such class or function.
    """
    where, colon, path = name.rpartition(":")
    if not (colon and where and path):
        raise InputError(f"{option} {name}: give it as pkg.module:Class or path/to/file.py:Class")
    module = _imported(f"{option} {name}", where)
    try:
        found = reduce(getattr, path.split("."), module)
    except AttributeError as error:
        present = [key for key, value in vars(module).items() if inspect.isclass(value) and key[0] != "_"]
        raise InputError(f"{option} {name}: {where} has no {path}; it has {_listed(present)}") from error
    if not callable(found):
        raise InputError(f"{option} {name}: a {type(found).__name__}, not a class or a function that builds one")
    return Factory(option, name, found, getattr(module, "__file__", None) or "")


def arguments_for(factory: Factory, written: str | None, data: Dataset | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """Keyword arguments: those written as JSON, and sizes that the factory requires and the data tell.

    Args:
        factory: what is to be called.
        written: a JSON object, or None for no arguments.
        data: the transitions, whose sizes fill required parameters of well-known names; None fills none.

    Returns:
        All the arguments, and those among them that were filled in.

    Raises:
        InputError: not a JSON object, a name the factory does not have, or a required parameter left.
    """
    given = _json_object(f"{factory.option}-arguments", written)
    try:
        parameters = inspect.signature(factory.call).parameters
    except (TypeError, ValueError):  # a builtin that does not say what it takes
        return given, {}
    kinds = {parameter.kind for parameter in parameters.values()}
    unknown = [name for name in given if name not in parameters and inspect.Parameter.VAR_KEYWORD not in kinds]
    shown = f"{factory.call.__name__}({', '.join(_shown(parameter) for parameter in parameters.values())})"
    if unknown:
        raise InputError(f"{factory.option}-arguments: {shown} has no parameter {_listed(unknown)}")
    required = [name for name, parameter in parameters.items() if _is_required(parameter) and name not in given]
    told = {} if data is None else _told_by(data)
    filled = {name: told[name] for name in required if name in told}
    missing = [name for name in required if name not in filled]
    if missing:
        example = ", ".join(f"{json.dumps(name)}: ..." for name in missing)
        raise InputError(
            f"{factory.label}: {shown} needs {_listed(missing)}; give {factory.option}-arguments '{{{example}}}'"
        )
    return {**filled, **given}, filled


def build(factory: Factory, arguments: Mapping[str, Any]) -> Any:
    """Call the factory.

    Raises:
        InputError: it refuses the arguments.
    """
    try:
        return factory.call(**arguments)
    except Exception as error:  # whatever the user's code raises
        shown = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
        raise InputError(
            f"{factory.label}: it cannot be built with ({shown}): {reason(error)}; check {factory.option}-arguments"
        ) from error


def _imported(label: str, where: str) -> ModuleType:
    """The module, with what lies beside it within its reach, as when Python runs it as a program."""
    path = Path(where)
    if path.suffix == ".py" and not path.is_file():
        raise InputError(f"{label}: {where}: no such file")
    beside = str(path.resolve().parent) if path.suffix == ".py" else os.getcwd()
    if beside not in sys.path:
        sys.path.insert(0, beside)
    try:
        return _from_file(path.resolve()) if path.suffix == ".py" else importlib.import_module(where)
    except (Exception, SystemExit) as error:  # a program that is no module may end itself
        raise InputError(f"{label}: {where} cannot be imported ({reason(error)})") from error


def _from_file(path: Path) -> ModuleType:
    name = f"measured:{path}"  # no name of a module that could be imported otherwise
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None and spec.loader is not None  # it ends in .py
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
    return sys.modules[name]


def _json_object(option: str, written: str | None) -> dict[str, Any]:
    if written is None:
        return {}
    try:
        value = json.loads(written)
    except json.JSONDecodeError as error:
        raise InputError(f"""{option} {written}: not JSON ({error}); write '{{"hidden_size": 256}}'""") from error
    if not isinstance(value, dict):
        raise InputError(f"""{option} {written}: not a JSON object; write '{{"hidden_size": 256}}'""")
    return value


def _told_by(data: Dataset) -> dict[str, Any]:
    """Parameters by name; ``max_action`` only where the data do not contradict the usual box [-1, 1]."""
    actions = data.action_count if data.discrete else data.action_size
    sizes = dict.fromkeys(_OBSERVATION_NAMES, data.observation_size) | dict.fromkeys(_ACTION_NAMES, actions)
    return sizes | ({"max_action": 1.0} if float(np.abs(data.actions).max()) <= 1 else {})


def _is_required(parameter: inspect.Parameter) -> bool:
    named = parameter.kind in (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return named and parameter.default is inspect.Parameter.empty


def _shown(parameter: inspect.Parameter) -> str:
    return str(parameter.replace(annotation=inspect.Parameter.empty))


def _listed(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "") if names else "none"
