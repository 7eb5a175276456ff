"""The command behind ``seemrl online``."""

from contextlib import ExitStack
from pathlib import Path
from typing import Any

from seemrl.data.refusals import one_line
from seemrl.errors import InputError
from seemrl.training.backend import prepare_jax
from seemrl.training.online_config import OnlineConfig
from seemrl.training.run_directory import is_run, sole_writer
from seemrl.training.showing import show_training


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

    def notify(line: str) -> None:
        console.print(one_line(line), markup=False, soft_wrap=True)

    with ExitStack() as held:
        if is_run(path):
            held.enter_context(sole_writer(path))  # before anything of it is read or cut
            run = OnlineRun(config, path, notify)
        else:
            run = OnlineRun(config, path, notify)
            held.enter_context(sole_writer(path))
        show_training(run, run.train, console)


def online_path(config: OnlineConfig) -> Path:
    """Where the run goes."""
    return Path(config.out or Path("runs") / f"{config.environment}-{config.agent}-seed{config.seed}")
