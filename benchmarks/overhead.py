"""What a monitor costs inside other trainers, against its budget of one hundredth of the time.

.venv-d3rlpy/bin/python -m benchmarks.overhead --stable-baselines3 .venv-online/bin/python    (minutes)

Of each trainer two processes train the same updates side by side, one of them watched. A reading is due at every
update, so the budget alone decides how many are taken. The beginning (the monitor's trial, the first reading) is left
out, as it is of the budget. Seconds of the processor are compared, which other work on the machine disturbs least.
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
_LONGEST = 1500  # seconds for one pair


def pair(python: str, worker: str, updates: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Both processes at once: what the plain one and the watched one report."""
    paths = os.pathsep.join([str(_ROOT), str(_ROOT / "src")])
    processes = [
        subprocess.Popen(
            [python, "-m", f"benchmarks.integration_workers.overhead_{worker}", kind, str(updates)],
            cwd=_ROOT,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": paths},
        )
        for kind in ("plain", "watched")
    ]
    said = [process.communicate(timeout=_LONGEST)[0] for process in processes]
    if any(process.returncode for process in processes):
        raise SystemExit(f"{worker}: a process ended with an error")
    plain, watched = (json.loads(text.splitlines()[-1]) for text in said)
    return plain, watched


def row(name: str, pairs: list[tuple[dict[str, Any], dict[str, Any]]]) -> str:
    """A line of the table: medians over the pairs, and their range."""
    ratios = {clock: [watched[clock] / plain[clock] for plain, watched in pairs] for clock in ("processor", "wall")}
    shares = [watched["time_share"] for _, watched in pairs]
    readings = [watched["readings"] for _, watched in pairs]
    began = [watched["warm_up"] - plain["warm_up"] for plain, watched in pairs]
    cells = [
        name,
        f"{median(shares):.2%}",
        f"{median(readings):.0f} in {median(watched['wall'] for _, watched in pairs):.0f} s",
        *(f"{median(some):.3f} ({min(some):.3f} to {max(some):.3f})" for some in ratios.values()),
        f"{median(began):.1f} s",
    ]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--updates", type=int, default=6000)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--stable-baselines3", help="Python of an environment with it; left out without one")
    options = parser.parse_args()
    trainers = {"d3rlpy TD3PlusBC": (sys.executable, "d3rlpy"), "torch loop": (sys.executable, "torch_loop")}
    if options.stable_baselines3:
        trainers["Stable-Baselines3 SAC"] = (options.stable_baselines3, "stable_baselines3")
    print(
        "| Trainer | time share by the monitor's account | readings | processor, watched over plain | "
        "wall, watched over plain | once, at the beginning |\n| --- | --- | --- | --- | --- | --- |",
        flush=True,
    )
    for name, (python, worker) in trainers.items():
        print(row(name, [pair(python, worker, options.updates) for _ in range(options.pairs)]), flush=True)


if __name__ == "__main__":
    main()
