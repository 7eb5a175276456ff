from dataclasses import replace
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
import pytest
from small_runs import SMALL, begin, hopper, no_remark

from seemrl.errors import InputError, MissingPartError
from seemrl.files import read_json_lines
from seemrl.training import evaluation
from seemrl.training.evaluation import (
    ActionBox,
    action_box,
    evaluate,
    make_environment,
    normalized_score,
    reference_of,
)
from seemrl.training.run_directory import stored_description
from seemrl.training.setup import open_run

# Scores


@pytest.mark.parametrize(
    ("environment", "mean_return", "score"),
    [
        ("Hopper-v5", -20.272305, 0.0),
        ("Hopper-v5", 3234.3, 100.0),
        ("Hopper-v2", 1000.0, 31.348890),  # 1020.272305 / 3254.572305
        ("Hopper-v5", -500.0, -14.740115),  # -479.727695 / 3254.572305: below random is below 0
        ("HalfCheetah-v4", 5927.4105235, 50.0),  # halfway between -280.178953 and 12135
        ("Walker2d-v5", 2296.964504, 50.0),  # halfway between 1.629008 and 4592.3
        ("Ant-v5", -325.6, 0.0),
        ("Ant-v5", 3879.7, 100.0),
    ],
)
def test_scores_are_those_of_d4rl_worked_out_by_hand(environment, mean_return, score):
    assert normalized_score(environment, mean_return) == pytest.approx(score, abs=1e-6)


@pytest.mark.parametrize("environment", ["Pendulum-v1", "Swimmer-v5", "HopperBulletEnv-v0", "hopper"])
def test_an_environment_without_reference_has_no_score(environment):
    assert normalized_score(environment, 1.0) is None


@pytest.mark.parametrize(
    ("attributes", "environment", "reference"),
    [
        ({"random_return": 10.0, "expert_return": 30.0}, "Hopper-v5", (10.0, 30.0)),
        ({"random_return": 10, "expert_return": 30}, "Hopper-v5", (10.0, 30.0)),
        ({"random_return": 10.0, "expert_return": 30.0}, "Walker2d-v5", None),
        ({"random_return": 10.0}, "Hopper-v5", None),
        ({"random_return": 10.0, "expert_return": "30"}, "Hopper-v5", None),
        ({"random_return": 30.0, "expert_return": 30.0}, "Hopper-v5", None),
        ({"random_return": 10.0, "expert_return": float("inf")}, "Hopper-v5", None),
    ],
)
def test_data_may_say_what_scores_refer_to(attributes, environment, reference):
    assert reference_of(replace(hopper(), attributes=attributes), environment) == reference


def test_a_run_is_scored_by_what_its_data_say(tmp_path):
    data = replace(hopper(), attributes={"random_return": 0.0, "expert_return": 50.0})
    run = open_run(replace(SMALL, env="", out=str(tmp_path / "run"), steps=24, evaluation_episodes=1), no_remark, data)
    for _ in run.train():
        pass
    (row,) = read_json_lines(tmp_path / "run" / "evaluations.jsonl")
    assert row["score_mean"] == pytest.approx(2 * row["return_mean"])
    assert stored_description(tmp_path / "run")["data"]["reference_returns"] == [0, 50]


# Playing


class Scripted:
    """An episode of seed s lasts s % 10 steps, each pays the action's sum, and none may follow its end."""

    made: ClassVar[list["Scripted"]] = []

    def __init__(self, name: str) -> None:
        assert name == "Scripted-v0"
        self.closed = False
        self.made.append(self)

    def reset(self, seed: int) -> tuple[np.ndarray, dict]:
        self.left = seed % 10
        return np.full(2, float(seed)), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict]:
        assert self.left > 0, "stepped after its end"
        self.left -= 1
        over = self.left == 0
        return np.full(2, float(self.left)), float(action.sum()), over and len(self.made) == 2, over, {}

    def close(self) -> None:
        self.closed = True


def test_each_episode_has_its_own_seed_and_ends_once(monkeypatch):
    Scripted.made.clear()
    monkeypatch.setattr(evaluation, "make_environment", Scripted)
    row = evaluate("Scripted-v0", lambda observations: np.ones((len(observations), 3)), episodes=3, seed=21)
    assert row == {
        "environment": "Scripted-v0",
        "episodes": 3,
        "return_mean": 6.0,
        "return_std": pytest.approx((6.0) ** 0.5),  # of 3, 6 and 9
        "score_mean": None,
        "returns": [3.0, 6.0, 9.0],
    }
    assert len(Scripted.made) == 3
    assert all(environment.closed for environment in Scripted.made)


def lean(observations: np.ndarray) -> np.ndarray:
    """A policy that looks at each observation by itself."""
    return np.clip(observations[:, :3] - 0.5, -1, 1)


def test_the_seed_decides_the_episodes_and_their_number_does_not():
    row = evaluate("Hopper-v5", lean, episodes=3, seed=5)
    assert row == evaluate("Hopper-v5", lean, episodes=3, seed=5)
    assert row["returns"][:2] == evaluate("Hopper-v5", lean, episodes=2, seed=5)["returns"]
    assert row["returns"][1:] == evaluate("Hopper-v5", lean, episodes=2, seed=6)["returns"]
    assert len(set(row["returns"])) == 3
    assert row["return_mean"] == pytest.approx(np.mean(row["returns"]))
    assert row["score_mean"] == normalized_score("Hopper-v5", row["return_mean"])


def test_random_actions_score_about_nothing():
    random = np.random.default_rng(0)
    row = evaluate("Hopper-v5", lambda observations: random.uniform(-1, 1, (len(observations), 3)), 20, seed=0)
    assert abs(row["score_mean"]) < 3


# What the actor sees


@pytest.mark.parametrize("normalize", [True, False])
def test_raw_observations_are_standardised_for_the_actor_exactly_as_for_its_training(tmp_path, normalize):
    run = begin(tmp_path / "run", normalize_observations=normalize)
    raw = hopper().observations[:50]
    seen = raw
    if normalize:
        whole = hopper().observations.astype(np.float64)
        mean, deviation = whole.mean(axis=0).astype(np.float32), (whole.std(axis=0) + 1e-3).astype(np.float32)
        seen = (raw - mean) / deviation
        assert np.abs(seen).max() < 30 < np.abs(raw / deviation).max()
    np.testing.assert_array_equal(run.transitions(slice(50)).observations, seen)
    np.testing.assert_allclose(run.act(raw), run.agent.actor(jnp.asarray(seen)), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(run.act(raw.astype(np.float64)), run.act(raw), rtol=1e-4, atol=1e-6)  # as MuJoCo's are


# The box of the actions


def test_the_box_is_the_environments_own():
    environment = make_environment("Pendulum-v1")
    assert action_box(environment, "Pendulum-v1") == ActionBox((-2.0,), (2.0,))


@pytest.mark.parametrize("name", ["CartPole-v1", "Blackjack-v1"])
def test_actions_that_are_no_bounded_box_are_refused(name):
    with pytest.raises(InputError, match=f"environment {name}: its actions are Discrete"):
        action_box(make_environment(name), name)


@pytest.mark.parametrize(
    "name", ["Nope-v0", "Hopper-v77", "Hopper-v2", "no_such_module:Hopper-v5", "a:b:c", ":x", "a b", "\x1b[31m", "-v1"]
)
@pytest.mark.filterwarnings("error")
def test_an_environment_that_cannot_be_made_is_refused_without_further_noise(name):
    with pytest.raises(InputError, match=r"Gymnasium cannot make it"):
        make_environment(name)


@pytest.mark.parametrize(("module", "remedy"), [("gymnasium", "seemrl[train]"), ("mujoco", "seemrl[mujoco]")])
def test_a_part_that_is_not_installed_is_named_with_its_remedy(monkeypatch, module, remedy):
    hide(monkeypatch, module)
    with pytest.raises(MissingPartError) as caught:
        make_environment("Hopper-v5")
    assert f"pip install '{remedy}'" in str(caught.value)


def hide(monkeypatch: Any, module: str) -> None:
    """Make a module unimportable, and forget what was imported with its help."""
    import sys

    for name in [name for name in sys.modules if name.startswith("gymnasium.envs.mujoco")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
