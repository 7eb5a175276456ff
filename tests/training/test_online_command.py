"""`seemrl online` as a command: killed, resumed, refused, and read by the commands that look at runs."""

import signal
import time
from pathlib import Path

import pytest
from small_runs import assert_same_outcome

from seemrl.cli import main
from seemrl.training.online_config import OnlineConfig
from seemrl.training.run_directory import stored_settings
from seemrl_process import finish, start

COMMAND = (
    "online Pendulum-v1 --agent td3 --hidden-sizes 8 --steps 800 --environments 2 --random-steps 80 --batch-size 8 "
    "--evaluate-every 200 --evaluation-episodes 1 --reading-rows 8 --out"
)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory) -> Path:
    run = tmp_path_factory.mktemp("unbroken") / "run"
    assert main([*COMMAND.split(), str(run)]) == 0
    return run


def test_a_killed_process_is_continued_to_the_same_bits(unbroken, tmp_path):
    process = start(*COMMAND.split(), "run", cwd=tmp_path)
    while process.poll() is None and not (tmp_path / "run" / "checkpoints" / "step_000000200").exists():
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert finish(process).returncode == -signal.SIGKILL, "the kill came too late"
    assert main(["online", "--resume", "--out", str(tmp_path / "run")]) == 0
    assert_same_outcome(tmp_path / "run", unbroken)
    for kept in sorted((unbroken / "policies").iterdir()):
        assert (tmp_path / "run" / "policies" / kept.name).read_bytes() == kept.read_bytes()


def test_the_settings_are_those_of_the_command_line(unbroken):
    settings = stored_settings(unbroken, OnlineConfig)
    assert (settings.environment, settings.agent, settings.hyperparameters.hidden_sizes) == ("Pendulum-v1", "td3", (8,))
    assert (settings.steps, settings.environments, settings.seed) == (800, 2, 0)


def test_a_run_is_reported_on_and_watched(unbroken, tmp_path, capsys):
    assert main(["report", str(unbroken), "--out", str(tmp_path / "report.html")]) == 0
    assert "return" in (tmp_path / "report.html").read_text()
    assert main(["watch", str(unbroken), "--once"]) == 0
    said = capsys.readouterr().out
    assert "800 of 800" in said and "verdict" in said


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("online", "no environment given; name one, as in `seemrl online Hopper-v5`"),
        ("online Pendulum-v1 --agent iql", "--agent iql: it must be one that explores"),
        ("online Pendulum-v1 --steps 7", "--steps 7: it must be a positive multiple of --environments 4"),
        ("online Hopper-v1000", "environment Hopper-v1000: Gymnasium cannot make it"),
        ("online --resume", "--resume: which run? name its directory with --out"),
        ("online --resume --out none", "none: no such run directory"),
    ],
)
def test_what_cannot_run_is_refused_in_one_line(arguments, told, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(arguments.split()) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"seemrl: error: {told}") and said.count("\n") == 1
    assert not any(tmp_path.iterdir())


def test_a_run_is_not_begun_twice(unbroken, capsys):
    assert main([*COMMAND.split(), str(unbroken)]) == 2
    assert "exists already; add --resume to continue it" in capsys.readouterr().err
