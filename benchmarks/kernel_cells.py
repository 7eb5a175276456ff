"""One cell of the comparison: one method on one critic and size, in a process of its own, within limits."""

import json
import os
import platform
import resource
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy
import scipy
import torch

from benchmarks.kernel_critics import CriticName, Targets, make_problem
from benchmarks.kernel_methods import Found, MethodName, prepare, stacked_bytes, timed

SLOW = 20.0
"""Seconds from which one call must do."""

Status = Literal["measured", "not converged", "not run", "stopped", "failed"]


@dataclass(frozen=True)
class Cell:
    """One method on one critic and size."""

    method: MethodName
    critic: CriticName
    rows: int
    targets: Targets


@dataclass(frozen=True)
class Limits:
    """What a cell may take.

    Attributes:
        seconds: for one call, and for all calls of a method that takes less than `SLOW`.
        gigabytes: of memory, everything included.
        repeats: timed calls of a method that takes less than `SLOW`.
    """

    seconds: float
    gigabytes: float
    repeats: int


@dataclass(frozen=True)
class Result:
    """What came of a cell.

    Attributes:
        seconds: of each timed call: all but the first, or where one call is slow that call.
        first_seconds: the first call, with whatever is compiled or loaded in it.
        peak_megabytes: most memory in use at any time, beyond that in use before the method started.
        seem: the largest real part.
        norm: Frobenius norm of the matrix, where the method has it.
        limit: seconds it was allowed.
        note: what there is to know.
    """

    status: Status
    seconds: list[float] = field(default_factory=list[float])
    first_seconds: float | None = None
    peak_megabytes: float | None = None
    seem: float | None = None
    norm: float | None = None
    limit: float | None = None
    note: str = ""


def run_cell(cell: Cell, limits: Limits) -> Result:
    """Run a cell in a process of its own; it ends with the time limit at the latest."""
    argument = json.dumps({"cell": asdict(cell), "limits": asdict(limits)})
    command = [sys.executable, "-c", "from benchmarks.kernel_cells import child; child()", argument]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limits.seconds)
    except subprocess.TimeoutExpired:
        return Result("stopped", limit=limits.seconds, note=f"after {limits.seconds / 60:.3g} min")
    if done.returncode != 0:
        last = (done.stderr.strip() or f"exit status {done.returncode}").splitlines()[-1]
        return Result("failed", limit=limits.seconds, note=last[:100])
    return Result(**json.loads(done.stdout.splitlines()[-1]))


def child() -> None:
    """Run the cell in the argument; the result is the last line printed."""
    given = json.loads(sys.argv[1])
    found = asdict(_measured(Cell(**given["cell"]), Limits(**given["limits"])))
    print(json.dumps({name: None if value != value else value for name, value in found.items()}))  # JSON has no NaN


def _measured(cell: Cell, limits: Limits) -> Result:
    problem = make_problem(cell.critic, cell.rows, cell.targets)
    call = prepare(cell.method, problem, 0.9 * limits.seconds)
    needed = stacked_bytes(cell.method, problem.rows, problem.parameters) / 1e9
    if needed > limits.gigabytes:
        return Result("not run", note=f"needs {needed:.3g} GB, more than {limits.gigabytes:.3g} GB")
    before = memory("VmRSS")
    _refuse_more_than(limits.gigabytes * 1e9)
    _forget_peak()
    try:
        first, found, seconds = _timed_calls(call, cell, limits.repeats)
    except (MemoryError, RuntimeError) as error:  # torch has no exception of its own for memory on a CPU
        note = (str(error).strip() or type(error).__name__).splitlines()[-1][:100]
        return Result("failed", limit=limits.seconds, note=note)
    peak = memory("VmHWM")
    megabytes = None if before is None or peak is None else max(0, peak - before) / 1e6
    status: Status = "measured" if found.converged else "not converged"
    return Result(status, seconds, first, megabytes, found.seem, found.norm, limits.seconds, found.note)


def _timed_calls(call: Callable[[], Found], cell: Cell, repeats: int) -> tuple[float, Found, list[float]]:
    answers: list[Found] = []
    first = timed(lambda: answers.append(call()))
    seconds = [first]
    if first <= SLOW or cell.method == "ours-jax":  # JAX's first call compiles
        seconds = [timed(call)]
        while len(seconds) < repeats and seconds[0] <= SLOW:
            seconds.append(timed(call))
    return first, answers[0], seconds


def _refuse_more_than(size: float) -> None:
    """Let this process fail for want of memory before the machine does."""
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (int(size), hard))


def _forget_peak() -> None:
    with suppress(OSError):  # where this is not allowed, the peak includes the preparations
        Path("/proc/self/clear_refs").write_text("5")


def memory(name: str, path: str = "/proc/self/status") -> int | None:
    """This process's VmRSS or VmHWM in bytes, or the machine's from /proc/meminfo, where the system tells."""
    with suppress(OSError):
        for line in Path(path).read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
    return None


# ------------------------------------------------------------------------------------------------ finished cells


@dataclass
class Finished:
    """Cells that are done, one JSON line each; a run that was stopped goes on where it was.

    Attributes:
        path: of the file; None to keep nothing.
        results: by cell.
    """

    path: Path | None
    results: dict[Cell, Result] = field(default_factory=dict[Cell, Result])

    @classmethod
    def at(cls, path: Path | None) -> "Finished":
        """Read what was measured so far.

        Raises:
            SystemExit: the file is something else, or was measured in another place or with other threads.
        """
        finished = cls(path)
        if path is None or not path.exists():
            return finished
        lines = path.read_text().splitlines(keepends=True)
        if lines and not lines[-1].endswith("\n"):  # a process was stopped while it wrote
            path.write_text("".join(lines[:-1]))
            lines.pop()
        for number, line in enumerate(lines, start=1):
            try:
                record = json.loads(line)
                where, cell, result = record["machine"], Cell(**record["cell"]), Result(**record["result"])
            except (ValueError, KeyError, TypeError) as error:
                raise SystemExit(f"{path}: line {number} is no finished cell ({error}); give another file") from None
            if where != machine():
                raise SystemExit(f"{path}: line {number} was measured on {where}, this is {machine()}; give a new file")
            finished.results[cell] = result
        return finished

    def add(self, cell: Cell, result: Result) -> None:
        """Keep a result, on disk too."""
        self.results[cell] = result
        if self.path is not None:
            record = {"machine": machine(), "cell": asdict(cell), "result": asdict(result)}
            with self.path.open("a") as file:
                file.write(json.dumps(record) + "\n")

    def known(self, cell: Cell, limit: float) -> Result | None:
        """What is known of a cell; nothing if it was not run, or stopped or failed with less time than it has now."""
        found = self.results.get(cell)
        if found is None or found.status == "not run":
            return None
        ended = found.status in ("stopped", "failed")
        return None if ended and (found.limit or 0.0) < limit else found


def machine() -> dict[str, Any]:
    """Where the numbers were measured: they are compared with those of the same place only."""
    return {
        "cores": os.cpu_count(),
        "torch threads": torch.get_num_threads(),
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS"),
        "processor": _processor(),
        "python": platform.python_version(),
        "numpy": numpy.__version__,
        "scipy": scipy.__version__,
        "torch": torch.__version__,
    }


def _processor() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
