"""From settings to a run that is ready to train: every check happens here, before anything is written."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np

from seemrl.data.dataset import Dataset, check_actions_in_box
from seemrl.data.loading import FORMATS, load
from seemrl.data.refusals import refusal
from seemrl.errors import InputError, MissingPartError
from seemrl.training.config import TrainConfig
from seemrl.training.evaluation import ActionBox, action_box, check_action_count, make_environment
from seemrl.training.loop import Run
from seemrl.training.run_directory import begin, check_same, description, held, stored_description
from seemrl.training.standardisation import KEY, stored_standardisation


def run_path(config: TrainConfig) -> Path:
    """Where the run goes."""
    part = "" if config.data_percent == 100 else f"-{config.data_percent:g}percent"
    last = config.seed + config.seeds - 1
    seed = f"seed{config.seed}" if config.seeds == 1 else f"seeds{config.seed}to{last}"
    return Path(config.out or Path("runs") / f"{Path(config.data).stem}{part}-{config.agent}-{seed}")


def open_run(config: TrainConfig, notify: Callable[[str], object], data: Dataset | None = None) -> Run:
    """Check everything, then begin a new run or restore the one to be resumed.

    Args:
        config: the settings.
        notify: called with a line where something is not as expected but training can go on.
        data: the whole data set; read from ``config.data`` if not given.

    Raises:
        InputError: anything the user gave does not fit; nothing has been written then.
    """
    config.check()
    config = config.with_cadences()
    if data is None:
        if not config.data:
            raise InputError(f"--data: no data file given; name one: {FORMATS}")
        data = load(config.data)
    data = data.subset(config.data_percent, config.subset_of, config.subset_seed)
    _check_kind_of_actions(config, data)
    environment, box = _environment(config, data, notify)
    if not data.discrete:
        check_actions_in_box(data, np.asarray(box.low), np.asarray(box.high))
    path = run_path(config)
    described = description(config, data, path, environment)
    if config.resume:
        stored = stored_description(path)
        check_same(path, stored, described)
        described[KEY] = stored.get(KEY, described[KEY])  # observations are to be seen as they were
    standardisation = stored_standardisation(path, described)
    if not config.resume:
        begin(path, described)
    if config.resample == "advantage":
        notify(
            f"weighing by advantage: {config.advantage_rounds} x {config.advantage_updates:,} updates of a state value"
        )
    run = Run(config, data, box, path, environment, described["reward_bound"], standardisation)
    if config.resume:
        run.restore(notify)
    return run


def held_run(config: TrainConfig, notify: Callable[[str], object]) -> AbstractContextManager[Run]:
    """A run of `open_run`, with its directory held against other processes.

    Raises:
        InputError: as `open_run` does, or another process is training in the directory.
    """
    return held(run_path(config), lambda: open_run(config, notify), goes_on=config.resume)


def _check_kind_of_actions(config: TrainConfig, data: Dataset) -> None:
    wanted = config.hyperparameters.discrete
    if data.discrete and not wanted:
        raise refusal(
            data.source,
            "actions: discrete (integers), where continuous ones belong; --agent dqn and --agent pqn take the discrete",
        )
    if wanted and not data.discrete:
        raise refusal(
            data.source,
            f"actions: continuous, where {config.agent} takes discrete ones (integers); choose another --agent",
        )


def _environment(config: TrainConfig, data: Dataset, notify: Callable[[str], object]) -> tuple[str | None, ActionBox]:
    """The environment to evaluate in, if any, and the box of the actions."""
    size, lowest = (data.action_count, 0.0) if data.discrete else (data.action_size, -1.0)
    assumed = ActionBox((lowest,) * size, (1.0,) * size)
    name = config.env or data.environment or "none"
    if name == "none":
        return None, assumed
    if ":" in name and not config.env:  # Gymnasium imports the module before the colon: no data file decides that
        notify(f"no evaluation: {data.source} names the environment {name}, a module to import; to do so, give --env")
        return None, assumed
    try:
        environment = make_environment(name)
    except (InputError, MissingPartError) as error:
        if config.env:
            raise
        notify(f"no evaluation: {error}")
        return None, assumed
    try:
        if data.discrete:
            check_action_count(environment, name, size)
        box = assumed if data.discrete else action_box(environment, name)
        shape = environment.observation_space.shape
    finally:
        environment.close()
    if shape != (data.observation_size,) or len(box.low) != size:
        raise InputError(
            f"{data.source}: observations have {data.observation_size} numbers and actions {size}, but "
            f"{name} has {shape} and ({len(box.low)},); name the right one with --env, or --env none"
        )
    return name, box
