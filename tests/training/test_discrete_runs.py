"""Runs on data with discrete actions."""

from dataclasses import replace

import numpy as np
import pytest
from small_runs import SMALL, abandon_at, assert_same_outcome, complete, hopper, no_remark, resume

from seemrl.agents.dqn_config import DQNConfig
from seemrl.agents.pqn_config import PQNConfig
from seemrl.collecting.collect import collect
from seemrl.data.dataset import Dataset
from seemrl.errors import InputError
from seemrl.files import read_json_lines
from seemrl.training.config import TrainConfig
from seemrl.training.setup import open_run

ROWS = 200
CONFIG = replace(SMALL, agent="dqn", hyperparameters=DQNConfig(hidden_sizes=(8, 8)), batch_size=16)


def cart_pole(actions: int = 2) -> Dataset:
    """Rows of CartPole's sizes; what they say of it does not matter."""
    random = np.random.default_rng(0)
    return Dataset(
        observations=random.normal(size=(ROWS, 4)).astype(np.float32),
        actions=random.integers(actions, size=ROWS),
        rewards=np.ones(ROWS, np.float32),
        next_observations=random.normal(size=(ROWS, 4)).astype(np.float32),
        terminals=np.arange(ROWS) % 20 == 19,
        timeouts=np.zeros(ROWS, bool),
        environment="CartPole-v1",
        source="cart pole",
        attributes={"action_count": actions},
    )


def config(tmp_path, **changes) -> TrainConfig:
    return replace(CONFIG, out=str(tmp_path / "run"), **changes)


@pytest.mark.parametrize(
    "hyperparameters",
    [
        DQNConfig(hidden_sizes=(8, 8), cql_weight=0.5),
        DQNConfig(hidden_sizes=(8, 8), double=True, cql_weight=0.5),
        PQNConfig(hidden_sizes=(8, 8)),
    ],
    ids=["dqn", "double dqn", "pqn"],
)
def test_a_run_reads_its_critic_and_plays(hyperparameters, tmp_path):
    settings = config(tmp_path, agent=hyperparameters.agent, hyperparameters=hyperparameters, env="")
    directory = complete(open_run(settings, no_remark, cart_pole()))
    readings = read_json_lines(directory / "readings.jsonl")
    assert [row["step"] for row in readings] == [12, 24, 36, 48]
    assert all(np.isfinite([row["seem"], row["rate"]]).all() for row in readings)
    played = read_json_lines(directory / "evaluations.jsonl")
    assert [row["step"] for row in played] == [24, 48]
    assert all(len(row["returns"]) == 2 and min(row["returns"]) >= 1 for row in played)


@pytest.mark.parametrize("kind", [DQNConfig, PQNConfig])
def test_a_resumed_run_ends_as_if_it_had_not_been_left(kind, tmp_path):
    own = {"agent": kind.agent, "hyperparameters": kind(hidden_sizes=(8, 8))}
    whole = complete(open_run(config(tmp_path / "whole", **own), no_remark, cart_pole()))
    begun = config(tmp_path / "other", **own)
    abandon_at(open_run(begun, no_remark, cart_pole()), 36)
    again = resume(tmp_path / "other" / "run", begun, data=cart_pole())
    assert_same_outcome(complete(again), whole)


def test_a_critic_over_numbered_actions_is_advised_on(tmp_path):
    run = open_run(config(tmp_path), no_remark, cart_pole())
    for progress in run.train():
        assert progress.reading is not None or progress.step % 12
        if progress.reading is not None:
            advice = run._advise(progress.reading)
            assert advice is not None and advice.remedies
            return


def refused(tmp_path, settings: TrainConfig, data: Dataset) -> str:
    with pytest.raises(InputError) as caught:
        open_run(replace(settings, out=str(tmp_path / "run")), no_remark, data)
    assert not (tmp_path / "run").exists()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_an_agent_for_the_other_kind_of_actions_is_refused(tmp_path):
    assert "actions: continuous, where dqn takes discrete ones" in refused(tmp_path, CONFIG, hopper())
    message = refused(tmp_path, SMALL, cart_pole())
    assert "discrete (integers), where continuous ones belong" in message and "--agent dqn" in message


def test_an_environment_of_fewer_or_other_actions_is_refused(tmp_path):
    assert "Discrete(2), but the data have 3" in refused(tmp_path, replace(CONFIG, env="CartPole-v1"), cart_pole(3))
    message = refused(tmp_path, replace(CONFIG, env="MountainCarContinuous-v0"), cart_pole())
    assert "Box" in message and "--env none" in message


def test_clinicians_records_are_trained_on_and_the_policy_treats_patients(tmp_path):
    pytest.importorskip("icu_sepsis")
    data = collect("Sepsis/ICU-Sepsis-v2", 300, 0, policy="clinician")

    complete(open_run(config(tmp_path, env="", evaluation_episodes=3), no_remark, data))

    rows = read_json_lines(tmp_path / "run" / "evaluations.jsonl")
    assert all(value in (0.0, 1.0) for row in rows for value in row["returns"])  # 1 for survival
    assert len(rows[-1]["returns"]) == 3
