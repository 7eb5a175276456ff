"""The toy maze's walk, for tests that train on it."""

import jax.numpy as jnp

from seemrl.agents.agent import Transitions
from seemrl.agents.config import QLearningConfig
from seemrl.agents.q_learning import QLearning
from seemrl.environments.toy_maze import DIRECTIONS, toy_maze
from seemrl.instrument.batch import Batch
from seemrl.instrument.measure import measure
from seemrl.instrument.reading import Reading

DATA = toy_maze(0)
COLUMNS = (DATA.observations, DATA.actions, DATA.rewards, DATA.next_observations, DATA.terminals)
TRANSITIONS = Transitions(*(jnp.asarray(column, jnp.float32) for column in COLUMNS))
CHOICES = jnp.asarray(DIRECTIONS)


def read(agent: QLearning, config: QLearningConfig) -> Reading:
    """A reading on the whole walk."""
    return measure(
        agent.critic,
        Batch(*COLUMNS),
        lambda observations: agent.target_actions(jnp.asarray(observations, jnp.float32), CHOICES),
        discount=config.discount,
        optimizer=agent.optimizer_state,
        target_critic=agent.target_critic,
        target_rate=config.target_rate,
        step=int(agent.step),
    )
