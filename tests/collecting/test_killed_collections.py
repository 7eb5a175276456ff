"""`seemrl data collect --quality` in processes that are killed while they train and while they collect."""

import signal
import time
from pathlib import Path

import pytest

pytest.importorskip("mujoco")

from seemrl.cli import main
from seemrl.data.d4rl import load_d4rl
from seemrl_process import finish, start

COMMAND = (
    "data collect InvertedPendulum-v5 --quality medium-expert --expert-steps 96 --transitions 20000 --seed 1 "
    "--mantissa-bits 8 --run run --out data.hdf5"
)


def kill_when(there: str, directory: Path) -> None:
    """Run the command until a file appears."""
    process = start(*COMMAND.split(), cwd=directory)
    while process.poll() is None and not any(directory.glob(there)):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    ended = finish(process)
    assert ended.returncode == -signal.SIGKILL, f"the kill came too late: {ended.stderr}"
    assert not (directory / "data.hdf5").exists()


@pytest.mark.slow
def test_a_collection_killed_twice_gives_the_same_file(tmp_path, monkeypatch):
    for name in ("killed", "whole"):
        (tmp_path / name).mkdir()
    kill_when("run/checkpoints/step_*32", tmp_path / "killed")
    kill_when(".data.hdf5.unfinished/*/block_*", tmp_path / "killed")
    for name in ("killed", "whole"):
        monkeypatch.chdir(tmp_path / name)
        assert main(COMMAND.split()) == 0
        assert sorted(path.name for path in Path.cwd().iterdir()) == ["data.hdf5", "run"]
    killed, whole = (tmp_path / name / "data.hdf5" for name in ("killed", "whole"))
    assert killed.read_bytes() == whole.read_bytes()
    assert len(load_d4rl(whole)) == 20_000
