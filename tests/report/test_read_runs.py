"""Reading run directories: what a run just begun looks like, and one line for every kind of breakage."""

import json
import math
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from runs_on_disk import HOSTILE, append_text, change_config, diverging_run, healthy_run, write_config

from seemrl.errors import InputError
from seemrl.report.runs import read_run
from seemrl.report.summary import Crash, drawn_forecasts, find_crash, interval_holds, summarize


def test_numbers_that_are_not_finite_come_back_as_floats(tmp_path: Path) -> None:
    run = read_run(diverging_run(tmp_path / "run"))
    assert run.readings[-2]["q_mean"] == math.inf
    assert math.isnan(run.readings[-1]["q_mean"])
    assert run.reward_bound == 100.0
    assert len(run.metrics) == 60


def test_a_run_just_begun_is_a_run(tmp_path: Path) -> None:
    run = read_run(write_config(tmp_path / "run", HOSTILE))
    assert (run.label, run.metrics, run.readings, run.evaluations) == (HOSTILE, [], [], [])
    assert summarize(run).verdict is None


def test_a_half_written_last_line_is_not_a_row(tmp_path: Path) -> None:
    directory = healthy_run(tmp_path / "run")
    whole = read_run(directory)
    append_text(directory / "readings.jsonl", '{"step": 6250, "seem": 0.')
    assert read_run(directory).readings == whole.readings


def test_without_a_label_the_directory_names_the_run(tmp_path: Path) -> None:
    directory = write_config(tmp_path / "hopper-3", "")
    assert read_run(directory).label == "hopper-3"


def test_an_interval_without_an_upper_end_reaches_to_infinity(tmp_path: Path) -> None:
    directory = write_config(tmp_path / "run", "run")
    _forecast(verdict="diverging", crash_step=None, crash_interval=[1200, None])(directory)
    forecast = read_run(directory).readings[0]["forecast"]
    assert forecast["crash_step"] is None
    assert forecast["crash_interval"] == [1200.0, math.inf]


def _reading(text: str) -> Callable[[Path], None]:
    return lambda run: append_text(run / "readings.jsonl", text + "\n")


def _forecast(**forecast: object) -> Callable[[Path], None]:
    row = {"step": 9000, "q_mean": 1.0, "forecast": {"verdict": "stable"} | forecast}
    return _reading(json.dumps(row))


@pytest.mark.parametrize(
    ("breakage", "words"),
    [
        (lambda run: (run / "config.json").unlink(), ["not a run directory", "config.json"]),
        (lambda run: (run / "config.json").write_text('{"format": 1,\n'), ["config.json", "line 2"]),
        (lambda run: (run / "config.json").write_text("[]"), ["config.json", "not a JSON object"]),
        (lambda run: (run / "config.json").write_bytes(b"\xff\xfe"), ["config.json", "cannot be read"]),
        (lambda run: change_config(run, format=2), ["config.json", "format 2 is unknown"]),
        (lambda run: change_config(run, reward_bound="much"), ["config.json", "reward_bound is not a number"]),
        (_reading("not json"), ["readings.jsonl", "line 26"]),
        (_reading('{"step": "soon"}'), ["readings.jsonl", "line 26", "step"]),
        (_reading('{"step": 7, "q_mean": [1], "forecast": {"verdict": "watch"}}'), ["line 26", "q_mean"]),
        (_reading('{"step": 7}'), ["line 26", "forecast is not an object"]),
        (_forecast(verdict="fine"), ["line 26", "'fine'", "diverging"]),
        (_forecast(crash_interval=[None, 1]), ["line 26", "crash_interval"]),
        (_forecast(crash_interval=[1]), ["line 26", "crash_interval"]),
        (_forecast(reasons="because"), ["line 26", "reasons"]),
        (_forecast(curve={"steps": [1], "low": [1], "middle": [1], "high": []}), ["line 26", "curve", "length"]),
        (_forecast(curve={"steps": [1]}), ["line 26", "low"]),
        (lambda run: append_text(run / "metrics.jsonl", "{}\n"), ["metrics.jsonl", "line 61", "step"]),
        (
            lambda run: append_text(run / "evaluations.jsonl", '{"step": 1, "score_mean": "high"}\n'),
            ["evaluations.jsonl", "line 4", "score_mean"],
        ),
    ],
)
def test_a_broken_run_is_one_line_that_says_where(
    tmp_path: Path, breakage: Callable[[Path], object], words: list[str]
) -> None:
    directory = healthy_run(tmp_path / "run")
    breakage(directory)
    with pytest.raises(InputError) as caught:
        read_run(directory)
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such run directory"):
        read_run(tmp_path / "nowhere")


def test_the_summary_tells_what_was_forecast_and_what_happened(tmp_path: Path) -> None:
    run = read_run(diverging_run(tmp_path / "run"))
    summary = summarize(run)
    assert summary.verdict == "diverged"
    assert summary.alarm is not None and summary.alarm["step"] == 1000
    assert summary.crash is not None
    assert summary.crash == Crash(step=1500, after=1250, finite=True)
    assert interval_holds(summary.alarm["forecast"]["crash_interval"], summary.crash)


@pytest.mark.parametrize(
    ("values", "bound", "crash"),
    [
        ([1.0, 999.0, 1000.0], 100.0, None),
        ([1.0, 1001.0, 1.0], 100.0, Crash(1, 0, True)),
        ([math.nan], 100.0, Crash(0, None, False)),
        ([1e9, math.inf], 0.0, Crash(1, 0, False)),
        ([1e9], math.nan, None),
        ([], 100.0, None),
    ],
)
def test_a_run_has_crashed_past_ten_bounds_or_when_not_finite(
    values: list[float], bound: float, crash: Crash | None
) -> None:
    rows = [{"step": step, "q_mean": value} for step, value in enumerate(values)]
    assert find_crash(rows, bound) == crash


@pytest.mark.parametrize(
    ("interval", "holds"),
    [((1300, 1400), True), ((1000, 1251), True), ((1500, 2000), True), ((1501, 2000), False), ((900, 1250), False)],
)
def test_a_crash_lies_between_two_readings(interval: tuple[float, float], holds: bool) -> None:
    assert interval_holds(interval, Crash(step=1500, after=1250, finite=True)) is holds


def test_reading_runs_needs_neither_trainers_nor_plots() -> None:
    code = (
        "import sys, seemrl.report.runs, seemrl.report.command;"
        "print([m for m in ('jax', 'torch', 'pandas', 'plotly', 'numpy', 'seemrl.training') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_last_word_is_the_last_forecast_within_the_bound(tmp_path: Path) -> None:
    run = replace(read_run(diverging_run(tmp_path / "run")), reward_bound=2000.0)
    summary = summarize(run)
    assert summary.alarm is not None and summary.last_word is not None
    assert (summary.alarm["step"], summary.last_word["step"]) == (1000, 1250)
    assert [forecast["step"] for forecast in drawn_forecasts(run)] == [1000, 1250]


def test_an_alarm_beyond_the_bound_leaves_no_last_word(tmp_path: Path) -> None:
    run = read_run(diverging_run(tmp_path / "run"))
    assert summarize(run).last_word is None
    assert [forecast["step"] for forecast in drawn_forecasts(run)] == [1000]
