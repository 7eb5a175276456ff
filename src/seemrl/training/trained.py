"""The learner of a run directory, taken back from its checkpoints, and the data it was trained on."""

from pathlib import Path
from typing import Any, Literal

import safetensors

from seemrl.data.arrays import Floats
from seemrl.data.dataset import Dataset
from seemrl.data.loading import load
from seemrl.errors import InputError
from seemrl.training.checkpoint import best_of, load_checkpoint, load_newest
from seemrl.training.config import TrainConfig
from seemrl.training.evaluation import ActionBox, action_box, make_environment
from seemrl.training.standardisation import KEY, standardisation_of, stored_standardisation

Which = Literal["last", "best"]


def trained_learner(run: Path, fresh: Any, which: Which = "last") -> tuple[Any, int]:
    """The learner of a checkpoint, and the step it is of.

    Args:
        run: the run directory.
        fresh: a learner of the same kind and sizes.
        which: "last", the newest whole checkpoint; "best", the evaluation with the highest mean return.

    Raises:
        InputError: there is no such checkpoint, or none that is whole.
    """
    if which == "best":
        return _best_learner(run, fresh)
    damaged: list[str] = []
    found = load_newest(run / "checkpoints", fresh, damaged.append)
    if found is None:
        raise InputError(f"{run}: " + (damaged[-1] if damaged else "no checkpoint yet; train on until its first"))
    return found


def _best_learner(run: Path, fresh: Any) -> tuple[Any, int]:
    best = best_of(run / "checkpoints")
    if best is None:
        raise InputError(
            f"{run}: no best checkpoint; only runs of seemrl train that were evaluated keep one: take the last"
        )
    try:
        return load_checkpoint(best.path, fresh)
    except (OSError, ValueError, KeyError, TypeError, safetensors.SafetensorError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{best.path}: checkpoint is damaged ({reason}); take the last one") from error


def training_data(run: Path, config: TrainConfig, described: dict[str, Any], source: str = "") -> Dataset:
    """The transitions that a run was trained on.

    Args:
        run: the run directory.
        config: its settings.
        described: what its config.json says.
        source: where the data lie; default: where they lay then.

    Raises:
        InputError: they cannot be read, or are others.
    """
    source = source or config.data
    data = load(source).subset(config.data_percent, config.subset_of, config.subset_seed)
    if data.fingerprint() != described["data"].get("fingerprint"):
        raise InputError(f"{source}: not the data that {run} was trained on, which are needed here")
    return data


def standardisation(
    run: Path, config: TrainConfig, described: dict[str, Any], data: Dataset | None = None
) -> tuple[Floats, Floats]:
    """Shift and scale of observations as a run was trained with; of one that does not keep them, from its data.

    Args:
        run: the run directory.
        config: its settings.
        described: what its config.json says.
        data: the transitions that it was trained on; read only where they are needed.

    Raises:
        InputError: config.json is damaged, or data are needed that cannot be read or are others.
    """
    if KEY in described:
        return stored_standardisation(run, described)
    return standardisation_of(config, training_data(run, config, described) if data is None else data)


def spaces_of(name: str) -> tuple[ActionBox, int]:
    """Bounds of an environment's actions, and numbers in an observation."""
    environment = make_environment(name)
    try:
        return action_box(environment, name), environment.observation_space.shape[0]
    finally:
        environment.close()
