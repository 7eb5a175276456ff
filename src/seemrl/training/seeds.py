"""Several seeds at once: one process each, as many side by side as there are cores.

On a CPU that is faster than one program over stacked learners: single products of these sizes do not fill two cores,
and processes share nothing that they would have to wait for.
"""

import multiprocessing
import os
import queue
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import replace
from pathlib import Path
from typing import Any

from seemrl.training.config import TrainConfig

_ONE_THREAD_EACH = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def seed_settings(config: TrainConfig, out: Path) -> list[TrainConfig]:
    """The settings of each seed's run, in directories ``out/seed<seed>``.

    A run that is there already is resumed where the whole is.
    """
    runs = []
    for seed in range(config.seed, config.seed + config.seeds):
        directory = out / f"seed{seed}"
        label = f"{config.label or out.name}, seed {seed}"
        resume = config.resume and (directory / "config.json").is_file()
        runs.append(replace(config, seed=seed, seeds=1, out=str(directory), label=label, resume=resume))
    return runs


def train_seeds(settings: list[TrainConfig], console: Any) -> None:
    """Train them all, with a progress bar each on the console.

    The first that fails ends the others; what they have written stays and can be resumed.

    Raises:
        InputError: what one of the runs refuses.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    for name in _ONE_THREAD_EACH:
        os.environ.setdefault(name, "1")
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), "left", TimeRemainingColumn())
    context = multiprocessing.get_context("spawn")  # JAX does not survive a fork
    with context.Manager() as manager, Progress(*columns, TextColumn("{task.fields[state]}"), console=console) as bars:
        told = manager.Queue()
        tasks = {
            config.seed: bars.add_task(f"seed {config.seed}", total=config.steps, state="waiting")
            for config in settings
        }
        with ProcessPoolExecutor(max(1, min(len(settings), _cores())), mp_context=context) as pool:
            futures = [pool.submit(_train_one, config, told) for config in settings]
            try:
                for seed, step, state, line in _news(futures, told):
                    bars.update(tasks[seed], completed=step, state=state)
                    if line:
                        console.print(f"seed {seed}: {line}", markup=False, soft_wrap=True)
            except BaseException:
                for process in list(pool._processes.values()):
                    process.terminate()
                pool.shutdown(wait=False, cancel_futures=True)
                raise


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _news(futures: list[Future[None]], told: Any) -> Iterator[tuple[int, int, str, str]]:
    """What the runs say, until all have ended; raises what the first of them raised that failed."""
    pending = set(futures)
    while pending:
        done, pending = wait(pending, timeout=0.3, return_when=FIRST_COMPLETED)
        while True:
            try:
                yield told.get_nowait()
            except queue.Empty:
                break
        for future in done:
            future.result()


def _train_one(config: TrainConfig, told: Any) -> None:
    """In a process of its own: one run from its beginning, or from its checkpoint, to its end."""
    from seemrl.training.backend import prepare_jax

    prepare_jax()
    from seemrl.training.setup import held_run

    verdict = ""
    with held_run(config, lambda line: told.put((config.seed, 0, "", line))) as run:
        told.put((config.seed, run.step, "compiling", ""))
        for progress in run.train():
            line = ""
            if progress.forecast is not None and progress.forecast.verdict != verdict:
                verdict = progress.forecast.verdict
                line = f"{verdict}: {progress.forecast.reasons[0]}"
            told.put((config.seed, progress.step, verdict, progress.ended or line))
