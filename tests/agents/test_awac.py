from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from agent_checks import (
    KEY,
    LOW,
    OPTIMIZERS,
    ROWS,
    PlainGaussian,
    apart,
    assert_same_loss,
    assert_same_networks,
    clipped,
    descend,
    follow,
    fresh,
    gradient,
    in_torch,
    tensor,
    trained,
    transitions,
)

from oracles import InTorch
from seemrl.agents.awac import AWAC
from seemrl.agents.awac_config import AWACConfig
from seemrl.agents.updates import train_updates

CONFIG: dict[str, Any] = {"hidden_sizes": (16,), "discount": 0.97}
NOISE = tensor(jax.random.normal(KEY, (ROWS, len(LOW))))


def learner(**changes: Any) -> tuple[AWAC, AWACConfig]:
    config = AWACConfig(**{**CONFIG, **changes})
    return apart(fresh(config), "target_critic", "actor"), config


class PlainAWAC:
    """The paper's two updates, in PyTorch and float64."""

    def __init__(self, agent: AWAC, config: AWACConfig) -> None:
        self.config = config
        self.critic, self.target_critic = InTorch(agent.critic), InTorch(agent.target_critic)
        self.actor = PlainGaussian(agent.actor, (-6.0, 0.0))

    def drawn(self, observations: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        policy = self.actor.distribution(observations)
        return clipped(policy.mean + policy.stddev * noise).detach()

    def critic_loss(self, batch: list[torch.Tensor], noise: torch.Tensor) -> torch.Tensor:
        observations, actions, rewards, next_observations, terminals = batch
        next_actions = self.drawn(next_observations, noise)
        next_values = self.target_critic.critic(next_observations, next_actions).min(dim=0).values.detach()
        targets = rewards + self.config.discount * (1 - terminals) * next_values
        return ((self.critic.critic(observations, actions) - targets) ** 2).mean(dim=1).sum()

    def actor_loss(self, batch: list[torch.Tensor], noise: torch.Tensor) -> torch.Tensor:
        observations, actions = batch[:2]
        values = self.critic.critic(observations, self.drawn(observations, noise)).min(dim=0).values
        advantages = (self.critic.critic(observations, actions).min(dim=0).values - values).detach()
        weights = torch.exp(advantages / self.config.temperature).clamp(max=self.config.largest_weight)
        return -(weights * self.actor.distribution(observations).log_prob(actions).sum(dim=1)).mean()


@pytest.mark.parametrize("name", ["critic", "actor"])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"temperature": 0.05, "largest_weight": 3.0},
        {"hidden_sizes": (8, 8), "critic_norm": "layer", "actor_norm": "layer", "discount": 0.0},
    ],
)
def test_each_loss_is_that_of_the_paper(name, changes):
    agent, config = learner(**changes)
    plain = PlainAWAC(agent, config)
    wanted = getattr(plain, f"{name}_loss")(in_torch(transitions()), NOISE)
    assert_same_loss(gradient(agent, name, transitions(), KEY), wanted, getattr(plain, name).leaves)


def test_training_is_that_of_the_paper():
    """On the rows and with the noise that the agent draws."""
    agent, config = learner(target_rate=0.1, critic_learning_rate=3e-3, actor_learning_rate=3e-3)
    plain = PlainAWAC(agent, config)
    optimizers = {name: OPTIMIZERS["adam"](getattr(plain, name).leaves) for name in ("critic", "actor")}
    for step in range(5):
        batch, key = agent.replace(step=jnp.asarray(step)).draw(transitions(), ROWS)
        for (name, optimizer), noise_key in zip(optimizers.items(), jax.random.split(key), strict=True):
            noise = tensor(jax.random.normal(noise_key, (ROWS, len(LOW))))
            descend(optimizer, getattr(plain, f"{name}_loss")(in_torch(batch), noise))
        follow(plain.target_critic, plain.critic, 0.1)
    agent, _ = train_updates(transitions(), agent, 5, ROWS)
    assert_same_networks(agent, plain, "critic", "actor", "target_critic")


def test_it_prefers_what_pays():
    """One step, a reward for the first action dimension: a low temperature goes there, a high one clones."""
    data = transitions()
    data = data._replace(rewards=data.actions[:, 0], terminals=jnp.ones_like(data.terminals))
    means = []
    for temperature in (100.0, 0.1):
        agent, _ = learner(temperature=temperature, critic_learning_rate=1e-2, actor_learning_rate=1e-2)
        agent, _ = trained(agent, 600, data)
        means.append(float(jnp.mean(agent.act(data.observations)[:, 0])))
    assert abs(means[0]) < 0.25 and means[1] > means[0] + 0.2


def test_it_is_measured_as_its_target_is_made():
    agent, _ = learner()
    measured = agent.measured()
    assert measured.critic is agent.critic and measured.target_critic is agent.target_critic
    assert measured.options["discount"] == pytest.approx(0.97)
    one, other = (agent.target_actions(transitions().observations, jax.random.key(seed)) for seed in (0, 1))
    assert not np.array_equal(one, other)
