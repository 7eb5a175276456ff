"""The command behind ``seemrl online``."""

from pathlib import Path
from typing import Any

from seemrl.errors import InputError
from seemrl.training.backend import prepare_jax
from seemrl.training.online_config import OnlineConfig
from seemrl.training.run_directory import held, is_run
from seemrl.training.showing import remarks, show_training


def run_online(config: OnlineConfig) -> Path:
    """Train in an environment, showing progress on stderr; prints the run directory on stdout.

    Raises:
        InputError: anything the user gave does not fit.
        MissingPartError: the training extra, or the environment's simulator, is not installed.
    """
    prepare_jax()
    from rich.console import Console

    path = online_path(config)
    if not config.resume and is_run(path):
        raise InputError(f"{path}: exists already; add --resume to continue it, or choose another --out")
    train_online(config, path, Console(stderr=True))
    print(path)
    return path


def train_online(config: OnlineConfig, path: Path, console: Any) -> None:
    """Begin the run at a path, or continue the one there, and train it to its end.

    Raises:
        InputError: a setting does not fit, or another process is training there.
    """
    from seemrl.training.online import OnlineRun

    with held(path, lambda: OnlineRun(config, path, remarks(console)), goes_on=is_run(path)) as run:
        show_training(run, run.train, console)


def online_path(config: OnlineConfig) -> Path:
    """Where the run goes."""
    return Path(config.out or Path("runs") / f"{config.environment}-{config.agent}-seed{config.seed}")
