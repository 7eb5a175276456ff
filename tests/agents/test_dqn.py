from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from agent_checks import KEY, ROWS, apart, assert_same_loss, gradient, in_torch, trained, transitions

from cases import OBSERVATION
from oracles import InTorch
from seemrl.agents.agent import Transitions
from seemrl.agents.dqn import DQN
from seemrl.agents.dqn_config import DQNConfig
from seemrl.agents.registry import create_agent
from seemrl.errors import InputError

ACTIONS = 3
TAKEN = np.random.default_rng(1).integers(ACTIONS, size=ROWS)


def learner(**changes: Any) -> tuple[DQN, DQNConfig]:
    settings: dict[str, Any] = {"hidden_sizes": (16,), "discount": 0.97, **changes}
    config = DQNConfig(**settings)
    agent = create_agent(config, OBSERVATION, (0.0,) * ACTIONS, (1.0,) * ACTIONS, seed=0)
    return apart(agent, "critic", "target_critic"), config


def data() -> Transitions:
    return transitions()._replace(actions=jnp.asarray(np.eye(ACTIONS)[TAKEN], jnp.float32))


def plain_loss(agent: DQN, config: DQNConfig) -> tuple[torch.Tensor, InTorch]:
    """The loss in PyTorch and float64, with actions by number."""
    observations, _, rewards, next_observations, terminals = in_torch(data())
    critic, target = InTorch(agent.critic), InTorch(agent.target_critic)
    every = critic.mlp(critic.networks[0], observations)
    with torch.no_grad():
        next_every = target.mlp(target.networks[0], next_observations)
        chosen = critic.mlp(critic.networks[0], next_observations) if config.double else next_every
        next_values = next_every[torch.arange(ROWS), chosen.argmax(dim=1)]
        targets = rewards + config.discount * (1 - terminals) * next_values
    taken = torch.as_tensor(TAKEN)
    conservative = torch.nn.functional.cross_entropy(every, taken)  # mean of logsumexp - the value of the data's action
    error = torch.nn.functional.mse_loss(every[torch.arange(ROWS), taken], targets)
    return error + config.cql_weight * conservative, critic


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"double": True},
        {"cql_weight": 2.5},
        {"double": True, "cql_weight": 0.5, "hidden_sizes": (8, 8), "critic_norm": "layer"},
    ],
)
def test_the_loss_is_that_of_the_papers(changes):
    agent, config = learner(**changes)
    wanted, critic = plain_loss(agent, config)
    assert_same_loss(gradient(agent, "critic", data()), wanted, critic.leaves)


def test_double_and_plain_choose_other_actions():
    plain, double = (
        learner(double=double)[0].target_actions(data().next_observations, KEY) for double in (False, True)
    )
    assert plain.shape == (ROWS, 1)
    assert not np.array_equal(plain, double)


def test_the_policy_takes_the_action_of_largest_value():
    agent, _ = learner()
    actions = np.asarray(agent.act(data().observations))
    assert np.array_equal(actions.argmax(axis=1), np.asarray(agent.critic(data().observations)).argmax(axis=1))
    assert np.array_equal(np.sort(actions, axis=1), np.tile([0.0, 0.0, 1.0], (ROWS, 1)))


def test_the_conservative_term_keeps_the_policy_at_the_data():
    following = jnp.asarray(np.eye(ACTIONS)[np.asarray(data().observations[:, 0] > 0).astype(int)], jnp.float32)
    logged = data()._replace(actions=following)
    agreements = [
        trained(learner(cql_weight=weight, critic_learning_rate=3e-3)[0], 300, logged)[0] for weight in (0.0, 5.0)
    ]
    without, conservative = (float(jnp.mean(jnp.sum(a.act(logged.observations) * following, 1))) for a in agreements)
    assert conservative > 0.9
    assert conservative > without


def test_the_target_follows_the_critic():
    agent, _ = learner(target_rate=1.0)
    moved, info = trained(agent, 3, data())
    for live, target in zip(jax.tree.leaves(moved.critic), jax.tree.leaves(moved.target_critic), strict=True):
        assert np.array_equal(live, target)
    assert info["critic_loss"] == pytest.approx(info["td_loss"])


def test_a_negative_weight_is_refused():
    with pytest.raises(InputError, match=r"cql.weight"):
        replace(DQNConfig(), cql_weight=-1.0).check()
