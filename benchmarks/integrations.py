"""Are diverging runs of other trainers called in time, does the first advice end it, are healthy ones left alone?

.venv-d3rlpy/bin/python -m benchmarks.integrations    (about 15 minutes on one core)

Trains TD3PlusBC of d3rlpy and the loop of examples/torch_loop.py with this Python, which must have d3rlpy, reads
the monitors' logs, and prints the tables of docs/integrations.md. Runs that are in the results file are not repeated.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from seemrl.files import append_json_line, read_json_lines
from seemrl.instrument.forecast.verdict import ALARMS
from seemrl.report.runs import read_run

_ROOT = Path(__file__).parent.parent
_COMMANDS = {
    "d3rlpy TD3PlusBC": ("-m", "benchmarks.integration_workers.with_d3rlpy"),
    "torch loop": (str(_ROOT / "examples" / "torch_loop.py"),),
}
_NO_CLONING = {"d3rlpy TD3PlusBC": ("--alpha", "1e6"), "torch loop": ("--bc-weight", "0")}
_FREE = ("--tau", "1", "--learning-rate", "1e-4", "--hidden", "64", "--steps", "2400")
_READ = ("--rows", "64", "--read-every", "75")
_LONGEST = 900  # seconds for one run
DIVERGING, NORMALISED, TAKEN, HEALTHY = (
    "no cloning, no averaging",
    "the same, LayerNorm from the start",
    "the same, LayerNorm put in at the alarm",
    "as published",
)


@dataclass(frozen=True)
class Cell:
    """One run: a trainer, a setting, a seed."""

    trainer: str
    setting: str
    seed: int

    @property
    def arguments(self) -> tuple[str, ...]:
        free = (*_NO_CLONING[self.trainer], *_FREE)
        chosen = {
            DIVERGING: free,
            NORMALISED: (*free, "--layer-norm"),
            TAKEN: (*free, "--on-diverging", "stabilize"),
            HEALTHY: ("--hidden", "256", "--steps", "2400"),
        }[self.setting]
        return (*chosen, *_READ, "--seed", str(self.seed))


def cells(seeds: Sequence[int]) -> list[Cell]:
    """All runs; only a loop of one's own can take normalisers in at an alarm (docs/integrations.md says why)."""
    settings: dict[str, tuple[str, ...]] = {trainer: (DIVERGING, NORMALISED, HEALTHY) for trainer in _COMMANDS}
    settings["torch loop"] = (DIVERGING, TAKEN, NORMALISED, HEALTHY)
    return [Cell(trainer, setting, seed) for seed in seeds for trainer in _COMMANDS for setting in settings[trainer]]


def run(cell: Cell) -> dict[str, Any]:
    """Train it and judge its log."""
    started = time.perf_counter()
    with TemporaryDirectory() as directory:
        log = Path(directory) / "log"
        command = [sys.executable, *_COMMANDS[cell.trainer], *cell.arguments, "--log", str(log)]
        paths = os.pathsep.join([str(_ROOT), str(_ROOT / "src")])
        subprocess.run(
            command,
            check=True,
            cwd=_ROOT,
            timeout=_LONGEST,
            stdout=subprocess.DEVNULL,
            env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": paths},
        )
        after = log.with_name("log-stabilized")  # where the loop goes on after it has taken the advice
        judged = judge(log, after if after.exists() else None)
    return {
        "trainer": cell.trainer,
        "setting": cell.setting,
        "seed": cell.seed,
        "arguments": list(cell.arguments),
        **judged,
        "seconds": round(time.perf_counter() - started, 1),
    }


def judge(log: Path, after: Path | None = None) -> dict[str, Any]:
    """What one log says: the alarm, the bound's step, the first advice, the end.

    Args:
        log: of the run.
        after: of what followed where LayerNorm was put in.
    """
    first = read_run(log)
    last = first if after is None else read_run(after)
    readings = first.readings if last is first else [*first.readings, *last.readings]
    bound = first.reward_bound
    alarm = next((row for row in readings if row["forecast"]["verdict"] in ALARMS), None)
    passed = next((row["step"] for row in readings if not row["q_mean"] <= bound), None)
    late = [row for row in last.readings if last is not first and row["forecast"]["verdict"] in ALARMS]
    best = first.advice["remedies"][0] if first.advice else {}
    return {
        "bound": bound,
        "alarm": None if alarm is None else alarm["step"],
        "alarm_share": None if alarm is None else alarm["q_mean"] / bound,
        "passed": passed,
        "advice": best.get("name"),
        "rate_before": best.get("rate_before"),
        "rate_after": best.get("rate_after"),
        "alarms_after": len(late),
        "final_share": last.readings[-1]["q_mean"] / bound,
        "final_verdict": last.readings[-1]["forecast"]["verdict"],
    }


def told(rows: Sequence[dict[str, Any]]) -> str:
    """The runs as a table, and what was claimed of them, counted."""
    lines = [
        "| Trainer | Settings | seed | `diverging` at | mean abs(Q) then, of the bound | passes the bound at | "
        "first advice: rate before, after | mean abs(Q) at the end, of the bound | last verdict |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    order = list(dict.fromkeys((cell.trainer, cell.setting) for cell in cells([0])))
    for row in sorted(rows, key=lambda row: (order.index((row["trainer"], row["setting"])), row["seed"])):
        advice = "" if row["advice"] is None else f"{row['advice']}: {row['rate_before']:.1e}, {row['rate_after']:.1e}"
        lines.append(
            f"| {row['trainer']} | {row['setting']} | {row['seed']} | {row['alarm'] or 'never'} | "
            f"{_share(row['alarm_share'])} | {row['passed'] or 'never'} | {advice} | {_share(row['final_share'])} | "
            f"{row['final_verdict']} |"
        )
    return "\n".join([*lines, "", *_counted(rows)])


def _counted(rows: Sequence[dict[str, Any]]) -> list[str]:
    lines = ["| Trainer | Question | Runs |", "| --- | --- | --- |"]
    for trainer in _COMMANDS:
        mine = [row for row in rows if row["trainer"] == trainer]
        free, cured, taken, healthy = (
            [row for row in mine if row["setting"] == setting] for setting in (DIVERGING, NORMALISED, TAKEN, HEALTHY)
        )
        before = [row for row in free if row["alarm"] and row["alarm"] < (row["passed"] or math.inf)]
        layer_norm = [row for row in free if row["advice"] == "LayerNorm in the critic" and row["rate_after"]]
        questions = {
            "no cloning, no averaging: passes the bound": ([row for row in free if row["passed"]], free),
            "called `diverging` before": (before, free),
            "first advice LayerNorm, with the rate that it leaves": (layer_norm, free),
            "LayerNorm from the start: stable at the end, within the bound": (_calm(cured), cured),
            "LayerNorm put in at the alarm: no further alarm, within the bound": (_calm(taken), taken),
            "as published: no alarm": ([row for row in healthy if row["alarm"] is None], healthy),
        }
        for question, (good, asked) in questions.items():
            if asked:
                lines.append(f"| {trainer} | {question} | {len(good)} of {len(asked)} |")
    return lines


def _calm(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        row for row in rows if row["final_verdict"] == "stable" and row["passed"] is None and not row["alarms_after"]
    ]


def _share(share: float | None) -> str:
    return "" if share is None else f"{share:.2g}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--results", type=Path, default=Path("integrations.jsonl"))
    options = parser.parse_args()
    wanted = cells(options.seeds)
    for cell in wanted:
        if not any(_is(row, cell) for row in read_json_lines(options.results)):
            row = run(cell)
            append_json_line(options.results, row)
            print(json.dumps(row), file=sys.stderr, flush=True)
    print(told([row for row in read_json_lines(options.results) if any(_is(row, cell) for cell in wanted)]))


def _is(row: dict[str, Any], cell: Cell) -> bool:
    return (row["trainer"], row["setting"], row["seed"], tuple(row["arguments"])) == (
        cell.trainer,
        cell.setting,
        cell.seed,
        cell.arguments,
    )


if __name__ == "__main__":
    main()
