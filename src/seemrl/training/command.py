"""The command behind ``seemrl train``."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from seemrl.agents.config import AgentConfig
from seemrl.agents.registry import CONFIGS
from seemrl.errors import InputError
from seemrl.training.backend import prepare_jax
from seemrl.training.config import TrainConfig
from seemrl.training.run_directory import Settings, is_run, stored_settings
from seemrl.training.seeds import begun_seeds
from seemrl.training.showing import remarks, show_training


def default_settings(arguments: Sequence[str], kind: type[Settings], usual: type[AgentConfig]) -> Settings:
    """Defaults for the command line: those of the agent it names; with --resume, of the run or the seeds in --out.

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
    seeds = None if is_run(Path(out)) else begun_seeds(Path(out), kind)
    return replace(seeds or stored_settings(Path(out), kind), out=out, resume=False)


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
    from seemrl.training.seeds import seed_settings, tell_scores, train_seeds
    from seemrl.training.setup import run_path

    config.check()
    out = run_path(config)
    settings = seed_settings(config, out)
    train_seeds(settings, console)
    tell_scores(settings, console)
    print(out)
    return out
