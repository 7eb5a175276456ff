"""`seemrl forecast` as people call it: the table, JSON, the page, the picture, and refusals that write nothing."""

import json
import sys
from html.parser import HTMLParser
from importlib import util

import pytest
from logs_on_disk import STEPS, csv, json_list, run_directory

from seemrl.cli import main
from seemrl_process import seemrl

HOSTILE = "<img src=x onerror=alert(1)>.csv"


@pytest.fixture(autouse=True)
def in_a_directory_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_it_says_verdict_alarm_forecast_and_reasons(tmp_path):
    csv(tmp_path / "log.csv")
    ended = seemrl("forecast", "log.csv", "--reward-bound", 500, cwd=tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "diverging" in ended.stdout
    for said in ("first alarm", "forecast of |Q| at step 240,000", "ten reward bounds passed: step", "steepness ="):
        assert said in ended.stdout


def test_json_is_strict_and_complete(tmp_path, capsys):
    csv(tmp_path / "log.csv")
    json_list(tmp_path / "other.json")
    assert main(["forecast", "log.csv", "other.json", "--json", "--discount", "0.98", "--reward-bound", "500"]) == 0
    said = capsys.readouterr()
    first, second = json.loads(said.out, parse_constant=pytest.fail)
    assert (first["file"], first["step_column"], first["q_column"]) == ("log.csv", "step", "mean_q")
    assert (first["discount"], first["target_rate"], first["reward_bound"]) == (0.98, 0.005, 500.0)
    assert first["rows"] == len(STEPS)
    assert first["alarm_step"] < STEPS[-1]
    assert first["forecast"]["verdict"] == "diverging"
    assert first["forecast"] == second["forecast"]


def test_a_run_directory_brings_its_settings_and_options_go_first(tmp_path, capsys):
    run_directory(tmp_path / "run", discount=0.9, target_rate=0.01, reward_bound=30.0)
    assert main(["forecast", "run", "--json"]) == 0
    stated = json.loads(capsys.readouterr().out)[0]
    assert [stated[name] for name in ("discount", "target_rate", "reward_bound")] == [0.9, 0.01, 30.0]
    assert main(["forecast", "run", "--json", "--discount", "0.95", "--reward-bound", "60"]) == 0
    asked = json.loads(capsys.readouterr().out)[0]
    assert [asked[name] for name in ("discount", "target_rate", "reward_bound")] == [0.95, 0.01, 60.0]


class Tags(HTMLParser):
    """What a browser would make of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.loaded: list[str] = []
        self.figures: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        named = dict(attrs)
        self.loaded += [value for name, value in attrs if name in ("src", "href") and value]
        if named.get("type") == "application/json":
            self.figures.append(str(named["id"]))


def test_the_page_shows_every_curve_loads_nothing_and_trusts_no_name(tmp_path):
    csv(tmp_path / HOSTILE)
    csv(tmp_path / "log.csv")
    assert main(["forecast", HOSTILE, "log.csv", "--out", "page.html"]) == 0
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    read = Tags()
    read.feed(page)
    assert "img" not in read.tags
    assert read.loaded == []
    assert read.figures == ["figure-q-values", "figure-verdicts"]
    assert page.count("<article") == 2
    assert "What a Q curve cannot tell" in page


def test_the_picture_is_a_png_file(tmp_path, capsys):
    csv(tmp_path / "log.csv")
    assert main(["forecast", "log.csv", "--png", "picture.png", "--json"]) == 0
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")
    assert capsys.readouterr().err == "picture.png\n"


def test_a_picture_without_matplotlib_is_refused_with_the_pip_line(tmp_path, monkeypatch, capsys):
    csv(tmp_path / "log.csv")
    found = util.find_spec
    monkeypatch.setattr("seemrl.logs.picture.find_spec", lambda name: None if name == "matplotlib" else found(name))
    assert main(["forecast", "log.csv", "--out", "page.html", "--png", "picture.png"]) == 2
    assert "pip install 'seemrl[figures]'" in capsys.readouterr().err
    assert not (tmp_path / "page.html").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere.csv"], "nowhere.csv: no such file or directory"),
        (["short.csv"], "short.csv: 2 rows are no curve; at least 5 are needed"),
        (["log.csv", "--q-column", "q"], "log.csv: --q-column q: there is no such column"),
        (["log.csv", "--discount", "1"], "log.csv: discount 1 is not in [0, 1)"),
        (["log.csv", "--discount", "0"], None),
        (["log.csv", "--reward-bound", "-1"], "reward_bound -1 is not above 0"),
        (["log.csv", "--horizon", "5"], "horizon 5 is not past the last step"),
        (["log.csv", "--horizon", "inf"], "--horizon inf: not a step"),
        (["log.csv", "--out", "page.txt"], "page.txt: a report is an HTML file"),
        (["log.csv", "--png", "picture.svg"], "picture.svg: a picture is a PNG file"),
        (["log.csv", "--out", "nowhere/page.html"], "nowhere/page.html: cannot write the report"),
        (["log.csv", "--png", "nowhere/picture.png"], "nowhere/picture.png: cannot write the picture"),
    ],
)
def test_refusals_are_one_line_and_write_nothing(arguments, said, tmp_path, capsys):
    csv(tmp_path / "log.csv")
    (tmp_path / "short.csv").write_text("step,q_mean\n1,1\n2,2\n")
    code = main(["forecast", *arguments])
    written = capsys.readouterr()
    if said is None:
        assert code == 0
        return
    assert code == 2
    assert written.out == ""
    assert written.err.startswith("seemrl: error: ")
    assert said in written.err
    assert written.err.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log.csv", "short.csv"]


def test_neither_jax_nor_torch_is_loaded(tmp_path):
    csv(tmp_path / "log.csv")
    script = (
        "import sys; from seemrl.cli import main; main(['forecast', 'log.csv', '--out', 'page.html']); "
        "raise SystemExit(bool({'jax', 'torch', 'tensorboard', 'pyarrow', 'matplotlib'} & set(sys.modules)))"
    )
    import subprocess

    assert subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True).returncode == 0
