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
    follow,
    fresh,
    gradient,
    in_torch,
    tensor,
    trained,
    transitions,
)

from oracles import InTorch
from seemrl.agents.cql import CQL
from seemrl.agents.cql_config import CQLConfig
from seemrl.agents.updates import train_updates

CONFIG: dict[str, Any] = {"hidden_sizes": (16,), "discount": 0.97, "sampled_actions": 3}


def learner(**changes: Any) -> tuple[CQL, CQLConfig]:
    config = CQLConfig(**{**CONFIG, **changes})
    return apart(fresh(config), "target_critic", "actor"), config


def normal(key: jax.Array, rows: int) -> torch.Tensor:
    return tensor(jax.random.normal(key, (rows, len(LOW))))


class PlainCQL:
    """CQL(H) on SAC, in PyTorch and float64: equation 4 and appendix F, with the noise of a given key."""

    def __init__(self, agent: CQL, config: CQLConfig) -> None:
        self.config = config
        self.critic, self.target_critic, self.actor = map(InTorch, (agent.critic, agent.target_critic, agent.actor))
        self.log_entropy_weight = InTorch(agent.log_entropy_weight)

    def policy(self, observations: torch.Tensor, noise: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """torch's own tanh keeps the density, of actions in half-widths of the box."""
        mean, log_deviation = self.actor.mlp(self.actor.networks[0], observations).chunk(2, dim=1)
        low, high = tensor(LOW), tensor(HIGH)
        deviation = log_deviation.clamp(-20, 2).exp()
        squash = torch.distributions.TanhTransform(cache_size=1)
        normal = torch.distributions.Normal(mean, deviation)
        squashed: Any = squash(mean + deviation * noise)
        density = torch.distributions.TransformedDistribution(normal, [squash]).log_prob(squashed).sum(dim=1)
        return (high + low) / 2 + (high - low) / 2 * squashed, density

    def conservative(self, batch: list[torch.Tensor], key: jax.Array) -> torch.Tensor:
        """Per head: temperature log sum exp (Q / temperature - log density) - Q, mean over rows."""
        uniform_key, now_key, next_key = jax.random.split(key, 3)
        count, temperature = self.config.sampled_actions, self.config.conservative_temperature
        low, high = jnp.asarray(LOW), jnp.asarray(HIGH)
        uniform = tensor(jax.random.uniform(uniform_key, (count * ROWS, len(LOW)), minval=low, maxval=high))
        volume = 2.0 ** len(LOW)
        observations = batch[0].repeat(count, 1)
        terms = [self.critic.critic(observations, uniform) / temperature + np.log(volume)]
        for seen, policy_key in ((batch[0], now_key), (batch[3], next_key)):
            actions, density = self.policy(seen.repeat(count, 1), normal(policy_key, count * ROWS))
            terms.append(self.critic.critic(observations, actions.detach()) / temperature - density.detach())
        together = torch.cat([term.reshape(2, count, ROWS) for term in terms], dim=1)
        soft = temperature * torch.logsumexp(together, dim=1)
        return (soft - self.critic.critic(batch[0], batch[1])).mean(dim=1)

    def critic_loss(self, batch: list[torch.Tensor], key: jax.Array) -> torch.Tensor:
        observations, actions, rewards, next_observations, terminals = batch
        target_key, conservative_key = jax.random.split(key)
        next_actions, _ = self.policy(next_observations, normal(target_key, ROWS))
        next_values = self.target_critic.critic(next_observations, next_actions).min(dim=0).values
        targets = (rewards + self.config.discount * (1 - terminals) * next_values).detach()
        td = ((self.critic.critic(observations, actions) - targets) ** 2).mean(dim=1).sum()
        return td + self.config.conservative_weight * self.conservative(batch, conservative_key).sum()

    def actor_loss(self, batch: list[torch.Tensor], key: jax.Array) -> torch.Tensor:
        actions, density = self.policy(batch[0], normal(key, ROWS))
        weight = self.log_entropy_weight.leaves[0].detach().exp()
        return (weight * density - self.critic.critic(batch[0], actions).min(dim=0).values).mean()

    def log_entropy_weight_loss(self, batch: list[torch.Tensor], key: jax.Array) -> torch.Tensor:
        density = self.policy(batch[0], normal(key, ROWS))[1].detach()
        return -(self.log_entropy_weight.leaves[0] * (density - len(LOW))).mean()


NAMES = ("critic", "actor", "log_entropy_weight")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "changes",
    [
        {"entropy_weight": 0.5},
        {
            "hidden_sizes": (8, 8),
            "critic_norm": "layer",
            "actor_norm": "layer",
            "conservative_temperature": 2.0,
            "conservative_weight": 0.7,
            "entropy_weight": 0.2,
        },
    ],
)
def test_each_loss_is_that_of_the_paper(name, changes):
    agent, config = learner(**changes)
    plain = PlainCQL(agent, config)
    wanted = getattr(plain, f"{name}_loss")(in_torch(transitions()), KEY)
    assert_same_loss(gradient(agent, name, transitions(), KEY), wanted, getattr(plain, name).leaves)


def test_training_is_that_of_the_paper():
    """On the rows and with the noise that the agent draws."""
    agent, config = learner(critic_learning_rate=3e-3, actor_learning_rate=3e-3, target_rate=0.1)
    plain = PlainCQL(agent, config)
    optimizers = {name: OPTIMIZERS["adam"](getattr(plain, name).leaves) for name in NAMES}
    for step in range(4):
        batch, key = agent.replace(step=jnp.asarray(step)).draw(transitions(), ROWS)
        critic_key, actor_key = jax.random.split(key)
        losses = {name: getattr(plain, f"{name}_loss")(in_torch(batch), actor_key) for name in NAMES[1:]}
        losses["critic"] = plain.critic_loss(in_torch(batch), critic_key)
        slopes = {name: torch.autograd.grad(loss, getattr(plain, name).leaves) for name, loss in losses.items()}
        for name, optimizer in optimizers.items():
            for leaf, slope in zip(getattr(plain, name).leaves, slopes[name], strict=True):
                leaf.grad = slope
            optimizer.step()
        follow(plain.target_critic, plain.critic, 0.1)
    agent, _ = train_updates(transitions(), agent, 4, ROWS)
    assert_same_networks(agent, plain, *NAMES, "target_critic")


def test_actions_that_are_not_in_the_data_are_valued_less():
    """One step without rewards: the data's actions lie in one corner of the box, and the other is valued less."""
    data = transitions()
    corner = jnp.broadcast_to(jnp.asarray([-0.9, -0.4]), data.actions.shape)
    data = data._replace(actions=corner, rewards=0 * data.rewards, terminals=jnp.ones_like(data.terminals))
    gaps = []
    for weight in (0.0, 5.0):
        agent, _ = learner(conservative_weight=weight, critic_learning_rate=1e-2)
        agent, _ = trained(agent, 200, data)
        there, here = (agent.critic(data.observations, a).mean() for a in (-corner, corner))
        gaps.append(float(here - there))
    assert gaps[1] > 1 and gaps[1] > 3 * abs(gaps[0])


def test_without_conservatism_the_loss_is_the_temporal_difference_alone_and_the_weight_of_entropy_is_tuned():
    agent, _ = learner(conservative_weight=0.0)
    _, info = gradient(agent, "critic", transitions(), KEY)[0]
    assert info["conservative_loss"] == 0 and info["conservative_gap"] != 0
    _, density = agent.actor.sample(transitions().observations, KEY)
    slope = gradient(agent, "log_entropy_weight", transitions(), KEY)[1]
    assert float(slope) == pytest.approx(len(LOW) - float(density.mean()), rel=1e-5)
