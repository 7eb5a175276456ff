"""Several runs at once: one process each, as many side by side as there are cores.

On a CPU that is faster than one program over stacked learners: single products of these sizes do not fill two cores,
and processes share nothing that they would have to wait for.
"""

import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from typing import Any

from seemrl.training.config import TrainConfig
from seemrl.training.online_config import OnlineConfig

_ONE_THREAD_EACH = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_MOST_BARS = 16
"""Runs of which each keeps a progress bar; of more, those that are training have one."""


_tell: Callable[["News"], object]


@dataclass(frozen=True)
class News:
    """What one run says of itself.

    Attributes:
        run: its place among the settings.
        step: updates done, or steps in the environment.
        state: its verdict, or what it is about.
        line: for the terminal; empty where there is nothing to say.
        ended: whether the run is over, or was left because time was up.
    """

    run: int
    step: int
    state: str
    line: str = ""
    ended: bool = False


def train_at_once(
    names: Sequence[str],
    settings: Sequence[TrainConfig | OnlineConfig],
    console: Any,
    *,
    processes: int | None = None,
    seconds: float | None = None,
) -> None:
    """Train runs to their ends, with progress bars on the console.

    The first that fails ends the others; what they have written stays and can be resumed.

    Args:
        names: of the runs, on the console.
        settings: of each run, on data or in an environment; one with ``resume`` goes on from its checkpoint.
        console: of rich.
        processes: most at a time; None: as many as there are cores.
        seconds: begin no run after so long, and leave those that are training at their next stop, to be resumed.

    Raises:
        InputError: what one of the runs refuses.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    for name in _ONE_THREAD_EACH:
        os.environ.setdefault(name, "1")
    until = None if seconds is None else time.time() + seconds
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), "left", TimeRemainingColumn())
    context = multiprocessing.get_context("spawn")  # JAX does not survive a fork
    few = len(settings) <= _MOST_BARS
    told = context.SimpleQueue()
    with Progress(*columns, TextColumn("{task.fields[state]}"), console=console) as bars:
        whole = bars.add_task("runs", total=len(settings), state="", visible=not few)
        tasks = [
            bars.add_task(name, total=config.steps, state="waiting", visible=few)
            for name, config in zip(names, settings, strict=True)
        ]
        at_once = max(1, min(len(settings), processes or _cores()))
        with ProcessPoolExecutor(at_once, context, initializer=_prepare, initargs=(told,)) as pool:
            futures = [pool.submit(_train_one, number, config, until) for number, config in enumerate(settings)]
            try:
                for news in _news(futures, told):
                    bars.update(tasks[news.run], completed=news.step, state=news.state, visible=few or not news.ended)
                    bars.advance(whole, news.ended)
                    if news.line:
                        console.print(f"{names[news.run]}: {news.line}", markup=False, soft_wrap=True)
            except BaseException:
                for process in list(pool._processes.values()):
                    process.terminate()
                pool.shutdown(wait=False, cancel_futures=True)
                raise


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _news(futures: Sequence[Future[None]], told: Any) -> Iterator[News]:
    """What the runs say, until all have ended; raises what the first of them raised that failed."""
    pending = set(futures)
    while pending:
        done, pending = wait(pending, timeout=0.3, return_when=FIRST_COMPLETED)
        while not told.empty():
            yield told.get()
        for future in done:
            future.result()


def _prepare(told: Any) -> None:
    """Once in each process: where its news goes, and an end to it when the process that reads them is killed."""
    global _tell
    _tell = told.put
    parent = multiprocessing.parent_process()
    assert parent is not None

    def end_with_parent() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()


def _train_one(number: int, config: TrainConfig | OnlineConfig, until: float | None) -> None:
    """In a process of its own: one run from its beginning, or from its checkpoint, to its end or until time is up."""
    if until is not None and time.time() > until:
        return
    from seemrl.training.backend import prepare_jax

    prepare_jax()
    import jax

    verdict, step = "", 0
    with _held(config, lambda line: _tell(News(number, 0, "", line))) as run:
        step = run.step
        _tell(News(number, step, "compiling"))
        for progress in run.train():
            line, step = "", progress.step
            if progress.forecast is not None and progress.forecast.verdict != verdict:
                verdict = progress.forecast.verdict
                line = f"{verdict}: {progress.forecast.reasons[0]}"
            _tell(News(number, step, verdict, progress.ended or line))
            if until is not None and time.time() > until:
                break
    _tell(News(number, step, verdict, ended=True))
    jax.clear_caches()  # the next run here may have other shapes; its programs come from the disk


def _held(config: TrainConfig | OnlineConfig, notify: Callable[[str], object]) -> Any:
    """The run of these settings, on data or in an environment, held against other processes."""
    if isinstance(config, OnlineConfig):
        from seemrl.training.online_command import held_online, online_path

        return held_online(config, online_path(config), notify)
    from seemrl.training.setup import held_run

    return held_run(config, notify)
