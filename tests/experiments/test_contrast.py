"""The contrast: a grid of real runs, killed and continued; and what its table says of runs whose values are known."""

import json
import math
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from seemrl.agents.config import TD3BCConfig
from seemrl.errors import InputError, MissingPartError
from seemrl.experiments.contrast import ContrastConfig, arms_of, contrast_settings
from seemrl.experiments.contrast_page import contrast_results
from seemrl.experiments.grid import is_whole, named_data, train_grid, whole_runs
from seemrl.report.runs import RunRecord
from seemrl_process import EMBEDDED, finish, start

CONFIG = ContrastConfig(seeds=1, steps=100, hidden_sizes=(8,))
TINY = ("--steps", 100, "--hidden-sizes", 8, "--seeds", 1, "--processes", 1)


def contrast(directory: Path, *more: object):
    return start("reproduce", "contrast", "--out", directory / "out", *TINY, *more, cwd=directory)


def contents(run: Path) -> dict[str, tuple[float, bytes]]:
    files = (path for path in run.rglob("*") if path.is_file())
    return {str(path): (path.stat().st_mtime, path.read_bytes()) for path in files}


def test_a_grid_killed_on_the_way_goes_on_and_leaves_whole_runs_alone(tmp_path):
    first, second = contrast_settings(replace(CONFIG, out=str(tmp_path / "out")))
    process = contrast(tmp_path)
    while process.poll() is None and not (is_whole(first) and (Path(second.out) / "config.json").exists()):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert not (tmp_path / "out" / "results.json").exists()
    before = contents(Path(first.out))
    ended = finish(contrast(tmp_path))
    assert (ended.returncode, ended.stdout) == (0, f"{tmp_path}/out/report.html\n"), ended.stderr
    assert "2 runs, 1 of them whole already" in ended.stderr or "2 runs, 2 of them whole" in ended.stderr
    assert contents(Path(first.out)) == before
    rows = json.loads((tmp_path / "out" / "results.json").read_text())["arms"]
    assert [(row["critic_norm"], row["seeds"], row["diverged"]) for row in rows] == [
        ("none", [0], 0),
        ("layer", [0], 0),
    ]
    assert "| hopper-random | LayerNorm | 100 | 1 | 0 of 1 |" in (tmp_path / "out" / "results.md").read_text()
    other = replace(CONFIG, out=str(tmp_path / "out"), learning_rate=1e-3)
    with pytest.raises(InputError, match=r"different configuration: actor_learning_rate was 0\.0003 and is now 0\.001"):
        train_grid(other, contrast_settings(other), Console(quiet=True))


def test_no_time_leaves_no_run_and_says_so(tmp_path):
    ended = finish(contrast(tmp_path, "--minutes", 1e-9))
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "time is up: 2 runs are not whole; the same command goes on" in ended.stderr
    assert ended.stderr.endswith("error: no run is whole yet: repeat the command with more --minutes\n")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seeds": 0}, "--seeds 0"),
        ({"minutes": -1.0}, "--minutes -1"),
        ({"steps": 101}, "--steps 101: it must be 0 or more, a multiple of"),
        ({"data": ("no.hdf5",)}, "no.hdf5"),
        ({"data": ("a/hopper.hdf5", "b/hopper.hdf5")}, "have the same name; rename one"),
    ],
)
def test_settings_that_fit_no_grid_are_refused_before_anything_is_written(tmp_path, options, message):
    config = ContrastConfig(out=str(tmp_path / "out"), **options)
    with pytest.raises(InputError, match=message):
        train_grid(config, contrast_settings(config), Console(quiet=True))
    assert not (tmp_path / "out").exists()


def test_a_file_is_named_in_tables_by_its_stem():
    assert named_data(["x/hopper-medium.hdf5", "walker2d.hdf5"]) == {
        "hopper-medium": "x/hopper-medium.hdf5",
        "walker2d": "walker2d.hdf5",
    }
    assert named_data([]) == {"hopper-random": str(EMBEDDED)}


# What the table says


def record(norm: str, seed: int, sizes: dict[int, float], called_at: int | None = None) -> RunRecord:
    settings = {
        "data": "d/hopper.hdf5",
        "critic_norm": norm,
        "seed": seed,
        "steps": 300,
        "hidden_sizes": [8],
        "batch_size": 256,
        "critic_learning_rate": 3e-4,
        "read_every": 100,
    }
    readings = [
        {
            "step": step,
            "q_mean": size,
            "forecast": {"verdict": "stable" if called_at is None or step < called_at else "diverging"},
        }
        for step, size in sizes.items()
    ]
    return RunRecord(Path("run"), {"config": settings}, [], readings, [], "", 100.0)


def test_who_diverged_is_told_with_the_steps():
    runs = [
        record("none", 0, {100: 1.0, 200: 150.0, 300: 1001.0}, called_at=200),
        record("none", 1, {100: 1.0, 200: math.nan, 300: math.nan}),
        record("none", 2, {100: 1.0, 200: 2.0, 300: 1000.0}),
        record("layer", 0, {100: 1.0, 200: 30.0, 300: 20.0}),
    ]
    bare, cured = arms_of(runs)
    assert [item.diverged_at for item in bare.values] == [300, 200, None]
    assert [item.bound_passed_at for item in bare.values] == [200, 200, 300]
    assert [item.called_at for item in bare.values] == [200, None, None]
    assert (cured.values[0].largest, cured.values[0].last) == (30.0, 20.0)
    _, first, second = next(iter(contrast_results([bare, cured]).tables.values()))
    assert first[4:] == ["2 of 3, by step 250 (200 to 300)", "1 of 3, by step 200 (200 to 200)", "10 (10 to inf)"]
    assert second == ["hopper", "LayerNorm", "300", "1", "0 of 1", "0 of 1", "0.3 (0.3 to 0.3)"]


def test_runs_that_never_ended_are_no_result(tmp_path):
    assert whole_runs(tmp_path) == []
    with pytest.raises(InputError, match="no run is whole"):
        contrast_results([])


def test_an_error_of_a_process_arrives_with_its_words():
    import pickle

    for error in (InputError("said"), MissingPartError("a part", "extra", "training")):
        again = pickle.loads(pickle.dumps(error))
        assert isinstance(again, InputError) and str(again) == str(error)


def test_the_settings_are_those_of_the_paper():
    settings = contrast_settings(ContrastConfig(seeds=2))
    assert len(settings) == 4
    for setting in settings:
        hyperparameters = setting.hyperparameters
        assert isinstance(hyperparameters, TD3BCConfig)
        assert (hyperparameters.bc_weight, hyperparameters.target_rate, hyperparameters.q_weight) == (0, 1, 2.5)
        assert replace(hyperparameters, critic_norm="none") == settings[0].hyperparameters
