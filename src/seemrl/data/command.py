"""The command behind ``seemrl data collect``; imports nothing heavy until it runs, so that the help text is fast."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import Literal

from seemrl.data.refusals import refusal


@dataclass(frozen=True, kw_only=True)
class CollectConfig:
    """Collect transitions in a Gymnasium environment and write them in D4RL's HDF5 layout."""

    out: str
    """HDF5 file to write."""

    environment: str = "Hopper-v5"
    """Gymnasium id of the environment: Hopper-v5, PointMaze_Medium-v3, Sepsis/ICU-Sepsis-v2, ..."""

    policy: Literal["random", "waypoint", "clinician"] = "random"
    """Who acts: uniformly random actions; a waypoint controller (PointMaze); clinicians (ICU-Sepsis)."""

    noise: float = 0.5
    """Standard deviation of the noise on the waypoint controller's actions."""

    goals: Literal["diverse", "play"] = "diverse"
    """Its starts and goals: any free cell, or dead ends and corners alone."""

    transitions: int = 20_000
    """Number of transitions."""

    seed: int = 0
    """Seed of the environment and the actions; the same seed gives the same file."""

    mantissa_bits: int | None = None
    """Round actions and observations to this many mantissa bits (0 to 23) for a smaller file."""

    overwrite: bool = False
    """Replace the file if it exists."""


def run_collect(config: CollectConfig) -> None:
    """Collect with a progress bar on stderr, write the file and print one line about it on stdout.

    Raises:
        InputError: The file exists and may not be replaced, or cannot be written (both found before collecting), or
            the environment or a setting is unusable.
        MissingPartError: Gymnasium or MuJoCo is not installed.
    """
    path = Path(config.out)
    _check_writable(path, config.overwrite)

    from seemrl.data.collect import collect
    from seemrl.data.d4rl import save_d4rl

    with _progress_bar(config.environment, config.transitions) as advance:
        dataset = collect(
            config.environment,
            config.transitions,
            config.seed,
            advance,
            policy=config.policy,
            noise=config.noise,
            goals=config.goals,
            mantissa_bits=config.mantissa_bits,
        )
    save_d4rl(dataset, path)
    episodes, mean_return = dataset.attributes["episodes"], dataset.attributes.get("behaviour_return")
    returns = "" if mean_return is None else f", mean return {_shown(float(mean_return))}"
    print(f"{path}: {len(dataset)} transitions of {dataset.environment}, {episodes} finished episodes{returns}")


def _shown(value: float) -> str:
    return f"{value:,.1f}" if abs(value) >= 10 else f"{value:.3g}"


def _check_writable(path: Path, overwrite: bool) -> None:
    if path.is_dir():
        raise refusal(path, "a directory; give the name of a file in it")
    if path.exists() and not overwrite:
        raise refusal(path, "already exists; give another name or --overwrite")
    try:
        with TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise refusal(path.parent, f"no file can be written there ({error.strerror}); choose another place") from error


@contextmanager
def _progress_bar(environment: str, transitions: int) -> Generator[Callable[[int], object], None, None]:
    """A bar on stderr while the context lasts; yields the function that moves it to a number of transitions."""
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(escape(f"Collecting in {environment}"), total=transitions)
        yield lambda done: bar.update(task, completed=done)
