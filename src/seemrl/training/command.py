"""The command behind ``seemrl train``."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from seemrl.agents.config import AgentConfig
from seemrl.agents.registry import CONFIGS
from seemrl.errors import InputError
from seemrl.training.backend import prepare_jax
from seemrl.training.config import TrainConfig
from seemrl.training.online_config import OnlineConfig
from seemrl.training.run_directory import stored_settings
from seemrl.training.showing import remarks, show_training

Settings = TypeVar("Settings", TrainConfig, OnlineConfig)


def default_settings(arguments: Sequence[str], kind: type[Settings], usual: type[AgentConfig]) -> Settings:
    """Defaults for the command line: those of the agent it names; with --resume, of the run in --out.

    An agent that does not exist is left for the parser to refuse.

    Args:
        arguments: the command line behind the verb.
        kind: the settings' type.
        usual: hyperparameters of the agent taken where none is named.

    Raises:
        InputError: --resume names no run directory.
    """
    if "--resume" not in arguments:
        name = value_of("--agent", arguments)
        config = next((config for known, config in CONFIGS.items() if known == name), usual)
        return kind(agent=config.agent, hyperparameters=config())
    out = value_of("--out", arguments)
    if out is None:
        raise InputError("--resume: which run? name its directory with --out")
    return replace(stored_settings(Path(out), kind), out=out, resume=False)


def value_of(option: str, arguments: Sequence[str]) -> str | None:
    """What the command line gives an option, None where it is not there."""
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

    from seemrl.training.checkpoint import best_of
    from seemrl.training.setup import held_run

    console = Console(stderr=True)

    if config.seeds > 1:
        return _train_seeds(config, console)
    with held_run(config, remarks(console)) as run:
        show_training(run, lambda advance: run.train(), console)
    if (best := best_of(run.directory / "checkpoints")) is not None:
        told = f"best return {best.return_mean:.1f}, step {best.step}: {best.path}"
        console.print(told, markup=False, soft_wrap=True)
    print(run.directory)
    return run.directory


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
