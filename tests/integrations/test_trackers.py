"""A monitor's numbers in W&B (offline) and MLflow (SQLite), read back from what they wrote."""

# pyright: reportMissingImports=false

import json
import math
import struct
import sys

import pytest

pytest.importorskip("wandb")
pytest.importorskip("mlflow")

import mlflow
import wandb
from mlflow.tracking import MlflowClient
from wandb.proto.wandb_internal_pb2 import Record

from monitoring.monitored_loops import Loop
from seemrl.monitoring.loggers import MLflowLogger, WandbLogger

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
_PAGE, _HEADING, _FIRST, _LAST = 32768, 7, (1, 2), (1, 4)


@pytest.fixture
def offline(tmp_path, monkeypatch):
    """W&B writes below this directory, and quietly."""
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    wandb.teardown()  # settings are read from the environment once


def rows(directory):
    """The history in an offline run's file: LevelDB's log format around W&B's own records."""
    wandb.teardown()  # its service writes behind the program, and has when it has ended
    (file,) = directory.glob("wandb/offline-run-*/run-*.wandb")
    content, place, record, found = file.read_bytes(), _HEADING, b"", []
    while place + _HEADING <= len(content):
        if _PAGE - place % _PAGE < _HEADING:
            place += _PAGE - place % _PAGE
            continue
        _, length, kind = struct.unpack_from("<IHB", content, place)
        place += _HEADING + length
        record = (b"" if kind in _FIRST else record) + content[place - length : place]
        if kind in _LAST:
            items = Record.FromString(record).history.item
            found.append({item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items})
    return [row for row in found if row]


def of_readings(found):
    return [(row["critic/step"], row["critic/q_mean"]) for row in found if "critic/q_mean" in row]


def test_an_offline_wandb_run_has_every_reading_as_a_row_of_its_own(offline):
    loop, logger = Loop(), WandbLogger()
    monitor = loop.monitor(loggers=[logger])
    loop.train(60, monitor.update)
    logger.close()
    assert of_readings(rows(offline)) == [(reading.step, reading.q_mean) for reading in monitor.history]
    assert len(monitor.history) == 3


def test_readings_join_the_rows_of_a_run_at_hand_and_displace_none(offline):
    run, loop = wandb.init(mode="offline"), Loop()
    monitor = loop.monitor()

    def logged(step):
        run.log({"loss": 0.5 * step}, step=step)
        monitor.update(step)
        run.log({"score": 2.0 * step}, step=step)

    loop.train(60, logged)
    run.finish()
    loop.train(20, monitor.update, first=61)  # the run has ended, and so has logging to it
    found = rows(offline)
    assert [(row["_step"], row["loss"], row["score"]) for row in found] == [(n, 0.5 * n, 2.0 * n) for n in range(1, 61)]
    assert of_readings(found) == [(reading.step, reading.q_mean) for reading in monitor.history[:3]]
    assert [row["_step"] for row in found if "critic/step" in row] == [20, 40, 60]
    assert len(monitor.history) == 4


def test_mlflow_has_every_reading_in_a_local_store(tmp_path):
    store, loop = f"sqlite:///{tmp_path / 'mlflow.db'}", Loop()
    logger = MLflowLogger(store)
    monitor = loop.monitor(loggers=[logger])
    loop.train(60, monitor.update)
    logger.log(80, {"critic/q_mean": math.inf})
    logger.close()
    client = MlflowClient(store)
    history = [(metric.step, metric.value) for metric in client.get_metric_history(logger.run_id, "critic/q_mean")]
    assert history[:3] == [(reading.step, reading.q_mean) for reading in monitor.history]
    assert history[3] == (80, sys.float_info.max)
    assert client.get_run(logger.run_id).info.status == "FINISHED"
    assert MLflowLogger(store).run_id != logger.run_id
    assert len(client.search_experiments(filter_string="name = 'seemrl'")) == 1


def test_an_mlflow_run_at_hand_is_logged_to_and_left_open(tmp_path):
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'mlflow.db'}")
    mlflow.set_experiment(experiment_id=MlflowClient().create_experiment("theirs", str(tmp_path / "artifacts")))
    loop = Loop()
    monitor = loop.monitor()
    loop.train(20, monitor.update)  # nothing is there yet
    with mlflow.start_run() as run:
        loop.train(40, monitor.update, first=21)
        assert mlflow.active_run().info.run_id == run.info.run_id
    history = MlflowClient().get_metric_history(run.info.run_id, "critic/q_mean")
    assert [(metric.step, metric.value) for metric in history] == [
        (reading.step, reading.q_mean) for reading in monitor.history[1:]
    ]


def test_anything_but_a_run_is_refused_in_one_line():
    with pytest.raises(ValueError, match="a dict is no W&B run; pass what wandb"):
        WandbLogger({})
