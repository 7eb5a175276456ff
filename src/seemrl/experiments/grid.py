"""A grid of runs in one directory: whenever its command is repeated, whole runs are skipped and the others go on."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from seemrl.agents.config import AgentConfig
from seemrl.errors import InputError, require_option
from seemrl.networks.options import Norm
from seemrl.report.runs import RunRecord, read_run
from seemrl.training.config import TrainConfig

RUNS = "runs"
COMPARED: tuple[Norm, ...] = ("none", "layer")
"""Critics that are compared."""
NORMS: dict[str, str] = {"none": "no normaliser", "layer": "LayerNorm"}
"""Their names in tables."""


@dataclass(frozen=True, kw_only=True)
class GridConfig:
    """What every grid of runs is told.

    Attributes:
        data: files of transitions.
        seeds: so many runs of each setting, from seed 0 on.
        steps: critic updates of each run.
        hidden_sizes: units of each hidden layer; empty: as published.
        processes: runs at a time; 0: as many as there are cores.
        minutes: time to train in; 0: until all runs are whole.
        out: directory of the runs and of the results.
    """

    data: tuple[str, ...] = ()
    """Files of transitions, as `seemrl train` reads them; default: the random Hopper-v5 transitions in the package."""
    seeds: int = 3
    """Runs of each setting, seeds 0, 1, ..."""
    steps: int = 100_000
    """Critic updates of each run."""
    hidden_sizes: tuple[int, ...] = ()
    """Units of each hidden layer, for smaller or larger networks than published."""
    processes: int = 0
    """Runs at a time, a process and a core each; 0: as many as there are cores."""
    minutes: float = 0.0
    """Stop training after so many minutes and report on what is whole; the same command goes on. 0: train them all."""
    out: str = ""
    """Directory for runs and results."""

    def check(self) -> None:
        """Refuse settings that no grid can have.

        Raises:
            InputError: names the option, its value and what fits.
        """
        require_option(self.seeds >= 1, "seeds", self.seeds, "at least 1")
        require_option(self.processes >= 0, "processes", self.processes, "0 or more")
        require_option(self.minutes >= 0, "minutes", self.minutes, "0 or more")

    @property
    def sizes(self) -> dict[str, Any]:
        """The networks' sizes, where they are not the published ones."""
        return {"hidden_sizes": self.hidden_sizes} if self.hidden_sizes else {}


@dataclass(frozen=True, kw_only=True)
class EvaluatedGridConfig(GridConfig):
    """What a grid of runs is told that act in an environment on the way.

    Attributes:
        evaluations: in each run.
        evaluation_episodes: in each of them.
        env: to evaluate in; empty: the one each data file names.
    """

    evaluations: int = 20
    """Evaluations in each run; the last ten make one of the two averages reported."""
    evaluation_episodes: int = 10
    """Episodes per evaluation."""
    env: str = ""
    """Gymnasium environment to evaluate in; default: the one each data file names."""

    def check(self) -> None:
        """Refuse settings that no grid can have."""
        super().check()
        require_option(self.evaluations >= 1, "evaluations", self.evaluations, "at least 1")


def evaluated_setting(
    config: EvaluatedGridConfig, name: str, data: str, hyperparameters: AgentConfig, **more: Any
) -> TrainConfig:
    """One run of the grid: its directory's name, its data, its agent, and what else is its own."""
    cycle = hyperparameters.updates_per_cycle
    return TrainConfig(
        data=data,
        out=str(Path(config.out) / RUNS / name),
        agent=hyperparameters.agent,
        hyperparameters=hyperparameters,
        steps=config.steps,
        env=config.env,
        evaluate_every=max(cycle, config.steps // config.evaluations // cycle * cycle),
        evaluation_episodes=config.evaluation_episodes,
        advise=False,
        **more,
    )


def named_data(given: Sequence[str]) -> dict[str, str]:
    """Files by the names they have in tables.

    Raises:
        InputError: two of them would have the same.
    """
    paths = list(given) or [str(files("seemrl.data") / "hopper-random.hdf5")]
    named = {Path(path).stem: path for path in paths}
    for path in paths:
        if named[Path(path).stem] != path:
            raise InputError(f"--data: {path} and {named[Path(path).stem]} have the same name; rename one of them")
    return named


def train_grid(config: GridConfig, settings: Sequence[TrainConfig], console: Any) -> None:
    """Train what is not whole yet, within the time there is.

    Args:
        config: where to, how many at a time and how long.
        settings: of each run; those that come first are trained first.
        console: of rich, for progress.

    Raises:
        InputError: a setting or a data set does not fit, or a run in the directory has other settings; nothing is
            trained then.
    """
    config.check()
    for setting in settings:
        setting.check()
    settings = [_continued(setting) for setting in settings]
    waiting = [setting for setting in settings if not is_whole(setting)]
    console.print(f"{len(settings)} runs, {len(settings) - len(waiting)} of them whole already", highlight=False)
    if not waiting:
        return
    from seemrl.training.processes import train_at_once

    names = [setting.label for setting in waiting]
    seconds = 60 * config.minutes or None
    try:
        train_at_once(names, waiting, console, processes=config.processes or None, seconds=seconds)
    except KeyboardInterrupt:
        console.print("the same command goes on from here")
        raise
    left = sum(not is_whole(setting) for setting in waiting)
    if left:
        console.print(f"time is up: {left} runs are not whole; the same command goes on", highlight=False)


def is_whole(setting: TrainConfig) -> bool:
    """Whether a run was trained to its last step."""
    from seemrl.training.checkpoint import has_checkpoint

    return has_checkpoint(Path(setting.out) / "checkpoints", setting.steps)


def whole_runs(out: Path) -> list[RunRecord]:
    """Every run of a grid's directory that was trained to its last step, by name, whatever command began it.

    Raises:
        InputError: one of them cannot be read.
    """
    from seemrl.training.checkpoint import has_checkpoint

    records = [read_run(path.parent) for path in sorted((out / RUNS).glob("*/config.json"))]
    return [run for run in records if has_checkpoint(run.path / "checkpoints", run.config["config"]["steps"])]


def _continued(setting: TrainConfig) -> TrainConfig:
    """The setting of a new run, or of one that goes on; refused where another run is in its place."""
    from seemrl.training.run_directory import check_same, description, is_run, stored_description

    run = Path(setting.out)
    part = _part(setting.data, setting.data_percent, setting.subset_seed)
    if not is_run(run):
        return setting
    check_same(run, stored_description(run), description(setting.with_cadences(), part, run, None))
    return replace(setting, resume=True)


@cache
def _part(data: str, percent: float, seed: int) -> Any:
    """The transitions of a run."""
    return _loaded(data).subset(percent, "transitions", seed)


@cache
def _loaded(data: str) -> Any:
    from seemrl.data.loading import load

    return load(data)
