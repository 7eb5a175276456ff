"""A run seen from outside: whole, growing, missing."""

import math

import pytest
from monitored_logs import logged
from rich.console import Console

from seemrl.cli import main
from seemrl.report.runs import read_run
from seemrl.watching.sparkline import BLOCKS, BROKEN, sparkline
from seemrl.watching.view import view
from seemrl_process import seemrl


def shown(run, width=100):
    console = Console(width=width, record=True, quiet=True)
    with console.capture() as capture:
        console.quiet = False
        console.print(view(read_run(run), width))
    return capture.get()


def test_a_process_prints_one_view_and_ends(tmp_path):
    logged(tmp_path / "run", readings=3)
    ended = seemrl("watch", "run", "--once", cwd=tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "")
    for said in ("verdict", "stable at step 30", "mean |Q|", "normalized SEEM", "reward bound"):
        assert said in ended.stdout


def test_a_growing_log_is_followed_and_a_half_written_line_passed_over(tmp_path):
    log = tmp_path / "run"
    logged(log, readings=2)
    before = shown(log)
    logged(log, readings=4)
    with (log / "readings.jsonl").open("a") as file:
        file.write('{"step": 50, "q_me')
    assert "at step 20" in before and "at step 40" in shown(log)


def test_a_missing_run_is_one_line(tmp_path, capsys):
    assert main(["watch", str(tmp_path / "none"), "--once"]) == 2
    assert "no such run directory" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("values", "drawn"),
    [
        ([0.0, 1.0], BLOCKS[0] + BLOCKS[-1]),
        ([2.0, 2.0], BLOCKS[0] * 2),
        ([None, 1.0], " " + BLOCKS[0]),
        ([0.0, math.inf, 1.0], BLOCKS[0] + BROKEN + BLOCKS[-1]),
        ([], ""),
    ],
)
def test_a_row_of_blocks_runs_from_the_smallest_to_the_largest(values, drawn):
    assert sparkline(values, 10) == drawn


def test_a_spike_is_seen_however_narrow_the_row():
    values = [0.0] * 500
    values[321] = 1.0
    assert sparkline(values, 20).count(BLOCKS[-1]) == 1
    assert len(sparkline(values, 20)) == 20
