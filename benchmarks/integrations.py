"""Are diverging runs of other people's trainers called in time, and healthy ones left alone?

python -m benchmarks.integrations --seeds 5

Runs examples/d3rlpy_td3_bc.py with this Python, which must have d3rlpy, and prints a table for docs/integrations.md.
"""

import argparse
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

EXAMPLE = Path(__file__).parents[1] / "examples" / "d3rlpy_td3_bc.py"
SIZE = ("--hidden", "64", "--rows", "48", "--read-every", "50")
FREE = ("--alpha", "1e6", "--tau", "1", "--learning-rate", "1e-4")
SETTINGS = {
    "no cloning (alpha 1e6), no averaging": FREE,
    "the same, LayerNorm in the critic": (*FREE, "--layer-norm"),
    "as published": (),
}
STEP = re.compile(r"step (\d+)  \|Q\| (\S+)")
END = re.compile(r"alarm: (\S+)  final \|Q\| (\S+)  reward bound (\S+)")


def row(name: str, seed: int, steps: int) -> str:
    """One run as a row of the table: the alarm, the reward bound's step, the first advice, the end."""
    command = [sys.executable, str(EXAMPLE), *SIZE, *SETTINGS[name], "--steps", str(steps), "--seed", str(seed)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = END.search(said)
    assert found is not None, said
    alarm, last, bound = found.groups()
    passed = next((step for step, value in STEP.findall(said) if not float(value) <= float(bound)), "never")
    advice = re.search(r"^  \w+ it: (.*?):", said, re.MULTILINE)
    first = "" if advice is None else advice.group(1)
    return f"| {name} | {seed} | {'none' if alarm == 'None' else alarm} | {passed} | {first} | {last} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    print("| d3rlpy TD3PlusBC | seed | `diverging` at | passes the bound at | first advice | final mean abs(Q) |")
    print("| --- | --- | --- | --- | --- | --- |", flush=True)
    cells = [(name, seed) for name in SETTINGS for seed in range(options.seeds)]
    with ThreadPoolExecutor(options.processes) as pool:
        for line in pool.map(lambda cell: row(cell[0], cell[1], options.steps), cells):
            print(line, flush=True)


if __name__ == "__main__":
    main()
