"""The command behind ``seemrl train``."""

from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seemrl.agents.config import TD3BCConfig
from seemrl.agents.registry import CONFIGS
from seemrl.data.refusals import one_line
from seemrl.errors import InputError
from seemrl.training.backend import prepare_jax
from seemrl.training.config import TrainConfig

if TYPE_CHECKING:
    from seemrl.training.loop import Progress, Run


def default_settings(arguments: Sequence[str]) -> TrainConfig:
    """Defaults for the command line: those of the agent it names; with --resume, of the run in --out.

    An agent that does not exist is left for the parser to refuse.

    Raises:
        InputError: --resume names no run directory.
    """
    if "--resume" not in arguments:
        name = _value_of("--agent", arguments)
        config = next((config for known, config in CONFIGS.items() if known == name), TD3BCConfig)
        return TrainConfig(agent=config.agent, hyperparameters=config())
    out = _value_of("--out", arguments)
    if out is None:
        raise InputError("--resume: which run? name its directory with --out")
    from seemrl.training.run_directory import stored_description

    stored = stored_description(Path(out))
    settings: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in stored["config"].items()
    }
    try:
        kind = CONFIGS[settings["agent"]]
        own = {field.name for field in fields(kind)}
        parameters = kind(**{key: value for key, value in settings.items() if key in own})
        config = TrainConfig(
            hyperparameters=parameters, **{key: value for key, value in settings.items() if key not in own}
        )
    except (KeyError, TypeError) as error:
        raise InputError(f"{out}/config.json: not the settings of this version of seemrl ({error})") from error
    return replace(config, out=out, resume=False)


def _value_of(option: str, arguments: Sequence[str]) -> str | None:
    for position, argument in enumerate(arguments):
        if argument.startswith(option + "="):
            return argument.split("=", 1)[1]
        if argument == option and position + 1 < len(arguments):
            return arguments[position + 1]
    return None


def run_train(config: TrainConfig) -> Path:
    """Train, showing progress on stderr; prints the run directory on stdout.

    Raises:
        InputError: anything the user gave does not fit.
        MissingPartError: the training extra is not installed.
    """
    prepare_jax()
    from rich.console import Console

    from seemrl.training.setup import held_run

    console = Console(stderr=True)

    def notify(line: str) -> None:
        console.print(one_line(line), markup=False, soft_wrap=True)  # paths may be long and hold [brackets]

    if config.seeds > 1:
        return _train_seeds(config, console)
    with held_run(config, notify) as run:
        return _train(run, console)


def _train_seeds(config: TrainConfig, console: Any) -> Path:
    from seemrl.training.scores import aggregate, score_of
    from seemrl.training.seeds import seed_settings, train_seeds
    from seemrl.training.setup import run_path

    config.check()
    out = run_path(config)
    settings = seed_settings(config, out)
    train_seeds(settings, console)
    scores = [score for score in (score_of(Path(setting.out)) for setting in settings) if score is not None]
    for name, values in {
        "final return": [score.final for score in scores],
        "return over the last ten evaluations": [score.last_ten for score in scores],
    }.items():
        if values:
            found = aggregate(values)
            interval = "" if found.interval is None else " (95%: {:.1f} to {:.1f})".format(*found.interval)
            console.print(f"{name}: interquartile mean {found.mean:.1f}{interval} over {len(values)} seeds")
    print(out)
    return out


def _train(run: "Run", console: Any) -> Path:
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    from seemrl.instrument.forecast.terminal import styled, told
    from seemrl.training.checkpoint import best_of
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
        console.print(f"{run.directory}: complete already, {run.step} updates", markup=False, soft_wrap=True)
    with Bar(*columns, console=console) as bar:
        task = bar.add_task("train", total=run.config.steps, completed=run.step, state="compiling")
        for progress in run.train():
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
    if (best := best_of(run.directory / "checkpoints")) is not None:
        console.print(
            f"best return {best.return_mean:.1f}, step {best.step}: {best.path}", markup=False, soft_wrap=True
        )
    print(run.directory)
    return run.directory


def _state(progress: "Progress") -> str:
    speed = f"{progress.metrics['updates_per_second']:.0f}/s"
    if progress.reading is None:
        return speed
    return f"{speed}  |Q| {progress.reading.q_mean:.3g}  SEEM {progress.reading.normalized:+.4f}"


def _played(progress: "Progress") -> str:
    row = progress.evaluation
    assert row is not None
    score = "" if row["score_mean"] is None else f", normalised score {row['score_mean']:.1f}"
    return f"step {progress.step}: return {row['return_mean']:.1f} over {row['episodes']} episodes{score}"
