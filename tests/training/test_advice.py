"""Advice in a run: written once, at the first alarm, without touching training, and again after a crash."""

import json
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest
from small_runs import SMALL, abandon_at, assert_same_outcome, begin, complete, outcome, resume

from seemrl import Remedy, Sign, measure
from seemrl.agents.config import TD3BCConfig
from seemrl.instrument.forecast.advice import Advice
from seemrl.instrument.forecast.terminal import told as in_words
from seemrl.training.run_directory import ADVICE

UNBOUND = TD3BCConfig(
    hidden_sizes=(32, 32), bc_weight=0.0, target_rate=1.0, critic_learning_rate=1e-3, actor_learning_rate=1e-3
)
DIVERGING = replace(SMALL, hyperparameters=UNBOUND, steps=480, read_every=40, checkpoint_every=160, reading_rows=24)


@pytest.fixture(scope="module")
def advised(tmp_path_factory) -> Path:
    """A complete run that was advised."""
    return complete(begin(tmp_path_factory.mktemp("advised") / "run", DIVERGING))


def told(run: Path) -> dict:
    return json.loads((run / ADVICE).read_text())


def test_the_first_alarm_brings_advice_and_no_later_one(tmp_path):
    run = begin(tmp_path / "run", DIVERGING)
    with_advice = [progress for progress in run.train() if progress.advice is not None]
    calls = [reading.step for reading in run.readings]
    (progress,) = with_advice
    assert progress.forecast is not None and progress.forecast.verdict == "diverging" and progress.step in calls
    assert progress.advice is not None and progress.advice.best is not None
    assert progress.advice.best.name == "LayerNorm in the critic"
    assert progress.advice.signs == ()
    assert told(run.directory)["step"] == progress.step
    assert told(run.directory)["remedies"][0]["normalized_before"] == progress.reading.normalized  # type: ignore[union-attr]


def test_people_are_told_the_best_remedy_with_its_numbers(advised):
    rows = told(advised)["remedies"]
    remedies = tuple(Remedy(**row) for row in rows)
    best = remedies[0]
    lines = in_words(Advice(240, remedies, ())).splitlines()
    assert lines[0] == f"what ends it, measured now: {best.in_short}" and lines[1].strip() == best.action
    assert f"{best.normalized_before:.2g} -> {best.normalized_after:.2g}" in best.in_short
    helpless = replace(best, standing="no help")
    assert "no remedy that was measured helps" in in_words(Advice(240, (helpless,), ()))
    sign = Sign("an outlier", "max|r|", 5e4, 7, "|r| is 50000 in row 7", "why", "mend it")
    assert in_words(Advice(240, remedies, (sign,))).endswith("an outlier: |r| is 50000 in row 7")


def test_training_is_the_same_to_the_last_bit_without_advice(advised, tmp_path):
    without = complete(begin(tmp_path / "run", DIVERGING, advise=False))
    assert not (without / ADVICE).exists()
    left, right = outcome(advised), outcome(without)
    assert {name: value for name, value in left.items() if name != ADVICE} == right


@pytest.mark.parametrize("stop", [200, 280, 400])
def test_a_resumed_run_gives_the_same_advice(advised, tmp_path, stop):
    """Killed before the alarm, between it and the next checkpoint, and after that."""
    abandon_at(begin(tmp_path / "run", DIVERGING), stop)
    run = complete(resume(tmp_path / "run", DIVERGING))
    assert_same_outcome(run, advised)
    assert told(run) == told(advised)


def test_damaged_advice_is_given_again(advised, tmp_path):
    abandon_at(begin(tmp_path / "run", DIVERGING), 400)
    (tmp_path / "run" / ADVICE).write_text("{")
    run = resume(tmp_path / "run", DIVERGING)
    assert not (run.directory / ADVICE).exists()
    assert complete(run)
    assert told(run.directory)["step"] > 0


def test_a_healthy_run_gets_none(tmp_path):
    assert not (complete(begin(tmp_path / "run")) / ADVICE).exists()


def test_layer_norm_is_measured_on_the_same_weights(tmp_path):
    """The normalised critic has the critic's weights, and normalises what enters each activation."""
    run = begin(tmp_path / "run", DIVERGING)
    critic = run.agent.critic
    normed = critic.normalised()
    for head, other in zip(critic.heads, normed.heads, strict=True):
        assert all(map(np.array_equal, jax.tree.leaves(head.linears), jax.tree.leaves(other.linears)))
        inputs = jax.random.normal(jax.random.key(0), (5, 14))
        norm = other.norms[0]
        assert norm is not None and head.norms[0] is None
        hidden = np.asarray(norm(other.linears[0](inputs)))
        np.testing.assert_allclose(hidden.mean(axis=1), 0, atol=1e-5)
    assert normed.normalised().heads[0].norms == normed.heads[0].norms
    batch = run._batch
    reading = measure(normed, batch, lambda _: batch.actions, discount=0.99)
    assert reading.by_sample == ()
