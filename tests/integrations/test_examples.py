"""The scripts for other trainers, as a reader runs them."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


def said(library: str, script: str, *arguments: object, cwd: Path) -> list[str]:
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is not installed")
    command = [sys.executable, str(EXAMPLES / script), *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=True).stdout.splitlines()


def test_stable_baselines3(tmp_path):
    small = ("--steps", 500, "--rows", 16, "--read-every", 100, "--layer-norm")
    lines = said("stable_baselines3", "stable_baselines3_sac.py", *small, cwd=tmp_path)
    assert [line.split("  ")[0] for line in lines[:4]] == [f"update {step}" for step in (100, 200, 300, 400)]
    assert all("normalized" in line and "replay_drift" in line for line in lines[:4])
    assert lines[4] in ("stable", "watch") and "reward bound" in lines[5]
