"""Loggers write what a reading says, with the real libraries; W&B and MLflow are in tests/integrations."""

import csv
import logging
import sys

import pytest
import tensorboardX
import torch.utils.tensorboard
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import seemrl
from monitoring.monitored_loops import Loop
from seemrl.monitoring.loggers import CSVLogger, MLflowLogger, TensorBoardLogger, TextLogger, WandbLogger


def shown(directory):
    """What TensorBoard shows of the mean Q: its steps and values."""
    events = EventAccumulator(str(directory)).Reload().Scalars("critic/q_mean")
    return [event.step for event in events], [event.value for event in events]


def test_each_logger_has_every_reading_at_once(tmp_path, caplog):
    loop = Loop()
    loggers = [TensorBoardLogger(tmp_path / "events"), CSVLogger(tmp_path / "log.csv"), TextLogger()]
    monitor = loop.monitor(loggers=loggers)
    with caplog.at_level(logging.INFO, "seemrl"):
        loop.train(60, monitor.update)
    steps, values = zip(*((reading.step, reading.q_mean) for reading in monitor.history), strict=True)

    assert shown(tmp_path / "events") == (list(steps), pytest.approx(list(values), rel=1e-6))  # nothing was closed
    with (tmp_path / "log.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(int(row["step"]), float(row["critic/q_mean"])) for row in rows] == list(zip(steps, values, strict=True))
    assert [f"step {step}  seem" in caplog.text for step in steps] == [True] * 3


def test_a_table_takes_numbers_of_ones_own_and_is_continued_after_a_kill(tmp_path):
    file = tmp_path / "log.csv"
    logger = CSVLogger(file)
    logger.log(1, {"critic/q_mean": 1.5})
    logger.log(2, {"critic/q_mean": 2.5, "critic/replay_drift": 0.25})
    with file.open("a") as table:
        table.write("3,0.1,0.")
    CSVLogger(file).log(3, {"critic/replay_drift": 0.5})
    with file.open(newline="") as table:
        rows = list(csv.DictReader(table))
    assert [row["step"] for row in rows] == ["1", "2", "3"]
    assert [row["critic/replay_drift"] for row in rows] == ["", "0.25", "0.5"]
    assert [row["critic/q_mean"] for row in rows] == ["1.5", "2.5", ""]


@pytest.mark.parametrize("writer", [tensorboardX.SummaryWriter, torch.utils.tensorboard.SummaryWriter])
def test_a_writer_that_is_there_gets_the_numbers_and_stays_open(tmp_path, writer):
    theirs = writer(str(tmp_path))
    logger = TensorBoardLogger(theirs)
    logger.log(1, {"critic/q_mean": 2.0})
    logger.close()
    theirs.add_scalar("critic/q_mean", 3.0, 2)
    theirs.close()
    assert shown(tmp_path) == ([1, 2], [2.0, 3.0])


def test_with_a_log_and_no_loggers_named_tensorboard_has_the_same_readings_even_where_training_goes_back(tmp_path):
    loop = Loop()
    monitor = loop.monitor(directory=tmp_path / "log")
    loop.train(60, monitor.update)
    loop.train(30, monitor.update, first=31)
    steps, values = shown(tmp_path / "log" / "tensorboard")
    assert steps == [reading.step for reading in monitor.history] == [20, 40, 60]
    assert values == pytest.approx([reading.q_mean for reading in monitor.history], rel=1e-6)

    loop = Loop()
    loop.train(20, loop.monitor(directory=tmp_path / "quiet", loggers=()).update)
    assert not (tmp_path / "quiet" / "tensorboard").exists()


@pytest.mark.parametrize(
    ("package", "begin"),
    [
        ("tensorboard", lambda place: TensorBoardLogger(place)),
        ("wandb", lambda place: WandbLogger()),
        ("mlflow", lambda place: MLflowLogger()),
    ],
)
def test_a_missing_package_is_one_line_and_no_logger_at_hand(tmp_path, monkeypatch, caplog, package, begin):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(seemrl.MissingPartError, match=rf"pip install 'seemrl\[{package}\]'"):
        begin(tmp_path)
    loop = Loop()
    monitor = loop.monitor(directory=tmp_path / "log")
    loop.train(20, monitor.update)
    assert len(monitor.history) == 1
    assert not (tmp_path / "log" / "tensorboard").exists() or package != "tensorboard"
    assert "failed" not in caplog.text


def test_a_logger_that_fails_stops_neither_training_nor_the_others(tmp_path, caplog):
    loop, log = Loop(), tmp_path / "gone" / "log.csv"
    log.parent.mkdir()
    monitor = loop.monitor(loggers=[CSVLogger(log)], directory=tmp_path / "own")
    log.parent.rmdir()
    loop.train(60, monitor.update)
    assert len(monitor.history) == 3
    assert len([record for record in caplog.records if "CSVLogger failed" in record.message]) == 1
