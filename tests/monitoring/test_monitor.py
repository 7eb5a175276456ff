"""The monitor in a torch loop: when it reads, what it says, and what it does."""

import logging
import random
from itertools import pairwise

import numpy as np
import pytest
import torch

import seemrl
from monitoring.monitored_loops import DISCOUNT, Loop
from seemrl.files import read_json_lines
from seemrl.monitoring.randomness import own_randomness
from seemrl.report.runs import read_run


@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_training_is_bit_identical_with_the_monitor_on(noise):
    plain, watched = Loop(noise=noise), Loop(noise=noise)
    torch.manual_seed(1)
    np.random.seed(1)
    plain.train(60)
    drawn = np.random.rand(), torch.rand(()).item()
    torch.manual_seed(1)
    np.random.seed(1)
    monitor = watched.monitor(on_diverging="rollback")
    watched.train(60, monitor.update)
    assert len(monitor.history) == 3
    assert torch.equal(plain.parameters(), watched.parameters())
    assert (np.random.rand(), torch.rand(()).item()) == drawn


def test_readings_see_the_same_noise_every_time_and_leave_all_generators_as_they_were():
    def draws():
        return random.random(), np.random.rand(), torch.rand(()).item()

    states = random.getstate(), str(np.random.get_state()), torch.get_rng_state().tolist()
    with own_randomness():
        first = draws()
    with own_randomness():
        assert draws() == first
    assert (random.getstate(), str(np.random.get_state()), torch.get_rng_state().tolist()) == states


def test_a_reading_is_what_measure_reads():
    loop = Loop()
    monitor = loop.monitor(every=10)
    loop.train(10, monitor.update)
    wanted = seemrl.measure(
        loop.critic,
        loop.batch,
        loop.policy,
        discount=DISCOUNT,
        optimizer=loop.optimizer,
        target_critic=loop.target,
        target_rate=1.0,
        step=10,
    )
    (reading,) = monitor.history
    assert reading.to_dict() | {"seconds": 0} == wanted.to_dict() | {"seconds": 0}
    assert monitor.forecast() == seemrl.forecast([reading], reward_bound=monitor._bound, depth=3)


def test_a_diverging_loop_is_called_so_before_the_reward_bound_and_the_callback_hears_each_change():
    loop, heard = Loop(), []
    monitor = loop.monitor(on_verdict=lambda outlook: heard.append(outlook.verdict))
    loop.train(400, monitor.update)
    alarm = next(n for n in range(1, 21) if _verdict(monitor, n) == "diverging")
    assert monitor.history[alarm - 1].q_mean < monitor._bound
    assert heard[0] == "stable" and "diverging" in heard
    assert all(now != then for then, now in pairwise(heard))
    assert monitor.advise()[0].name == "LayerNorm in the critic"


def _verdict(monitor, count):
    return seemrl.forecast(monitor.history[:count], reward_bound=monitor._bound, depth=3).verdict


def test_stop_raises_one_error_that_carries_the_forecast():
    loop = Loop()
    monitor = loop.monitor(on_diverging="stop")
    with pytest.raises(seemrl.DivergingError, match="the critic is diverging at step") as raised:
        loop.train(600, monitor.update)
    assert raised.value.forecast is monitor.forecast() and raised.value.forecast.crash_step is not None


@pytest.mark.parametrize("on_disk", [False, True])
def test_rollback_restores_the_last_stable_state_and_goes_on(on_disk, tmp_path, caplog):
    loop, states = Loop(), {}
    directory = tmp_path / "log" if on_disk else None
    parts = [loop.critic, loop.target, loop.optimizer]
    monitor = loop.monitor(on_diverging="rollback", snapshots=parts, directory=directory)

    def after(step):
        states[step] = loop.parameters()
        monitor.update(step)
        if monitor._rollbacks:
            raise StopIteration

    with pytest.raises(StopIteration):
        loop.train(600, after)
    (rollback,) = monitor._rollbacks
    assert torch.equal(loop.parameters(), states[rollback.restored_step])
    assert "rolled back to the state of step" in caplog.text
    assert monitor.history[-1].step == rollback.step and monitor.verdict in ("stable", "watch")
    loop.corner = 0.0  # what made it diverge
    loop.train(20, monitor.update, first=rollback.step + 1)
    assert [reading.step for reading in monitor.history[-2:]] == [rollback.step, rollback.step + 20]
    if directory is not None:
        (row,) = read_json_lines(directory / "rollbacks.jsonl")
        assert (row["step"], row["forecast"]["verdict"]) == (rollback.step, "diverging")
        again = loop.monitor(directory=directory)
        assert again.history == monitor.history


def test_a_failure_is_logged_once_and_training_goes_on(caplog):
    loop = Loop()
    monitor = loop.monitor(every=10)

    def broken(next_observations):
        raise RuntimeError("the simulator is gone")

    with caplog.at_level(logging.ERROR, "seemrl"):
        loop.train(50, lambda step: monitor.update(step, policy=broken))
    assert len(caplog.records) == 1 and monitor.history == []
    assert "the simulator is gone" in caplog.text


def test_readings_are_put_off_beyond_the_share_of_time():
    loop = Loop()
    monitor = loop.monitor(every=1, time_share=1e-4)
    loop.train(60, monitor.update)
    assert len(monitor.history) == 1  # a second costs a hundredth of a second or so, and there is no time for it


def test_the_cadence_is_denser_where_values_move():
    loop = Loop()
    monitor = loop.monitor(every=None)
    loop.train(400, monitor.update)
    steps = [reading.step for reading in monitor.history]
    assert steps[0] == 100 and min(np.diff(steps)) < 100 and len(steps) < 100


def test_a_log_is_continued_where_training_is_taken_up_again(tmp_path):
    loop = Loop(corner=0.5)
    monitor = loop.monitor(directory=tmp_path / "log")
    loop.train(100, monitor.update)
    with (tmp_path / "log/readings.jsonl").open("a") as file:
        file.write('{"step": 120, "seem": 0.')
    again = loop.monitor(directory=tmp_path / "log")
    assert again.history == monitor.history
    again.update(61)  # a checkpoint of step 60
    assert [reading.step for reading in again.history] == [20, 40, 60]
    again.update(80)
    record = read_run(tmp_path / "log")
    assert [row["step"] for row in record.readings] == [20, 40, 60, 80]
    assert record.reward_bound == monitor._bound


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"discount": 1.5}, "discount: 1.5"),
        ({"every": 0}, "every: 0"),
        ({"time_share": 0.0}, "time_share: 0.0"),
        ({"on_diverging": "cry"}, "on_diverging: 'cry'"),
        ({"headz": "first"}, "headz: neither"),
        ({"loggers": [object()]}, "loggers: a object"),
        ({"on_diverging": "rollback", "snapshots": [3]}, "snapshots: 0 is a int"),
        ({"optimizer": torch.optim.Adagrad([torch.zeros(1)])}, "optimizer: Adagrad"),
    ],
)
def test_a_mistake_is_refused_at_once(options, said):
    with pytest.raises(seemrl.InputError, match=said):
        Loop().monitor(**options)


def test_readings_of_other_rows_or_options_are_not_continued(tmp_path):
    loop = Loop()
    loop.monitor(directory=tmp_path)
    with pytest.raises(seemrl.InputError, match=r"its readings have discount 0\.99, not 0\.9"):
        loop.monitor(directory=tmp_path, discount=0.9)
    loop.batch = seemrl.Batch(*(getattr(loop.batch, name)[:32] for name in loop.batch._columns()))
    with pytest.raises(seemrl.InputError, match="its readings are on other rows"):
        loop.monitor(directory=tmp_path)
