"""A monitor in TorchRL's trainer and in a loop: readings of `measure`, the same training, an end to divergence."""

# pyright: reportMissingImports=false, reportOptionalMemberAccess=false

import copy
import logging
import math
from typing import Any

import pytest

pytest.importorskip("torchrl")

import torch
from tensordict.nn import TensorDictModule
from torchrl import objectives
from torchrl.collectors import Collector
from torchrl.data import LazyTensorStorage, TensorDictReplayBuffer
from torchrl.envs import CatTensors, PendulumEnv, TransformedEnv, UnsqueezeTransform
from torchrl.modules import MLP, NormalParamExtractor, ProbabilisticActor, TanhNormal, ValueOperator
from torchrl.trainers import ReplayBufferTrainer, TargetNetUpdaterHook, Trainer
from torchrl.trainers.algorithms.td3 import TD3OptimizationStepper
from torchrl_losses import learner

import seemrl
from seemrl.files import read_json_lines
from seemrl.integrations import torchrl as integration
from seemrl.integrations.replay import drift


def numbers(reading):
    return reading.to_dict() | {"seconds": 0}


def hook_of(made, **options) -> integration.MonitorHook:
    return integration.MonitorHook(
        made.loss_module, made.data, optimizer=made.optimizer, target_updater=made.updater, time_share=None, **options
    )


@pytest.mark.parametrize("name", ["TD3BC", "SAC", "DQN"])
def test_readings_are_those_of_measure_and_a_loop_is_the_same_bit_for_bit(name):
    plain = learner(name, steps=30)
    made = learner(name)
    watch = hook_of(made, rows=16, every=10)
    for _ in range(30):
        made.update()
        watch()
    for key, value in plain.loss_module.state_dict().items():
        assert torch.equal(value, made.loss_module.state_dict()[key]), key
    assert [reading.step for reading in watch.monitor.history] == [10, 20, 30]
    parts = integration.parts(made.loss_module, optimizer=made.optimizer, target_updater=made.updater)
    by_hand = parts.measure(integration.batch(made.loss_module, made.data, rows=16), step=30)
    assert numbers(watch.monitor.history[-1]) == numbers(by_hand)


def test_a_log_goes_on_with_the_rows_it_began_with_whatever_the_data_are(tmp_path):
    made = learner("TD3BC")
    watch = hook_of(made, rows=16, every=10, directory=tmp_path / "log")
    for _ in range(10):
        made.update()
        watch()
    other = hook_of(made, rows=16, seed=1, every=10, directory=tmp_path / "log")
    other.load_state_dict(watch.state_dict())
    for _ in range(10):
        made.update()
        other()
    assert [reading.step for reading in other.monitor.history] == [10, 20]
    assert (other.monitor.batch.observations == watch.monitor.batch.observations).all()
    assert not any("replay_drift" in row for row in read_json_lines(tmp_path / "log/readings.jsonl"))  # data at rest


def diverging() -> Any:
    return learner("TD3", target_rate=1.0, loss_function="l2")


@pytest.mark.filterwarnings("ignore:Found an eps value")
def test_stop_ends_a_loop_that_diverges():
    made = diverging()
    watch = hook_of(made, rows=32, every=25, on_diverging="stop")
    with pytest.raises(seemrl.DivergingError) as alarm:
        for _ in range(1500):
            made.update()
            watch()
    assert watch.monitor.verdict in ("diverging", "diverged")
    assert watch.monitor.history[-1].step == alarm.value.forecast.step == watch.updates


@pytest.mark.filterwarnings("ignore:Found an eps value")
def test_a_rollback_returns_the_whole_loss_module(caplog):
    made, states = diverging(), dict[int, Any]()
    watch = hook_of(made, rows=32, every=25, on_diverging="rollback")
    rolled_back: list[str] = []
    with caplog.at_level(logging.WARNING, logger="seemrl"):
        while not rolled_back and watch.updates < 1500:
            made.update()
            before = {key: value.clone() for key, value in made.loss_module.state_dict().items()}
            watch()
            states[watch.updates] = before
            rolled_back = [record.message for record in caplog.records if "rolled back" in record.message]
    restored = int(rolled_back[0].split("state of step ")[1].split(";")[0])
    now = made.loss_module.state_dict()
    assert restored < watch.updates
    assert all(torch.equal(value, now[key]) for key, value in states[restored].items())
    for network in ("qvalue", "target_qvalue", "actor"):
        undone, kept = (
            [value for key, value in state.items() if key.startswith(f"{network}_network_params")]
            for state in (states[watch.updates], now)
        )
        assert kept and not any(torch.equal(*pair) for pair in zip(undone, kept, strict=True)), network


@pytest.mark.filterwarnings("ignore:Found an eps value")
def test_a_rollback_returns_the_optimizers_of_a_loop_that_has_two():
    made, states = diverging(), dict[int, Any]()
    of_critic = torch.optim.Adam(made.loss_module.qvalue_network_params.parameters(), lr=3e-3)
    of_actor = torch.optim.Adam(made.loss_module.actor_network_params.parameters(), lr=3e-3)
    made = made._replace(optimizer=of_critic)
    watch = hook_of(made, rows=32, every=25, on_diverging="rollback", other_optimizers=[of_actor])

    def state() -> Any:
        return copy.deepcopy([one.state_dict() for one in (made.loss_module, of_critic, of_actor)])

    while watch.updates < 1500 and not (watch.monitor and watch.monitor._rollbacks):
        made.losses(made.data.sample()).backward()
        for optimizer in (of_critic, of_actor):
            optimizer.step()
            optimizer.zero_grad()
        made.updater.step()
        states[watch.updates + 1] = state()
        watch()
    (rollback,) = watch.monitor._rollbacks
    assert 0 < rollback.restored_step < rollback.step
    for kept, now in zip(states[rollback.restored_step], state(), strict=True):
        torch.testing.assert_close(dict(now), dict(kept), rtol=0, atol=0)


def pendulum(kind: str = "SAC", **watching: Any) -> tuple[Any, Any, Any]:
    """It gathers and learns in a real `Trainer`; the trainer, its loss module, and the hook, if any is asked for."""
    torch.manual_seed(0)
    env = TransformedEnv(PendulumEnv(seed=0))
    env.append_transform(UnsqueezeTransform(dim=-1, in_keys=["th", "thdot"], in_keys_inv=["th", "thdot"]))
    env.append_transform(CatTensors(in_keys=["th", "thdot"], out_key="observation", dim=-1, del_keys=False))
    critic = ValueOperator(MLP(in_features=3, out_features=1, num_cells=[16, 16]), in_keys=["observation", "action"])
    actor = sampling() if kind == "SAC" else acting()
    if kind == "SAC":
        loss_module = objectives.SACLoss(actor, critic, target_entropy=-1, loss_function="l2")
        of_critic = torch.optim.Adam(loss_module.parameters(), lr=1e-3)
        stepping = {"optimizer": of_critic}
    else:
        loss_module = objectives.TD3Loss(actor, critic, bounds=(-2.0, 2.0), loss_function="l2")
        of_critic = torch.optim.Adam(loss_module.qvalue_network_params.parameters(), lr=1e-3)
        of_actor = torch.optim.Adam(loss_module.actor_network_params.parameters(), lr=1e-3)
        stepping = {"optimization_stepper": TD3OptimizationStepper(of_actor, of_critic)}
    updater = objectives.SoftUpdate(loss_module, tau=0.005)
    trainer = Trainer(
        collector=Collector(env, actor, frames_per_batch=20, total_frames=200, init_random_frames=40),
        total_frames=200,
        loss_module=loss_module,
        frame_skip=1,
        optim_steps_per_batch=5,
        progress_bar=False,
        seed=0,
        **stepping,
    )
    replay = TensorDictReplayBuffer(storage=LazyTensorStorage(200), batch_size=16)
    ReplayBufferTrainer(replay, flatten_tensordicts=True).register(trainer)
    trainer.register_op("post_optim", TargetNetUpdaterHook(updater))
    watch = None
    if watching:
        usual: dict[str, Any] = {"rows": 16, "every": 10, "time_share": None}
        watch = integration.MonitorHook(
            loss_module, replay, optimizer=of_critic, target_updater=updater, **(usual | watching)
        )
        watch.register(trainer)
    trainer.train()
    return trainer, loss_module, watch


def sampling() -> Any:
    moments = torch.nn.Sequential(MLP(in_features=2, out_features=2, num_cells=[16]), NormalParamExtractor())
    return ProbabilisticActor(
        TensorDictModule(moments, in_keys=["observation"], out_keys=["loc", "scale"]),
        in_keys=["loc", "scale"],
        out_keys=["action"],
        distribution_class=TanhNormal,
        distribution_kwargs={"low": -2.0, "high": 2.0},
        return_log_prob=True,
    )


def acting() -> Any:
    network = torch.nn.Sequential(MLP(in_features=2, out_features=1, num_cells=[16]), torch.nn.Tanh())
    return TensorDictModule(network, in_keys=["observation"], out_keys=["action"])


def test_a_trainer_with_the_hook_trains_the_same_bit_for_bit(tmp_path):
    _, plain, _ = pendulum()
    trainer, watched, watch = pendulum(directory=tmp_path / "log", extra_numbers=lambda: {"mine": 1.0})
    assert all(torch.equal(value, watched.state_dict()[key]) for key, value in plain.state_dict().items())
    history = watch.monitor.history
    assert [reading.step for reading in history] == list(range(10, watch.updates + 1, 10)) and len(history) >= 4
    assert all(reading.finite and reading.rate is not None for reading in history)
    assert watch.updates == trainer._optim_count
    other = integration.MonitorHook(watched, None, optimizer=None)
    other.load_state_dict(trainer._modules["seemrl"].state_dict())  # as its checkpoints do
    assert other.updates == watch.updates
    watch.monitor.read(watch.updates + 1)
    rows = read_json_lines(tmp_path / "log/readings.jsonl")
    assert all(0 < row["replay_drift"] < math.inf and row["mine"] == 1.0 for row in rows)
    last = integration.batch(watched, watch._data, 1000)
    assert rows[-1]["replay_drift"] == drift(watch.monitor.batch, last)


def test_a_rollback_returns_every_optimizer_of_a_trainer():
    trainer, loss_module, watch = pendulum("TD3", on_diverging="rollback")
    stepper, snapshots = trainer.optimization_stepper, watch.monitor._snapshots
    trained = (loss_module, stepper.optimizer_actor, stepper.optimizer_critic)

    def state() -> list[Any]:
        return copy.deepcopy([dict(one.state_dict()) for one in trained])

    before = state()
    snapshots.take(10**6)
    for _ in range(4):
        stepper.step(trainer, watch._data.sample())
    moved = state()
    for then, now in zip(before, moved, strict=True):
        with pytest.raises(AssertionError):
            torch.testing.assert_close(now, then, rtol=0, atol=0)
    assert snapshots.restore(print) == 10**6
    for then, now in zip(before, state(), strict=True):
        torch.testing.assert_close(now, then, rtol=0, atol=0)
