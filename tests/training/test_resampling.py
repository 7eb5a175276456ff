"""Runs that draw some transitions more often."""

from dataclasses import replace

import numpy as np
import pytest
from small_runs import SMALL, abandon_at, assert_same_outcome, begin, complete, hopper, resume

from seemrl.agents.dqn_config import DQNConfig
from seemrl.agents.iql_config import IQLConfig
from seemrl.errors import InputError
from seemrl.training.resampling import WEIGHTS, return_weights, widened
from seemrl.training.setup import open_run

HOW = {
    "return": {"resample": "return"},
    "td-error": {"resample": "td-error"},
    "advantage": {"resample": "advantage", "advantage_rounds": 2, "advantage_updates": 20, "resample_critic": True},
}


@pytest.mark.parametrize("how", HOW)
def test_a_run_abandoned_and_resumed_draws_what_it_would_have_drawn(how, tmp_path):
    config = replace(SMALL, **HOW[how])
    said: list[str] = []
    begun = {name: begin_telling(tmp_path / name, config, said) for name in ("whole", "run")}
    abandon_at(begun["run"], 36)

    assert_same_outcome(complete(resume(tmp_path / "run", config, said.append)), complete(begun["whole"]))
    assert all("by advantage" in line for line in said)
    assert (tmp_path / "run" / WEIGHTS).exists() == (how != "td-error")


def begin_telling(directory, config, said):
    return open_run(replace(config, out=str(directory)), said.append, hopper())


def test_a_return_weighs_as_far_as_it_is_above_the_smallest():
    data = hopper()
    episodes = data.episodes()
    returns = np.array([data.rewards[first:behind].sum(dtype=np.float64) for first, behind in episodes])

    weights = return_weights(data, 0.1)

    assert weights.mean() == pytest.approx(1)
    best, worst = returns.argmax(), returns.argmin()
    of_best, of_worst = weights[episodes[best, 0]], weights[episodes[worst, 0]]
    assert of_best / of_worst == pytest.approx(1.1 / 0.1)
    assert (weights[slice(*episodes[best])] == of_best).all()


def test_widening_keeps_the_mean_and_the_floor():
    narrow = 1 + 0.1 * np.random.default_rng(0).normal(size=1000)

    wide = widened(narrow / narrow.mean(), 0.1)

    assert wide.mean() == pytest.approx(1)
    assert wide.std() > 1
    assert wide.min() > 0
    np.testing.assert_array_equal(widened(np.ones(5), 0.1), np.ones(5))


def test_weights_of_another_run_are_refused(tmp_path):
    config = replace(SMALL, resample="return")
    complete(begin(tmp_path / "run", config))
    np.save(tmp_path / "run" / WEIGHTS, np.ones(7))

    with pytest.raises(InputError, match=r"weights\.npy: not 20000 weights of this run's data; delete it"):
        resume(tmp_path / "run", config)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"resample": "td-error", "agent": "iql", "hyperparameters": IQLConfig()}, "--resample td-error: "),
        ({"resample": "return", "agent": "dqn", "hyperparameters": DQNConfig()}, "--resample return: "),
        ({"resample_floor": -1.0}, "--resample-floor -1"),
        ({"advantage_rounds": 0}, "--advantage-rounds 0"),
    ],
)
def test_settings_that_do_not_fit_are_refused(changes, line):
    with pytest.raises(InputError, match=line):
        replace(SMALL, **changes).check()
