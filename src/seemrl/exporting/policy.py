"""The policy of a run as one function of arrays: what is traced, described and compared."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

from seemrl.agents.candidates import evaluation_noise, played_from
from seemrl.agents.registry import create_agent
from seemrl.errors import InputError
from seemrl.training.config import TrainConfig
from seemrl.training.evaluation import ActionBox
from seemrl.training.loop import act
from seemrl.training.online import replay_files
from seemrl.training.online_config import OnlineConfig
from seemrl.training.run_directory import is_run, stored_description, stored_settings
from seemrl.training.trained import Which, spaces_of, standardisation, trained_learner, training_data

_ROWS = 256
"""Observations that exports are compared on."""


@dataclass(frozen=True)
class Port:
    """One input or output.

    Attributes:
        name: in every format.
        shape: of one row.
        kind: "float32" or "int32".
        meaning: for people.
    """

    name: str
    shape: tuple[int, ...]
    kind: str
    meaning: str


@dataclass(frozen=True, eq=False)  # JAX tells functions apart by identity
class Policy:
    """A policy as it is evaluated.

    Attributes:
        agent: the learner.
        mean, deviation: what raw observations are standardised by, (observation,) float32.
        box: bounds of the actions; of discrete ones 0 and 1 for each.
        discrete: whether actions are numbered.
        random: whether the agent asks for random numbers, which are inputs then.
    """

    agent: Any
    mean: NDArray[np.float32]
    deviation: NDArray[np.float32]
    box: ActionBox
    discrete: bool
    random: bool

    @property
    def chosen(self) -> int:
        """Candidates whose mean is played; 1 where an action is chosen, or none is."""
        return self.agent.averaged_actions if self.random else 1

    @property
    def inputs(self) -> tuple[Port, ...]:
        """What it takes: raw observations, then random numbers."""
        observations = Port("observations", self.mean.shape, "float32", "as the environment gives them")
        if not self.random:
            return (observations,)
        candidates = self.agent.evaluation_actions
        shape = (candidates, self.agent.proposals.draws, len(self.box.low))
        return (
            observations,
            Port("noise", shape, "float32", "independent standard normal numbers: candidates, draws, action"),
            Port("gumbel", (candidates,), "float32", "standard Gumbel numbers, -log(-log(u)); 0: the best candidates"),
        )

    @property
    def outputs(self) -> tuple[Port, ...]:
        """What it gives: actions; where one is chosen among several, also the scores, of which the highest decides."""
        if self.discrete:
            return (
                Port("actions", (), "int32", "number of the action of highest value"),
                Port("scores", (len(self.box.low),), "float32", "value of every action"),
            )
        actions = Port("actions", (len(self.box.low),), "float32", "inside the box, in the environment's units")
        if not self.random:
            return (actions,)
        scores = Port("scores", (self.agent.evaluation_actions,), "float32", "of each candidate: scaled value + gumbel")
        return actions, scores

    def __call__(self, observations: jax.Array, *noise: jax.Array) -> tuple[jax.Array, ...]:
        """The outputs, traceable; every array with the batch as its first dimension."""
        standardised = (observations - self.mean) / self.deviation
        if self.discrete:
            values = self.agent.critic(standardised)
            return jnp.argmax(values, axis=1).astype(jnp.int32), values
        return played_from(self.agent, standardised, *noise) if self.random else (self.agent.act(standardised),)

    def evaluated(self, observations: NDArray[np.float32]) -> tuple[list[NDArray[Any]], list[NDArray[Any]]]:
        """Inputs at these observations, random numbers included, and what evaluation makes of them.

        The actions are those of `seemrl.training.loop.act`, which evaluation asks, and not of this object's call.
        """
        standardised = ((observations - self.mean) / self.deviation).astype(np.float32)
        inputs = [observations]
        if self.random:
            inputs += [np.asarray(drawn) for drawn in evaluation_noise(self.agent, jnp.asarray(standardised))]
        actions = np.asarray(act(self.agent, jnp.asarray(standardised)))
        if self.discrete:
            actions = actions.argmax(axis=1).astype(np.int32)
        scores = [np.asarray(jax.jit(self)(*map(jnp.asarray, inputs))[1])] if len(self.outputs) > 1 else []
        return inputs, [actions, *scores]


@dataclass(frozen=True)
class Exported:
    """A policy with what is told of it.

    Attributes:
        policy: the policy.
        observations: raw ones of the run, to compare on.
        told: what policy.json says of the run.
    """

    policy: Policy
    observations: NDArray[np.float32]
    told: dict[str, Any]


def policy_of(run: Path, which: Which, source: str = "") -> Exported:
    """The policy of a run, from its directory.

    Args:
        run: of `seemrl train` or `seemrl online`.
        which: the checkpoint.
        source: where a training run's data lie; default: where they lay.

    Raises:
        InputError: there is no such run or checkpoint, or the data or the environment cannot be had.
    """
    if not is_run(run):
        raise InputError(f"{run}: not a run directory, it has no config.json; give one of seemrl train or online")
    described = stored_description(run)
    if "environments" in described["config"]:
        if source:
            raise InputError(f"--data {source}: {run} was trained in an environment; leave the option out")
        return _online(run, which, described)
    return _trained(run, which, described, source)


def _trained(run: Path, which: Which, described: dict[str, Any], source: str) -> Exported:
    config = stored_settings(run, TrainConfig)
    data = training_data(run, config, described, source)
    environment, discrete = described["data"].get("environment"), config.hyperparameters.discrete
    if discrete:
        box = ActionBox((0.0,) * data.action_count, (1.0,) * data.action_count)
    elif environment:
        box, _ = spaces_of(environment)
    else:
        box = ActionBox((-1.0,) * data.action_size, (1.0,) * data.action_size)
    agent, step = _learner(run, which, config, data.observation_size, box)
    mean, deviation = standardisation(run, config, described, data)
    policy = Policy(agent, mean, deviation, box, discrete, hasattr(agent, "proposals"))
    rows = np.sort(np.random.default_rng(0).choice(len(data), min(_ROWS, len(data)), replace=False))
    return Exported(policy, data.observations[rows].astype(np.float32), _told(described, environment, which, step))


def _online(run: Path, which: Which, described: dict[str, Any]) -> Exported:
    config = stored_settings(run, OnlineConfig)
    box, size = spaces_of(config.environment)
    agent, step = _learner(run, which, config, size, box)
    policy = Policy(agent, np.zeros(size, np.float32), np.ones(size, np.float32), box, False, False)
    kept = [path for _, path in replay_files(run)]
    if not kept:
        raise InputError(f"{run}: its replay directory holds nothing to compare the policy on; restore it")
    observations = safetensors.numpy.load_file(kept[-1])["observations"]
    rows = np.sort(np.random.default_rng(0).choice(len(observations), min(_ROWS, len(observations)), replace=False))
    return Exported(policy, observations[rows], _told(described, config.environment, which, step))


def _learner(run: Path, which: Which, config: TrainConfig | OnlineConfig, size: int, box: ActionBox) -> tuple[Any, int]:
    fresh = create_agent(config.hyperparameters, size, box.low, box.high, config.seed)
    return trained_learner(run, fresh, which)


def _told(described: dict[str, Any], environment: str | None, which: Which, step: int) -> dict[str, Any]:
    return {
        "agent": described["agent"],
        "environment": environment,
        "checkpoint": {"which": which, "step": step},
        "run": {name: described[name] for name in ("label", "seemrl_version", "config", "data")},
    }
