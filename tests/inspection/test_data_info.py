"""`seemrl data info`: the numbers are those of NumPy, what the file says cannot harm, mistakes end in one line."""

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from seemrl.cli import main
from seemrl.data.dataset import Dataset
from seemrl.data.embedded import load_embedded_hopper
from seemrl.data.summary import Histogram
from seemrl.inspection.shown import BAR_WIDTH, SHOWN_BARS, bars
from seemrl_process import EMBEDDED

ROWS = 200


def made(rows: int = ROWS, **arrays: Any) -> dict[str, Any]:
    random = np.random.default_rng(0)
    observations = random.normal(size=(rows + 1, 3)).astype(np.float32)
    return {
        "observations": observations[:-1].copy(),
        "actions": random.uniform(-0.9, 0.9, size=(rows, 2)).astype(np.float32),
        "rewards": random.normal(size=rows).astype(np.float32),
        "next_observations": observations[1:].copy(),
        "terminals": np.arange(rows) % 40 == 39,
        "timeouts": np.zeros(rows, dtype=np.bool_),
        **arrays,
    }


def written(path: Path, arrays: dict[str, Any], **attributes: Any) -> Path:
    with h5py.File(path, "w") as file:
        for key, array in arrays.items():
            file[key] = array
        file.attrs.update(attributes)
    return path


def told(capsys: Any, *arguments: object) -> dict[str, Any]:
    assert main(["data", "info", *map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def shown(capsys: Any, *arguments: object) -> str:
    assert main(["data", "info", *map(str, arguments)]) == 0
    return capsys.readouterr().out


def refusal(capsys: Any, *arguments: object) -> str:
    assert main(["data", "info", *map(str, arguments)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    return said.err.removeprefix("seemrl: error: ").rstrip("\n")


# Numbers


@pytest.fixture(scope="module")
def hopper() -> Dataset:
    return load_embedded_hopper()


def test_the_numbers_of_the_embedded_set(capsys, hopper):
    info = told(capsys, EMBEDDED)
    assert (info["rows"], info["observation_size"], info["action_size"], info["action_count"]) == (20_000, 11, 3, None)
    assert (info["format"], info["environment"]) == ("D4RL HDF5", "Hopper-v5")
    assert (info["episodes"], info["unfinished"], info["terminals"], info["timeouts"]) == (888, 1, 887, 0)
    finished = hopper.attributes["behaviour_return"]
    assert info["returns"]["mean"] == pytest.approx(finished, rel=2e-3)  # the 888th is unfinished
    assert info["lengths"]["mean"] == 20_000 / 888
    assert info["reward_bound"] == pytest.approx(hopper.max_abs_reward / 0.01)
    assert sum(info["return_histogram"]["counts"]) == 888
    assert info["duplicates"] == 0
    assert info["findings"] == []
    for number, entry in enumerate(info["observations"]):
        column = hopper.observations[:, number].astype(np.float64)
        assert entry["deviation"] == pytest.approx(column.std(), rel=1e-12)
        assert (entry["low"], entry["high"]) == (column.min(), column.max())


def test_returns_and_lengths_are_per_episode(capsys, tmp_path):
    arrays = made()
    info = told(capsys, written(tmp_path / "a.hdf5", arrays))
    returns = arrays["rewards"].astype(np.float64).reshape(5, 40).sum(axis=1)
    assert info["returns"]["low"] == pytest.approx(returns.min())
    assert info["returns"]["high"] == pytest.approx(returns.max())
    assert info["lengths"] == {"low": 40, "mean": 40, "median": 40, "high": 40, "deviation": 0}
    assert info["findings"][0]["name"] == "timeouts_as_terminals"


def test_saturation_is_the_share_of_entries_at_an_end(capsys, tmp_path):
    actions = made()["actions"]
    actions[:50, 1] = 1.0
    info = told(capsys, written(tmp_path / "a.hdf5", made(actions=actions)))
    assert [entry["at_ends"] for entry in info["actions"]] == [0.0, 0.25]


def test_the_box_and_the_discount_are_options(capsys, tmp_path):
    path = written(tmp_path / "a.hdf5", made(actions=made()["actions"] * 3))
    names = {finding["name"] for finding in told(capsys, path)["findings"]}
    assert "actions_beyond_box" in names
    info = told(capsys, path, "--action-low", -3, "--action-high", 3, "--discount", 0.5)
    assert "actions_beyond_box" not in {finding["name"] for finding in info["findings"]}
    assert info["reward_bound"] == pytest.approx(2 * info["max_abs_reward"])


def test_values_that_are_not_finite_are_counted_and_their_rows_left_out(capsys, tmp_path):
    arrays = made()
    arrays["observations"][[3, 7], 1] = np.nan
    arrays["rewards"][7] = np.inf
    info = told(capsys, written(tmp_path / "a.hdf5", arrays))
    assert info["rows"] == ROWS - 2
    assert info["not_finite"] == {"observations": 2 / 600, "actions": 0, "rewards": 1 / 200, "next_observations": 0}
    finding = info["findings"][0]
    assert (finding["name"], finding["key"], finding["count"]) == ("not_finite", "rewards", 2)


def test_rows_without_next_observations_may_hold_nan(capsys, tmp_path):
    arrays = made()
    del arrays["next_observations"]
    arrays["observations"][3, 1] = np.nan
    info = told(capsys, written(tmp_path / "a.hdf5", arrays))
    assert info["rows"] == ROWS - 2  # row 3, and row 2, whose next observation it is


def test_discrete_actions_are_counted(capsys, tmp_path):
    path = written(tmp_path / "a.hdf5", made(actions=np.arange(ROWS) % 3), action_count=4)
    info = told(capsys, path)
    assert info["action_counts"] == [67, 67, 66, 0]
    assert info["actions"] == []
    text = shown(capsys, path, "--html", tmp_path / "a.html")
    assert "0: 67, 1: 67, 2: 66, 3: 0" in text
    assert "one of 4" in text


def test_one_row_is_enough(capsys, tmp_path):
    info = told(capsys, written(tmp_path / "a.hdf5", made(1)))
    assert (info["rows"], info["episodes"]) == (1, 1)
    assert info["return_histogram"]["counts"] == [1]


# The terminal


def test_people_see_findings_with_their_remedy(capsys, tmp_path):
    text = shown(capsys, written(tmp_path / "a.hdf5", made()))
    assert "warning timeouts_as_terminals: 5 of 5 terminal episodes end after exactly 40 steps" in text
    assert "set timeouts instead." in text
    assert "(first: row 39)" in text


def test_people_are_told_when_nothing_is_wrong(capsys):
    assert "no warning" in shown(capsys, EMBEDDED)


@pytest.mark.parametrize("count", [1, 5, SHOWN_BARS, 40, 41])
def test_bars_fit_a_screen_and_add_up(count):
    random = np.random.default_rng(count)
    histogram = Histogram(tuple(np.linspace(-1, 2, count + 1)), tuple(map(int, random.integers(0, 9, count) + 1)))
    lines = list(bars(histogram))
    assert len(lines) <= SHOWN_BARS
    assert sum(int(line.split()[-1]) for line in lines) == sum(histogram.counts)
    assert max(line.count("█") for line in lines) == BAR_WIDTH
    assert lines[0].split()[0] == "-1"
    assert lines[-1].split()[2] == "2"


# The page


def test_the_page_stands_alone_and_escapes_what_the_file_says(capsys, tmp_path):
    hostile = "<script>alert(1)</script>"
    path = written(tmp_path / "a&b.hdf5", made(), environment=hostile, **{"<b>name": hostile})
    page = tmp_path / "page.html"
    assert str(page) in shown(capsys, path, "--html", page)
    text = page.read_text()
    assert hostile not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "<title>What is in a&amp;b.hdf5?</title>" in text
    assert 'http-equiv="Content-Security-Policy" content="default-src \'none\'' in text
    assert "timeouts_as_terminals" in text
    for name in ("returns", "scales"):
        figure = text.split(f'id="figure-{name}">')[1].split("</script>")[0]
        assert json.loads(figure)["data"][0]["type"] == "bar"


# Mistakes


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--discount", 1), "--discount 1.0: it must be in [0, 1)"),
        (("--action-low", 2), "--action-low 2.0: it must be below --action-high 1.0"),
        (("--action-low", "nan"), "--action-low nan: it must be below"),
        (("--html", "page.txt"), "--html page.txt: give a name that ends in .html"),
        (("--html", "nowhere/page.html"), "--html nowhere/page.html: no directory nowhere"),
    ],
)
def test_senseless_options_are_refused(capsys, options, words):
    assert refusal(capsys, EMBEDDED, *options).startswith(words)


def test_a_file_without_a_finite_row_is_refused(capsys, tmp_path):
    path = written(tmp_path / "a.hdf5", made(rewards=np.full(ROWS, np.nan)))
    assert refusal(capsys, path) == f"{path}: every row holds a value that is not finite; repair the data"


def test_a_file_that_is_none_is_refused(capsys, tmp_path):
    (tmp_path / "a.hdf5").write_text("hello")
    assert "neither HDF5, npz, Parquet nor Arrow" in refusal(capsys, tmp_path / "a.hdf5")
