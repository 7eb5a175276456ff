"""Collecting transitions in a Gymnasium environment, with the returns that their scores refer to."""

import importlib.metadata
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seemrl.collecting.behaviours import Behaviour, PolicyName, RandomBehaviour, make_behaviour
from seemrl.collecting.mazes import Goals, MazeBehaviour
from seemrl.data.arrays import RANKS
from seemrl.data.dataset import Dataset
from seemrl.data.environments import Task, make_task
from seemrl.data.mantissa import MANTISSA_BITS, round_mantissa
from seemrl.data.refusals import refusal

PURPOSE = "collecting data"
LARGEST_SEED = 2**63 - 1  # HDF5 attributes hold 64-bit integers
REFERENCE_EPISODES = 100
"""Of uniformly random actions, whose mean return is recorded beside data of another policy."""


def collect(
    environment: str,
    transitions: int,
    seed: int,
    progress: Callable[[int], object] | None = None,
    *,
    policy: PolicyName = "random",
    noise: float | None = None,
    goals: Goals = "diverse",
    mantissa_bits: int | None = None,
) -> Dataset:
    """Collect transitions; the same arguments give the same data.

    ``terminals`` are Gymnasium's terminations, ``timeouts`` its truncations, and ``next_observations`` the states
    truly reached, also where an episode ends. The last episode is usually unfinished and then carries neither flag.

    With ``mantissa_bits``, actions are rounded before they are executed and observations when they are recorded
    (relative error at most ``2**-(mantissa_bits + 1)``, see `round_mantissa`). Rewards stay exact.

    Args:
        environment: Gymnasium id. Actions are a bounded ``Box`` of float32 or ``Discrete``; observations a flat ``Box``
            or what can be flattened (see `seemrl.data.environments.make_task`).
        transitions: Number of rows, at least 1.
        seed: Seeds the environment's and the actions' generators, from 0 to 2**63 - 1.
        progress: Called after each transition with the number collected so far.
        policy: Who acts: uniformly random actions; a waypoint controller (PointMaze, AntMaze); a clinician.
        noise: Standard deviation of the noise on the waypoint controller's actions, see `MazeBehaviour`.
        goals: Where its starts and goals are, see `MazeBehaviour`.
        mantissa_bits: Explicit mantissa bits kept, 0 to 23; None keeps full float32.

    Returns:
        The data set. Its attributes tell policy, seed, ``mantissa_bits`` (23 when not rounded), versions of the
        simulators, the number of finished ``episodes``, their mean return ``behaviour_return`` (undiscounted; absent
        when none finished) and ``random_return``, the mean of `REFERENCE_EPISODES` episodes of random actions, which
        for the random policy is that of its own episodes.

    Raises:
        MissingPartError: Gymnasium, or what the environment needs, is not installed.
        InputError: The environment is unknown or of an unsupported kind, or an argument is out of range.
    """
    check_arguments(environment, transitions, seed, noise, mantissa_bits)
    bits = MANTISSA_BITS if mantissa_bits is None else mantissa_bits
    task = make_task(environment, PURPOSE)
    environment_seed, action_seed = map(int, np.random.SeedSequence(seed).generate_state(2))
    try:
        behaviour = make_behaviour(policy, task, action_seed, noise, goals)
        arrays, returns = _roll_out(task, behaviour, transitions, environment_seed, bits, progress or (lambda _: None))
        reference = returns if policy == "random" else _random_returns(task, behaviour, environment_seed, action_seed)
    finally:
        task.simulator.close()
    for key in ("observations", "next_observations"):
        arrays[key] = round_mantissa(arrays[key], bits)
    attributes: dict[str, float | int | str] = {
        "policy": policy,
        "seed": seed,
        "mantissa_bits": bits,
        "episodes": len(returns),
        **versions(environment),
    }
    if isinstance(behaviour, MazeBehaviour):
        attributes |= {"noise": behaviour.noise, "goals": goals, "goals_reached": sum(total > 0 for total in returns)}
    if task.action_count is not None:
        attributes["action_count"] = task.action_count
    for name, values in {"behaviour_return": returns, "random_return": reference}.items():
        if values:
            attributes[name] = float(np.mean(values))
    source = f"{environment}, {transitions} {policy} transitions, seed {seed}"
    return Dataset(**arrays, environment=environment, source=source, attributes=attributes)


def _roll_out(
    task: Task,
    behaviour: Behaviour,
    transitions: int,
    seed: int,
    bits: int,
    progress: Callable[[int], object],
) -> tuple[dict[str, Any], list[float]]:
    """Arrays of a data set, observations not yet rounded, and the returns of the finished episodes."""
    simulator, space = task.simulator, task.simulator.action_space
    arrays = _empty_arrays(task, transitions)
    raw, _ = simulator.reset(seed=seed, options=behaviour.reset_options())
    observation = task.encode(raw)
    returns: list[float] = []
    episode_return = 0.0
    for row in range(transitions):
        action = behaviour.act(raw)
        if task.action_count is None:
            action = np.clip(round_mantissa(action, bits), space.low, space.high)  # rounding may leave the box
        raw, reward, terminal, timeout, _ = simulator.step(action)
        reached = task.encode(raw)
        stored = action if task.action_count is None else int(action) - int(space.start)
        values = (observation, stored, reward, reached, terminal, timeout)
        for array, value in zip(arrays.values(), values, strict=True):
            array[row] = value
        observation = reached
        episode_return += float(reward)
        if terminal or timeout:
            returns.append(episode_return)
            episode_return = 0.0
            raw, _ = simulator.reset(options=behaviour.reset_options())
            observation = task.encode(raw)
        progress(row + 1)
    return arrays, returns


@cache
def random_return(environment: str) -> float:
    """Mean undiscounted return of `REFERENCE_EPISODES` episodes of random actions, always the same ones.

    Raises:
        MissingPartError: Gymnasium, or what the environment needs, is not installed.
        InputError: The environment is unknown or of an unsupported kind.
    """
    task = make_task(environment, PURPOSE)
    try:
        return float(np.mean(_random_returns(task, RandomBehaviour(task, 0), 0, 0)))
    finally:
        task.simulator.close()


def _random_returns(task: Task, behaviour: Behaviour, environment_seed: int, action_seed: int) -> list[float]:
    """Returns of random actions from the starts that the behaviour chooses."""
    random = RandomBehaviour(task, action_seed)
    returns: list[float] = []
    for episode in range(REFERENCE_EPISODES):
        seed = environment_seed if episode == 0 else None
        raw, _ = task.simulator.reset(seed=seed, options=behaviour.reset_options())
        total, over = 0.0, False
        while not over:
            raw, reward, terminal, timeout, _ = task.simulator.step(random.act(raw))
            total, over = total + float(reward), terminal or timeout
        returns.append(total)
    return returns


def _empty_arrays(task: Task, transitions: int) -> dict[str, NDArray[Any]]:
    shapes: dict[str, tuple[int, ...]] = dict.fromkeys(RANKS, ())
    shapes |= dict.fromkeys(("observations", "next_observations"), (task.observation_size,))
    types: dict[str, Any] = dict.fromkeys(RANKS, np.float32) | {"terminals": np.bool_, "timeouts": np.bool_}
    if task.action_count is None:
        shapes["actions"] = task.simulator.action_space.shape
    else:
        types["actions"] = np.int64
    try:
        return {key: np.empty((transitions, *shapes[key]), dtype=types[key]) for key in RANKS}
    except MemoryError as error:
        raise refusal("transitions", f"{transitions} do not fit into memory; collect fewer") from error


def check_arguments(
    environment: str, transitions: int, seed: int, noise: float | None, mantissa_bits: int | None
) -> None:
    """Refuse what cannot be collected.

    Raises:
        InputError: an argument of `collect` is out of range.
    """
    if transitions < 1:
        raise refusal(environment, f"cannot collect {transitions} transitions; ask for at least 1")
    if not 0 <= seed <= LARGEST_SEED:
        raise refusal(environment, f"seed {seed} is out of range; use 0 to {LARGEST_SEED}")
    if noise is not None and not 0 <= noise < float("inf"):
        raise refusal(environment, f"noise {noise} is no standard deviation; use 0 or more")
    if mantissa_bits is not None and not 0 <= mantissa_bits <= MANTISSA_BITS:
        raise refusal(environment, f"cannot keep {mantissa_bits} mantissa bits; use 0 to {MANTISSA_BITS}")


def versions(environment: str) -> dict[str, str]:
    """The simulators' versions, as attributes of what was collected in them."""
    names = ("gymnasium", "icu-sepsis") if environment.startswith("Sepsis/") else ("gymnasium", "mujoco")
    names += ("gymnasium-robotics",) if "Maze" in environment else ()
    installed = {distribution.name.lower(): distribution.version for distribution in importlib.metadata.distributions()}
    return {f"{name.replace('-', '_')}_version": installed[name] for name in names if name in installed}
