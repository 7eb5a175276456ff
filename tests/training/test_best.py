"""The checkpoint of the best evaluation: which it is, what it holds, and that a resumed run has the same."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from small_runs import SMALL, abandon_at, assert_same_outcome, begin, complete, no_remark, resume

from seemrl.files import read_json_lines
from seemrl.training.checkpoint import best_of, load_checkpoint, load_newest, save_best, save_checkpoint

PLAYED = replace(SMALL, env="Hopper-v5", evaluate_every=8, checkpoint_every=48, evaluation_episodes=1)
"""Evaluated six times, saved once."""


@pytest.fixture(scope="module")
def played(tmp_path_factory) -> Path:
    return complete(begin(tmp_path_factory.mktemp("played") / "run", PLAYED))


def test_the_best_is_of_the_first_evaluation_with_the_highest_return(played):
    rows = read_json_lines(played / "evaluations.jsonl")
    assert len(rows) == 6
    highest = max(row["return_mean"] for row in rows)
    best = best_of(played / "checkpoints")
    assert best is not None and best.return_mean == highest
    assert best.step == next(row["step"] for row in rows if row["return_mean"] == highest)


def test_it_holds_the_policy_that_was_played(played, tmp_path):
    best = best_of(played / "checkpoints")
    assert best is not None
    other = begin(tmp_path / "run", PLAYED)
    other.agent, step = load_checkpoint(best.path, other.agent)
    assert int(other.agent.step) == step == best.step
    other.step = step
    assert other._evaluate() == next(
        {key: value for key, value in row.items() if key != "step"}
        for row in read_json_lines(played / "evaluations.jsonl")
        if row["step"] == step
    )


@pytest.mark.parametrize("at", [8, 24, 40])
def test_a_resumed_run_has_the_same(played, tmp_path, at):
    """Without a checkpoint on the way it begins anew, and a best from later than its start is none."""
    run = begin(tmp_path / "run", PLAYED)
    abandon_at(run, at)
    again = resume(run.directory, PLAYED)
    assert again.step == 0 and best_of(run.directory / "checkpoints") is None
    assert_same_outcome(complete(again), played)


def test_a_best_of_before_the_checkpoint_is_kept(played, tmp_path):
    run = Path(shutil.copytree(played, tmp_path / "run"))
    resume(run, PLAYED)
    assert_same_outcome(run, played)


def test_a_tie_goes_to_the_earlier_and_what_was_not_played_is_never_best(tmp_path):
    run = begin(tmp_path / "run", replace(PLAYED, env="none", steps=16))
    complete(run)
    assert best_of(run.directory / "checkpoints") is None
    run.environment = "Hopper-v5"
    run._evaluate()
    best = best_of(run.directory / "checkpoints")
    assert best is not None
    (best.path / "mine").touch()
    run._evaluate()
    assert (best.path / "mine").exists(), "the same return again is no better"


def test_it_stands_beside_the_others_and_is_never_resumed_from(tmp_path):
    state = {"step": 1.0}
    for step in range(5):
        save_checkpoint(tmp_path, state, step)
    save_best(tmp_path, state, 9, 7.5)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best", *(f"step_{step:09d}" for step in (2, 3, 4))]
    found = load_newest(tmp_path, state, no_remark)
    assert found is not None and found[1] == 4
    assert json.loads((tmp_path / "best" / "checkpoint.json").read_text())["return_mean"] == 7.5
