"""Rows drawn by weight."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from agent_checks import BATCH, ROWS, apart, fresh, leaves, same, trained, transitions

from cases import ACTION
from seemrl.agents.config import AgentConfig, TD3BCConfig
from seemrl.agents.dqn_config import DQNConfig
from seemrl.agents.iql_config import IQLConfig
from seemrl.agents.updates import td_error
from seemrl.agents.weighted import Weighted, alias_table, draw_by_priority, priority_tree, with_priorities

DRAWS = 40_000
SIZES = (8, 8)


def assert_shares(rows: jax.Array, weights: np.ndarray) -> None:
    """Each row's share of the draws is its weight's, within five standard deviations."""
    wanted = weights / weights.sum()
    found = np.bincount(np.asarray(rows), minlength=len(weights)) / len(rows)
    assert np.abs(found - wanted).max() < 5 * np.sqrt(wanted.max() / len(rows))
    assert not found[weights == 0].any()


WEIGHTS = {
    "one row": np.ones(1),
    "all alike": np.ones(7),
    "some of them zero": np.array([0.0, 3, 0, 1, 0]),
    "one far above the rest": np.array([1e-3] * 9 + [50.0]),
    "many": np.random.default_rng(0).exponential(size=100),
}


@pytest.mark.parametrize("weights", WEIGHTS.values(), ids=WEIGHTS.keys())
def test_an_alias_table_holds_exactly_the_weights(weights):
    kept, aliases = alias_table(weights)

    chances = kept.copy()
    np.add.at(chances, aliases, 1 - kept)
    np.testing.assert_allclose(chances / len(weights), weights / weights.sum(), atol=1e-12)


@pytest.mark.parametrize("weights", WEIGHTS.values(), ids=WEIGHTS.keys())
def test_rows_are_drawn_in_proportion(weights):
    key = jax.random.key(0)
    tree = with_priorities(priority_tree(len(weights)), jnp.arange(len(weights)), jnp.asarray(weights, jnp.float32))

    assert_shares(Weighted.of(None, weights, True).draw(key, DRAWS), weights)
    assert_shares(draw_by_priority(tree, key, DRAWS), weights)


def test_a_tree_holds_sums_after_rows_are_set_twice_at_once():
    tree = with_priorities(priority_tree(5), jnp.array([4, 1, 1, 4]), jnp.array([2.0, 0.5, 3.0, 1.0]))

    np.testing.assert_array_equal(tree[8:], [1, 3, 1, 1, 2, 0, 0, 0])
    for node in range(1, 8):
        assert tree[node] == tree[2 * node] + tree[2 * node + 1]


def one_row(everywhere: bool) -> Weighted:
    return Weighted.of(transitions(), (np.arange(ROWS) == 3).astype(float), everywhere)


@pytest.mark.parametrize(
    "config", [TD3BCConfig(hidden_sizes=SIZES), IQLConfig(hidden_sizes=SIZES)], ids=lambda config: config.agent
)
def test_weights_for_the_actor_leave_the_critics_first_cycle_alone(config: AgentConfig):
    one, other = (trained(fresh(config), 2, data)[0] for data in (transitions(), one_row(False)))

    step = eqx.tree_at(lambda agent: agent.step, fresh(config), 0)
    drawn = fresh(config).draw_for_actor(one_row(False), step.draw(transitions(), BATCH)[0])
    assert np.all(np.asarray(drawn.observations) == np.asarray(transitions().observations[3]))
    assert not same(one, other)
    if config.agent == "td3_bc":  # its critic has met neither actor
        assert all(np.array_equal(*pair) for pair in zip(leaves(one.critic), leaves(other.critic), strict=True))


def test_weights_everywhere_are_the_critics_too():
    batch, _ = fresh(TD3BCConfig(hidden_sizes=SIZES)).draw(one_row(True), BATCH)

    assert np.all(np.asarray(batch.rewards) == np.asarray(transitions().rewards[3]))


def test_equal_priorities_become_those_of_the_td_error():
    config = TD3BCConfig(hidden_sizes=SIZES, policy_noise=0.0)
    agent = eqx.tree_at(lambda a: a.priorities, fresh(config), priority_tree(ROWS), is_leaf=lambda part: part is None)

    after, _ = trained(agent, 2)

    leaf = np.asarray(after.priorities[ROWS:])
    seen = leaf != 1
    error = td_error(after, transitions(), jax.random.key(0))
    np.testing.assert_allclose(leaf[seen], (np.asarray(error)[seen] + 1e-6) ** 0.6, rtol=1e-5)
    assert BATCH < seen.sum() <= 2 * BATCH
    assert after.priorities[1] == pytest.approx(leaf.sum(), rel=1e-5)


@pytest.mark.parametrize("double", [False, True])
def test_the_td_error_of_numbered_actions(double):
    agent = apart(fresh(DQNConfig(hidden_sizes=SIZES, double=double)), "critic", "target_critic")
    columns = transitions()
    numbers = np.arange(ROWS) % ACTION
    data = columns._replace(actions=jax.nn.one_hot(numbers, ACTION))

    error = td_error(agent, data, jax.random.key(0))

    q, target_q = agent.critic(data.observations), np.asarray(agent.target_critic(data.next_observations))
    chooser = np.asarray(agent.critic(data.next_observations)) if double else target_q
    ahead = target_q[np.arange(ROWS), chooser.argmax(axis=1)]
    wanted = np.asarray(q)[np.arange(ROWS), numbers] - np.asarray(data.rewards + 0.99 * (1 - data.terminals) * ahead)
    np.testing.assert_allclose(error, np.abs(wanted), rtol=1e-5)
