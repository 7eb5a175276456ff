"""A monitor as d3rlpy's callback: the readings of `measure`, the same training, and an end where it diverges."""

# pyright: reportMissingImports=false, reportOptionalMemberAccess=false, reportArgumentType=false

import copy

import pytest

pytest.importorskip("d3rlpy")

import torch
from d3rlpy_learners import dataset, fit, fitted

import seemrl
from seemrl.integrations import d3rlpy as integration

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def numbers(reading):
    return reading.to_dict() | {"seconds": 0}


@pytest.mark.parametrize("name", ["TD3PlusBC", "SAC", "DQN"])
def test_readings_are_those_of_measure_and_training_is_the_same_bit_for_bit(name):
    watch = integration.MonitorCallback(dataset(name == "DQN"), rows=16, every=10, time_share=None)
    plain, data = fitted(name, steps=30)
    algo, _ = fitted(name, steps=30, callback=watch)
    pairs = zip(plain.impl.q_function.parameters(), algo.impl.q_function.parameters(), strict=True)
    assert all(torch.equal(*pair) for pair in pairs)
    assert [reading.step for reading in watch.monitor.history] == [10, 20, 30]
    by_hand = integration.parts(algo).measure(integration.batch(algo, data, rows=16), step=30)
    assert numbers(watch.monitor.history[-1]) == numbers(by_hand)
    fit(algo, data, 20, watch)
    assert [reading.step for reading in watch.monitor.history] == [10, 20, 30, 40, 50]
    with pytest.raises(seemrl.InputError, match="watches another learner"):
        fit(plain, data, 1, watch)


def test_stop_ends_a_fit_that_diverges():
    watch = integration.MonitorCallback(dataset(), rows=32, every=25, time_share=None, on_diverging="stop")
    settings = {"alpha": 1e6, "tau": 1.0, "critic_learning_rate": 3e-3, "actor_learning_rate": 3e-3}
    with pytest.raises(seemrl.DivergingError) as alarm:
        fitted("TD3PlusBC", steps=1500, callback=watch, **settings)
    assert watch.monitor.verdict in ("diverging", "diverged")
    assert watch.monitor.history[-1].step == alarm.value.forecast.step < 1500


def test_rollback_restores_the_whole_learner():
    states, watch = (
        {},
        integration.MonitorCallback(dataset(), rows=32, every=25, time_share=None, on_diverging="rollback"),
    )

    def trained(algo):
        return {name: part.state_dict() for name, part in vars(algo.impl.modules).items()}

    def watched(algo, epoch, step):
        states[step] = copy.deepcopy(trained(algo))
        watch(algo, epoch, step)
        if watch.monitor._rollbacks:
            raise RolledBackError(trained(algo))

    settings = {"alpha": 1e6, "tau": 1.0, "critic_learning_rate": 3e-3, "actor_learning_rate": 3e-3}
    with pytest.raises(RolledBackError) as end:
        fitted("TD3PlusBC", steps=1500, callback=watched, **settings)
    (rollback,) = watch.monitor._rollbacks
    torch.testing.assert_close(end.value.args[0], states[rollback.restored_step], rtol=0, atol=0)


class RolledBackError(Exception):
    pass
