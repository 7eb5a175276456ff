"""Real processes, killed for good (SIGKILL) at random moments and continued with --resume to the end."""

import os
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import pytest
from small_runs import assert_same_outcome, outcome

from seemrl.cli import main
from seemrl.training.run_directory import LOGS
from seemrl_process import EMBEDDED, finish, seemrl, start

_NETWORK = "--hidden-sizes 32 32 --batch-size 64 --reading-rows 16"
OPTIONS = f"--steps 200 --read-every 10 --checkpoint-every 12 --evaluate-every 40 --evaluation-episodes 2 {_NETWORK}"
LONG = f"--steps 600 --read-every 6 --checkpoint-every 10 --env none {_NETWORK}"

READS_COMPILED_PROGRAMS_ONLY = {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "1000"}
"""A process that is killed may not leave half of a program behind for the next tests."""


def begin(out: Path, options: str, **environment: str) -> subprocess.Popen[str]:
    return start("train", "--data", EMBEDDED, "--out", out.name, *options.split(), cwd=out.parent, **environment)


@dataclass
class Killer:
    """Continues a run again and again, and kills each process at a moment of its own.

    Some moments are a time after the start (while modules load, programs are compiled, the run is restored); the
    others are when the run directory has changed a number of times, which falls on and between the writes.
    """

    run: Path
    options: str
    random: Random
    kills: int = 0
    remarks: list[str] = field(default_factory=list)

    def once(self) -> None:
        process = self._process()
        if self.random.random() < 0.25:
            self._wait(process, time.monotonic() + self.random.uniform(0, 6))
        else:
            self._watch(process, changes=self.random.randint(1, 12))
            time.sleep(self.random.choice((0, 0, 0.002, 0.01)))
        process.send_signal(signal.SIGKILL)
        ended = finish(process)
        self.kills += ended.returncode == -signal.SIGKILL
        self.remarks += [line for line in ended.stderr.splitlines() if "damaged" in line]

    def last(self) -> None:
        ended = finish(self._process())
        assert ended.returncode == 0, ended.stderr
        assert "complete already" not in ended.stderr, "the kills came too late"

    def _process(self) -> subprocess.Popen[str]:
        if not (self.run / "config.json").exists():
            return begin(self.run, self.options, **READS_COMPILED_PROGRAMS_ONLY)
        resume = ("train", "--out", self.run.name, "--resume")
        return start(*resume, cwd=self.run.parent, **READS_COMPILED_PROGRAMS_ONLY)

    def _wait(self, process: subprocess.Popen[str], until: float) -> None:
        while process.poll() is None and time.monotonic() < until:
            time.sleep(0.01)

    def _watch(self, process: subprocess.Popen[str], changes: int) -> None:
        seen = self._look()
        while process.poll() is None and changes:
            now = self._look()
            changes -= now != seen
            seen = now

    def _look(self) -> list[tuple[str, int]]:
        """Names and sizes of all that a run writes: rows, checkpoints, and checkpoints on their way."""
        sizes = [(name, (self.run / name).stat().st_size) for name in LOGS if (self.run / name).exists()]
        saved = self.run / "checkpoints"
        return sizes + [(name, 0) for name in sorted(os.listdir(saved) if saved.exists() else [])]


def kill_and_continue(run: Path, options: str, kills: int, seed: int) -> Killer:
    killer = Killer(run, options, Random(seed))
    while killer.kills < kills:
        killer.once()
    killer.last()
    return killer


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory) -> tuple[Path, Path]:
    """Two runs with the same settings, trained by two processes at the same time."""
    first, second = (tmp_path_factory.mktemp(name) / "run" for name in ("first", "second"))
    for process in [begin(first, OPTIONS), begin(second, OPTIONS)]:
        ended = finish(process)
        assert (ended.returncode, ended.stdout) == (0, "run\n"), ended.stderr
    return first, second


def test_two_processes_with_one_seed_leave_the_same_bits(unbroken):
    assert_same_outcome(*unbroken)
    left = outcome(unbroken[0])
    assert (len(left["readings.jsonl"]), len(left["evaluations.jsonl"])) == (20, 5)


def test_a_damaged_checkpoint_is_told_in_one_line_and_costs_no_bit(unbroken, tmp_path):
    run = Path(shutil.copytree(unbroken[0], tmp_path / "a [long] name " / ("for a run " * 10) / "run"))
    os.truncate(run / "checkpoints" / "step_000000200" / "state.safetensors", 1000)
    ended = seemrl("train", "--out", run, "--resume", cwd=tmp_path)
    assert (ended.returncode, ended.stdout) == (0, f"{run}\n"), ended.stderr
    assert ended.stderr.splitlines()[0] == (
        f"{run}/checkpoints/step_000000200: checkpoint is damaged (state.safetensors is cut short or altered); "
        "falling back to the previous one"
    )
    assert_same_outcome(run, unbroken[0])


def test_a_run_killed_three_times_ends_as_if_it_had_not_been(unbroken, tmp_path):
    killer = kill_and_continue(tmp_path / "run", OPTIONS, kills=3, seed=0)
    assert killer.remarks == []
    assert_same_outcome(tmp_path / "run", unbroken[0])


def test_a_run_is_one_process_at_a_time_and_an_interrupted_one_says_how_to_go_on(tmp_path, monkeypatch, capsys):
    run = tmp_path / "run"
    process = begin(run, f"--steps 1000000 --read-every 10 --env none {_NETWORK}")
    while process.poll() is None and not (run / "readings.jsonl").exists():
        time.sleep(0.01)
    monkeypatch.chdir(tmp_path)
    assert main(["train", "--out", "run", "--resume"]) == 2
    said = capsys.readouterr().err
    assert said == "seemrl: error: run: another process is writing in it; wait for it or choose another directory\n"
    assert main(["train", "--data", str(EMBEDDED), "--out", "run"]) == 2
    assert "exists already; add --resume to continue it" in capsys.readouterr().err
    process.send_signal(signal.SIGINT)
    ended = finish(process)
    assert ended.returncode == 130
    assert ended.stderr.splitlines()[-1].startswith("seemrl: interrupted; what was written stays")
    assert "Traceback" not in ended.stderr


# Slow


@pytest.mark.slow
def test_a_run_killed_twenty_times_ends_as_if_it_had_not_been(tmp_path):
    whole = tmp_path / "whole" / "run"
    whole.parent.mkdir()
    assert finish(begin(whole, LONG)).returncode == 0
    killer = kill_and_continue(tmp_path / "run", LONG, kills=20, seed=1)
    assert killer.kills == 20
    assert_same_outcome(tmp_path / "run", whole)


@pytest.mark.slow
def test_compiled_programs_cut_short_by_a_kill_cost_time_but_no_bit(unbroken, tmp_path):
    programs = tmp_path / "compiled"
    shutil.copytree(os.environ["JAX_COMPILATION_CACHE_DIR"], programs)
    for program in programs.iterdir():
        os.truncate(program, program.stat().st_size // 2)
    ended = finish(begin(tmp_path / "run", OPTIONS, JAX_COMPILATION_CACHE_DIR=str(programs)))
    assert ended.returncode == 0, ended.stderr
    assert_same_outcome(tmp_path / "run", unbroken[0])
    assert seemrl("train", "--out", "run", "--resume", cwd=tmp_path).returncode == 0
