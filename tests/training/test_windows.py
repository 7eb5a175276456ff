"""Runs that hold a part of their data at a time: every row comes equally often, and a resumed run ends alike."""

from dataclasses import replace
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from small_runs import SMALL, abandon_at, assert_same_outcome, begin, complete, hopper, no_remark, outcome

from seemrl.agents.agent import Transitions
from seemrl.agents.config import TD3BCConfig
from seemrl.agents.registry import CONFIGS
from seemrl.data.mapped import save_mapped
from seemrl.errors import InputError
from seemrl.training.config import TrainConfig
from seemrl.training.setup import open_run
from seemrl.training.windows import Blocks, Windows

WINDOWED = replace(SMALL, window_rows=1024)  # of 20,000 rows, so 16 updates a window


@pytest.mark.parametrize(("rows", "size"), [(1000, 100), (1037, 100), (50, 64), (7, 3)])
def test_every_row_comes_equally_often_in_the_long_run(rows, size):
    blocks = Blocks(rows, size, seed=0)
    epochs = 400
    counts = np.bincount(blocks.of(range(epochs * blocks.count)), minlength=rows)
    expected = epochs * blocks.count * blocks.size / rows
    assert counts.max() <= epochs  # at most once an epoch
    assert abs(counts - expected).max() <= 5 * np.sqrt(epochs * 0.25)  # what is left out moves about
    if rows % size == 0 or rows < size:
        assert set(counts) == {epochs}


def test_an_epoch_has_no_row_twice_and_its_blocks_are_shuffled():
    blocks = Blocks(1037, 100, seed=3)
    first, second = blocks.of(range(10)), blocks.of(range(10, 20))
    assert len(set(first)) == len(set(second)) == 1000
    assert list(first) != list(second)
    assert list(blocks.of(range(5, 15))) == [*first[500:], *second[:500]]  # one endless sequence
    assert list(Blocks(1037, 100, seed=4).of(range(10))) != list(first)


def test_a_window_is_the_same_whoever_came_before_it():
    def read(rows: np.ndarray) -> Transitions:
        column = jnp.asarray(rows, jnp.float32)
        return Transitions(column[:, None], column[:, None], column, column[:, None], column)

    steps = (0, 5, 6, 17, 18, 40)
    in_turn = Windows(read, Blocks(100, 10, seed=1), 30, updates=6)
    seen = {step: in_turn.at(step) for step in steps}
    for step in steps:
        alone, until = Windows(read, Blocks(100, 10, seed=1), 30, updates=6).at(step)
        assert until == seen[step][1] == 6 * (step // 6 + 1)
        np.testing.assert_array_equal(alone.rewards, seen[step][0].rewards)
        np.testing.assert_array_equal(alone.rewards, in_turn.rows_of(step // 6))


@pytest.mark.parametrize("stop", [12, 16, 36])
def test_a_run_that_is_resumed_ends_as_one_that_never_stopped(tmp_path, stop):
    whole = complete(begin(tmp_path / "whole", WINDOWED))
    abandon_at(begin(tmp_path / "cut", WINDOWED), stop)
    resumed = open_run(replace(WINDOWED, out=str(tmp_path / "cut"), resume=True), no_remark, hopper())
    assert_same_outcome(complete(resumed), whole)


def test_data_on_the_disk_train_as_data_in_memory(tmp_path):
    save_mapped(hopper(), tmp_path / "mapped")
    config = replace(WINDOWED, data=str(tmp_path / "mapped"))
    mapped = complete(open_run(replace(config, out=str(tmp_path / "disk")), no_remark))
    assert_same_outcome(mapped, complete(begin(tmp_path / "memory", WINDOWED)))


def test_a_window_of_all_rows_is_no_window(tmp_path):
    whole = complete(begin(tmp_path / "whole", SMALL))
    assert_same_outcome(complete(begin(tmp_path / "wide", replace(SMALL, window_rows=len(hopper())))), whole)
    narrow = complete(begin(tmp_path / "narrow", WINDOWED))
    assert outcome(narrow) != outcome(whole)


def test_agents_that_look_at_next_actions_find_them_in_windows(tmp_path):
    hyperparameters = CONFIGS["rebrac"](hidden_sizes=(8, 8))
    run = begin(tmp_path / "run", replace(WINDOWED, agent="rebrac", hyperparameters=hyperparameters))
    assert np.isfinite([progress.metrics["critic_loss"] for progress in run.train()]).all()


def test_an_alarm_is_advised_on_with_the_first_rows(tmp_path: Path):
    fierce = TD3BCConfig(hidden_sizes=(32, 32), bc_weight=0.0, target_rate=1.0, critic_learning_rate=3e-3)
    run = begin(tmp_path / "run", replace(WINDOWED, hyperparameters=fierce, steps=2400, read_every=120))
    assert any(progress.advice is not None for progress in run.train())
    assert (tmp_path / "run" / "advice.json").is_file()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window_rows": -1}, "--window-rows -1: it must be 0 or more"),
        ({"window_rows": 100, "resample": "return"}, "--resample return: it must be uniform with --window-rows"),
    ],
)
def test_what_does_not_go_together_is_refused(options, message):
    with pytest.raises(InputError, match=message):
        TrainConfig(**options).check()
