"""Reading logs: the same curve from every kind of file, columns by their names, refusals in one line."""

import json
import sys

import numpy as np
import pytest
from logs_on_disk import Q_VALUES, STEPS, WRITERS, csv, d3rlpy_directory, events, run_directory

from seemrl import InputError, MissingPartError, forecast_curve
from seemrl.logs.read import read_curve


@pytest.mark.parametrize("name", WRITERS)
def test_the_same_curve_is_read_from_every_kind_of_log(name, tmp_path):
    curve = read_curve(WRITERS[name](tmp_path / name))
    np.testing.assert_array_equal(curve.steps, STEPS)
    np.testing.assert_array_equal(curve.q_values, Q_VALUES)
    assert curve.label == name
    assert curve.notes == []
    made = forecast_curve(curve.steps, curve.q_values, discount=0.99)
    assert made.to_dict() == forecast_curve(STEPS, Q_VALUES, discount=0.99).to_dict()


def test_one_event_file_reads_like_its_directory(tmp_path):
    directory = events(tmp_path / "run")
    file = next(directory.iterdir())
    assert read_curve(file).q_values == read_curve(directory).q_values
    assert read_curve(tmp_path).q_values == read_curve(directory).q_values


def test_events_written_as_tensors_are_read(tmp_path):
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.plugins.scalar.summary_v2 import scalar_pb
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    writer = EventFileWriter(str(tmp_path / "run"))
    for step, q_mean in zip(STEPS[:10].tolist(), Q_VALUES[:10].tolist(), strict=True):
        writer.add_event(Event(step=step, summary=scalar_pb("train/q", q_mean)))
    writer.close()
    curve = read_curve(tmp_path / "run")
    assert curve.q_column == "train/q"
    np.testing.assert_allclose(curve.q_values, Q_VALUES[:10])


def test_a_run_directory_states_its_own_settings(tmp_path):
    curve = read_curve(run_directory(tmp_path / "run", discount=0.97, target_rate=1.0, reward_bound=42.0))
    assert curve.settings == {"discount": 0.97, "target_rate": 1.0, "reward_bound": 42.0}
    (tmp_path / "run" / "config.json").write_text("[]")
    assert read_curve(tmp_path / "run").settings == {}


def test_columns_are_taken_by_name(tmp_path):
    log = csv(tmp_path / "log.csv")
    curve = read_curve(log, step_column="epoch", q_column="critic_loss")
    assert (curve.steps[:3], curve.q_values[:2]) == ([0, 1, 2], [0.5, 0.5])
    metrics = read_curve(d3rlpy_directory(tmp_path / "metrics"), q_column="critic_loss")
    assert metrics.q_values == (2 * Q_VALUES).tolist()


def test_the_mean_of_all_heads_goes_before_the_first_head(tmp_path):
    log = tmp_path / "log.csv"
    log.write_text("step,q1,q2,Q Mean\n" + "".join(f"{n},1,2,3\n" for n in range(6)))
    assert read_curve(log).q_column == "Q Mean"


def test_a_critic_that_broke_ends_in_infinity_and_a_note_says_so(tmp_path):
    log = tmp_path / "log.csv"
    log.write_text("step,q_mean\n1,1\n2,2\n3,1e30\n4,inf\n5,nan\n6,NaN\n")
    curve = read_curve(log)
    assert curve.q_values == [1, 2, 1e30, np.inf, np.inf, np.inf]
    assert curve.notes == ["q_mean is not finite from step 4 on: the critic broke there"]
    assert forecast_curve(curve.steps, curve.q_values, discount=0.9).verdict == "diverged"


HEADED = "step,q_mean\n1,1\n2,2\n3,3\n4,4\n5,5\n"


@pytest.mark.parametrize(
    ("name", "text", "options", "said"),
    [
        ("log.csv", "", {}, "the file is empty"),
        ("log.csv", "time,loss\n1,2\n", {}, "no column is known as the training step; .*--step-column; .*time, loss"),
        ("log.csv", "step,loss\n1,2\n", {}, "no column is known as mean Q; .*--q-column; there are step, loss"),
        ("log.csv", "step,a/q,b/q\n1,2,3\n", {}, "several columns may be mean Q: a/q, b/q; choose one"),
        ("log.csv", "step,q,q\n1,2,3\n", {}, "two columns are called 'q'"),
        ("log.csv", HEADED, {"q_column": "Q"}, "--q-column Q: there is no such column; there are step, q_mean"),
        ("log.csv", HEADED, {"step_column": "t"}, "--step-column t: there is no such column"),
        ("log.csv", "step,q_mean\n1,1\n2\n", {}, "line 3 has 1 cells instead of 2"),
        ("log.csv", "step,q_mean\n1,1\n2,high\n", {}, "line 3: q_mean is not a number: 'high'"),
        ("log.csv", "step,q_mean\n1,1\n2,nan\n3,3\n", {}, "line 3: q_mean is nan and finite later"),
        ("log.csv", "step,q_mean\n1,1\n3,2\n2,3\n", {}, "line 4: step is 2 after 3, but steps must rise"),
        ("log.csv", "step,q_mean\n1,\n,2\n", {}, "no row has both step and q_mean"),
        ("log.csv", b"\xff\xfe\x00\x01", {}, "not a text file"),
        ("log.jsonl", '{"step": 1}\nhere\n{"step": 2}\n', {}, "line 2 is not a JSON object"),
        ("log.jsonl", "3\n4\n", {}, "row 1 is not a JSON object"),
        ("log.json", "[1, 2", {}, "not JSON"),
        ("log.parquet", "no parquet", {}, "not a readable Parquet file"),
        ("log.mat", "x", {}, "a log is CSV, JSON lines, Parquet, TensorBoard events"),
        ("events.out.tfevents.1", "no events", {}, "no scalars are in it"),
    ],
)
def test_logs_that_hold_no_curve_are_refused_in_one_line(name, text, options, said, tmp_path):
    log = tmp_path / name
    log.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError, match=said) as refused:
        read_curve(log, **options)
    assert str(refused.value).startswith(str(log))
    assert "\n" not in str(refused.value)


def test_directories_without_one_curve_are_refused(tmp_path):
    with pytest.raises(InputError, match="no such file or directory"):
        read_curve(tmp_path / "nowhere")
    with pytest.raises(InputError, match="no log is in it"):
        read_curve(tmp_path)
    for name in ("one", "two"):
        events(tmp_path / "runs" / name)
    with pytest.raises(InputError, match=r"event files of several runs are in it; give one of one, two"):
        read_curve(tmp_path / "runs")
    with pytest.raises(InputError, match="--q-column return: there is no such column; there are metrics/"):
        read_curve(tmp_path / "runs" / "one", q_column="return")
    with pytest.raises(InputError, match="leave --step-column out"):
        read_curve(tmp_path / "runs" / "one", step_column="step")
    metrics = d3rlpy_directory(tmp_path / "metrics")
    (metrics / "average_value.csv").unlink()
    with pytest.raises(InputError, match=r"no column is known as mean Q in .*; there are critic_loss, environment"):
        read_curve(metrics)


@pytest.mark.parametrize(
    ("module", "name", "extra"), [("pyarrow", "log.parquet", "data"), ("tensorboard", "a.tfevents.1", "tensorboard")]
)
def test_a_missing_reader_is_named_with_its_pip_line(module, name, extra, tmp_path, monkeypatch):
    log = tmp_path / name
    log.write_text("x")
    for loaded in [entry for entry in sys.modules if entry.split(".")[0] == module]:
        monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingPartError, match=rf"pip install 'seemrl\[{extra}\]'"):
        read_curve(log)


def test_readings_go_before_metrics_and_half_written_lines_are_left_out(tmp_path):
    run = run_directory(tmp_path / "run")
    lines = [json.dumps({"step": int(step), "q_mean": 7.0}) for step in STEPS]
    (run / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    with (run / "readings.jsonl").open("a") as file:
        file.write('{"step": 121000, "q_me')
    assert read_curve(run).q_values == Q_VALUES.tolist()
    (run / "readings.jsonl").write_text("")
    assert set(read_curve(run).q_values) == {7.0}


def test_a_column_called_so_outright_goes_before_those_of_a_group(tmp_path):
    log = tmp_path / "log.jsonl"
    log.write_text("".join(json.dumps({"old": {"step": 9}, "step": n, "q": n, "new": {"q": 5}}) + "\n" for n in (1, 2)))
    curve = read_curve(log)
    assert (curve.step_column, curve.q_column, curve.steps, curve.q_values) == ("step", "q", [1, 2], [1, 2])
    log.write_text(json.dumps({"old": {"step": 9}, "new": {"step": 9}, "q": 1}) + "\n")
    with pytest.raises(InputError, match="several columns may be the training step: old/step, new/step; choose one"):
        read_curve(log)
