"""The JAX example, as a reader runs it."""

import subprocess
import sys
from pathlib import Path

LOOP = Path(__file__).parents[2] / "examples" / "jax_loop.py"


def loop(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(LOOP), *arguments], cwd=cwd, capture_output=True, text=True)


def test_readings_come_out_of_a_plain_jax_loop(tmp_path):
    small = ("--steps", "60", "--hidden", "8", "--rows", "8", "--read-every", "20")
    lines = loop(*small, cwd=tmp_path).stdout.splitlines()
    assert [line.split("  ")[0] for line in lines] == ["step 20", "step 40", "step 60"]
    assert all("|Q|" in line and "rate" in line and line.endswith(("stable", "watch")) for line in lines)


RUNAWAY = ("--learning-rate", "1e-3", "--hidden", "32", "--rows", "24", "--read-every", "40", "--steps", "240")


def test_a_rollback_brings_the_learner_back_and_a_stop_ends_the_loop(tmp_path):
    ended = loop(*RUNAWAY, "--on-diverging", "rollback", cwd=tmp_path)
    lines = ended.stdout.splitlines()
    alarm = next(place for place, line in enumerate(lines) if line.endswith("rolled back"))
    values = [float(line.split("|Q| ")[1].split()[0]) for line in lines]
    assert ended.returncode == 0 and len(lines) == 6 and "what made it diverge is unchanged" in ended.stderr
    assert values[alarm - 1] < values[alarm] and max(values[alarm + 1 :]) < 1.5 * values[alarm]

    ended = loop(*RUNAWAY, "--on-diverging", "stop", cwd=tmp_path)
    assert ended.returncode == 1 and ended.stdout.splitlines() == lines[:alarm]
    assert "the critic is diverging at step" in ended.stderr and "Traceback" not in ended.stderr
