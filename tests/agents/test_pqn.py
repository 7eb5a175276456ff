"""PQN's critic on logged data against its paper, and what it learns without a target network."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from agent_checks import KEY, ROWS, apart, assert_same_loss, gradient, in_torch, leaves, same, trained, transitions

from cases import OBSERVATION
from oracles import InTorch
from seemrl.agents.agent import COLUMNS, Transitions
from seemrl.agents.dqn_config import DQNConfig
from seemrl.agents.pqn import PQN
from seemrl.agents.pqn_config import PQNConfig
from seemrl.agents.registry import create_agent
from seemrl.errors import InputError
from seemrl.instrument.batch import Batch
from seemrl.training.reading import as_measured, read_learner

ACTIONS = 3
TAKEN = np.random.default_rng(1).integers(ACTIONS, size=ROWS)


def learner(**changes: Any) -> PQN:
    settings: dict[str, Any] = {"hidden_sizes": (16, 12), "discount": 0.97, **changes}
    return apart(create_agent(PQNConfig(**settings), OBSERVATION, (0.0,) * ACTIONS, (1.0,) * ACTIONS, 0), "critic")


def data() -> Transitions:
    return transitions()._replace(actions=jnp.asarray(np.eye(ACTIONS)[TAKEN], jnp.float32))


@pytest.mark.parametrize(
    "changes", [{}, {"l2_weight": 0.3}, {"l2_weight": 0.3, "critic_network": "simba", "hidden_sizes": (8, 8)}]
)
def test_the_loss_is_that_of_the_paper(changes):
    if "critic_network" in changes:
        changes = {**changes, "critic_norm": "none"}
    agent = learner(**changes)
    observations, _, rewards, next_observations, terminals = in_torch(data())
    critic = InTorch(agent.critic)
    (network,) = critic.networks
    with torch.no_grad():
        targets = rewards + 0.97 * (1 - terminals) * critic.mlp(network, next_observations).max(dim=1).values
    values = critic.mlp(network, observations)[torch.arange(ROWS), torch.as_tensor(TAKEN)]
    last = next(leaf for leaf in critic.leaves[::-1] if leaf.shape == (network_width(changes), ACTIONS))
    weight = float(changes.get("l2_weight", 1e-4))
    wanted = torch.nn.functional.mse_loss(values, targets) + weight * (last**2).sum()
    assert_same_loss(gradient(agent, "critic", data()), wanted, critic.leaves)


def network_width(changes: dict[str, Any]) -> int:
    return changes.get("hidden_sizes", (16, 12))[-1]


def test_its_td_term_is_dqns_against_its_own_critic():
    """Which is tested against its paper."""
    agent = learner()
    other = create_agent(
        DQNConfig(hidden_sizes=(16, 12), discount=0.97, critic_norm="layer"), OBSERVATION, (0.0,) * 3, (1.0,) * 3, 0
    )
    other = other.replace(critic=agent.critic, target_critic=agent.critic)
    ours, theirs = (gradient(one, "critic", data())[0][1] for one in (agent, other))
    assert float(ours["td_loss"]) == pytest.approx(float(theirs["td_loss"]), rel=1e-6)


def test_the_last_layer_shrinks_with_its_weight():
    squares = [
        trained(learner(l2_weight=weight, critic_learning_rate=1e-2), 300, data())[1]["last_layer_squares"]
        for weight in (0.0, 1.0)
    ]
    assert squares[1] < 0.2 * squares[0]


def test_gradients_are_bounded_while_it_trains():
    """Plain gradient descent at rate 1 moves the critic by its gradient's norm, and no further than the bound."""
    before = learner(optimizer="sgd", critic_learning_rate=1.0, critic_gradient_norm=1e-2)
    after, info = trained(before, 1, data())
    pairs = zip(leaves(before.critic), leaves(after.critic), strict=True)
    moved = np.sqrt(sum(np.sum((new - old) ** 2) for old, new in pairs))
    assert info["critic_gradient_norm"] > 1e-2
    assert moved == pytest.approx(1e-2, rel=0.02)


def test_it_learns_values_without_a_target_network():
    """Reward 1 for one action, 0 for the others, for ever: Q is 1 + 0.5 * 2 at that one and 1 at the others."""
    random, rows = np.random.default_rng(2), 1024
    observations, reached = random.normal(size=(2, rows, OBSERVATION))
    taken, best = random.integers(ACTIONS, size=rows), (observations[:, 0] > 0).astype(int)
    columns = (observations, np.eye(ACTIONS)[taken], taken == best, reached, np.zeros(rows))
    logged = Transitions(*(jnp.asarray(column, jnp.float32) for column in columns))
    agent, info = trained(learner(discount=0.5, critic_learning_rate=3e-3), 2500, logged)
    q = np.asarray(agent.critic(logged.observations))[np.arange(rows), taken]
    assert np.mean(q[taken == best]) == pytest.approx(2.0, abs=0.15)
    assert np.mean(q[taken != best]) == pytest.approx(1.0, abs=0.15)
    assert info["td_loss"] < 0.1


def test_the_policy_and_the_target_take_the_action_of_largest_value():
    agent = learner()
    best = np.asarray(agent.critic(data().observations)).argmax(axis=1)
    assert np.array_equal(np.asarray(agent.act(data().observations)).argmax(axis=1), best)
    assert np.array_equal(agent.target_actions(data().observations, KEY)[:, 0], best)


def test_the_instrument_reads_it_as_its_own_target():
    agent, _ = trained(learner(), 3, data())
    critic, target, policy, options = as_measured(agent, ROWS)
    assert critic is target and policy == "greedy" and options["target_rate"] == 1.0
    columns = [np.asarray(getattr(data(), name)) for name in COLUMNS]
    columns[1] = TAKEN
    reading = read_learner(agent, Batch(*columns), ROWS)
    assert reading.rate is not None and np.isfinite(reading.rate)


def test_training_in_two_parts_is_training_in_one():
    whole, info = trained(learner(), 8, data())
    assert same(whole, trained(trained(learner(), 3, data())[0], 5, data())[0]) and int(whole.step) == 8
    assert info.keys() == {
        *("critic_loss", "td_loss", "q_mean", "target_mean"),
        *("last_layer_squares", "agreement", "critic_gradient_norm"),
    }
    assert all(jax.tree.leaves(jax.tree.map(np.isfinite, info)))


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"l2_weight": -1.0}, "--l2-weight -1.0"), ({"critic_gradient_norm": 0.0}, "--critic-gradient-norm 0.0")],
)
def test_settings_that_make_no_sense_are_refused(changes, said):
    with pytest.raises(InputError) as refusal:
        PQNConfig(**changes).check()
    assert said in str(refusal.value)
