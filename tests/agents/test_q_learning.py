"""Q-learning on the toy maze: what the theory says of it can be seen in it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seemrl.agents.config import QLearningConfig, StepName
from seemrl.agents.q_learning import QLearning, learn
from seemrl.environments.toy_maze import toy_maze
from seemrl.instrument.forecast.cadence import steps_to_next
from toy_runs import CHOICES, DATA, TRANSITIONS, read


def trained(config: QLearningConfig, updates: int, seed: int = 0) -> QLearning:
    return learn(TRANSITIONS, CHOICES, QLearning.create(config, 2, 2, seed), jnp.asarray(updates))


def mean_q(agent: QLearning) -> float:
    return float(jnp.mean(jnp.abs(agent.critic(TRANSITIONS.observations, TRANSITIONS.actions))))


def test_the_walk_is_a_walk_and_repeats():
    np.testing.assert_array_equal(DATA.next_observations[:-1], DATA.observations[1:])
    np.testing.assert_array_equal(toy_maze(0).actions, DATA.actions)
    assert not np.array_equal(toy_maze(1).actions, DATA.actions)
    assert DATA.timeouts.tolist() == [False] * 63 + [True] and not DATA.rewards.any()


def test_the_target_takes_the_best_of_the_choices():
    agent = trained(QLearningConfig(), 50)
    chosen = agent.target_actions(TRANSITIONS.next_observations, CHOICES)
    values = [agent.target_critic(TRANSITIONS.next_observations, jnp.tile(choice, (64, 1)))[0] for choice in CHOICES]
    best = agent.target_critic(TRANSITIONS.next_observations, chosen)[0]
    np.testing.assert_allclose(best, jnp.max(jnp.stack(values), axis=0), rtol=1e-6)


def test_without_a_normaliser_it_explodes_and_with_one_it_does_not():
    assert not mean_q(trained(QLearningConfig(), 2000)) < 1e8
    assert mean_q(trained(QLearningConfig(critic_norm="layer"), 2000)) < 1e3


def test_it_is_the_same_in_one_call_or_many():
    config = QLearningConfig(optimizer="adam", learning_rate=1e-3, batch_size=16)
    parts = trained(config, 60)
    parts = learn(TRANSITIONS, CHOICES, parts, jnp.asarray(40))
    for one, other in zip(jax.tree.leaves(trained(config, 100).critic), jax.tree.leaves(parts.critic), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("optimizer", "learning_rate", "target_rate", "updates"),
    [
        ("sgd", 2e-3, 1.0, 400),
        ("sgd", 2e-3, 0.005, 2000),
        ("momentum", 2e-4, 0.05, 1400),
        ("adam", 1e-3, 0.005, 2000),
        ("rmsprop", 1e-4, 0.05, 1000),
    ],
)
def test_the_flow_says_where_the_values_go(optimizer: StepName, learning_rate, target_rate, updates):
    config = QLearningConfig(optimizer=optimizer, learning_rate=learning_rate, target_rate=target_rate)
    agent = trained(config, updates)
    reading = read(agent, config)
    ahead, foretold = next(pair for pair in reading.flow if pair[0] == 64)
    later = learn(TRANSITIONS, CHOICES, agent, jnp.asarray(int(ahead)))
    seen = np.log(mean_q(later) / mean_q(agent))
    assert seen > 0.01
    assert foretold == pytest.approx(seen, rel=0.05)


def test_readings_come_closer_as_values_move_faster():
    config = QLearningConfig()
    slow, fast = (read(trained(config, updates), config) for updates in (600, 1300))
    gaps = [steps_to_next(reading, shortest=1, longest=1000) for reading in (slow, fast)]
    assert 1 < gaps[1] < gaps[0] < 1000
    assert steps_to_next(slow, shortest=500, longest=1000) == 500
    assert steps_to_next(slow, shortest=1, longest=5) == 5
