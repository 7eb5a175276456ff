"""Collecting with discrete actions, structured observations, waypoints and clinicians."""

import sys

import numpy as np
import pytest

from seemrl.collecting import collect as collecting
from seemrl.collecting.collect import collect
from seemrl.collecting.gait import stored_gait
from seemrl.errors import InputError, MissingPartError

gymnasium = pytest.importorskip("gymnasium")
from toy_environments import Counter  # noqa: E402  (needs gymnasium)

pytestmark = pytest.mark.usefixtures("toys")


# Discrete actions and structured observations


def test_discrete_actions_are_recorded_from_zero():
    dataset = collect("SeemrlTest/Grid-v0", 60, 0)
    assert dataset.discrete
    assert dataset.action_count == 4
    assert set(dataset.actions) == {0, 1, 2, 3}


class Shifted(gymnasium.Env):
    """Actions 5 to 7, which it checks; observes a dictionary and a choice."""

    observation_space = gymnasium.spaces.Dict(
        {"b": gymnasium.spaces.Box(0, 9, (2,)), "a": gymnasium.spaces.Discrete(3, start=1)}
    )

    action_space = gymnasium.spaces.Discrete(3, start=5)

    def __init__(self):
        self.counter = Counter()

    def observed(self):
        return {"b": np.array([self.counter.count, 7], np.float32), "a": 1 + self.counter.count % 3}

    def reset(self, *, seed=None, options=None):
        self.counter.reset(seed=seed)
        return self.observed(), {}

    def step(self, action):
        assert self.action_space.contains(action)
        _, reward, terminal, timeout, info = self.counter.step(action)
        return self.observed(), reward, terminal, timeout, info


def test_structured_observations_are_flattened_alphabetically():
    gymnasium.register("SeemrlTest/Shifted-v0", Shifted)
    dataset = collect("SeemrlTest/Shifted-v0", 30, 0)
    np.testing.assert_array_equal(dataset.observations[:3], [[1, 0, 0, 0, 7], [0, 1, 0, 1, 7], [0, 0, 1, 2, 7]])
    assert set(dataset.actions) == {0, 1, 2}


# The maze


@pytest.fixture
def few_references(monkeypatch):
    monkeypatch.setattr(collecting, "REFERENCE_EPISODES", 3)


@pytest.mark.parametrize(("maze", "goals"), [("UMaze", "play"), ("Medium", "diverse"), ("Large", "play")])
def test_the_waypoint_controller_reaches_its_goals(few_references, maze, goals):
    pytest.importorskip("gymnasium_robotics")
    limit = {"UMaze": 300, "Medium": 600, "Large": 800}[maze]
    dataset = collect(f"PointMaze_{maze}-v3", 2 * limit, 0, policy="waypoint", goals=goals)
    assert [stop - start for start, stop in dataset.episodes()] == [limit, limit]
    for start, stop in dataset.episodes():
        assert dataset.rewards[start:stop].sum() > 0.2 * limit  # 1 a step at the goal
        assert dataset.rewards[stop - 1] == 1
    assert float(dataset.attributes["behaviour_return"]) > 2 * float(dataset.attributes["random_return"])
    assert not dataset.terminals.any()


def test_an_ant_walks_to_its_goals(few_references):
    pytest.importorskip("gymnasium_robotics")
    dataset = collect("AntMaze_UMaze-v5", 1400, 0, policy="waypoint")
    assert [stop - start for start, stop in dataset.episodes()] == [700, 700]
    assert dataset.attributes["goals_reached"] == 2
    assert (dataset.attributes["noise"], dataset.attributes["goals"]) == (0.2, "diverse")
    assert float(dataset.attributes["behaviour_return"]) > 200  # 1 a step within 0.45 m of the goal
    assert np.linalg.norm(np.diff(dataset.observations[:700, :2], axis=0), axis=1).max() < 0.3  # it walks


@pytest.mark.parametrize("turned", [0.0, 1.0, 4.0])
def test_a_gait_follows_a_direction_however_the_body_is_turned(turned):
    """Turning the ant and the direction alike changes no torque, and turning back alone does."""
    gait = stored_gait()
    observation = np.zeros(27)
    observation[1] = 1
    aligned = gait.torques(observation, 0.3, 0.5)
    observation[1], observation[4] = np.cos(turned / 2), np.sin(turned / 2)
    np.testing.assert_allclose(gait.torques(observation, 0.3, 0.5 + turned), aligned, atol=1e-9)
    assert np.abs(gait.torques(observation, 0.3, 0.5 + turned + np.pi) - aligned).max() > 0.1


def test_a_gait_without_speed_swings_no_hip():
    torques = stored_gait().torques(np.concatenate([[0.0, 1.0], np.zeros(25)]), 0.3, 0.5, speed=0.0)
    assert (torques[0::2] == 0).all() and (torques[1::2] != 0).all()


def test_maze_observations_are_in_alphabetical_order(few_references):
    pytest.importorskip("gymnasium_robotics")
    dataset = collect("PointMaze_UMaze-v3", 50, 3, policy="waypoint")
    achieved, goal, position = (dataset.observations[:, part] for part in (slice(0, 2), slice(2, 4), slice(4, 6)))
    np.testing.assert_array_equal(achieved, position)
    assert (goal == goal[0]).all()


def test_the_maze_of_a_seed_is_the_same_again(few_references):
    pytest.importorskip("gymnasium_robotics")
    first, second, other = (collect("PointMaze_UMaze-v3", 400, seed, policy="waypoint") for seed in (1, 1, 2))
    assert first.fingerprint() == second.fingerprint() != other.fingerprint()
    assert first.attributes == second.attributes


def test_an_actor_plays_in_the_maze_as_it_was_recorded():
    pytest.importorskip("gymnasium_robotics")
    from seemrl.training.evaluation import make_environment

    environment = make_environment("PointMaze_UMaze-v3")
    assert environment.observation_space.shape == (8,)
    observation, _ = environment.reset(seed=0)
    np.testing.assert_array_equal(observation[:2], observation[4:6])
    environment.close()


# The hospital


def test_clinicians_are_recorded_with_states_as_numbers():
    pytest.importorskip("icu_sepsis")
    dataset = collect("Sepsis/ICU-Sepsis-v2", 3000, 0, policy="clinician")
    assert dataset.action_count == 25
    assert dataset.observation_size == 47
    np.testing.assert_array_equal(dataset.rewards[~dataset.terminals], 0)
    assert set(dataset.rewards[dataset.terminals]) == {0, 1}
    # Choudhary et al. (2024) report 0.78 for the clinicians and for random actions; 300 episodes have an error of 0.024
    assert abs(float(dataset.attributes["behaviour_return"]) - 0.78) < 0.1
    assert abs(float(dataset.attributes["random_return"]) - 0.78) < 0.17


def test_clinicians_act_as_their_distribution_says():
    pytest.importorskip("icu_sepsis")
    from seemrl.collecting.behaviours import ClinicianBehaviour
    from seemrl.data.environments import make_task

    task = make_task("Sepsis/ICU-Sepsis-v2", "a test")
    clinician = ClinicianBehaviour(task, 0)
    patients = task.simulator.unwrapped.expert_policy[:713]  # the last three states end an episode
    state = int(np.argmin(patients.max(axis=1)))  # where they agree least
    expected = patients[state]
    drawn = np.bincount([clinician.act(state) for _ in range(4000)], minlength=25) / 4000
    assert np.abs(drawn - expected).max() < 5 * np.sqrt(0.25 / 4000)
    assert (drawn[expected == 0] == 0).all()
    task.simulator.close()


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        ("waypoint", "no PointMaze or AntMaze, which --policy waypoint needs"),
        ("clinician", "no ICU-Sepsis, which --policy clinici"),
    ],
)
def test_a_policy_in_another_environment_is_refused(policy, words):
    with pytest.raises(InputError, match=words):
        collect("SeemrlTest/Counter-v0", 10, 0, policy=policy)


@pytest.mark.parametrize(
    ("package", "environment", "extra"),
    [
        ("gymnasium_robotics", "PointMaze_UMaze-v3", "maze"),
        ("icu_sepsis", "Sepsis/ICU-Sepsis-v2", "sepsis"),
    ],
)
def test_a_missing_package_is_named_with_its_pip_line(monkeypatch, package, environment, extra):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingPartError, match=rf"{package.replace('_', '-')}.*pip install 'seemrl\[{extra}\]'"):
        collect(environment, 5, 0)
