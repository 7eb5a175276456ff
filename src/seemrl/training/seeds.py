"""Several seeds of one run, in directories of their own."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from seemrl.training.config import TrainConfig
from seemrl.training.processes import train_at_once


def seed_settings(config: TrainConfig, out: Path) -> list[TrainConfig]:
    """The settings of each seed's run, in directories ``out/seed<seed>``.

    A run that is there already is resumed where the whole is.
    """
    runs = []
    for seed in range(config.seed, config.seed + config.seeds):
        directory = out / f"seed{seed}"
        label = f"{config.label or out.name}, seed {seed}"
        resume = config.resume and (directory / "config.json").is_file()
        runs.append(replace(config, seed=seed, seeds=1, out=str(directory), label=label, resume=resume))
    return runs


def train_seeds(settings: list[TrainConfig], console: Any) -> None:
    """Train them all, with a progress bar each on the console.

    Raises:
        InputError: what one of the runs refuses.
    """
    train_at_once([f"seed {config.seed}" for config in settings], settings, console)
