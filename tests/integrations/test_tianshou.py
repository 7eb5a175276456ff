"""Tianshou's algorithms, taken apart: one real update moves the critic as the loss of the parts says."""

# pyright: reportMissingImports=false, reportOptionalMemberAccess=false

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tianshou")

import gymnasium
import torch
from in_place import check_in_place
from td import gradients, td_loss
from tianshou import algorithm as algorithms
from tianshou.algorithm.modelfree.qrdqn import QRDQNPolicy
from tianshou.data import Collector, ReplayBuffer, VectorReplayBuffer
from tianshou.env import DummyVectorEnv
from tianshou.trainer import OfflineTrainerParams, OffPolicyTrainerParams
from tianshou.utils.net.common import Net
from tianshou.utils.torch_utils import policy_within_training_step
from tianshou_algorithms import NAMES, adam, buffer, made, sgd, trained, update

import seemrl
from seemrl.files import read_json_lines
from seemrl.integrations import tianshou as integration
from seemrl.integrations.replay import drift

CQL_PLAIN = {"cql_weight": 0.0, "with_lagrange": False, "calibrated": False, "max_grad_norm": 1e9}
SETTINGS = [
    ("DDPG", {}),
    ("TD3", {}),
    ("TD3", {"noise_clip": 0.0}),
    ("TD3BC", {}),
    ("SAC", {"alpha": 0.1}),
    ("CQL", {"alpha": 0.1, **CQL_PLAIN}),
    ("DQN", {}),
    ("DQN", {"is_double": False}),
    ("DQN", {"huber_loss_delta": 1.0}),
    ("DQN", {"target_update_freq": 0}),
]


def entropy_bonus(name, algorithm, observations, following):
    """-alpha log pi of the very sample that the target takes next, and the random state from which it is taken."""
    torch.manual_seed(0)
    if name == "CQL":
        algorithm._policy_pred(observations)  # its actor is updated first
    stands = torch.random.get_rng_state()
    sample = algorithm.policy(algorithms.algorithm_base.Batch(obs=following, info=[None] * len(following)))
    torch.random.set_rng_state(stands)
    return -0.1 * sample.log_prob.detach()[:, 0]


@pytest.mark.parametrize("name, settings", SETTINGS)
def test_one_real_update_moves_the_critic_as_the_loss_of_the_parts_says(name, settings):
    algorithm, held = made(name, critic_optim=lambda: sgd(1.0), policy_optim=lambda: sgd(0.0), **settings), buffer(name)
    with torch.no_grad():  # a target of its own
        for network in (algorithm.model_old,) if name == "DQN" else (algorithm.critic_old, algorithm.policy):
            for value in network.parameters() if network is not None else ():
                value.mul_(0.7)
    parts, batch = integration.parts(algorithm), integration.batch(algorithm, held, rows=64)
    chosen = np.random.default_rng(0).choice(held.sample_indices(0), 64, replace=False)
    observations, following = (
        torch.as_tensor(column, dtype=torch.float32) for column in (batch.observations, batch.next_observations)
    )
    with policy_within_training_step(algorithm.policy):
        bonus: Any = 0.0
        torch.manual_seed(0)
        if name in ("SAC", "CQL"):
            bonus = entropy_bonus(name, algorithm, observations, following)
            assert float(bonus.abs().min()) > 0
        if parts.policy == "greedy":
            best = parts.target_critic(following)[0].argmax(dim=1)
            parts = replace(parts, policy=lambda _: best)
        parts.critic.zero_grad()
        td_loss(parts, batch, bonus).backward()
        wanted = gradients(parts.critic)
        before = [value.detach().clone() for value in parts.critic.parameters()]

        held.sample = lambda _: (held[chosen], chosen)
        if name == "DQN":
            algorithm._iter = 1  # its target is not due
        torch.manual_seed(0)
        algorithm.update(buffer=held, sample_size=64)
    moved = [old - new.detach() for old, new in zip(before, parts.critic.parameters(), strict=True)]
    torch.testing.assert_close(moved, wanted, rtol=1e-4, atol=1e-6)
    assert ("Huber loss beyond TD errors of 1," in parts.left_out) == ("huber_loss_delta" in settings)


@pytest.mark.parametrize("name", NAMES)
def test_a_reading_is_that_of_measure_and_touches_nothing(name):
    algorithm, held = trained(name)

    def states() -> list[list[int]]:
        own: Any = held._random_state.get_state()
        numpy: Any = np.random.get_state(legacy=True)
        return [torch.random.get_rng_state().tolist(), numpy[1].tolist(), own[1].tolist()]

    before, weights = states(), {key: value.clone() for key, value in algorithm.named_parameters()}
    parts, batch = integration.parts(algorithm), integration.batch(algorithm, held, rows=16)
    reading = parts.measure(batch, step=20)
    assert before == states()
    assert all(torch.equal(value, weights[key]) for key, value in algorithm.named_parameters())
    torch.manual_seed(0)
    if name == "DQN":
        optimizer: Any = algorithm.optim._optim
    else:
        wrapped = [algorithm.critic_optim] if name == "DDPG" else [algorithm.critic_optim, algorithm.critic2_optim]
        optimizer = [one._optim for one in wrapped]
    by_hand = seemrl.measure(
        parts.critic,
        batch,
        parts.policy,
        discount=0.99,
        optimizer=optimizer,
        target_critic=parts.target_critic,
        target_rate=1.0 if name == "DQN" else 0.05,
        target_period={"TD3": 2, "TD3BC": 2, "DQN": 7}.get(name, 1),
        step=20,
    )
    same = {key: value for key, value in by_hand.to_dict().items() if key != "seconds"}
    assert {key: value for key, value in reading.to_dict().items() if key != "seconds"} == same
    assert reading.finite and reading.rate is not None and reading.by_sample == ()


def test_a_batch_is_what_the_updates_see():
    algorithm, held = made("TD3"), buffer("TD3")
    first, again, other = (integration.batch(algorithm, held, rows=32, seed=seed) for seed in (0, 0, 1))
    assert np.array_equal(first.observations, again.observations)
    assert not np.array_equal(first.observations, other.observations)
    everything = integration.batch(algorithm, held, rows=10**6)
    conservative = integration.batch(made("CQL"), held, rows=10**6)
    assert len(everything) == len(held)
    assert everything.terminals.sum() == held.terminated.sum() < held.done.sum() == conservative.terminals.sum()
    assert integration.batch(made("DQN"), buffer("DQN"), rows=20).discrete


def test_what_has_another_target_is_refused_in_one_line():
    def refused(said, algorithm):
        with pytest.raises(seemrl.InputError, match=said) as refusal:
            integration.parts(algorithm)
        assert "by hand" in str(refusal.value) and "\n" not in str(refusal.value)

    quantiles = Net(state_shape=(4,), action_shape=(2,), hidden_sizes=(8,), num_atoms=5)
    policy = QRDQNPolicy(model=quantiles, action_space=gymnasium.spaces.Discrete(2))
    refused(
        "DiscreteCQL is not supported; TD3, TD3BC, DDPG, SAC, CQL and DQN",
        algorithms.DiscreteCQL(policy=policy, optim=adam(), num_quantiles=5),
    )
    refused("n_step_return_horizon=3", made("TD3", n_step_return_horizon=3))
    refused("n_step_return_horizon=3", made("DQN", n_step_return_horizon=3))
    with pytest.raises(seemrl.InputError, match="the buffer is empty"):
        integration.batch(made("TD3"), ReplayBuffer(size=5))


@pytest.mark.parametrize("name", ["TD3BC", "CQL", "DQN"])
def test_normalisers_in_place_are_the_algorithms_own_and_come_out_again(name):
    algorithm, held = trained(name, times=3)
    parts, batch = integration.parts(algorithm), integration.batch(algorithm, held, rows=16)
    inputs = [torch.as_tensor(batch.observations, dtype=torch.float32)]
    inputs += [] if batch.discrete else [torch.as_tensor(batch.actions, dtype=torch.float32)]

    def values():
        answer = algorithm.policy.model(*inputs)[0] if name == "DQN" else algorithm.critic(*inputs)
        return answer.detach().clone()

    optimizers = parts.optimizer if isinstance(parts.optimizer, list) else [parts.optimizer]
    check_in_place(
        parts.critic.networks, optimizers, parts.target_critic.networks, values, lambda: update(algorithm, held, 4)
    )
    assert integration.parts(algorithm).measure(batch).finite


# ------------------------------------------------------------------------------------------------------ the callback


def numbers(reading):
    return reading.to_dict() | {"seconds": 0}


def offline(name, watched, **options):
    """An algorithm, trained by Tianshou's offline trainer, and its callback."""
    algorithm, held = made(name, **options.pop("settings", {})), buffer(name)
    torch.manual_seed(0)
    np.random.seed(0)
    params = OfflineTrainerParams(
        buffer=held,
        max_epochs=1,
        epoch_num_steps=options.pop("steps", 30),
        batch_size=32,
        verbose=False,
        show_progress=False,
    )
    if not watched:
        algorithm.run_training(params)
        return algorithm, held, None
    with integration.MonitorCallback(algorithm, held, time_share=None, **options) as watch:
        algorithm.run_training(params)
    return algorithm, held, watch


@pytest.mark.parametrize("name", ["TD3BC", "CQL"])
def test_an_offline_training_with_the_callback_is_the_same_bit_for_bit(name):
    plain, _, _ = offline(name, watched=False)
    algorithm, held, watch = offline(name, watched=True, rows=16, every=10)
    assert "update" not in vars(algorithm)
    assert all(torch.equal(*pair) for pair in zip(plain.parameters(), algorithm.parameters(), strict=True))
    assert [reading.step for reading in watch.monitor.history] == [10, 20, 30]
    by_hand = integration.parts(algorithm).measure(integration.batch(algorithm, held, rows=16), step=30)
    assert numbers(watch.monitor.history[-1]) == numbers(by_hand)


def test_data_at_rest_have_no_drift(tmp_path):
    _, held, watch = offline("TD3BC", watched=True, rows=16, every=10, directory=tmp_path / "log")
    rows = read_json_lines(tmp_path / "log/readings.jsonl")
    assert len(rows) == 3 and not any("replay_drift" in row for row in rows)
    held.add(held[0])
    watch.monitor.read(31)
    assert read_json_lines(tmp_path / "log/readings.jsonl")[-1]["replay_drift"] > 0


def online(watched, **options):
    """SAC gathers and learns on Pendulum in Tianshou's off-policy trainer."""
    algorithm = made("SAC", observation=3, actions=1)
    torch.manual_seed(0)
    np.random.seed(0)
    envs = DummyVectorEnv([lambda: gymnasium.make("Pendulum-v1") for _ in range(2)])
    envs.seed(0)
    held = VectorReplayBuffer(400, 2)
    collector = Collector(algorithm, envs, held, exploration_noise=True)
    collector.reset()
    collector.collect(n_step=40, random=False)
    params = OffPolicyTrainerParams(
        training_collector=collector,
        max_epochs=1,
        epoch_num_steps=100,
        collection_step_num_env_steps=10,
        batch_size=16,
        update_step_num_gradient_steps_per_sample=0.5,
        verbose=False,
        show_progress=False,
    )
    watch = integration.MonitorCallback(algorithm, held, rows=16, every=10, time_share=None, **options)
    if watched:
        with watch:
            algorithm.run_training(params)
    else:
        algorithm.run_training(params)
    return algorithm, watch


def test_an_online_training_with_the_callback_is_the_same_bit_for_bit_and_its_drift_is_logged(tmp_path):
    plain, _ = online(watched=False)
    algorithm, watch = online(watched=True, directory=tmp_path / "log")
    assert all(torch.equal(*pair) for pair in zip(plain.parameters(), algorithm.parameters(), strict=True))
    assert [reading.step for reading in watch.monitor.history] == list(range(10, watch.updates + 1, 10))
    assert watch.updates == 50
    rows = read_json_lines(tmp_path / "log/readings.jsonl")
    assert all(0 < row["replay_drift"] < math.inf for row in rows)
    last = integration.batch(algorithm, watch._buffer, 1000)  # nothing was gathered after the last reading
    assert rows[-1]["replay_drift"] == drift(watch.monitor.batch, last)


DIVERGING: dict[str, Any] = {"tau": 1.0, "update_actor_freq": 1, "alpha": 1e6}


def test_stop_ends_a_training_that_diverges():
    with pytest.raises(seemrl.DivergingError) as alarm:
        offline("TD3BC", watched=True, rows=32, every=25, on_diverging="stop", settings=DIVERGING, steps=1500)
    assert alarm.value.forecast.verdict in ("diverging", "diverged")


def test_a_rollback_returns_the_algorithm_and_its_optimizers(caplog):
    algorithm, held = made("TD3BC", **DIVERGING), buffer("TD3BC")
    watch = integration.MonitorCallback(algorithm, held, rows=32, every=25, time_share=None, on_diverging="rollback")
    states: dict[int, Any] = {}

    def keep():
        state = algorithm.state_dict()
        moments = [value["exp_avg"].clone() for value in algorithm.critic2_optim._optim.state.values()]
        states[watch.updates + 1] = (
            {key: value.clone() for key, value in state.items() if key != "_optimizers"},
            moments,
        )
        watch()

    while watch.updates < 1500 and "rolled back" not in caplog.text:
        update(algorithm, held, after=keep)
    restored = int(caplog.text.split("rolled back to the state of step ")[1].split(";")[0])
    now, (weights, moments) = algorithm.state_dict(), states[restored]
    assert 0 < restored < watch.updates
    assert all(torch.equal(value, now[key]) for key, value in weights.items())
    kept = [value["exp_avg"] for value in algorithm.critic2_optim._optim.state.values()]
    assert all(torch.equal(*pair) for pair in zip(moments, kept, strict=True))


def test_a_second_callback_is_refused():
    algorithm, held = made("TD3"), buffer("TD3")
    with (
        integration.MonitorCallback(algorithm, held),
        pytest.raises(seemrl.InputError, match="already listened to"),
        integration.MonitorCallback(algorithm, held),
    ):
        pass
    assert "update" not in vars(algorithm)
