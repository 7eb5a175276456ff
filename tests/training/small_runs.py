"""Runs that take a second, and the comparison that says whether two of them ended alike, to the last bit."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from seemrl.agents.config import TD3BCConfig
from seemrl.data.dataset import Dataset
from seemrl.data.embedded import load_embedded_hopper
from seemrl.files import read_json_lines
from seemrl.training.config import TrainConfig
from seemrl.training.loop import Run
from seemrl.training.run_directory import LOGS
from seemrl.training.setup import open_run
from seemrl_process import EMBEDDED

SMALL = TrainConfig(
    data=str(EMBEDDED),
    hyperparameters=TD3BCConfig(hidden_sizes=(32, 32)),
    steps=48,
    batch_size=64,
    env="none",
    read_every=12,
    reading_rows=16,
    evaluate_every=24,
    evaluation_episodes=2,
    checkpoint_every=16,
)

STOPS = (12, 16, 24, 32, 36, 48)
"""Where `SMALL` stops: for readings at multiples of 12, for evaluations of 24, for checkpoints of 16."""

_CLOCKS = {"seconds", "updates_per_second"}


@cache
def hopper() -> Dataset:
    return load_embedded_hopper()


def no_remark(line: str) -> None:
    pytest.fail(f"a remark was not expected: {line}")


def begin(directory: Path, config: TrainConfig = SMALL, **changes: Any) -> Run:
    return open_run(replace(config, out=str(directory), **changes), no_remark, hopper())


def resume(
    directory: Path,
    config: TrainConfig = SMALL,
    notify: Callable[[str], object] = no_remark,
    data: Dataset | None = None,
    **changes: Any,
) -> Run:
    return open_run(replace(config, out=str(directory), resume=True, **changes), notify, data or hopper())


def abandon_at(run: Run, step: int) -> None:
    """Train up to a stop and leave the run there, as if its process were killed."""
    for progress in run.train():
        if progress.step >= step:
            return


def complete(run: Run) -> Path:
    for _ in run.train():
        pass
    return run.directory


def outcome(run: Path) -> dict[str, Any]:
    """All that a run leaves and its settings decide: checkpoints byte by byte, log rows without the clock's numbers."""
    saved = {str(path.relative_to(run)): path.read_bytes() for path in (run / "checkpoints").glob("*/*")}
    return saved | {name: _without_clocks(read_json_lines(run / name)) for name in LOGS}


def assert_same_outcome(run: Path, unbroken: Path) -> None:
    ours, theirs = outcome(run), outcome(unbroken)
    assert sorted(ours) == sorted(theirs)
    differing = [name for name in ours if ours[name] != theirs[name]]
    assert not differing, f"{run} and {unbroken} differ in {differing}"


def _without_clocks(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if key not in _CLOCKS} for row in rows]
