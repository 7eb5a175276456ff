"""What a monitor costs inside other trainers, against its budget of one hundredth of the time.

python -m benchmarks.overhead --d3rlpy .venv-d3rlpy/bin/python --online .venv-online/bin/python \\
    --torchrl .venv-torchrl/bin/python --tianshou .venv-tianshou/bin/python    (six minutes a trainer and pair)

Of each trainer two processes train for the same time side by side, one of them watched. A reading is due at every
update, so the budget alone decides how many are taken. The beginning (the monitor's trial, the first reading) is left
out, as it is of the budget. Seconds of the processor are compared, which other work on the machine disturbs least: for
an update, watched over plain; and those inside of the monitor's calls, as a share of all of the watched process.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Any

_ROOT = Path(__file__).parent.parent
_LONGEST = 12  # times the seconds asked for
_ENVIRONMENTS = ("d3rlpy", "online", "torchrl", "tianshou")
_TRAINERS = {
    "d3rlpy TD3PlusBC": ("d3rlpy", "d3rlpy"),
    "Stable-Baselines3 SAC": ("online", "stable_baselines3"),
    "Lightning TD3+BC": ("online", "lightning"),
    "TorchRL TD3BCLoss": ("torchrl", "torchrl"),
    "Tianshou TD3BC": ("tianshou", "tianshou"),
    "torch loop TD3+BC": (None, "torch_loop"),
    "JAX loop TD3, 32 rows": (None, "jax_loop"),
}
"""The environment, this Python's unless one is named, and the worker."""


def pair(python: str, worker: str, seconds: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Both processes at once: what the plain one and the watched one report."""
    paths = os.pathsep.join([str(_ROOT), str(_ROOT / "src")])
    one_thread = {
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false",
    }
    processes = [
        subprocess.Popen(
            [python, "-m", f"benchmarks.integration_workers.overhead_{worker}", kind, str(seconds)],
            cwd=_ROOT,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | one_thread | {"PYTHONPATH": paths},
        )
        for kind in ("plain", "watched")
    ]
    said = [process.communicate(timeout=_LONGEST * seconds + 600)[0] for process in processes]
    if any(process.returncode for process in processes):
        raise SystemExit(f"{worker}: a process ended with an error")
    plain, watched = (json.loads(text.splitlines()[-1]) for text in said)
    return plain, watched


def row(name: str, pairs: list[tuple[dict[str, Any], dict[str, Any]]]) -> str:
    """A line of the table: medians over the pairs, and their range."""
    ratios = {clock: [watched[clock] / plain[clock] for plain, watched in pairs] for clock in ("processor", "wall")}
    cells = [
        name,
        f"{median(watched['updates'] for _, watched in pairs):,.0f}",
        f"{median(watched['time_share'] for _, watched in pairs):.2%}",
        f"{median(watched['readings'] for _, watched in pairs):.0f} in "
        f"{median(watched['seconds'] for _, watched in pairs):.0f} s",
        f"{median(watched['inside'] for _, watched in pairs):.2%}",
        *(f"{median(some):.3f} ({min(some):.3f} to {max(some):.3f})" for some in ratios.values()),
    ]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=300)
    parser.add_argument("--pairs", type=int, default=3)
    for environment in _ENVIRONMENTS:
        parser.add_argument(f"--{environment}", help="its Python; its trainers are left out without one")
    options = vars(parser.parse_args())
    print(
        "| Trainer | updates | time share by the monitor's account | readings | processor inside the monitor | "
        "processor, watched over plain | wall, watched over plain |\n| --- | --- | --- | --- | --- | --- | --- |",
        flush=True,
    )
    for name, (environment, worker) in _TRAINERS.items():
        python = sys.executable if environment is None else options[environment]
        if python:
            pairs = [pair(python, worker, options["seconds"]) for _ in range(options["pairs"])]
            print(row(name, pairs), flush=True)


if __name__ == "__main__":
    main()
