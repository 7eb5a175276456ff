"""The command behind ``seemrl data collect``; imports nothing heavy until it runs, so that the help text is fast."""

import shutil
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import Literal

from seemrl.data.refusals import refusal
from seemrl.errors import InputError


@dataclass(frozen=True, kw_only=True)
class CollectConfig:
    """Collect transitions in a Gymnasium environment and write them in D4RL's HDF5 layout.

    `seemrl data collect Hopper-v5 --out hopper.hdf5` is short for --environment Hopper-v5.
    """

    out: str
    """HDF5 file to write."""

    environment: str = "Hopper-v5"
    """Gymnasium id of the environment: Hopper-v5, PointMaze_Medium-v3, Sepsis/ICU-Sepsis-v2, ..."""

    quality: Literal["random", "medium-replay", "medium", "medium-expert", "expert"] | None = None
    """As D4RL's sets, from an agent trained here: "expert" is its policy in the end, "medium" the first that got a
    third of the way from random actions to there, "medium-replay" all it had collected by then, "medium-expert" half
    and half."""

    run: str = ""
    """Run directory of `seemrl online` that --quality takes its policies from, begun or continued if need be; default:
    runs/<environment>-collecting-seed<seed>."""

    expert_steps: int | None = None
    """Environment steps of a run begun here, by TD3 with LayerNorm in its critic; default: 1,024,000."""

    policy: str = "random"
    """Who acts where no --quality is asked for: "random" actions; "waypoint", a controller (PointMaze, AntMaze);
    "clinician" (ICU-Sepsis); or a run directory of `seemrl online` or `seemrl train`, or one file of an online run's
    policies."""

    noise: float | None = None
    """Standard deviation of the noise on the waypoint controller's actions; default: 0.5, of AntMaze 0.2."""

    goals: Literal["diverse", "play"] = "diverse"
    """Its starts and goals: any free cell, or dead ends and corners alone."""

    transitions: int = 20_000
    """Number of transitions; medium-replay has as many as there are."""

    seed: int = 0
    """Seed of the environment, the actions, and a run begun here; the same seed gives the same file."""

    mantissa_bits: int | None = None
    """Round actions and observations to this many mantissa bits (0 to 23) for a smaller file."""

    overwrite: bool = False
    """Replace the file if it exists."""

    def check(self) -> None:
        """Refuse options that do not go together.

        Raises:
            InputError: names the option and what to do.
        """
        trained = self.quality not in (None, "random")
        if self.quality is not None and self.policy != "random":
            raise InputError(f"--policy {self.policy}: --quality has policies of its own; give one of the two")
        if self.run and self.quality is None:
            raise InputError(f"--run {self.run}: --quality says which of its policies; to take its last, give --policy")
        if self.expert_steps is not None and not trained:
            raise InputError(f"--expert-steps {self.expert_steps}: no run is begun; give --quality medium or another")


def run_collect(config: CollectConfig) -> None:
    """Collect with a progress bar on stderr, write the file and print one line about it on stdout.

    Raises:
        InputError: The file exists and may not be replaced, or cannot be written (both found before collecting), or
            the environment or a setting is unusable.
        MissingPartError: Gymnasium or MuJoCo is not installed.
    """
    path = Path(config.out)
    config.check()
    _check_writable(path, config.overwrite)

    from seemrl.collecting.sources import collect_as
    from seemrl.data.d4rl import save_d4rl

    unfinished = path.with_name(f".{path.name}.unfinished")
    dataset = collect_as(config, unfinished, _progress_bar)
    save_d4rl(dataset, path)
    shutil.rmtree(unfinished, ignore_errors=True)
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
