"""The policy of a run, as it acts while data are collected: online runs and their snapshots, runs on logged data."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from seemrl.agents.registry import create_agent
from seemrl.errors import InputError
from seemrl.training.checkpoint import arrays_digest, load_arrays
from seemrl.training.config import TrainConfig
from seemrl.training.evaluation import ActionBox
from seemrl.training.loop import act
from seemrl.training.online import policy_file
from seemrl.training.online_config import OnlineConfig
from seemrl.training.run_directory import stored_description, stored_settings
from seemrl.training.trained import spaces_of, standardisation, trained_learner


@dataclass(frozen=True)
class Policy:
    """Who acts in an environment.

    Attributes:
        environment: Gymnasium id.
        box: bounds of its actions.
        act: (rows, observation) float32 and a key to (rows, action) float32.
        digest: SHA-256 of the learner it is taken from.
        attributes: what a data set says of it: the agent, the step of its training, its settings as JSON.
    """

    environment: str
    box: ActionBox
    act: Callable[[NDArray[np.float32], jax.Array], NDArray[np.float32]]
    digest: str
    attributes: dict[str, str | int]


def load_policy(path: Path) -> Policy:
    """The policy of a run directory, or of one snapshot in the ``policies`` of an online run.

    A run of `seemrl online` acts as it explores: by draws from its distribution, or with its noise; one of
    `seemrl train` as it is evaluated, its observations standardised as in training.

    Raises:
        InputError: there is no such run or snapshot, or something that it needs is missing or damaged.
    """
    run, step = path, None
    if path.suffix == ".safetensors" and path.parent.name == "policies":
        run, step = path.parent.parent, _step_of(path)
    if "environments" in stored_description(run)["config"]:
        return online_policy(run, newest_policy(run) if step is None else step)
    return _trained_policy(run)


def online_policy(run: Path, step: int) -> Policy:
    """The policy that a run of `seemrl online` had at the evaluation after ``step`` environment steps.

    Raises:
        InputError: it did not keep one of that step, or it is damaged.
    """
    config = stored_settings(run, OnlineConfig)
    box, size = spaces_of(config.environment)
    agent = create_agent(config.hyperparameters, size, box.low, box.high, config.seed)
    agent = agent.replace(actor=load_arrays(policy_file(run, step), agent.actor))
    return _policy(agent, config, config.environment, box, step, _explore)


def newest_policy(run: Path) -> int:
    """The step of the last policy that a run of `seemrl online` has kept.

    Raises:
        InputError: it has kept none.
    """
    kept = sorted((run / "policies").glob("step_*.safetensors"))
    if not kept:
        raise InputError(f"{run}: no policy is kept there yet; train on until its first evaluation")
    return _step_of(kept[-1])


def _trained_policy(run: Path) -> Policy:
    described, config = stored_description(run), stored_settings(run, TrainConfig)
    environment = described["data"].get("environment")
    if not environment:
        raise InputError(f"{run}: trained without an environment (--env), so there is none to collect in")
    if config.hyperparameters.discrete:
        raise InputError(f"{run}: its actions are discrete; give a run whose actions are continuous")
    box, size = spaces_of(environment)
    agent = create_agent(config.hyperparameters, size, box.low, box.high, config.seed)
    agent, step = trained_learner(run, agent)
    shift, scale = standardisation(run, config, described)

    def evaluated(agent: Any, observations: jax.Array, key: jax.Array) -> jax.Array:
        return act(agent, (observations - shift) / scale)

    return _policy(agent, config, environment, box, step, evaluated)


def _policy(
    agent: Any,
    config: TrainConfig | OnlineConfig,
    environment: str,
    box: ActionBox,
    step: int,
    act: Callable[[Any, jax.Array, jax.Array], jax.Array],
) -> Policy:
    settings = {name: value for name, value in vars(replace(config, out="", resume=False)).items() if value != ""}
    settings["hyperparameters"] = vars(config.hyperparameters)
    return Policy(
        environment=environment,
        box=box,
        act=lambda observations, key: np.asarray(act(agent, jnp.asarray(observations), key), np.float32),
        digest=arrays_digest(agent),
        attributes={
            "policy_agent": config.agent,
            "policy_step": step,
            "policy_seed": config.seed,
            "policy_settings": json.dumps(settings, sort_keys=True),
        },
    )


def _step_of(path: Path) -> int:
    number = path.stem.removeprefix("step_")
    if not number.isdecimal():
        raise InputError(f"{path}: no policy of a run; give one of step_*.safetensors")
    return int(number)


@eqx.filter_jit
def _explore(agent: Any, observations: jax.Array, key: jax.Array) -> jax.Array:
    return agent.explore(observations, key)
