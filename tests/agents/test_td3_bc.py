from typing import Any

import equinox as eqx
import jax
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
    one_transition,
    same,
    tensor,
    trained,
    transitions,
    with_a_policy,
)

from cases import ACTION
from oracles import InTorch
from seemrl.agents.config import TD3BCConfig
from seemrl.agents.td3_bc import TD3BC

CONFIG: dict[str, Any] = {"hidden_sizes": (16,), "discount": 0.97}
TARGETS = ("target_critic", "target_actor")


def learner(seed: int = 0, **changes: Any) -> TD3BC:
    return fresh(TD3BCConfig(**{**CONFIG, **changes}), seed)


# ------------------------------------------------------------------------------------------------ losses


class PlainTD3:
    """TD3+BC written as in its paper, in PyTorch and float64; it begins where a learner stands."""

    def __init__(self, agent: TD3BC, config: TD3BCConfig) -> None:
        self.config = config
        self.critic, self.target_critic = InTorch(agent.critic), InTorch(agent.target_critic)
        self.actor, self.target_actor = InTorch(agent.actor), InTorch(agent.target_actor)

    def act(self, actor: InTorch, observations: torch.Tensor) -> torch.Tensor:
        return in_box(actor.mlp(actor.networks[0], observations))

    def critic_loss(self, batch: list[torch.Tensor], noise: torch.Tensor) -> torch.Tensor:
        observations, actions, rewards, next_observations, terminals = batch
        with torch.no_grad():
            smoothing = (noise * self.config.policy_noise).clamp(-self.config.noise_clip, self.config.noise_clip)
            next_actions = self.act(self.target_actor, next_observations) + smoothing * (tensor(HIGH) - tensor(LOW)) / 2
            next_values = self.target_critic.critic(next_observations, clipped(next_actions)).min(dim=0).values
            targets = rewards + self.config.discount * (1 - terminals) * next_values
        first, second = self.critic.critic(observations, actions)
        return torch.nn.functional.mse_loss(first, targets) + torch.nn.functional.mse_loss(second, targets)

    def actor_loss(self, batch: list[torch.Tensor]) -> torch.Tensor:
        observations, data_actions = batch[:2]
        actions = self.act(self.actor, observations)
        values = self.critic.critic(observations, actions)[0]
        weight = self.config.q_weight / values.abs().mean().detach()
        cloning = torch.nn.functional.mse_loss(actions, data_actions)
        return self.config.bc_weight * cloning - weight * values.mean()


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"policy_noise": 1.0, "noise_clip": 0.3},
        {"policy_noise": 0.0, "discount": 1.0},
        {"hidden_sizes": (8, 8), "critic_norm": "layer"},
        {"hidden_sizes": (8, 8), "critic_norm": "layer", "critic_norm_placement": "post", "critic_norm_layers": (1,)},
    ],
)
def test_the_critic_loss_is_that_of_the_paper(changes):
    agent, plain = apart(learner(**changes), *TARGETS), TD3BCConfig(**{**CONFIG, **changes})
    batch = transitions()
    found = gradient(agent, "critic", batch, KEY)
    noise = tensor(jax.random.normal(KEY, (ROWS, ACTION)))
    reference = PlainTD3(agent, plain)
    assert_same_loss(found, reference.critic_loss(in_torch(batch), noise), reference.critic.leaves)


@pytest.mark.parametrize("changes", [{}, {"bc_weight": 0.0}, {"bc_weight": 7.0, "q_weight": 0.3}])
def test_the_actor_loss_is_that_of_the_paper(changes):
    agent, plain = apart(learner(**changes), *TARGETS), TD3BCConfig(**{**CONFIG, **changes})
    batch = transitions()
    found = gradient(agent, "actor", batch)
    reference = PlainTD3(agent, plain)
    assert_same_loss(found, reference.actor_loss(in_torch(batch)), reference.actor.leaves)
    if plain.bc_weight == 0:
        elsewhere = batch._replace(actions=-batch.actions)
        assert same(found[1], gradient(agent, "actor", elsewhere)[1])


def test_smoothing_stays_within_its_clip_and_the_box():
    agent = apart(learner(policy_noise=5.0, noise_clip=0.25), *TARGETS)
    observations = transitions().next_observations
    clean, noisy = agent.target_actor(observations), agent.target_actions(observations, KEY)
    half_width = (np.array(HIGH) - LOW) / 2
    assert np.all(np.abs(noisy - clean) <= 0.25 * half_width + 1e-6)
    assert np.all(noisy >= np.asarray(LOW, np.float32)) and np.all(noisy <= np.asarray(HIGH, np.float32))
    inside = np.all((clean > LOW + 0.3 * half_width) & (clean < HIGH - 0.3 * half_width), axis=1)
    assert np.abs(noisy - clean)[inside].max() == pytest.approx(0.25 * half_width.max(), rel=1e-4)
    assert not np.array_equal(noisy, agent.target_actions(observations, jax.random.key(12)))


# ------------------------------------------------------------------------------------------------ training


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("target_rate", [0.1, 1.0])
def test_training_is_that_of_the_paper(optimizer, target_rate):
    changes: dict[str, Any] = {
        "optimizer": optimizer,
        "target_rate": target_rate,
        "policy_noise": 0.0,
        "critic_learning_rate": 3e-3,
        "actor_learning_rate": 3e-3,
    }
    agent, data = learner(**changes), one_transition()
    plain = PlainTD3(agent, TD3BCConfig(**{**CONFIG, **changes}))
    critic_optimizer, actor_optimizer = (OPTIMIZERS[optimizer](net.leaves) for net in (plain.critic, plain.actor))
    noise = torch.zeros((ROWS, ACTION), dtype=torch.float64)
    for update in range(1, 7):
        descend(critic_optimizer, plain.critic_loss(in_torch(data), noise))
        if update % 2:
            continue
        descend(actor_optimizer, plain.actor_loss(in_torch(data)))
        follow(plain.target_critic, plain.critic, target_rate)
        follow(plain.target_actor, plain.actor, target_rate)
    agent, _ = trained(agent, 6, data)
    assert_same_networks(agent, plain, "critic", "actor", *TARGETS)


def test_training_in_two_parts_is_training_in_one():
    whole, info = trained(learner(), 40)
    half, first = trained(learner(), 20)
    parts, second = trained(half, 20)
    assert same(whole, parts)
    for name, value in info.items():
        assert value == pytest.approx((first[name] + second[name]) / 2, rel=1e-5)
    assert int(whole.step) == 40


def test_the_seed_decides_everything():
    assert same(trained(learner(seed=3), 10)[0], trained(learner(seed=3), 10)[0])
    assert not same(learner(seed=3).critic, learner(seed=4).critic)
    one, other = learner(seed=3), learner(seed=4)
    with_other_key = eqx.tree_at(lambda agent: agent.key, one, other.key)
    assert not same(trained(one, 10)[0].critic, trained(with_other_key, 10)[0].critic)


def test_targets_that_follow_at_once_are_copies():
    agent, _ = trained(apart(learner(target_rate=1.0), *TARGETS), 10)
    assert same(agent.target_critic, agent.critic)
    assert same(agent.target_actor, agent.actor)


def test_targets_move_by_the_target_rate():
    before = apart(learner(target_rate=0.3), *TARGETS)
    after, _ = trained(before, before.policy_frequency)
    for name in ("critic", "actor"):
        old, live, new = (
            jax.tree.leaves(tree)
            for tree in (getattr(before, f"target_{name}"), getattr(after, name), getattr(after, f"target_{name}"))
        )
        for triple in zip(old, live, new, strict=True):
            old_leaf, live_leaf, new_leaf = map(np.asarray, triple)
            np.testing.assert_allclose(new_leaf, 0.7 * old_leaf + 0.3 * live_leaf, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("policy_frequency", [2, 3])
def test_actor_and_targets_wait_for_the_policy_frequency(policy_frequency):
    agent, _ = trained(learner(policy_frequency=policy_frequency), 6)
    assert int(agent.step) == 6
    assert int(adam_count(agent.critic_optimizer_state)) == 6
    assert int(adam_count(agent.actor_optimizer_state)) == 6 // policy_frequency


def adam_count(state: Any) -> Any:
    return state.inner_state[0].count


@pytest.mark.parametrize("updates", [0, -2, 5])
def test_a_number_of_updates_that_is_no_whole_cycle_is_refused(updates):
    with pytest.raises(ValueError, match="not a positive multiple of 2, the updates of a cycle"):
        trained(learner(), updates)


def test_cloning_alone_imitates_the_data():
    data = with_a_policy()
    agent, first = trained(learner(q_weight=0.0, actor_learning_rate=1e-2), 20, data)
    agent, last = trained(agent, 400, data)
    assert last["bc_mse"] < 0.1 * first["bc_mse"]
    assert last["actor_loss"] == pytest.approx(last["bc_mse"], rel=1e-5)


def test_metrics_have_names_and_are_finite():
    _, info = trained(learner(), 10)
    assert info.keys() == {"critic_loss", "q_mean", "target_mean", "actor_loss", "bc_mse", "policy_q_mean"}
    assert all(np.isfinite(value) for value in info.values())
