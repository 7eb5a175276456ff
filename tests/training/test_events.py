import logging
import math
import subprocess
import sys
from pathlib import Path

import pytest
from small_runs import SMALL, begin, outcome, resume

from seemrl.training.events import EventLog
from seemrl.training.loop import Progress, Run

Scalars = dict[str, list[tuple[int, float]]]


def scalars(run: Path) -> Scalars:
    """What TensorBoard shows of a run: (step, value) of each curve."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    return {name: [(event.step, event.value) for event in events.Scalars(name)] for name in events.Tags()["scalars"]}


def train(run: Run, to: int = SMALL.steps) -> None:
    """Train with events, as the command does; before the last step, stop as a killed process does."""
    events = EventLog(run.directory, run.step)
    for progress in run.train():
        events.write(progress)
        if progress.step == to < SMALL.steps:
            return
    events.close()


def test_tensorboard_shows_the_numbers_of_the_logs(tmp_path):
    run = begin(tmp_path / "run")
    train(run)
    shown, logged = scalars(run.directory), outcome(run.directory)
    for curve, log, name in (
        ("critic/normalized", "readings.jsonl", "normalized"),
        ("critic/q_mean", "readings.jsonl", "q_mean"),
        ("critic/parameter_norm", "readings.jsonl", "parameter_norm"),
    ):
        assert [step for step, _ in shown[curve]] == [12, 24, 36, 48]
        assert [value for _, value in shown[curve]] == pytest.approx([row[name] for row in logged[log]])
    metrics = dict(shown["train/critic_loss"])
    assert list(metrics) == [12, 16, 24, 32, 36, 48]
    assert [metrics[row["step"]] for row in logged["metrics.jsonl"]] == pytest.approx(
        [row["critic_loss"] for row in logged["metrics.jsonl"]]
    )
    assert not [curve for curve in shown if curve.startswith("evaluation")]


def test_after_a_kill_each_step_is_shown_once(tmp_path):
    run = begin(tmp_path / "run")
    train(run, to=36)  # the last checkpoint is of step 32
    (first,) = (run.directory / "tensorboard").iterdir()
    first.rename(first.with_name("events.out.tfevents.1700000000.earlier"))  # names hold whole seconds
    train(resume(tmp_path / "run"))
    assert [step for step, _ in scalars(run.directory)["critic/q_mean"]] == [12, 24, 36, 48]


def test_numbers_that_are_not_finite_are_shown_and_those_that_are_missing_are_not(tmp_path, caplog):
    events = EventLog(tmp_path, 0)
    with caplog.at_level(logging.WARNING):
        evaluation = {"return_mean": -math.inf, "score_mean": None}
        events.write(Progress(4, {"q_mean": math.nan, "critic_loss": math.inf}, evaluation=evaluation))
        events.close()
    assert caplog.records == []
    shown = scalars(tmp_path)
    assert math.isnan(shown["train/q_mean"][0][1])
    assert shown["train/critic_loss"] == [(4, math.inf)]
    assert shown["evaluation/return_mean"] == [(4, -math.inf)]
    assert "evaluation/score_mean" not in shown


def test_writing_events_does_not_load_torch(tmp_path):
    script = f"""
import sys
from pathlib import Path
from seemrl.training.events import EventLog
EventLog(Path({str(tmp_path)!r}), 0).close()
print("torch" in sys.modules, "tensorboard" in sys.modules)"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ended.stdout.split() == ["False", "True"]


def test_without_tensorboard_a_run_is_trained_all_the_same(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    run = begin(tmp_path / "run")
    train(run)
    assert run.step == SMALL.steps
    assert not (run.directory / "tensorboard").exists()
