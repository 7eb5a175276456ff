"""Gymnasium environments: those of other packages registered, observations of any structure as one vector."""

import contextlib
import importlib
import importlib.util
import io
import warnings
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seemrl.data.refusals import refusal
from seemrl.errors import MissingPartError

_PACKAGES = {"PointMaze": ("gymnasium_robotics", "maze"), "AntMaze": ("gymnasium_robotics", "maze")}
_SEPSIS = "Sepsis/"


@dataclass(frozen=True)
class Task:
    """An environment whose actions are a bounded box or discrete, and whose observations are made vectors.

    Attributes:
        name: Gymnasium id.
        simulator: The environment.
        encode: An observation as (observation_size,) numbers.
        observation_size: How many.
    """

    name: str
    simulator: Any
    encode: Callable[[Any], NDArray[Any]]
    observation_size: int

    @property
    def action_count(self) -> int | None:
        """Number of discrete actions, None where they are continuous."""
        space = self.simulator.action_space
        return int(space.n) if type(space).__name__ == "Discrete" else None


def register_environments(name: str, purpose: str) -> None:
    """Import the package that registers this environment, where it is one of those known.

    Raises:
        MissingPartError: The package is not installed.
    """
    package, extra = _PACKAGES.get(name.split("_")[0], ("", ""))
    if name.startswith(_SEPSIS):
        package, extra = "icu_sepsis", "sepsis"
    if not package:
        return
    try:
        with contextlib.redirect_stderr(io.StringIO()), warnings.catch_warnings(action="ignore"):
            module = importlib.import_module(package)  # icu_sepsis imports the old gym, which says so at length
    except ImportError as error:
        raise MissingPartError(package.replace("_", "-"), extra, purpose) from error
    if package == "gymnasium_robotics":
        importlib.import_module("gymnasium").register_envs(module)


@contextlib.contextmanager
def quietly(name: str) -> Generator[None]:
    """While an environment is made: no warnings, which say less than a refusal does, nor MuJoCo's of its own models."""
    entry = str(getattr(importlib.import_module("gymnasium").registry.get(name), "entry_point", ""))
    simulated = "mujoco" in entry or "robotics" in entry
    with warnings.catch_warnings(action="ignore"), contextlib.ExitStack() as after:
        if simulated and importlib.util.find_spec("mujoco") is not None:
            mujoco = importlib.import_module("mujoco")
            after.callback(mujoco.set_mju_user_warning, mujoco.get_mju_user_warning())
            mujoco.set_mju_user_warning(lambda told: None)
        yield


def make_environment(name: str, purpose: str, extra: str = "mujoco") -> Any:
    """One environment of Gymnasium.

    Args:
        name: its id.
        purpose: what needs it, for messages.
        extra: the part of seemrl that brings Gymnasium.

    Raises:
        InputError: Gymnasium does not know it.
        MissingPartError: Gymnasium, or what the environment needs, is not installed.
    """
    try:
        gymnasium = importlib.import_module("gymnasium")
    except ImportError as error:
        raise MissingPartError("gymnasium", extra, purpose) from error
    register_environments(name, purpose)
    try:
        with quietly(name):
            return gymnasium.make(name, disable_env_checker=True)
    except gymnasium.error.DependencyNotInstalled as error:
        if "mujoco" in str(error).lower():
            raise MissingPartError("mujoco", "mujoco", purpose) from error
        raise refusal(f"environment {name}", f"cannot be made ({error}); install what it needs") from error
    except (gymnasium.error.Error, ImportError, LookupError, TypeError, ValueError, OSError) as error:
        raise refusal(f"environment {name}", f"Gymnasium cannot make it ({error}); check the id") from error


def make_task(name: str, purpose: str) -> Task:
    """An environment to collect in; its observations, if they are not a vector already, flattened.

    A ``Dict`` is laid out in the alphabetical order of its keys and a ``Discrete`` observation is one-hot, as in
    `seemrl.data.spaces`. ICU-Sepsis observes the 47 numbers of its state's cluster instead of the state's number.

    Raises:
        InputError: Gymnasium does not know it, or its spaces are of another kind.
        MissingPartError: Gymnasium, or what the environment needs, is not installed.
    """
    simulator = make_environment(name, purpose)
    try:
        _check_actions(name, simulator.action_space)
        encode, size = _encoding(name, simulator)
    except Exception:
        simulator.close()
        raise
    return Task(name, simulator, encode, size)


def with_vector_observations(name: str, simulator: Any) -> Any:
    """The environment with the observations of `make_task`; one whose observations are a box stays as it is.

    Raises:
        InputError: Its observation space is of another kind.
    """
    gymnasium = importlib.import_module("gymnasium")
    if isinstance(simulator.observation_space, gymnasium.spaces.Box):
        return simulator
    encode, size = _encoding(name, simulator)
    space = gymnasium.spaces.Box(-np.inf, np.inf, (size,), np.float64)
    return gymnasium.wrappers.TransformObservation(simulator, encode, space)


def _encoding(name: str, simulator: Any) -> tuple[Callable[[Any], NDArray[Any]], int]:
    spaces = importlib.import_module("gymnasium").spaces
    space = simulator.observation_space
    if name.startswith(_SEPSIS):
        centers = np.asarray(simulator.unwrapped.state_cluster_centers, dtype=np.float32)
        return lambda state: centers[state], centers.shape[1]
    if isinstance(space, spaces.Box) and len(space.shape) == 1:
        return np.asarray, space.shape[0]
    if isinstance(space, spaces.Dict | spaces.Tuple | spaces.Discrete) and space.is_np_flattenable:
        return lambda observation: spaces.flatten(space, observation), spaces.flatdim(space)
    raise refusal(name, f"observation space {space} is not a Box of one axis; flatten it")


def _check_actions(name: str, actions: Any) -> None:
    spaces = importlib.import_module("gymnasium").spaces
    if isinstance(actions, spaces.Discrete):
        return
    if not isinstance(actions, spaces.Box):
        raise refusal(name, f"action space {actions} is neither a Box nor Discrete; wrap it")
    if len(actions.shape) != 1 or actions.dtype != np.float32 or not actions.is_bounded():
        raise refusal(name, f"action space {actions} is not a bounded float32 Box of one axis; wrap it")
