"""A run in the terminal while it trains."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from seemrl.data.refusals import one_line

if TYPE_CHECKING:
    from seemrl.training.loop import Progress


def remarks(console: Any) -> Callable[[str], None]:
    """What a run says in passing, a line each, on a console of rich."""

    def tell(line: str) -> None:
        console.print(one_line(line), markup=False, soft_wrap=True)  # paths may be long and hold [brackets]

    return tell


def show_training(run: Any, train: Callable[[Callable[[int], object]], Iterator["Progress"]], console: Any) -> None:
    """Train a run to its end with a bar, its verdicts and its returns on the console, and its events for TensorBoard.

    Args:
        run: has a ``directory``, the ``step`` where it stands, and ``config.steps``.
        train: begins to train; is given what moves the bar between two stops.
        console: of rich.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    from seemrl.instrument.forecast.terminal import styled, told
    from seemrl.training.events import EventLog

    events = EventLog(run.directory, run.step)
    verdict = None
    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        "left",
        TimeRemainingColumn(),
        TextColumn("{task.fields[state]}"),
    )
    if run.step == run.config.steps:
        console.print(f"{run.directory}: complete already, at step {run.step}", markup=False, soft_wrap=True)
    with Bar(*columns, console=console) as bar:
        task = bar.add_task("train", total=run.config.steps, completed=run.step, state="compiling")
        for progress in train(lambda step: bar.update(task, completed=step)):
            events.write(progress)
            bar.update(task, completed=progress.step, state=_state(progress))
            if progress.forecast is not None and progress.forecast.verdict != verdict:
                verdict = progress.forecast.verdict
                console.print(
                    f"{styled(verdict)}: {progress.forecast.reasons[0]}",
                    soft_wrap=True,
                )
            if progress.advice is not None:
                console.print(told(progress.advice), markup=False, soft_wrap=True)
            if progress.evaluation is not None:
                console.print(_played(progress), soft_wrap=True)
            if progress.ended is not None:
                console.print(f"{run.directory}: {progress.ended}", markup=False, soft_wrap=True)
    events.close()


def _state(progress: "Progress") -> str:
    if not progress.metrics:
        return "random steps"
    speed = f"{progress.metrics['updates_per_second']:.0f}/s"
    if progress.reading is None:
        return speed
    return f"{speed}  |Q| {progress.reading.q_mean:.3g}  SEEM {progress.reading.normalized:+.4f}"


def _played(progress: "Progress") -> str:
    row = progress.evaluation
    assert row is not None
    score = "" if row["score_mean"] is None else f", normalised score {row['score_mean']:.1f}"
    return f"step {progress.step}: return {row['return_mean']:.1f} over {row['episodes']} episodes{score}"
