"""Stable-Baselines3's models, taken apart: one real update moves the critic as the loss of the parts says."""

# pyright: reportMissingImports=false, reportArgumentType=false

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("stable_baselines3")

import stable_baselines3
import torch
from in_place import check_in_place
from stable_baselines3.common.type_aliases import ReplayBufferSamples
from stable_baselines3.common.vec_env import VecNormalize
from stable_baselines3_models import NAMES, collected, environment, trained
from td import gradients, td_loss

import seemrl
from seemrl.integrations import stable_baselines3 as integration
from seemrl.integrations import stable_baselines3_policies as policies


@pytest.mark.parametrize("name", NAMES)
def test_one_real_update_moves_the_critic_as_the_loss_of_the_parts_says(name):
    model = collected(name)
    parts, batch = integration.parts(model), integration.batch(model, rows=64)
    columns = [
        torch.as_tensor(np.asarray(column, np.float32)).reshape(len(batch), -1)
        for column in (batch.observations, batch.actions, batch.next_observations, batch.terminals, batch.rewards)
    ]
    bonus = 0.0
    torch.manual_seed(0)
    if name == "SAC":
        model.actor.action_log_prob(columns[0])  # as train does first
        stands = torch.random.get_rng_state()
        bonus = -0.1 * model.actor.action_log_prob(columns[2])[1].detach()
        torch.random.set_rng_state(stands)
    chosen = parts
    if parts.policy == "greedy":
        best = parts.target_critic(columns[2])[0].argmax(dim=1)
        chosen = replace(parts, policy=lambda _: best)
    parts.optimizer.zero_grad()
    td_loss(chosen, batch, bonus).backward()
    wanted = gradients(parts.critic)
    before = [value.detach().clone() for value in parts.critic.parameters()]

    columns[1] = columns[1].long() if name == "DQN" else columns[1]
    model.replay_buffer.sample = lambda *_, **__: ReplayBufferSamples(*columns)
    torch.manual_seed(0)
    model.train(gradient_steps=1, batch_size=64)
    moved = [old - new.detach() for old, new in zip(before, parts.critic.parameters(), strict=True)]
    torch.testing.assert_close(moved, wanted, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_a_reading_is_that_of_measure_and_touches_nothing(name):
    model = trained(name)
    states = torch.random.get_rng_state(), np.random.get_state(legacy=True)[1].copy()
    parts, batch = integration.parts(model), integration.batch(model, rows=16)
    reading = parts.measure(batch, step=7)
    assert (
        torch.equal(states[0], torch.random.get_rng_state())
        and (states[1] == np.random.get_state(legacy=True)[1]).all()
    )
    torch.manual_seed(0)
    by_hand = seemrl.measure(
        parts.critic,
        batch,
        parts.policy,
        discount=0.99,
        optimizer=model.policy.optimizer if name == "DQN" else model.critic.optimizer,
        target_critic=parts.target_critic,
        target_rate=1.0 if name == "DQN" else 0.005,
        target_period={"SAC": 1, "TD3": 2, "DQN": 1250}[name],  # 10,000 steps, 2 at a time, an update after every 4th
        loss_scale=2.0 if name == "TD3" else 1.0,
        step=7,
    )
    same = {key: value for key, value in by_hand.to_dict().items() if key != "seconds"}
    assert {key: value for key, value in reading.to_dict().items() if key != "seconds"} == same
    assert reading.finite and reading.rate is not None


def test_a_batch_is_what_the_updates_see():
    env = VecNormalize(environment("SAC"), norm_reward=True)
    model = collected("SAC", env=env)
    batch = integration.batch(model, rows=50)
    buffer = model.replay_buffer
    held = env.normalize_obs(buffer.observations[: buffer.size()].reshape(-1, 3))
    assert all(np.isclose(held, row, atol=1e-5).all(axis=1).any() for row in batch.observations)
    assert np.array_equal(batch.observations, integration.batch(model, rows=50).observations)
    assert not np.array_equal(batch.observations, integration.batch(model, rows=50, seed=1).observations)


@pytest.mark.parametrize("name", NAMES)
def test_normalisers_in_place_leave_a_model_that_trains(name):
    model = trained(name)
    integration.stabilize(model)
    critic = integration.parts(model).critic
    norms = [value for key, value in critic.named_parameters() if "normaliser" in key]
    before = [value.detach().clone() for value in norms]
    model.learn(60, reset_num_timesteps=False)
    assert norms and not any(torch.equal(*pair) for pair in zip(before, norms, strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_normalisers_in_place_come_out_again(name):
    model = trained(name)
    parts, batch = integration.parts(model), integration.batch(model, rows=16)
    inputs = [torch.as_tensor(batch.observations, dtype=torch.float32)]
    inputs += [] if batch.discrete else [torch.as_tensor(batch.actions, dtype=torch.float32)]

    def values():
        answer = model.q_net(*inputs) if name == "DQN" else torch.stack(model.critic(*inputs))
        return answer.detach().clone()

    networks, targets = list(parts.critic.networks), list(parts.target_critic.networks)
    check_in_place(
        networks,
        [parts.optimizer] * len(networks),
        targets,
        values,
        lambda: model.learn(60, reset_num_timesteps=False),
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_policy_with_layer_norm_saves_and_loads(name, tmp_path):
    model = trained(name, getattr(policies, f"LayerNorm{name}Policy"))
    parts = integration.parts(model)
    assert sum("normaliser.weight" in key for key in parts.critic.state_dict()) == 2 * len(parts.critic.networks)
    model.save(tmp_path / "model.zip")
    loaded = integration.parts(type(model).load(tmp_path / "model.zip"))
    for one, other in zip(parts.critic.parameters(), loaded.critic.parameters(), strict=True):
        assert torch.equal(one, other)
    batch = integration.batch(model, rows=16)
    inputs = [torch.as_tensor(batch.observations, dtype=torch.float32)]
    inputs += [] if batch.discrete else [torch.as_tensor(batch.actions, dtype=torch.float32)]
    assert all(torch.equal(*pair) for pair in zip(parts.critic(*inputs), loaded.critic(*inputs), strict=True))


def test_what_has_another_target_is_refused_in_one_line():
    with pytest.raises(seemrl.InputError, match=r"PPO is not supported; SAC, TD3 and DQN .* by hand"):
        integration.parts(stable_baselines3.PPO("MlpPolicy", "CartPole-v1", n_steps=8, batch_size=8))
    with pytest.raises(seemrl.InputError, match="n_steps=3 is not supported"):
        integration.parts(stable_baselines3.TD3("MlpPolicy", "Pendulum-v1", n_steps=3))
    with pytest.raises(seemrl.InputError, match="the replay buffer is empty"):
        integration.batch(stable_baselines3.TD3("MlpPolicy", "Pendulum-v1"))
