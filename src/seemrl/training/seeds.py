"""Several seeds of one run, in directories of their own."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from seemrl.errors import InputError
from seemrl.training.processes import train_at_once
from seemrl.training.run_directory import Settings, is_run, stored_settings
from seemrl.training.scores import aggregate, score_of


def seed_settings(config: Settings, out: Path) -> list[Settings]:
    """The settings of each seed's run, in directories ``out/seed<seed>``.

    A run that is there already is resumed where the whole is.
    """
    runs: list[Settings] = []
    for seed in range(config.seed, config.seed + config.seeds):
        directory = out / f"seed{seed}"
        label = f"{config.label or out.name}, seed {seed}"
        resume = config.resume and is_run(directory)
        runs.append(replace(config, seed=seed, seeds=1, out=str(directory), label=label, resume=resume))
    return runs


def begun_seeds(out: Path, kind: type[Settings]) -> Settings | None:
    """The settings with which the seeds in a directory were begun, those that have not begun left out; None: no seeds.

    Raises:
        InputError: the first one's settings cannot be read, or are of another kind.
    """
    numbers = [path.parent.name.removeprefix("seed") for path in out.glob("seed*/config.json")]
    seeds = sorted(int(number) for number in numbers if number.isdecimal())
    if not seeds:
        return None
    first = stored_settings(out / f"seed{seeds[0]}", kind)
    label = first.label.removesuffix(f", seed {seeds[0]}")
    return replace(first, seeds=seeds[-1] - seeds[0] + 1, label="" if label == out.name else label)


def train_seeds(settings: Sequence[Settings], console: Any) -> None:
    """Train them all, with a progress bar each on the console.

    Raises:
        InputError: what one of the runs refuses, or one is there already and not to be resumed; none is begun then.
    """
    for config in settings:
        if is_run(Path(config.out)) and not config.resume:
            raise InputError(f"{config.out}: exists already; add --resume to continue it, or choose another --out")
    train_at_once([f"seed {config.seed}" for config in settings], settings, console)


def tell_scores(settings: Sequence[Settings], console: Any) -> None:
    """What the seeds came to, in two lines on a console of rich; nothing where there was no evaluation."""
    scores = [score for score in (score_of(Path(setting.out)) for setting in settings) if score is not None]
    for name, values in {
        "final return": [score.final for score in scores],
        "return over the last ten evaluations": [score.last_ten for score in scores],
    }.items():
        if values:
            found = aggregate(values)
            interval = "" if found.interval is None else " (95%: {:.1f} to {:.1f})".format(*found.interval)
            console.print(f"{name}: interquartile mean {found.mean:.1f}{interval} over {len(values)} seeds")
