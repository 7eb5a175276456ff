"""The JAX example, as a reader runs it."""

import subprocess
import sys
from pathlib import Path

LOOP = Path(__file__).parents[2] / "examples" / "jax_loop.py"


def test_readings_come_out_of_a_plain_jax_loop(tmp_path):
    small = ("--steps", "60", "--hidden", "8", "--rows", "8", "--read-every", "20")
    command = [sys.executable, str(LOOP), *small]
    lines = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout.splitlines()
    assert [line.split("  ")[0] for line in lines] == ["step 20", "step 40", "step 60"]
    assert all("|Q|" in line and "rate" in line and line.endswith(("stable", "watch")) for line in lines)
