"""The page: self-contained, escaped, complete; and what a browser makes of it."""

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest
from runs_on_disk import HOSTILE, change_config, diverging_run, healthy_run, write_config

from seemrl.errors import InputError
from seemrl.files import read_json_lines, write_json_lines
from seemrl.report.command import ReportConfig, run_report
from seemrl.report.html import write_report
from seemrl.report.runs import read_run

CHROMIUM = shutil.which("chromium")
QUIET = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--virtual-time-budget=5000",
    "--dump-dom",
]


class _Page(HTMLParser):
    """Tags, what they would load, inert JSON blocks and the visible text."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.handlers: list[str] = []
        self.tags: list[str] = []
        self.figures: list[dict] = []
        self.text = ""
        self._inside: list[str] = []
        self._json = False
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self._json = ("type", "application/json") in attrs
        self._inside.append(tag)
        self.loads += [f"{tag} {name}={value}" for name, value in attrs if name in ("src", "href", "action", "data")]
        self.handlers += [name for name, _ in attrs if name.startswith("on")]

    def handle_endtag(self, tag: str) -> None:
        if tag in self._inside:
            while self._inside.pop() != tag:
                pass

    def handle_data(self, data: str) -> None:
        inside = self._inside[-1] if self._inside else ""
        if inside == "script" and self._json:
            self.figures.append(json.loads(data))
        elif inside not in ("script", "style"):
            self.text += data


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report on a diverging, a healthy and a just begun run; the first and the last have hostile labels."""
    home = tmp_path_factory.mktemp("report")
    hostile = write_config(home / "begun", HOSTILE, seed=HOSTILE, bc_weight="nan")
    change_config(diverging_run(home / "bad"), label=HOSTILE, agent=HOSTILE, seemrl_version=HOSTILE)
    runs = [read_run(home / "bad"), read_run(healthy_run(home / "good")), read_run(hostile)]
    return write_report(runs, home / "report.html", title=f"Two runs {HOSTILE}", notes=[f"A note. {HOSTILE}"])


@pytest.fixture(scope="module")
def page(page_file: Path) -> _Page:
    return _Page(page_file.read_text(encoding="utf-8"))


def test_nothing_is_loaded_and_nothing_hostile_becomes_markup(page: _Page) -> None:
    assert page.loads == []
    assert page.handlers == []
    assert not {"img", "link", "iframe", "object", "base"} & set(page.tags)
    assert page.tags.count("script") == 2 + len(page.figures)
    assert page.text.count(HOSTILE) > 5


def test_hostile_text_is_nowhere_raw(page_file: Path) -> None:
    source = page_file.read_text(encoding="utf-8")
    assert "<img src=x" not in source
    assert not re.search(r"url\(\s*['\"]?http", source.split("</style>")[0])


def test_the_policy_of_the_page_forbids_everything_but_its_own_scripts(page_file: Path) -> None:
    head = page_file.read_text(encoding="utf-8")[:2000]
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', head)
    assert policy
    assert "default-src 'none'" in policy[1]
    assert policy[1].count("'sha256-") == 2
    assert "script-src 'unsafe-inline'" not in policy[1]


@pytest.mark.parametrize(
    "words",
    [
        "✖ diverged",
        "● stable",
        "no reading yet",
        "first called diverging at step 1,000, mean |Q| 464, 4.64 × the reward bound (100)",
        "step 1,417 (90% interval 1,180 to 1,790)",
        "|Q| passed 10 × the bound by step 1,500",
        "inside the alarm's interval",
        "passing 10 × the bound did not happen in 6,000 steps",
        "never called diverging",
        "|Q| ~ t^3.0 under Adam, 3 layers",
        "not finite; 77,026 at step 5,500, the last finite one",
        "normalised score 13",
        "normalised SEEM was 0.755 at step 1000",
        "critic_norm",
        "settings that all runs share",
        "What the numbers mean",
        "max |r| / (1 − discount)",
    ],
)
def test_the_page_says_it(words: str, page: _Page) -> None:
    assert words in " ".join(page.text.split())


def test_differing_settings_stand_apart_from_common_ones(page_file: Path) -> None:
    source = page_file.read_text(encoding="utf-8")
    table = source[source.index("<h2>Configuration</h2>") :]
    differing, common = table.split("<details>")[:2]
    assert "critic_norm" in differing and "critic_norm" not in common
    assert "discount" in common and "discount" not in differing
    assert str(page_file.parent / "good") not in table


@pytest.mark.parametrize(
    ("crash", "words"),
    [
        (
            {"crash_step": 1417.0, "crash_interval": [1180.0, None]},
            "step 1,417 (90% interval from 1,180 on, perhaps never)",
        ),
        ({"crash_step": None, "crash_interval": [1180.0, None]}, "less likely than not (90% interval from 1,180 on"),
        ({"crash_step": None, "crash_interval": None}, "none made"),
    ],
)
def test_a_forecast_that_is_unsure_says_so(crash: dict, words: str, tmp_path: Path) -> None:
    directory = diverging_run(tmp_path / "run")
    rows = read_json_lines(directory / "readings.jsonl")
    rows[4]["forecast"] |= crash
    write_json_lines(directory / "readings.jsonl", rows)
    text = _Page(write_report([read_run(directory)], tmp_path / "out.html").read_text(encoding="utf-8")).text
    assert words in text


def test_runs_of_the_same_label_are_numbered(tmp_path: Path) -> None:
    run = read_run(healthy_run(tmp_path / "run", "twin"))
    text = _Page(write_report([run, run], tmp_path / "out.html").read_text(encoding="utf-8")).text
    assert "twin #1" in text and "twin #2" in text


def test_a_label_with_half_a_character_can_be_written(tmp_path: Path) -> None:
    run = read_run(write_config(tmp_path / "run", "broken \ud83d\x00 label"))
    assert write_report([run], tmp_path / "out.html").exists()


def test_the_command_puts_one_report_into_its_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = healthy_run(tmp_path / "run")
    out = run_report(ReportConfig(runs=(str(run),)))
    assert out == run / "report.html"
    assert capsys.readouterr().out == f"{out}\n"


def test_the_command_puts_a_comparison_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = healthy_run(tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    assert run_report(ReportConfig(runs=(str(run), str(run)))).resolve() == tmp_path / "seemrl-report.html"


@pytest.mark.parametrize("name", ["missing/report.html", "directory.html", "report.json"])
def test_a_place_that_cannot_be_written_is_one_line_and_leaves_nothing(name: str, tmp_path: Path) -> None:
    run = healthy_run(tmp_path / "run")
    (tmp_path / "directory.html").mkdir()
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InputError) as caught:
        run_report(ReportConfig(runs=(str(run),), out=str(tmp_path / name)))
    assert name in str(caught.value) and "--out" in str(caught.value) and "\n" not in str(caught.value)
    assert sorted(tmp_path.rglob("*")) == before


def test_no_run_is_an_input_error() -> None:
    with pytest.raises(InputError, match="name at least one run"):
        run_report(ReportConfig(runs=()))


def _dump(page: Path, profile: Path, *options: str) -> str:
    assert CHROMIUM
    command = [CHROMIUM, *QUIET, f"--user-data-dir={profile}", *options, page.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
def test_a_browser_draws_every_chart_under_the_policy(page_file: Path, tmp_path: Path) -> None:
    dom = _dump(page_file, tmp_path / "profile", "--window-size=1200,1000")
    charts = re.findall(
        r'id="chart-([a-z-]+)" data-figure="[a-z-]+" class="|class="chart[^"]*" id="chart-([a-z-]+)"', dom
    )
    assert len(charts) == 7
    for part in dom.split('id="chart-')[1:]:
        assert 'class="main-svg"' in part[:4000]
    assert "sendChartToCloud" not in re.sub(r"<script.*?</script>", "", dom, flags=re.S)
    assert "<img src" not in re.sub(r"<script.*?</script>", "", dom, flags=re.S)


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
def test_a_phone_never_scrolls_sideways(page_file: Path, tmp_path: Path) -> None:
    probe = """<script>setTimeout(() => parent.postMessage(JSON.stringify({
        content: document.documentElement.scrollWidth,
        window: innerWidth,
        charts: [...document.querySelectorAll(".main-svg:first-child")].map((svg) => svg.clientWidth),
    }), "*"), 1500)</script>"""
    source = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page_file.read_text(encoding="utf-8"))
    (tmp_path / "phone.html").write_text(source.replace("</body>", probe + "</body>"), encoding="utf-8")
    wrapper = tmp_path / "wrapper.html"
    wrapper.write_text(
        '<iframe src="phone.html" style="width:390px;height:844px;border:0"></iframe><pre id="said"></pre>'
        "<script>onmessage = (event) => { document.getElementById('said').textContent = event.data }</script>"
    )
    dom = _dump(wrapper, tmp_path / "profile", "--window-size=600,900")
    said = re.search(r'<pre id="said">(.*?)</pre>', dom)
    assert said and said[1]
    sizes = json.loads(said[1])
    assert sizes["window"] == 390
    assert sizes["content"] <= 390
    assert len(sizes["charts"]) == 7
    assert all(300 < width <= 390 for width in sizes["charts"])
