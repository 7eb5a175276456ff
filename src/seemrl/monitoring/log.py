"""A monitor's readings on the disk: whole at any moment, continued by whoever opens them, one writer at a time."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from seemrl.errors import InputError
from seemrl.files import append_json_line, drop_half_line, hold, read_json_lines, write_json, write_json_lines
from seemrl.instrument.batch import Batch
from seemrl.instrument.forecast.advice import Advice
from seemrl.instrument.forecast.remedy import Remedy
from seemrl.instrument.reading import Reading

READINGS, ROLLBACKS, ADVICE = "readings.jsonl", "rollbacks.jsonl", "advice.json"
_DECIDING = ("discount", "heads", "mask_terminals", "loss_scale", "target_rate", "target_period", "policy_draws")
"""Options that make readings another quantity."""
_held: dict[Path, int] = {}  # descriptors of this process's locks; it may open a log again, as notebooks do


@dataclass(frozen=True)
class Rollback:
    """A return to an earlier state of the critic.

    Attributes:
        step: of the loop, at which it happened.
        restored_step: at which the state had been kept.
    """

    step: int
    restored_step: int


def as_counted(readings: Sequence[Reading], rollbacks: Sequence[Rollback]) -> list[Reading]:
    """The readings with steps that count the updates between them as trained.

    A loop goes on counting after a rollback from 5,000 to 3,000; the reading of 3,000 is then that of step
    5,000.
    """
    counted = list(readings)
    for rollback in rollbacks:
        lost = rollback.step - rollback.restored_step
        counted = [
            replace(now, step=now.step + lost) if then.step < rollback.step else now
            for now, then in zip(counted, readings, strict=True)
        ]
    return counted


class MonitorLog:
    """The directory of one monitor, in the layout of a run directory.

    ``config.json`` says what is read, ``readings.jsonl`` has one reading with its forecast a line,
    ``rollbacks.jsonl`` one return to an earlier state a line, ``advice.json`` what was last advised. Each line is
    flushed to the disk before training goes on.

    Args:
        directory: made if it is missing; continued if it holds a monitor's log.
        described: for config.json.

    Raises:
        InputError: something else is in it, another process is writing in it, its readings are of other rows or with
            other options, or it cannot be written.
    """

    def __init__(self, directory: Path, described: Mapping[str, Any]) -> None:
        self.directory = directory
        try:
            directory.mkdir(parents=True, exist_ok=True)
            _check_ours(directory, described)
            _hold(directory)
            drop_half_line(directory / READINGS)
            drop_half_line(directory / ROLLBACKS)
            self.rows = read_json_lines(directory / READINGS)
            self.readings = _readings(directory / READINGS, self.rows)
            self.rollbacks = [
                Rollback(int(row["step"]), int(row["restored_step"])) for row in read_json_lines(directory / ROLLBACKS)
            ]
            if not (directory / "config.json").exists():
                write_json(directory / "config.json", described)
        except OSError as error:
            raise InputError(f"{directory}: cannot be written ({error.strerror}); choose another directory") from error

    def add(self, row: Mapping[str, Any]) -> None:
        """Append a reading."""
        append_json_line(self.directory / READINGS, row)

    def add_rollback(self, rollback: Rollback, more: Mapping[str, Any]) -> None:
        """Append a rollback, with what else is to be said of it."""
        row = {"step": rollback.step, "restored_step": rollback.restored_step, **more}
        append_json_line(self.directory / ROLLBACKS, row)

    def set_advice(self, step: int, remedies: Sequence[Remedy]) -> None:
        """Keep what was advised at a step, instead of anything advised before."""
        write_json(self.directory / ADVICE, Advice(step, tuple(remedies), ()).to_dict())

    def cut(self, step: int) -> None:
        """Drop readings, rollbacks and advice later than a step."""
        for name in (READINGS, ROLLBACKS):
            rows = read_json_lines(self.directory / name)
            kept = [row for row in rows if int(row["step"]) <= step]
            if len(kept) < len(rows):
                write_json_lines(self.directory / name, kept)
        advice = self.directory / ADVICE
        if advice.exists() and int(json.loads(advice.read_text(encoding="utf-8"))["step"]) > step:
            advice.unlink()


def description(batch: Batch, settings: Mapping[str, Any], reward_bound: float, label: str) -> dict[str, Any]:
    """What config.json says."""
    return {
        "format": 1,
        "seemrl_version": version("seemrl"),
        "written_by": "seemrl.Monitor",
        "label": label,
        "config": dict(settings),
        "reward_bound": reward_bound,
        "data": {
            "rows": len(batch),
            "fingerprint": _fingerprint(batch),
            "max_abs_reward": float(np.abs(batch.rewards).max()),
            "observation_size": batch.observations.shape[1],
            "action_size": batch.actions.shape[1],
        },
    }


def _fingerprint(batch: Batch) -> str:
    digest = hashlib.sha256()
    for column in fields(batch):
        digest.update(np.ascontiguousarray(getattr(batch, column.name)).tobytes())
    return digest.hexdigest()


def _check_ours(directory: Path, described: Mapping[str, Any]) -> None:
    file = directory / "config.json"
    if not file.exists():
        if (directory / READINGS).exists():
            raise InputError(f"{directory}: it has {READINGS} but no config.json; choose another directory")
        return
    try:
        stored: Any = json.loads(file.read_text(encoding="utf-8"))
        ours = stored["written_by"] == described["written_by"]
        settings, data = dict(stored["config"]), dict(stored["data"])
    except (ValueError, KeyError, TypeError):
        ours, settings, data = False, {}, {}
    if not ours:
        raise InputError(f"{directory}: its config.json is not a monitor's; give the monitor a directory of its own")
    if data.get("fingerprint") != described["data"]["fingerprint"]:
        raise InputError(
            f"{directory}: its readings are on other rows, so new ones could not be compared with them; "
            "pass the same batch, or choose another directory"
        )
    now: dict[str, Any] = json.loads(json.dumps(described["config"]))
    for name in _DECIDING:
        if settings.get(name) != now.get(name):
            raise InputError(
                f"{directory}: its readings have {name} {settings.get(name)!r}, not {now.get(name)!r}; "
                "pass the same, or choose another directory"
            )


def _readings(file: Path, rows: Sequence[dict[str, Any]]) -> list[Reading]:
    readings: list[Reading] = []
    for line, row in enumerate(rows, start=1):
        try:
            readings.append(Reading.from_dict(row))
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{file}: line {line} is not a reading ({error}); remove that line") from None
    return readings


def _hold(directory: Path) -> None:
    """Keep other processes out until this one ends; a later monitor in it continues the log."""
    place = directory.resolve()
    if place not in _held:
        _held[place] = hold(directory)
