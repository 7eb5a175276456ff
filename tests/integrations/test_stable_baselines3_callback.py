"""A monitor as Stable-Baselines3's callback: the readings of `measure`, the same training, and what an alarm does."""

# pyright: reportMissingImports=false, reportOptionalMemberAccess=false, reportUntypedBaseClass=false
# pyright: reportArgumentType=false

import copy
import math

import pytest

pytest.importorskip("stable_baselines3")

import numpy as np
import stable_baselines3
import torch
from stable_baselines3.common.callbacks import BaseCallback, CallbackList, EveryNTimesteps
from stable_baselines3.common.logger import configure
from stable_baselines3_models import NAMES, environment, model

import seemrl
from seemrl.files import read_json_lines
from seemrl.integrations import stable_baselines3 as integration

EAGER = {"rows": 16, "replay": 60, "every": 5, "time_share": None}


def numbers(reading):
    return reading.to_dict() | {"seconds": 0}


def tensors(of):
    return [*of.policy.state_dict().values()]


@pytest.mark.parametrize("name", NAMES)
def test_readings_are_those_of_measure_and_training_is_the_same_bit_for_bit(name):
    watch = integration.MonitorCallback(**EAGER)
    states = []
    for callback in (None, watch):
        torch.manual_seed(0)
        made = model(name).learn(160, callback=callback)
        states.append((tensors(made), torch.get_rng_state(), np.random.get_state()[1]))
    (plain, *undisturbed), (watched, *generators) = states
    assert all(torch.equal(*pair) for pair in zip(plain, watched, strict=True))
    assert torch.equal(undisturbed[0], generators[0]) and (undisturbed[1] == generators[1]).all()

    last = made._n_updates
    assert [reading.step for reading in watch.monitor.history][-1] == last and len(watch.monitor.history) > 1
    by_hand = integration.parts(made).measure(watch.monitor.batch, step=last)
    assert numbers(watch.monitor.history[-1]) == numbers(by_hand)
    made.learn(80, callback=watch, reset_num_timesteps=False)
    assert watch.monitor.history[-1].step == made._n_updates > last
    with pytest.raises(seemrl.InputError, match="watches another model"):
        model(name).learn(4, callback=watch)


def test_rows_are_fixed_drift_is_logged_and_a_later_process_continues_both(tmp_path):
    watch = integration.MonitorCallback(directory=tmp_path / "log", **EAGER)
    made = model("SAC")
    made.set_logger(configure(str(tmp_path / "model"), ["csv"]))
    made.learn(160, callback=CallbackList([watch]), log_interval=1)
    rows = read_json_lines(tmp_path / "log" / "readings.jsonl")
    assert len(rows) == len(watch.monitor.history)
    assert all(0 < row["replay_drift"] < math.inf for row in rows)
    made.logger.dump(0)
    written = (tmp_path / "model" / "progress.csv").read_text()
    assert "critic/replay_drift" in written and "critic/normalized" in written

    made.save(tmp_path / "model.zip")
    loaded = stable_baselines3.SAC.load(tmp_path / "model.zip", env=environment("SAC"))
    again = integration.MonitorCallback(directory=tmp_path / "log", **EAGER)
    loaded.learn(160, callback=EveryNTimesteps(10, again))
    before, after = (watching.monitor.history for watching in (watch, again))
    assert np.array_equal(watch.monitor.batch.observations, again.monitor.batch.observations)
    assert list(map(numbers, after[: len(before)])) == list(map(numbers, before)) and len(after) > len(before)


def test_a_replay_that_is_full_suffices():
    watch, begun = integration.MonitorCallback(**(EAGER | {"replay": 10**6, "every": 20})), []

    def seen(made):
        begun.extend([made.num_timesteps] if watch.monitor and not begun else [])
        return True

    model("TD3").learn(430, callback=[watch, Then(seen)])
    assert begun == [402]  # of a replay of 400, the step before is stored after its callbacks
    assert len(watch.monitor.batch) == 16


RUNAWAY = {"tau": 1.0, "learning_rate": 3e-3, "gradient_steps": 20, "train_freq": 2}


def test_stop_ends_the_learning_with_the_forecast():
    watch = integration.MonitorCallback(**(EAGER | {"rows": 32, "every": 20}), on_diverging="stop")
    with pytest.raises(seemrl.DivergingError, match="the critic is diverg") as alarm:
        model("TD3", **RUNAWAY).learn(600, callback=watch)
    assert watch.monitor.verdict in ("diverging", "diverged")
    assert watch.monitor.history[-1].step == alarm.value.forecast.step


class Then(BaseCallback):
    def __init__(self, act):
        super().__init__()
        self.act = act

    def _on_step(self):
        return self.act(self.model)


def test_rollback_restores_the_whole_model():
    states = {}
    watch = integration.MonitorCallback(**(EAGER | {"rows": 32, "every": 20}), on_diverging="rollback")

    def keep(made):
        states[made._n_updates] = copy.deepcopy(made.get_parameters())
        return True

    def until_rolled_back(made):
        return watch.monitor is None or not watch.monitor._rollbacks

    made = model("TD3", **RUNAWAY).learn(600, callback=[Then(keep), watch, Then(until_rolled_back)])
    (rollback,) = watch.monitor._rollbacks
    assert rollback.restored_step < rollback.step == made._n_updates
    torch.testing.assert_close(made.get_parameters(), states[rollback.restored_step], rtol=0, atol=0)


@pytest.mark.parametrize("name, settings", [("SAC", {"ent_coef": "auto"}), ("SAC", {}), ("TD3", {}), ("DQN", {})])
def test_what_was_kept_of_a_model_is_all_that_training_changes(name, settings):
    made = model(name, **settings).learn(100)
    snapshots = integration.parts(made).monitor(integration.batch(made, 8), on_diverging="rollback")._snapshots
    snapshots.take(0)
    replayed = made.replay_buffer.sample(32)
    made.replay_buffer.sample = lambda *_, **__: replayed
    ends = []
    for _ in range(2):
        assert snapshots.restore(print) == 0
        torch.manual_seed(0)
        made._n_updates = 0  # TD3 updates its actor at every second
        made.train(gradient_steps=6, batch_size=32)
        ends.append([value.clone() for value in tensors(made)])
    assert all(torch.equal(*pair) for pair in zip(*ends, strict=True))


def test_what_cannot_be_read_is_refused_before_the_first_step():
    policy = stable_baselines3.PPO("MlpPolicy", "CartPole-v1", n_steps=8, batch_size=8)
    with pytest.raises(seemrl.InputError, match=r"PPO is not supported; SAC, TD3 and DQN .* by hand"):
        policy.learn(8, callback=integration.MonitorCallback())
    assert policy.num_timesteps == 0


def test_a_layer_norm_policy_is_read_like_any_other():
    from seemrl.integrations.stable_baselines3_policies import LayerNormSACPolicy

    watch = integration.MonitorCallback(**EAGER)
    model("SAC", LayerNormSACPolicy).learn(160, callback=watch)
    assert watch.monitor._depth is None and watch.monitor.history[-1].finite
