"""A monitor's log in the hands of the commands that read runs."""

import json

import pytest

from monitoring.monitored_loops import DISCOUNT, Loop
from seemrl.cli import main
from seemrl.logs.read import read_curve
from seemrl.report.runs import read_run


@pytest.fixture(scope="module")
def logged(tmp_path_factory):
    """A diverging loop's log, its last line half-written."""
    directory = tmp_path_factory.mktemp("runs") / "watched"
    loop = Loop()
    monitor = loop.monitor(directory=directory)
    loop.train(300, monitor.update)
    with (directory / "readings.jsonl").open("a") as file:
        file.write('{"step": 320, "q_me')
    return directory, monitor


@pytest.mark.parametrize("inside", ["", "readings.jsonl"])
def test_the_forecast_of_a_log_finds_step_mean_q_discount_and_bound_by_itself(logged, inside, capsys):
    directory, monitor = logged
    curve = read_curve(directory / inside)
    assert (curve.step_column, curve.q_column) == ("step", "q_mean")
    assert curve.steps == [reading.step for reading in monitor.history]
    assert curve.q_values == [reading.q_mean for reading in monitor.history]

    assert main(["forecast", str(directory / inside), "--json"]) == 0
    (said,) = json.loads(capsys.readouterr().out)
    assert (said["discount"], said["target_rate"]) == (DISCOUNT, 1.0)
    assert said["reward_bound"] == json.loads((directory / "config.json").read_text())["reward_bound"]
    assert said["forecast"]["verdict"] == "diverging"


def test_the_report_of_a_log_says_what_it_is_and_when_the_alarm_was(logged, tmp_path, capsys):
    directory, monitor = logged
    alarm = next(
        reading["step"]
        for reading in map(json.loads, (directory / "readings.jsonl").read_text().splitlines()[:-1])
        if reading["forecast"]["verdict"] == "diverging"
    )
    assert main(["report", str(directory), "--out", str(tmp_path / "page.html")]) == 0
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "a monitor's log, 300 steps" in page
    assert f"first called <em>diverging</em> at <strong>step {alarm}</strong>" in page
    assert 0 < alarm < monitor.history[-1].step


def test_advice_is_kept_in_the_log_for_the_report_and_dropped_with_the_readings_it_was_about(tmp_path):
    loop = Loop()
    monitor = loop.monitor(directory=tmp_path / "log")
    loop.train(200, monitor.update)
    remedies = monitor.advise()
    advice = read_run(tmp_path / "log").advice
    assert advice is not None
    assert advice["step"] == 200
    assert [remedy["name"] for remedy in advice["remedies"]] == [remedy.name for remedy in remedies]
    assert main(["report", str(tmp_path / "log"), "--out", str(tmp_path / "page.html")]) == 0
    assert "What would end it" in (tmp_path / "page.html").read_text(encoding="utf-8")

    monitor.update(100)  # training is taken up again before it
    assert read_run(tmp_path / "log").advice is None
