"""Training in an environment: what is collected, and that a killed run ends as one that never stopped."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from small_runs import assert_same_outcome, no_remark

from seemrl.agents.crossq_config import CrossQConfig
from seemrl.agents.iql_config import IQLConfig
from seemrl.agents.registry import CONFIGS, create_agent
from seemrl.agents.sac_config import SACConfig
from seemrl.agents.td3_config import TD3Config
from seemrl.errors import InputError
from seemrl.files import read_json_lines
from seemrl.training.checkpoint import load_arrays
from seemrl.training.loop import act
from seemrl.training.online import OnlineRun, empty_replay, extend_replay, policy_file
from seemrl.training.online_config import OnlineConfig

SIZES: dict[str, Any] = {"hidden_sizes": (16,), "critic_norm": "layer", "target_rate": 1.0}
SMALL = OnlineConfig(
    environment="Pendulum-v1",
    steps=480,
    environments=2,
    random_steps=40,
    buffer_size=300,
    batch_size=16,
    evaluate_every=240,
    evaluation_episodes=1,
    reading_rows=16,
)
AGENTS = {
    "sac": SACConfig(**SIZES),
    "td3": TD3Config(**SIZES),
    "crossq": CrossQConfig(hidden_sizes=(16,), critic_hidden_sizes=(24,)),
}
EXPLORING = {"sac", "crossq", "edac", "msg", "td3"}


def run_of(directory: Path, agent: str = "sac", **changes: Any) -> OnlineRun:
    return OnlineRun(config_of(agent, **changes), directory, no_remark)


def config_of(agent: str, **changes: Any) -> OnlineConfig:
    hyperparameters = AGENTS[agent]
    return replace(SMALL, agent=hyperparameters.agent, hyperparameters=hyperparameters, **changes)


@pytest.fixture(scope="module", params=AGENTS)
def unbroken(request, tmp_path_factory) -> OnlineRun:
    run = run_of(tmp_path_factory.mktemp("online") / "run", request.param)
    assert [progress.step for progress in run.train()] == [240, 480]
    return run


def replay_files(run: OnlineRun) -> list[dict[str, np.ndarray]]:
    return [safetensors.numpy.load_file(path) for path in sorted((run.directory / "replay").iterdir())]


def test_a_killed_and_resumed_run_ends_in_the_same_bits(unbroken, tmp_path):
    agent = unbroken.config.hyperparameters.agent
    for _ in run_of(tmp_path / "run", agent).train():
        break  # as if the process were killed
    resumed = run_of(tmp_path / "run", agent)
    assert resumed.step == 240
    for _ in resumed.train():
        pass
    assert_same_outcome(resumed.directory, unbroken.directory)
    assert all(
        np.array_equal(*pair)
        for pair in zip(*map(jax.tree.leaves, (resumed.replay.transitions, unbroken.replay.transitions)), strict=True)
    )
    for ours, theirs in zip(replay_files(resumed), replay_files(unbroken), strict=True):
        assert all(np.array_equal(ours[name], theirs[name]) for name in theirs)


def test_the_replay_holds_the_latest_transitions(unbroken):
    stored = np.concatenate([columns["rewards"] for columns in replay_files(unbroken)])
    assert len(stored) == 480
    assert int(unbroken.replay.filled) == 300
    assert sorted(np.asarray(unbroken.replay.transitions.rewards)) == sorted(stored[-300:])


def test_an_episode_goes_on_from_the_state_it_reached(unbroken):
    """The two environments take turns; an episode ends after 200 of its steps or with the stretch."""
    for columns in replay_files(unbroken):
        for own in (slice(0, None, 2), slice(1, None, 2)):
            reached, following = columns["next_observations"][own][:-1], columns["observations"][own][1:]
            goes_on = np.all(reached == following, axis=1)
            assert np.array_equal(goes_on, ~columns["timeouts"][own][:-1])
            assert columns["timeouts"][own][-1] and not columns["terminals"].any()


def test_updates_follow_steps_one_to_one(unbroken):
    assert int(unbroken.agent.step) == unbroken.config.steps - unbroken.config.random_steps


def test_fewer_updates_than_steps(tmp_path):
    run = run_of(tmp_path / "run", random_steps=400, evaluate_every=480, updates_per_step=0.5)
    steps: list[int] = []
    for _ in run.train(steps.append):
        pass
    assert int(run.agent.step) == (480 - 400) // 2
    assert steps == list(range(2, 481, 2))


def test_the_policy_of_each_evaluation_is_kept(unbroken):
    observations = jnp.asarray(np.random.default_rng(0).normal(size=(5, 3)), jnp.float32)
    kept = {step: load_arrays(policy_file(unbroken.directory, step), unbroken.agent.actor) for step in (240, 480)}
    last, first = (np.asarray(act(unbroken.agent.replace(actor=kept[step]), observations)) for step in (480, 240))
    assert np.array_equal(last, unbroken.act(np.asarray(observations)))
    assert not np.array_equal(first, last)


def test_a_damaged_policy_is_refused(unbroken, tmp_path):
    damaged = tmp_path / "policy.safetensors"
    damaged.write_bytes(policy_file(unbroken.directory, 480).read_bytes()[:-1])
    for path in (damaged, tmp_path / "none.safetensors"):
        with pytest.raises(InputError, match="cannot be read as these networks"):
            load_arrays(path, unbroken.agent.actor)


def test_readings_are_taken_on_the_replay(unbroken):
    readings = read_json_lines(unbroken.directory / "readings.jsonl")
    assert [row["step"] for row in readings] == [240, 480]
    assert all(row["rows"] == 16 and np.isfinite(row["normalized"]) for row in readings)
    assert all(row["forecast"]["verdict"] in ("stable", "watch") and row["forecast"]["reasons"] for row in readings)


def test_the_seed_decides_what_is_collected(tmp_path):
    rewards = []
    for number, seed in enumerate((1, 1, 2)):
        run = run_of(tmp_path / str(number), steps=40, evaluate_every=40, seed=seed)
        for _ in run.train():
            pass
        rewards.append(np.asarray(run.replay.transitions.rewards))
    assert np.array_equal(rewards[0], rewards[1])
    assert not np.array_equal(rewards[0], rewards[2])


def test_draws_come_from_what_is_filled():
    replay = empty_replay(64, 3, 1)
    one = jax.tree.map(lambda column: jnp.ones((2, *column.shape[1:])), replay.transitions)
    replay = extend_replay(replay, one)
    agent = create_agent(SACConfig(hidden_sizes=(4,)), 3, (-1.0,), (1.0,), 0)
    batch, _ = agent.draw(replay, 256)
    assert all(np.all(np.asarray(column) == 1) for column in jax.tree.leaves(batch))


def test_the_oldest_rows_give_way():
    replay = empty_replay(4, 1, 1)
    for number in range(3):
        fill = float(number)
        rows = jax.tree.map(lambda column, fill=fill: jnp.full((2, *column.shape[1:]), fill), replay.transitions)
        replay = extend_replay(replay, rows)
    assert np.asarray(replay.transitions.rewards).tolist() == [2, 2, 1, 1]
    assert jax.tree.map(int, (replay.filled, replay.written)) == (4, 6)


def test_another_configuration_is_refused(unbroken):
    agent = unbroken.config.hyperparameters.agent
    with pytest.raises(InputError, match="different configuration: seed was 0 and is now 3"):
        run_of(unbroken.directory, agent, seed=3)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"environments": 3, "agent": "td3"},
            "--updates-per-step 1.0: it must be so that 3 environments give",
        ),
        ({"updates_per_step": 0.3}, "--updates-per-step 0.3: it must be so that 2 environments give whole cycles of 1"),
        ({"updates_per_step": 0.0}, "--updates-per-step 0.0: it must be finite and above 0"),
        ({"environment": ""}, "no environment given; name one, as in `seemrl online Hopper-v5`"),
        ({"steps": 481}, "--steps 481: it must be a positive multiple of --environments 2"),
        ({"environment": "CartPole-v1"}, "CartPole-v1: its actions are"),
        ({"batch_size": 0}, "--batch-size 0"),
    ],
)
def test_what_cannot_run_is_refused_before_anything_is_written(tmp_path, changes, told):
    with pytest.raises(InputError, match=told):
        run_of(tmp_path / "run", **changes)
    assert not (tmp_path / "run").exists()


def test_an_agent_that_does_not_explore_is_refused(tmp_path):
    with pytest.raises(InputError, match="--agent iql: it must be one that explores: sac, crossq, edac, msg or td3"):
        OnlineRun(replace(SMALL, agent="iql", hyperparameters=IQLConfig()), tmp_path / "run", no_remark)
    assert not (tmp_path / "run").exists()


def test_those_that_explore_are_those_that_have_actions_for_it():
    learners = {name: create_agent(kind(hidden_sizes=(4,)), 3, (-1.0,), (1.0,), 0) for name, kind in CONFIGS.items()}
    exploring = {name for name, learner in learners.items() if hasattr(learner, "explore")}
    assert exploring == {name for name, kind in CONFIGS.items() if kind.explores} == EXPLORING
