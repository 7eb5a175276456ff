from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from agent_checks import (
    HIGH,
    KEY,
    LOW,
    OPTIMIZERS,
    PlainGaussian,
    apart,
    assert_same_loss,
    assert_same_networks,
    descend,
    follow,
    fresh,
    gradient,
    in_torch,
    one_transition,
    trained,
    transitions,
    with_a_policy,
)

from oracles import InTorch
from seemrl.agents.iql import IQL
from seemrl.agents.iql_config import IQLConfig

CONFIG: dict[str, Any] = {"hidden_sizes": (16,), "discount": 0.97}


def learner(**changes: Any) -> tuple[IQL, IQLConfig]:
    config = IQLConfig(**{**CONFIG, **changes})
    return apart(fresh(config), "target_critic", "value", "actor"), config


class PlainIQL:
    """Equations 5 to 7 of the paper, in PyTorch and float64."""

    def __init__(self, agent: IQL, config: IQLConfig) -> None:
        self.config = config
        self.critic, self.target_critic, self.value = map(InTorch, (agent.critic, agent.target_critic, agent.value))
        self.actor = PlainGaussian(agent.actor, (-5.0, 2.0))

    def values(self, observations: torch.Tensor) -> torch.Tensor:
        return self.value.mlp(self.value.networks[0], observations)[:, 0]

    def advantages(self, batch: list[torch.Tensor]) -> torch.Tensor:
        return self.target_critic.critic(*batch[:2]).min(dim=0).values.detach() - self.values(batch[0])

    def value_loss(self, batch: list[torch.Tensor]) -> torch.Tensor:
        differences = self.advantages(batch)
        return ((self.config.expectile - (differences < 0).double()).abs() * differences**2).mean()

    def critic_loss(self, batch: list[torch.Tensor]) -> torch.Tensor:
        observations, actions, rewards, next_observations, terminals = batch
        targets = (rewards + self.config.discount * (1 - terminals) * self.values(next_observations)).detach()
        return ((self.critic.critic(observations, actions) - targets) ** 2).mean(dim=1).sum()

    def actor_loss(self, batch: list[torch.Tensor]) -> torch.Tensor:
        weights = torch.exp(self.config.inverse_temperature * self.advantages(batch)).detach()
        density = self.actor.distribution(batch[0]).log_prob(batch[1]).sum(dim=1)
        return -(weights.clamp(max=self.config.largest_weight) * density).mean()


@pytest.mark.parametrize("name", ["value", "critic", "actor"])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"expectile": 0.9, "inverse_temperature": 10.0, "largest_weight": 5.0, "discount": 0.0},
        {"hidden_sizes": (8, 8), "critic_norm": "layer", "actor_norm": "layer", "actor_norm_placement": "post"},
    ],
)
def test_each_loss_is_that_of_the_paper(name, changes):
    agent, config = learner(**changes)
    plain = PlainIQL(agent, config)
    wanted = getattr(plain, f"{name}_loss")(in_torch(transitions()))
    assert_same_loss(gradient(agent, name, transitions()), wanted, getattr(plain, name).leaves)


def test_training_is_that_of_the_paper():
    agent, config = learner(
        target_rate=0.1,
        critic_learning_rate=3e-3,
        value_learning_rate=3e-3,
        actor_learning_rate=3e-3,
    )
    plain, batch = PlainIQL(agent, config), in_torch(one_transition())
    names = ("value", "actor", "critic")
    optimizers = {name: OPTIMIZERS["adam"](getattr(plain, name).leaves) for name in names}
    for _ in range(5):
        for name in names:
            descend(optimizers[name], getattr(plain, f"{name}_loss")(batch))
        follow(plain.target_critic, plain.critic, 0.1)
    agent, _ = trained(agent, 5, one_transition())
    assert_same_networks(agent, plain, *names, "target_critic")


def test_no_action_outside_the_data_is_ever_valued():
    """Values do not depend on the policy at all."""
    agent, _ = learner()
    other = apart(agent, "actor")
    for name in ("value", "critic"):
        assert np.array_equal(*(jax.tree.leaves(getattr(trained(a, 5)[0], name))[0] for a in (agent, other)))


def test_without_preference_it_imitates_the_data():
    agent, _ = learner(inverse_temperature=0.0, actor_learning_rate=1e-2)
    agent, first = trained(agent, 20, with_a_policy())
    _, last = trained(agent, 400, with_a_policy())
    assert first["weight_mean"] == last["weight_mean"] == 1.0
    assert last["bc_mse"] < 0.1 * first["bc_mse"]


def test_it_prefers_what_pays():
    """One step, a reward for the first action dimension: the policy goes there, cloning stays in the middle."""
    data = transitions()
    data = data._replace(rewards=data.actions[:, 0], terminals=jnp.ones_like(data.terminals))
    rates = {f"{name}_learning_rate": 1e-2 for name in ("critic", "value", "actor")}
    means = []
    for inverse_temperature in (0.0, 10.0):
        agent, _ = learner(target_rate=0.1, inverse_temperature=inverse_temperature, **rates)
        agent, _ = trained(agent, 600, data)
        means.append(float(jnp.mean(agent.act(data.observations)[:, 0])))
    assert abs(means[0]) < 0.25 and means[1] > means[0] + 0.2


def test_policy_actions_stay_in_the_box_and_nothing_is_measured():
    agent, _ = learner()
    agent = apart(agent, *["actor"] * 5)
    actions = agent.target_actions(10 * transitions().observations, KEY)
    assert np.all(actions >= np.asarray(LOW, np.float32)) and np.all(actions <= np.asarray(HIGH, np.float32))
    assert agent.measured() is None
