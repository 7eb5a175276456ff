import pytest
from agent_checks import (
    KEY,
    OPTIMIZERS,
    assert_same_loss,
    assert_same_networks,
    descend,
    fresh,
    gradient,
    in_box,
    in_torch,
    one_transition,
    trained,
    transitions,
    with_a_policy,
)

from oracles import InTorch
from seemrl.agents.bc_config import BCConfig


class PlainBC:
    """Regression of actions on observations, in PyTorch and float64."""

    def __init__(self, agent):
        self.actor = InTorch(agent.actor)

    def actor_loss(self, batch):
        return ((in_box(self.actor.mlp(self.actor.networks[0], batch[0])) - batch[1]) ** 2).mean()


@pytest.mark.parametrize("changes", [{}, {"actor_norm": "layer"}])
def test_the_loss_is_the_mean_squared_difference(changes):
    agent = fresh(BCConfig(hidden_sizes=(8, 8), **changes))
    plain = PlainBC(agent)
    wanted = plain.actor_loss(in_torch(transitions()))
    assert_same_loss(gradient(agent, "actor", transitions()), wanted, plain.actor.leaves)


def test_training_is_regression():
    agent = fresh(BCConfig(hidden_sizes=(16,), actor_learning_rate=3e-3))
    plain, batch = PlainBC(agent), in_torch(one_transition())
    optimizer = OPTIMIZERS["adam"](plain.actor.leaves)
    for _ in range(5):
        descend(optimizer, plain.actor_loss(batch))
    agent, _ = trained(agent, 5, one_transition())
    assert_same_networks(agent, plain, "actor")


def test_it_imitates_the_data_and_has_no_critic_to_read():
    agent, first = trained(fresh(BCConfig(hidden_sizes=(16,), actor_learning_rate=1e-2)), 20, with_a_policy())
    agent, last = trained(agent, 400, with_a_policy())
    assert last["actor_loss"] < 0.1 * first["actor_loss"]
    assert agent.measured() is None
    observations = transitions().observations
    assert (agent.act(observations) == agent.target_actions(observations, KEY)).all()
