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


def test_d3rlpy(tmp_path):
    free = ("--alpha", 1e6, "--tau", 1, "--learning-rate", 1e-3, "--hidden", 32, "--rows", 24, "--read-every", 40)
    lines = said("d3rlpy", "d3rlpy_td3_bc.py", *free, "--steps", 600, cwd=tmp_path)
    readings = [line for line in lines if line.startswith("step")]
    assert len(readings) == 15 and all("|Q|" in line for line in readings)
    alarm = next(place for place, line in enumerate(lines) if line.startswith("  diverging at step"))
    assert lines[alarm - 1].endswith("  diverging")
    assert lines[alarm + 1].startswith("  ends it: LayerNorm in the critic: normalized SEEM")
    assert lines[-1].startswith(
        f"alarm: {40 * len([1 for line in lines[:alarm] if line.startswith('step')])}  final |Q|"
    )


def test_lightning(tmp_path):
    free = ("--bc-weight", 0, "--tau", 1, "--learning-rate", 1e-3, "--hidden", 32, "--rows", 24, "--read-every", 40)
    lines = said("lightning", "lightning_td3_bc.py", *free, "--steps", 600, "--on-diverging", "stop", cwd=tmp_path)
    readings = [line for line in lines if line.startswith("step")]
    assert any(line.startswith("the critic is diverging at step") for line in lines)
    assert 3 <= len(readings) < 15 and "diverging" in lines
