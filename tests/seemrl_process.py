"""`seemrl` as a user runs it: a process of its own, which a test may watch and end."""

import os
import signal
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

EMBEDDED = Path(str(files("seemrl.data") / "hopper-random.hdf5"))
"""20,000 random transitions of Hopper-v5."""


_ONLY_FOR_THESE_TESTS = {"OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "PYTHONUNBUFFERED"}


def _hear_interrupts() -> None:
    """A shell's background jobs ignore interrupts, and their children inherit that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def start(*arguments: object, cwd: Path, **environment: str) -> subprocess.Popen[str]:
    """Begin a command, with a user's settings; its output can be read from the process when it has ended."""
    inherited = {name: value for name, value in os.environ.items() if name not in _ONLY_FOR_THESE_TESTS}
    return subprocess.Popen(
        [sys.executable, "-m", "seemrl", *map(str, arguments)],
        cwd=cwd,
        env=inherited | {"COLUMNS": "100"} | environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=_hear_interrupts,
    )


def finish(process: subprocess.Popen[str]) -> subprocess.CompletedProcess[str]:
    """Wait for a command to end by itself."""
    stdout, stderr = process.communicate(timeout=300)
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)


def seemrl(*arguments: object, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command from beginning to end."""
    return finish(start(*arguments, cwd=cwd, **environment))
