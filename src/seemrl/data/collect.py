"""Collecting transitions in a Gymnasium environment with uniformly random actions."""

import importlib
import importlib.metadata
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from seemrl.data.arrays import RANKS
from seemrl.data.dataset import Dataset
from seemrl.data.mantissa import MANTISSA_BITS, round_mantissa
from seemrl.data.refusals import refusal
from seemrl.errors import MissingPartError

PURPOSE = "collecting data"
LARGEST_SEED = 2**63 - 1  # HDF5 attributes hold 64-bit integers


def collect_random(
    environment: str,
    transitions: int,
    seed: int,
    progress: Callable[[int], object] | None = None,
    *,
    mantissa_bits: int | None = None,
) -> Dataset:
    """Collect transitions under uniformly random actions; the same arguments give the same data.

    ``terminals`` are Gymnasium's terminations, ``timeouts`` its truncations, and ``next_observations`` the states
    truly reached, also where an episode ends. The last episode is usually unfinished and then carries neither flag.

    With ``mantissa_bits``, actions are rounded before they are executed and observations when they are recorded
    (relative error at most ``2**-(mantissa_bits + 1)``, see `round_mantissa`). Rewards stay exact.

    Args:
        environment: Gymnasium id with a bounded ``Box`` of floats for actions and a flat ``Box`` for observations.
        transitions: Number of rows, at least 1.
        seed: Seeds the environment's and the actions' generators, from 0 to 2**63 - 1.
        progress: Called after each transition with the number collected so far.
        mantissa_bits: Explicit mantissa bits kept, 0 to 23; None keeps full float32.

    Returns:
        The data set. Its attributes tell policy, seed, ``mantissa_bits`` (23 when not rounded), versions of gymnasium
        and mujoco, the number of finished ``episodes`` and their mean return ``behaviour_return`` (undiscounted;
        absent when none finished).

    Raises:
        MissingPartError: Gymnasium or MuJoCo is not installed.
        InputError: The environment is unknown or of an unsupported kind, or an argument is out of range.
    """
    _check_arguments(environment, transitions, seed, mantissa_bits)
    bits = MANTISSA_BITS if mantissa_bits is None else mantissa_bits
    simulator = _make(environment)
    try:
        _check_spaces(environment, simulator)
        arrays, returns = _roll_out(simulator, transitions, seed, bits, progress or (lambda _: None))
    finally:
        simulator.close()
    for key in ("observations", "next_observations"):
        arrays[key] = round_mantissa(arrays[key], bits)
    attributes: dict[str, float | int | str] = {
        "policy": "random",
        "seed": seed,
        "mantissa_bits": bits,
        "episodes": len(returns),
        **_versions(),
    }
    if returns:
        attributes["behaviour_return"] = float(np.mean(returns))
    source = f"{environment}, {transitions} random transitions, seed {seed}"
    return Dataset(**arrays, environment=environment, source=source, attributes=attributes)


def _roll_out(
    simulator: Any, transitions: int, seed: int, bits: int, progress: Callable[[int], object]
) -> tuple[dict[str, Any], list[float]]:
    """Arrays of a data set, observations not yet rounded, and the returns of the finished episodes."""
    space = simulator.action_space
    environment_seed, action_seed = map(int, np.random.SeedSequence(seed).generate_state(2))
    space.seed(action_seed)
    observation, _ = simulator.reset(seed=environment_seed)
    arrays = _empty_arrays(simulator, transitions)
    returns: list[float] = []
    episode_return = 0.0
    for row in range(transitions):
        action = np.clip(round_mantissa(space.sample(), bits), space.low, space.high)  # rounding may leave the box
        reached, reward, terminal, timeout, _ = simulator.step(action)
        values = (observation, action, reward, reached, terminal, timeout)
        for array, value in zip(arrays.values(), values, strict=True):
            array[row] = value
        observation = reached
        episode_return += float(reward)
        if terminal or timeout:
            returns.append(episode_return)
            episode_return = 0.0
            observation, _ = simulator.reset()
        progress(row + 1)
    return arrays, returns


def _empty_arrays(simulator: Any, transitions: int) -> dict[str, Any]:
    observation, action = simulator.observation_space.shape, simulator.action_space.shape
    shapes: dict[str, tuple[int, ...]] = dict.fromkeys(RANKS, ())
    shapes |= {"observations": observation, "actions": action, "next_observations": observation}
    types = dict.fromkeys(RANKS, np.float32) | {"terminals": np.bool_, "timeouts": np.bool_}
    try:
        return {key: np.empty((transitions, *shapes[key]), dtype=types[key]) for key in RANKS}
    except MemoryError as error:
        raise refusal("transitions", f"{transitions} do not fit into memory; collect fewer") from error


def _make(environment: str) -> Any:
    try:
        gymnasium = importlib.import_module("gymnasium")
    except ImportError as error:
        raise MissingPartError("gymnasium", "mujoco", PURPOSE) from error
    try:
        with warnings.catch_warnings(action="ignore"):  # they say less than the refusal below
            return gymnasium.make(environment, disable_env_checker=True)
    except gymnasium.error.DependencyNotInstalled as error:
        if "mujoco" in str(error).lower():
            raise MissingPartError("mujoco", "mujoco", PURPOSE) from error
        raise refusal(environment, f"cannot be made ({error}); install what it needs") from error
    except (gymnasium.error.Error, ImportError, LookupError, TypeError, ValueError, OSError) as error:
        raise refusal(environment, f"not a usable Gymnasium environment ({error}); check the id") from error


def _check_spaces(environment: str, simulator: Any) -> None:
    box = importlib.import_module("gymnasium").spaces.Box
    actions, observations = simulator.action_space, simulator.observation_space
    if not isinstance(actions, box):
        raise refusal(
            environment, f"action space {actions}: discrete actions are not supported yet; use one with a Box"
        )
    if len(actions.shape) != 1 or actions.dtype != np.float32 or not actions.is_bounded():
        raise refusal(environment, f"action space {actions} is not a bounded float32 Box of one axis; wrap it")
    if not isinstance(observations, box) or len(observations.shape) != 1:
        raise refusal(environment, f"observation space {observations} is not a Box of one axis; flatten it")


def _check_arguments(environment: str, transitions: int, seed: int, mantissa_bits: int | None) -> None:
    if transitions < 1:
        raise refusal(environment, f"cannot collect {transitions} transitions; ask for at least 1")
    if not 0 <= seed <= LARGEST_SEED:
        raise refusal(environment, f"seed {seed} is out of range; use 0 to {LARGEST_SEED}")
    if mantissa_bits is not None and not 0 <= mantissa_bits <= MANTISSA_BITS:
        raise refusal(environment, f"cannot keep {mantissa_bits} mantissa bits; use 0 to {MANTISSA_BITS}")


def _versions() -> dict[str, str]:
    names = ("gymnasium", "mujoco")
    installed = {distribution.name.lower(): distribution.version for distribution in importlib.metadata.distributions()}
    return {f"{name}_version": installed[name] for name in names if name in installed}
