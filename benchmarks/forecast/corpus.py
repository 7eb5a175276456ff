"""The runs on which the forecasts are judged: train them, read them, keep them.

python -m benchmarks.forecast.corpus --out corpus                 (about an hour on two idle cores)

Each run is one small file; a run whose file is there is not trained again, so an interrupted corpus goes on where it
stopped. Runs are ordered so that a part of the corpus is a fair sample of it.
"""

import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # one process a core

from seemrl.training.backend import prepare_jax

prepare_jax()

import tyro  # noqa: E402 - JAX's settings come first

from benchmarks.forecast.learners import open_learner  # noqa: E402
from benchmarks.forecast.record import record_run  # noqa: E402
from benchmarks.forecast.settings import Half, Setting, maze_settings, td3_settings  # noqa: E402
from seemrl.collecting.collect import collect  # noqa: E402
from seemrl.data.d4rl import load_d4rl, save_d4rl  # noqa: E402
from seemrl.data.dataset import Dataset  # noqa: E402
from seemrl.data.embedded import load_embedded_hopper  # noqa: E402

_COLLECTED = {"walker2d-random": "Walker2d-v5", "halfcheetah-random": "HalfCheetah-v5"}
_TRANSITIONS = 20_000


def main(
    out: Path = Path("corpus"),
    data: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="FILE")] = (),
    workers: int = os.cpu_count() or 1,
    minutes: float = 90.0,
    half: Half | None = None,
    only: str = "",
    part: int | None = None,
) -> None:
    """Train the corpus.

    Args:
        out: directory of the runs' files.
        data: more data sets in D4RL's layout, beside random Hopper (embedded), Walker2d and HalfCheetah (collected).
        workers: processes, each on a core of its own.
        minutes: no run is started after this.
        half: train this part only; all if not given.
        only: train runs only whose name has this text in it, such as "toy maze".
        part: the share of one worker, from 0; it is for the processes that this command starts.
    """
    out.mkdir(parents=True, exist_ok=True)
    sources = data_sets(out, data)
    if part is None:
        command = [sys.executable, "-m", "benchmarks.forecast.corpus", "--out", str(out), "--workers", str(workers)]
        command += ["--minutes", str(minutes), *(["--data", *map(str, data)] if data else [])]
        command += [*(["--half", half] if half else []), *(["--only", only] if only else [])]
        started = [subprocess.Popen([*command, "--part", str(number)]) for number in range(workers)]
        codes = [process.wait() for process in started]
        if any(codes):
            raise SystemExit(f"corpus: a worker ended with {max(codes)}; run the same command again to go on")
        return
    wanted = [setting for setting in settings(list(sources)) if half in (None, setting.half) and only in setting.name]
    _train(out, wanted[part::workers], sources, time.monotonic() + 60 * minutes)


def settings(sources: list[str]) -> list[Setting]:
    """All runs, shuffled and both kinds mixed, so that any beginning of the list is a fair sample."""
    kinds = [list(td3_settings(sources)), list(maze_settings())]
    for kind in kinds:
        random.Random(0).shuffle(kind)
    order = [(number / len(kind), setting) for kind in kinds for number, setting in enumerate(kind)]
    return [setting for _, setting in sorted(order, key=lambda pair: pair[0])]


def data_sets(out: Path, more: tuple[Path, ...]) -> dict[str, Dataset]:
    """By name: the embedded one, those collected here once, and whatever files were named."""
    sources = {"hopper-random": load_embedded_hopper()}
    for name, environment in _COLLECTED.items():
        path = out / "data" / f"{name}.hdf5"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            save_d4rl(collect(environment, _TRANSITIONS, seed=0, policy="random"), path)
        sources[name] = load_d4rl(path)
    return sources | {path.stem: load_d4rl(path) for path in more}


def _train(out: Path, mine: list[Setting], sources: dict[str, Dataset], until: float) -> None:
    begun = time.monotonic()
    left = [setting for setting in mine if not _file(out, setting).exists()]
    for number, setting in enumerate(left):
        if time.monotonic() > until:
            print(f"time is up with {len(left) - number} runs left; the same command goes on", flush=True)
            return
        record_run(setting, open_learner(setting, sources), _file(out, setting))
        each = (time.monotonic() - begun) / (number + 1)
        ahead = each * (len(left) - number - 1) / 60
        print(f"{number + 1}/{len(left)}  {ahead:.0f} minutes left  {setting.name}", flush=True)


def _file(out: Path, setting: Setting) -> Path:
    return out / f"{setting.name}.json.gz"


if __name__ == "__main__":
    tyro.cli(main)
