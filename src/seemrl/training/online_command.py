"""The command behind ``seemrl online``."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seemrl.errors import InputError
from seemrl.training.backend import prepare_jax
from seemrl.training.online_config import OnlineConfig
from seemrl.training.run_directory import held, is_run
from seemrl.training.showing import remarks, show_training

if TYPE_CHECKING:
    from seemrl.training.online import OnlineRun


def run_online(config: OnlineConfig) -> Path:
    """Train in an environment, showing progress on stderr; prints the run directory on stdout.

    Raises:
        InputError: anything the user gave does not fit.
        MissingPartError: the training extra, or the environment's simulator, is not installed.
    """
    prepare_jax()
    from rich.console import Console

    path = online_path(config)
    if config.seeds > 1:
        return _train_seeds(config, path, Console(stderr=True))
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
    with held_online(config, path, remarks(console)) as run:
        show_training(run, run.train, console)


def held_online(
    config: OnlineConfig, path: Path, notify: Callable[[str], object]
) -> AbstractContextManager["OnlineRun"]:
    """The run at a path, new or to be continued, with its directory held against other processes.

    Raises:
        InputError: a setting does not fit, or another process is training there.
    """
    from seemrl.training.online import OnlineRun

    return held(path, lambda: OnlineRun(config, path, notify), goes_on=is_run(path))


def online_path(config: OnlineConfig) -> Path:
    """Where the run goes, or the directories of its seeds."""
    last = config.seed + config.seeds - 1
    seed = f"seed{config.seed}" if config.seeds == 1 else f"seeds{config.seed}to{last}"
    return Path(config.out or Path("runs") / f"{config.environment}-{config.agent}-{seed}")


def _train_seeds(config: OnlineConfig, path: Path, console: Any) -> Path:
    from seemrl.training.seeds import seed_settings, tell_scores, train_seeds

    config.check()
    settings = seed_settings(config, path)
    train_seeds(settings, console)
    tell_scores(settings, console)
    print(path)
    return path
