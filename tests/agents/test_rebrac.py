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
    ROWS,
    apart,
    assert_same_loss,
    assert_same_networks,
    clipped,
    descend,
    follow,
    fresh,
    gradient,
    in_box,
    in_torch,
    tensor,
    trained,
    transitions,
    with_a_policy,
)

from oracles import InTorch
from seemrl.agents.agent import Transitions
from seemrl.agents.rebrac import ReBRAC
from seemrl.agents.rebrac_config import ReBRACConfig
from seemrl.agents.updates import train_updates

CONFIG: dict[str, Any] = {"hidden_sizes": (8, 8), "discount": 0.97}


def learner(**changes: Any) -> tuple[ReBRAC, ReBRACConfig]:
    config = ReBRACConfig(**{**CONFIG, **changes})
    return apart(fresh(config), "target_critic", "target_actor"), config


def followed(data: Transitions) -> Transitions:
    """With an action for each next observation, and every third of them unknown."""
    random = np.random.default_rng(5)
    known = jnp.asarray(np.arange(ROWS) % 3 > 0, jnp.float32)
    return data._replace(
        next_actions=jnp.asarray(random.uniform(LOW, HIGH, (ROWS, 2)), jnp.float32), next_actions_known=known
    )


class PlainReBRAC:
    """The paper's two losses, in PyTorch and float64."""

    def __init__(self, agent: ReBRAC, config: ReBRACConfig) -> None:
        self.config = config
        self.critic, self.target_critic = InTorch(agent.critic), InTorch(agent.target_critic)
        self.actor, self.target_actor = InTorch(agent.actor), InTorch(agent.target_actor)

    def act(self, actor: InTorch, observations: torch.Tensor) -> torch.Tensor:
        return in_box(actor.mlp(actor.networks[0], observations))

    def critic_loss(self, batch: list[torch.Tensor], noise: torch.Tensor) -> torch.Tensor:
        observations, actions, rewards, next_observations, terminals, following, known = batch
        with torch.no_grad():
            smoothing = (noise * self.config.policy_noise).clamp(-self.config.noise_clip, self.config.noise_clip)
            half = (tensor(HIGH) - tensor(LOW)) / 2
            next_actions = clipped(self.act(self.target_actor, next_observations) + smoothing * half)
            penalty = ((next_actions - following) ** 2).sum(dim=1) * known
            next_values = self.target_critic.critic(next_observations, next_actions).min(dim=0).values
            next_values = next_values - self.config.critic_bc_weight * penalty
            targets = rewards + self.config.discount * (1 - terminals) * next_values
        return ((self.critic.critic(observations, actions) - targets) ** 2).mean(dim=1).sum()

    def actor_loss(self, batch: list[torch.Tensor]) -> torch.Tensor:
        actions = self.act(self.actor, batch[0])
        values = self.critic.critic(batch[0], actions).min(dim=0).values
        penalty = ((actions - batch[1]) ** 2).sum(dim=1)
        normalised = self.config.q_weight * values / values.abs().mean().detach()
        return (self.config.bc_weight * penalty - normalised).mean()


@pytest.mark.parametrize("changes", [{}, {"bc_weight": 0.1, "critic_bc_weight": 0.3, "critic_norm": "none"}])
def test_each_loss_is_that_of_the_paper(changes):
    agent, config = learner(**changes)
    plain, data = PlainReBRAC(agent, config), followed(transitions())
    noise = tensor(jax.random.normal(KEY, (ROWS, 2)))
    wanted = plain.critic_loss(in_torch(data), noise)
    assert_same_loss(gradient(agent, "critic", data, KEY), wanted, plain.critic.leaves)
    assert_same_loss(gradient(agent, "actor", data), plain.actor_loss(in_torch(data)), plain.actor.leaves)


def test_training_is_that_of_the_paper():
    """On the rows and with the noise that the agent draws."""
    agent, config = learner(target_rate=0.1, critic_learning_rate=3e-3, actor_learning_rate=3e-3)
    plain, data = PlainReBRAC(agent, config), followed(transitions())
    critic_optimizer, actor_optimizer = (OPTIMIZERS["adam"](net.leaves) for net in (plain.critic, plain.actor))
    for step in range(4):
        batch, key = agent.replace(step=jnp.asarray(step)).draw(data, ROWS)
        noise = tensor(jax.random.normal(key, (ROWS, 2)))
        descend(critic_optimizer, plain.critic_loss(in_torch(batch), noise))
        if step % 2:
            descend(actor_optimizer, plain.actor_loss(in_torch(batch)))
            follow(plain.target_critic, plain.critic, 0.1)
            follow(plain.target_actor, plain.actor, 0.1)
    agent, _ = train_updates(data, agent, 4, ROWS)
    assert_same_networks(agent, plain, "critic", "actor", "target_critic", "target_actor")


def test_a_heavy_penalty_imitates_the_data():
    data = followed(with_a_policy())
    agent, _ = learner(bc_weight=100.0, actor_learning_rate=1e-2)
    agent, first = trained(agent, 20, data)
    _, last = trained(agent, 400, data)
    assert last["bc_mse"] < 0.1 * first["bc_mse"]


def test_next_actions_that_are_unknown_change_nothing():
    agent, _ = learner()
    data = followed(transitions())
    elsewhere = jnp.where(data.next_actions_known[:, None] > 0, data.next_actions, 9.0)  # type: ignore[index]
    (loss, _), _ = gradient(agent, "critic", data, KEY)
    (other, _), _ = gradient(agent, "critic", data._replace(next_actions=elsewhere), KEY)
    assert float(loss) == float(other)
