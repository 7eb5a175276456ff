"""BatchNorm in temporal-difference learning: one pass over (s, a) and (s', a'), running statistics elsewhere."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import torch
from agent_checks import HIGH, KEY, LOW, apart, clipped, fresh, in_box, in_torch, tensor, transitions

from cases import ACTION
from oracles import InTorch
from seemrl.agents.agent import Transitions, differentiate, follow
from seemrl.agents.config import TD3BCConfig
from seemrl.agents.losses import joint_values
from seemrl.networks.normalisers import BatchNorm
from seemrl.networks.state import in_training, noting

CONFIG = TD3BCConfig(hidden_sizes=(8, 6), discount=0.97, critic_norm="batch", actor_norm="batch", target_rate=0.3)
NETWORKS = ("critic", "target_critic", "actor", "target_actor")


def learner() -> Any:
    return apart(fresh(CONFIG), *NETWORKS)


@eqx.filter_jit
def gradients(agent: Any, batch: Transitions) -> tuple[Any, Any]:
    return (
        differentiate(agent.critic, agent.critic_loss, batch, KEY),
        differentiate(agent.actor, agent.actor_loss, batch),
    )


def critic_loss(agent: Any, batch: Transitions) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Both critics over both halves by their own statistics; the target actor by its running ones."""
    observations, actions, rewards, next_observations, terminals = in_torch(batch)
    critic, target = InTorch(agent.critic, training=True), InTorch(agent.target_critic, training=True)
    actor = InTorch(agent.target_actor)
    noise = tensor(jax.random.normal(KEY, (len(batch.rewards), ACTION)))
    smoothing = (noise * CONFIG.policy_noise).clamp(-CONFIG.noise_clip, CONFIG.noise_clip)
    next_actions = in_box(actor.mlp(actor.networks[0], next_observations))
    next_actions = clipped(next_actions + smoothing * (tensor(HIGH) - tensor(LOW)) / 2).detach()
    both = torch.cat([observations, next_observations]), torch.cat([actions, next_actions])
    next_values = target.critic(*both)[:, len(rewards) :].min(dim=0).values.detach()
    targets = rewards + CONFIG.discount * (1 - terminals) * next_values
    return ((critic.critic(*both)[:, : len(rewards)] - targets) ** 2).mean(dim=1).sum(), critic.leaves


def actor_loss(agent: Any, batch: Transitions) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """The actor by the batch's statistics, the critic by its running ones."""
    observations, data_actions = in_torch(batch)[:2]
    actor, critic = InTorch(agent.actor, training=True), InTorch(agent.critic)
    actions = in_box(actor.mlp(actor.networks[0], observations))
    values = critic.critic(observations, actions)[0]
    cloning = ((actions - data_actions) ** 2).mean()
    return CONFIG.bc_weight * cloning - CONFIG.q_weight * values.mean() / values.abs().mean().detach(), actor.leaves


def test_both_losses_have_the_gradients_of_their_joint_and_plain_passes():
    agent, batch = learner(), transitions()
    for (found, _, info), wanted, name in zip(
        gradients(agent, batch), (critic_loss, actor_loss), NETWORKS[::2], strict=True
    ):
        loss, parameters = wanted(agent, batch)
        np.testing.assert_allclose(info[f"{name}_loss"], loss.item(), rtol=1e-5)
        expected = torch.autograd.grad(loss, parameters)
        length = float(torch.sqrt(sum((part**2).sum() for part in expected)))  # type: ignore[arg-type]
        for one, other in zip(jax.tree.leaves(found), expected, strict=True):
            np.testing.assert_allclose(one, other.numpy(), atol=1e-5 * length)


def norms(network: Any) -> list[BatchNorm]:
    found = jax.tree.leaves(network, is_leaf=lambda node: isinstance(node, BatchNorm))
    return [node for node in found if isinstance(node, BatchNorm)]


def test_running_statistics_of_the_first_layer_follow_both_halves():
    agent, batch = learner(), transitions()
    (_, critic, _), (_, actor, _) = gradients(agent, batch)
    next_actions = agent.target_actions(batch.next_observations, KEY)
    seen = np.concatenate(
        [np.hstack([batch.observations, batch.actions]), np.hstack([batch.next_observations, next_actions])]
    )
    first = agent.critic.heads[0].linears[0]
    wanted = 0.99 * norms(agent.critic)[0].mean.value + 0.01 * (seen @ first.weight + first.bias).mean(axis=0)
    np.testing.assert_allclose(norms(critic)[0].mean.value, wanted, rtol=1e-4, atol=1e-6)
    first = agent.actor.network.linears[0]
    wanted = 0.99 * norms(agent.actor)[0].mean.value + 0.01 * (batch.observations @ first.weight + first.bias).mean(0)
    np.testing.assert_allclose(norms(actor)[0].mean.value, wanted, rtol=1e-4, atol=1e-6)


def test_a_critic_that_is_its_own_target_takes_one_pass():
    agent, batch = learner(), transitions()
    critic, next_actions = in_training(agent.critic), agent.target_actions(batch.next_observations, KEY)
    one = joint_values(critic, None, batch, next_actions)
    with noting() as notes:
        other = joint_values(critic, agent.critic, batch, next_actions)
    for values, same in zip(one, other, strict=True):
        np.testing.assert_allclose(values, same, rtol=1e-6)
    assert len(notes) == 2 * len(norms(critic))


def test_targets_follow_statistics_too():
    agent = learner()
    target = follow(agent.target_critic, agent.critic, jnp.asarray(0.3))
    for old, live, new in zip(*map(norms, (agent.target_critic, agent.critic, target)), strict=True):
        np.testing.assert_allclose(new.variance.value, 0.7 * old.variance.value + 0.3 * live.variance.value, rtol=1e-5)
