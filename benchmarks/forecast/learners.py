"""Both kinds of learner behind the same few questions: go on, what are the values, what does the instrument say."""

from collections.abc import Mapping
from typing import Protocol

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.forecast.settings import Setting
from seemrl.agents.agent import COLUMNS, Transitions
from seemrl.agents.config import QLearningConfig, TD3BCConfig
from seemrl.agents.q_learning import QLearning, learn
from seemrl.agents.td3_bc import TD3BC
from seemrl.agents.updates import train_updates
from seemrl.data.dataset import Dataset
from seemrl.environments.toy_maze import DIRECTIONS, toy_maze
from seemrl.instrument.batch import Batch
from seemrl.instrument.measure import measure
from seemrl.instrument.reading import Reading
from seemrl.training.reading import read_learner

READING_ROWS = 96
MAZE_BOUND = 100.0
"""Reward bound of the toy maze: its rewards are all zero, out of a range of [-1, 1] at discount 0.99."""


class Learner(Protocol):
    """A run in memory."""

    depth: int | None
    reward_bound: float
    shortest: int | None
    """Updates between two readings, at least; None where only the usual number is compiled."""

    def advance(self, updates: int) -> None:
        """Train on."""
        ...

    def q_mean(self) -> float:
        """Mean |Q| over the fixed rows and all heads."""
        ...

    def read(self) -> Reading:
        """A reading on the fixed rows."""
        ...


class MazeLearner:
    """Q-learning on a toy maze's walk; each seed has a walk of its own."""

    shortest: int | None = 1

    def __init__(self, setting: Setting) -> None:
        config = setting.learner
        assert isinstance(config, QLearningConfig)
        self._config = config
        data = toy_maze(setting.seed)
        self._transitions, self._batch = _on_device(data, np.arange(len(data)), np.zeros(2), np.ones(2))
        self._choices = jnp.asarray(DIRECTIONS)
        self._agent = QLearning.create(config, data.observation_size, data.action_size, setting.seed)
        self.depth = len(config.hidden_sizes) + 1 if config.critic_norm == "none" else None
        self.reward_bound = MAZE_BOUND

    def advance(self, updates: int) -> None:
        self._agent = learn(self._transitions, self._choices, self._agent, jnp.asarray(updates))

    def q_mean(self) -> float:
        return _mean_abs(self._agent.critic, self._batch)

    def read(self) -> Reading:
        agent = self._agent
        return measure(
            agent.critic,
            self._batch,
            lambda observations: agent.target_actions(jnp.asarray(observations, jnp.float32), self._choices),
            discount=self._config.discount,
            optimizer=agent.optimizer_state,
            target_critic=agent.target_critic,
            target_rate=self._config.target_rate,
            step=int(agent.step),
        )


class TD3Learner:
    """TD3+BC's variants on a share of a data set."""

    shortest: int | None = None

    def __init__(self, setting: Setting, data: Dataset) -> None:
        config = setting.learner
        assert isinstance(config, TD3BCConfig)
        kept = np.random.Generator(np.random.PCG64(setting.seed)).permutation(len(data))
        kept = np.sort(kept[: round(len(data) * setting.percent / 100)])
        mean, deviation = data.observation_statistics()
        self._transitions, population = _on_device(data, kept, mean, deviation)
        rows = np.random.default_rng(0).choice(len(kept), size=min(READING_ROWS, len(kept)), replace=False)
        self._batch = Batch(*(getattr(population, name)[np.sort(rows)] for name in COLUMNS))
        self._population = len(kept)
        ends = (-1.0,) * data.action_size, (1.0,) * data.action_size
        self._agent = TD3BC.create(config, data.observation_size, *ends, setting.seed)
        self._batch_size = setting.batch_size
        self.depth = len(config.hidden_sizes) + 1 if config.critic_norm == "none" else None
        self.reward_bound = float(np.abs(data.rewards[kept]).max()) / (1 - config.discount)

    def advance(self, updates: int) -> None:
        self._agent, _ = train_updates(self._transitions, self._agent, updates, self._batch_size)

    def q_mean(self) -> float:
        return _mean_abs(self._agent.critic, self._batch)

    def read(self) -> Reading:
        return read_learner(self._agent, self._batch, self._population)


def open_learner(setting: Setting, sources: Mapping[str, Dataset]) -> Learner:
    """The learner of a setting, before its first update."""
    return MazeLearner(setting) if setting.source == "toy maze" else TD3Learner(setting, sources[setting.source])


def _on_device(data: Dataset, rows: np.ndarray, mean: np.ndarray, deviation: np.ndarray) -> tuple[Transitions, Batch]:
    """Some rows, observations standardised, for the learner and for the instrument."""
    columns = (
        ((data.observations[rows] - mean) / deviation).astype(np.float32),
        data.actions[rows],
        data.rewards[rows],
        ((data.next_observations[rows] - mean) / deviation).astype(np.float32),
        data.terminals[rows].astype(np.float32),
    )
    return Transitions(*map(jnp.asarray, columns)), Batch(*columns)


@eqx.filter_jit
def _values(critic: eqx.Module, observations: jax.Array, actions: jax.Array) -> jax.Array:
    return jnp.mean(jnp.abs(critic(observations, actions)))  # pyright: ignore[reportCallIssue]


def _mean_abs(critic: eqx.Module, batch: Batch) -> float:
    points = (jnp.asarray(column, jnp.float32) for column in (batch.observations, batch.actions))
    return float(_values(critic, *points))
