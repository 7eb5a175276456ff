"""Play an actor in its Gymnasium environment; normalised scores as D4RL defines them."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from seemrl.data.dataset import Dataset
from seemrl.data.environments import make_environment as make_simulator
from seemrl.data.environments import with_vector_observations
from seemrl.errors import InputError

REFERENCE_RETURNS = {
    "Hopper": (-20.272305, 3234.3),
    "HalfCheetah": (-280.178953, 12135.0),
    "Walker2d": (1.629008, 4592.3),
    "Ant": (-325.6, 3879.7),
}
"""Mean return of a random policy and of an expert, from D4RL (Fu et al., 2020), by environment without its version."""


@dataclass(frozen=True)
class ActionBox:
    """The actions an environment accepts: low <= action <= high, dimension by dimension."""

    low: tuple[float, ...]
    high: tuple[float, ...]


def reference_of(data: Dataset, environment: str | None) -> tuple[float, float] | None:
    """The random and the expert's return that a data set records for the environment it comes from, if it does."""
    found = [data.attributes.get(name) for name in ("random_return", "expert_return")]
    random, expert = (float(value) if isinstance(value, int | float) else math.nan for value in found)
    return (random, expert) if environment == data.environment and random < expert < math.inf else None


def normalized_score(
    environment: str, mean_return: float, reference: tuple[float, float] | None = None
) -> float | None:
    """100 (return - random) / (expert - random).

    Args:
        environment: Gymnasium id.
        mean_return: what to judge.
        reference: the returns of a random policy and of an expert; those of D4RL if not given, and None where it has
            none.
    """
    reference = reference or REFERENCE_RETURNS.get(environment.rsplit("-v", 1)[0])
    if reference is None:
        return None
    random, expert = reference
    return 100 * (mean_return - random) / (expert - random)


def make_environment(name: str) -> Any:
    """One environment; observations that are no vector are made one, as where data are collected in it.

    Raises:
        InputError: Gymnasium does not know it.
        MissingPartError: Gymnasium, or the simulator the environment needs, is not installed.
    """
    return with_vector_observations(name, make_simulator(name, "evaluation", "train"))


def action_box(environment: Any, name: str) -> ActionBox:
    """Bounds of the environment's actions.

    Raises:
        InputError: its actions are not a bounded box.
    """
    space = environment.action_space
    low, high = getattr(space, "low", None), getattr(space, "high", None)
    if low is None or high is None or low.ndim != 1 or not np.isfinite([low, high]).all():
        raise InputError(f"environment {name}: its actions are {space}, not a bounded box; the agent needs one")
    return ActionBox(tuple(map(float, low)), tuple(map(float, high)))


def check_action_count(environment: Any, name: str, count: int) -> None:
    """Check that the environment's actions are numbered from 0 and at least ``count``.

    Raises:
        InputError: they are not.
    """
    space = environment.action_space
    if getattr(space, "start", None) != 0 or int(space.n) < count:
        raise InputError(
            f"environment {name}: its actions are {space}, but the data have {count}, numbered from 0; name the right "
            "one with --env, or --env none"
        )


def evaluate(
    name: str,
    act: Callable[[np.ndarray], np.ndarray],
    episodes: int,
    seed: int,
    reference: tuple[float, float] | None = None,
) -> dict[str, Any]:
    """Play whole episodes side by side, without exploration noise.

    Args:
        name: Gymnasium environment.
        act: (episodes, observation) -> (episodes, action), or (episodes,) where actions are discrete.
        episodes: how many; each in an environment of its own, seeded ``seed``, ``seed + 1``, ...
        seed: of the first episode.
        reference: what scores refer to, as of `normalized_score`.

    Returns:
        A row of evaluations.jsonl without its step.
    """
    environments = [make_environment(name) for _ in range(episodes)]
    observations = np.stack([environment.reset(seed=seed + i)[0] for i, environment in enumerate(environments)])
    returns = np.zeros(episodes)
    playing = np.ones(episodes, dtype=bool)
    while playing.any():
        actions = act(observations)
        for i in np.flatnonzero(playing):
            observations[i], reward, terminated, truncated, _ = environments[i].step(actions[i])
            returns[i] += float(reward)
            playing[i] = not (terminated or truncated)
    for environment in environments:
        environment.close()
    mean = float(returns.mean())
    return {
        "environment": name,
        "episodes": episodes,
        "return_mean": mean,
        "return_std": float(returns.std()),
        "score_mean": normalized_score(name, mean, reference),
        "returns": [float(value) for value in returns],
    }
