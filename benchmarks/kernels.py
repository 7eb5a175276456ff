"""SEEM by the paper's procedure, by two general ways and by this package: seconds and memory, side by side in one run.

python -m benchmarks.kernels --rows 256                 (some minutes on two cores)
python -m benchmarks.kernels --markdown --json out.json    (every size: an hour or more)

Each method runs on each critic and size in a process of its own, on the same weights and points. What would take more
than the time limit or the memory is not run; its time is then extrapolated from a few samples, and said to be.
"""

import json
import math
import os
import platform
import resource
import subprocess
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Literal, get_args

import numpy
import scipy
import torch
import tyro
from rich.console import Console
from rich.table import Table

from benchmarks.kernel_critics import CriticName, Targets, make_problem
from benchmarks.kernel_methods import Found, MethodName, expected_bytes, expected_seconds, prepare, timed

_SLOW = 20.0  # seconds from which one call must do
_COLUMNS = (
    *("rows", "method", "median s", "min", "max", "× ours", "first call s", "peak MB"),
    *("SEEM", "rel. diff.", "diff. / ‖A‖", "note"),
)
Status = Literal["measured", "not converged", "not run", "failed"]


@dataclass(frozen=True)
class KernelsConfig:
    """Compare ways to the largest real eigenvalue of the self-excitation matrix."""

    rows: tuple[int, ...] = (256, 1024, 2560)
    """How many transitions."""
    critics: tuple[CriticName, ...] = get_args(CriticName)
    """Which critics."""
    methods: tuple[MethodName, ...] = get_args(MethodName)
    """Which methods; "products" are the bare matrix products of the layerwise formula."""
    targets: Targets = "random"
    """Next points: unrelated to the rows' own, or near them with actions far outside the data as in a diverging run."""
    repeats: int = 5
    """Timed calls of a method that takes less than 20 seconds; a slower one is timed once."""
    time_limit: float = 600.0
    """Seconds for one call."""
    json: Path | None = None
    """File for every number."""
    markdown: bool = False
    """Print the tables as Markdown too."""


@dataclass(frozen=True)
class Job:
    """One method on one critic and size."""

    method: MethodName
    critic: CriticName
    rows: int
    targets: Targets
    repeats: int
    time_limit: float


@dataclass(frozen=True)
class Result:
    """One row of the comparison.

    Attributes:
        seconds: of each timed call: all but the first, or where one call is slow that call.
        first_seconds: the first call, with whatever is compiled or loaded in it.
        peak_megabytes: most memory in use at any time, beyond that in use before the method started.
        estimated_seconds: of a method that was not run; extrapolated from a few samples, never measured.
    """

    status: Status
    seconds: list[float] = field(default_factory=list[float])
    first_seconds: float | None = None
    peak_megabytes: float | None = None
    seem: float = math.nan
    norm: float = math.nan
    estimated_seconds: float | None = None
    note: str = ""


def main(config: KernelsConfig) -> None:
    results: list[tuple[Job, Result]] = []
    for critic in config.critics:
        for rows in config.rows:
            for method in config.methods:
                job = Job(method, critic, rows, config.targets, config.repeats, config.time_limit)
                results.append((job, _in_child(job)))
                print(f"{critic}, {rows} rows, {method}: {_outcome(results[-1][1])}", file=sys.stderr, flush=True)
    for critic in config.critics:
        lines = [line for rows in config.rows for line in _lines(_of(results, critic, rows))]
        title = f"{critic}: {make_problem(critic, 1, 'random').parameters:,} parameters, {config.targets} targets"
        _show(title, lines)
        if config.markdown:
            print(_markdown(title, lines))
    if config.json is not None:
        config.json.write_text(json.dumps({"machine": _machine(), "results": _records(results)}, indent=1))


# ------------------------------------------------------------------------------------------------ the child process


def child() -> None:
    """Run the job in the argument; the result is the last line printed."""
    print(json.dumps(asdict(_run(Job(**json.loads(sys.argv[1]))))))


def _in_child(job: Job) -> Result:
    command = [sys.executable, "-c", "from benchmarks.kernels import child; child()", json.dumps(asdict(job))]
    patience = 2 * job.time_limit + 120  # a first call, timed ones, and preparations
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=patience)
    except subprocess.TimeoutExpired:
        return Result("not run", note=f"stopped after {patience:.0f} s")
    if done.returncode != 0:
        last = (done.stderr.strip() or f"exit status {done.returncode}").splitlines()[-1]
        return Result("failed", note=last[:100])
    return Result(**json.loads(done.stdout.splitlines()[-1]))


def _run(job: Job) -> Result:
    """Judge what the job would cost, run it if that is affordable, and measure it."""
    problem = make_problem(job.critic, job.rows, job.targets)
    call = prepare(job.method, problem, job.time_limit)
    if call is None:
        return Result("not run", note="plain MLPs only")
    before = _memory("VmRSS")
    expected = expected_seconds(job.method, problem)
    needed, available = expected_bytes(job.method, problem), _available_memory()
    if needed > 0.9 * available:
        note = f"needs {needed / 1e9:.0f} GB, {available / 1e9:.0f} GB free"
        return Result("not run", estimated_seconds=expected, note=note)
    if expected > job.time_limit:
        return Result("not run", estimated_seconds=expected, note=f"limit {job.time_limit:.0f} s")
    _refuse_more_than(0.9 * available)
    _forget_peak()
    try:
        first, found, seconds = _timed_calls(call, job)
    except (MemoryError, RuntimeError) as error:  # torch has no exception of its own for memory on a CPU
        return Result("failed", note=(str(error).strip() or type(error).__name__).splitlines()[-1][:100])
    peak = _memory("VmHWM")
    megabytes = None if before is None or peak is None else max(0, peak - before) / 1e6
    status: Status = "measured" if found.converged else "not converged"
    return Result(status, seconds, first, megabytes, found.seem, found.norm, note=found.note)


def _timed_calls(call: Callable[[], Found], job: Job) -> tuple[float, Found, list[float]]:
    answers: list[Found] = []
    first = timed(lambda: answers.append(call()))
    seconds = [first]
    if first <= _SLOW or job.method == "ours-jax":  # JAX's first call compiles
        seconds = [timed(call)]
        while len(seconds) < job.repeats and seconds[0] <= _SLOW:
            seconds.append(timed(call))
    return first, answers[0], seconds


def _refuse_more_than(size: float) -> None:
    """Let this process fail for want of memory before the machine does."""
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (int(size), hard))


def _forget_peak() -> None:
    with suppress(OSError):  # where this is not allowed, the peak includes the preparations
        Path("/proc/self/clear_refs").write_text("5")


def _memory(name: str) -> int | None:
    """This process's VmRSS or VmHWM in bytes, where the system tells."""
    return _proc_bytes("/proc/self/status", name)


def _available_memory() -> int:
    return _proc_bytes("/proc/meminfo", "MemAvailable") or 8 * 2**30


def _proc_bytes(path: str, name: str) -> int | None:
    with suppress(OSError):
        for line in Path(path).read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
    return None


# ------------------------------------------------------------------------------------------------ what is shown


def _of(results: Iterable[tuple[Job, Result]], critic: CriticName, rows: int) -> dict[Job, Result]:
    return {job: result for job, result in results if job.critic == critic and job.rows == rows}


def _lines(results: dict[Job, Result]) -> list[list[str]]:
    """One for each method at one critic and size."""
    by_method = {job.method: result for job, result in results.items()}
    ours = by_method.get("ours-torch", Result("not run"))
    candidates = [by_method[name] for name in ("vmap-float64", "ours-torch") if name in by_method]
    reference = next((result for result in candidates if math.isfinite(result.seem)), Result("not run"))
    return [
        [str(job.rows), job.method, *_times(result, ours), *_number(result, reference), _note(result)]
        for job, result in results.items()
    ]


def _times(result: Result, ours: Result) -> list[str]:
    peak = "" if result.peak_megabytes is None else f"{result.peak_megabytes:.0f}"
    base = median(ours.seconds) if ours.seconds else math.nan
    if result.seconds:
        times = [f"{value:.3g}" for value in (median(result.seconds), min(result.seconds), max(result.seconds))]
        return [*times, _or_dash(median(result.seconds) / base, ".3g"), _or_dash(result.first_seconds, ".3g"), peak]
    if result.estimated_seconds is not None:
        ratio = _or_dash(result.estimated_seconds / base, ".2g")
        return [f"(≈ {result.estimated_seconds:.2g})", "–", "–", ratio if ratio == "–" else f"(≈ {ratio})", "–", peak]
    return ["–"] * 5 + [peak]


def _number(result: Result, reference: Result) -> list[str]:
    if result.status == "not converged":
        return ["not converged", "–", "–"]
    difference = abs(result.seem - reference.seem)
    relative = difference / abs(reference.seem) if reference.seem else math.nan
    over_norm = difference / reference.norm if reference.norm else math.nan
    return [_or_dash(result.seem, ".6g"), _or_dash(relative, ".1e"), _or_dash(over_norm, ".1e")]


def _note(result: Result) -> str:
    if result.estimated_seconds is not None:
        return f"not run ({result.note}); seconds extrapolated"
    return f"{result.status}: {result.note}" if result.status in ("not run", "failed") else result.note


def _or_dash(value: float | None, style: str) -> str:
    return "–" if value is None or not math.isfinite(value) else format(value, style)


def _outcome(result: Result) -> str:
    taken = f"{median(result.seconds):.3g} s" if result.seconds else ""
    return ", ".join(part for part in (taken, _number(result, result)[0].strip("–"), _note(result)) if part)


def _show(title: str, lines: list[list[str]]) -> None:
    table = Table(*_COLUMNS, title=title)
    for number, line in enumerate(lines):
        ends = number + 1 == len(lines) or lines[number + 1][0] != line[0]
        table.add_row(*line, end_section=ends)
    Console(width=None if sys.stdout.isatty() else 180).print(table)


def _markdown(title: str, lines: list[list[str]]) -> str:
    rule = ["---"] * len(_COLUMNS)
    return "\n".join(["", f"**{title}**", "", *(f"| {' | '.join(line)} |" for line in [[*_COLUMNS], rule, *lines]), ""])


def _machine() -> dict[str, str | int | None]:
    return {
        "cores": os.cpu_count(),
        "torch threads": torch.get_num_threads(),
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS"),
        "processor": platform.processor() or platform.machine(),
        "python": platform.python_version(),
        "numpy": numpy.__version__,
        "scipy": scipy.__version__,
        "torch": torch.__version__,
    }


def _records(results: list[tuple[Job, Result]]) -> list[dict[str, object]]:
    """NaN, which JSON lacks, becomes null."""
    return [
        {
            name: None if isinstance(value, float) and math.isnan(value) else value
            for name, value in (asdict(job) | asdict(result)).items()
        }
        for job, result in results
    ]


if __name__ == "__main__":
    main(tyro.cli(KernelsConfig))
