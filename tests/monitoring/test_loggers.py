"""Loggers write what a reading says, with the real libraries."""

import csv
import logging

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from monitoring.monitored_loops import Loop
from seemrl.monitoring.loggers import CSVLogger, TensorBoardLogger, TextLogger


def test_each_logger_has_every_reading(tmp_path, caplog):
    loop = Loop()
    events_log = TensorBoardLogger(tmp_path / "events")
    loggers = [events_log, CSVLogger(tmp_path / "log.csv"), TextLogger()]
    monitor = loop.monitor(loggers=loggers)
    with caplog.at_level(logging.INFO, "seemrl"):
        loop.train(60, monitor.update)
    events_log.close()
    steps, values = zip(*((reading.step, reading.q_mean) for reading in monitor.history), strict=True)

    events = EventAccumulator(str(tmp_path / "events")).Reload().Scalars("critic/q_mean")
    assert [event.step for event in events] == list(steps)
    assert [event.value for event in events] == pytest.approx(list(values), rel=1e-6)
    with (tmp_path / "log.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(int(row["step"]), float(row["critic/q_mean"])) for row in rows] == list(zip(steps, values, strict=True))
    assert [f"step {step}  seem" in caplog.text for step in steps] == [True] * 3


def test_a_logger_that_fails_stops_neither_training_nor_the_others(tmp_path, caplog):
    loop, log = Loop(), tmp_path / "gone" / "log.csv"
    log.parent.mkdir()
    monitor = loop.monitor(loggers=[CSVLogger(log)], directory=tmp_path / "own")
    log.parent.rmdir()
    loop.train(60, monitor.update)
    assert len(monitor.history) == 3
    assert len([record for record in caplog.records if "CSVLogger failed" in record.message]) == 1
