"""The run directory: who may write in it, how a run begins, and how a killed one is picked up."""

import dataclasses
import json
import math
import os
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

from seemrl.agents.registry import CONFIGS
from seemrl.data.dataset import Dataset
from seemrl.errors import InputError
from seemrl.files import hold, read_json_lines, write_json, write_json_lines
from seemrl.training.config import TrainConfig
from seemrl.training.evaluation import reference_of
from seemrl.training.online_config import OnlineConfig
from seemrl.training.standardisation import KEY, standardisation_of, told_standardisation

Settings = TypeVar("Settings", TrainConfig, OnlineConfig)
Opened = TypeVar("Opened")

LOGS = ("metrics.jsonl", "readings.jsonl", "evaluations.jsonl")
ADVICE = "advice.json"
STOPPED = "stopped.json"
# Where things lie, what is told, what else runs and where to stop; the data are compared by content.
_NOT_PART_OF_THE_RUN = frozenset({"data", "out", "resume", "advise", "on_diverging", "seeds"})


def flat_settings(config: TrainConfig | OnlineConfig) -> dict[str, Any]:
    """The settings of a run as one flat mapping, the agent's among them, in JSON's types."""
    settings = dataclasses.asdict(config)
    return json.loads(json.dumps(settings.pop("hyperparameters") | settings))


def description(config: TrainConfig, data: Dataset, run: Path, environment: str | None) -> dict[str, Any]:
    """What config.json says."""
    discount = config.hyperparameters.discount
    return {
        "format": 1,
        "seemrl_version": version("seemrl"),
        "agent": config.agent,
        "label": config.label or run.name,
        "config": flat_settings(config),
        "reward_bound": data.reward_bound(discount),
        KEY: told_standardisation(*standardisation_of(config, data)),
        "data": {
            "source": data.source,
            "environment": environment,
            "rows": len(data),
            "fingerprint": data.fingerprint(),
            "max_abs_reward": data.max_abs_reward,
            "reference_returns": reference_of(data, environment),
            "observation_size": data.observation_size,
            "action_size": data.action_size,
        },
    }


def begin(run: Path, described: Mapping[str, Any]) -> None:
    """Make a new run directory.

    Raises:
        InputError: it exists and is not empty, or it cannot be written.
    """
    try:
        if run.exists() and (not run.is_dir() or any(entry.suffix != ".tmp" for entry in run.iterdir())):
            remedy = "add --resume to continue it, or choose another --out" if is_run(run) else "choose another --out"
            raise InputError(f"{run}: exists already; {remedy}")
        run.mkdir(parents=True, exist_ok=True)
        write_json(run / "config.json", described)
    except OSError as error:
        raise InputError(f"{run}: cannot be written ({error.strerror}); choose another --out") from error


def is_run(run: Path) -> bool:
    """Whether this is a run directory."""
    return (run / "config.json").is_file()


def stored_description(run: Path) -> dict[str, Any]:
    """The config.json of a run.

    Raises:
        InputError: there is none, or it cannot be read.
    """
    path = run / "config.json"
    try:
        described = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(described["config"], dict) or not isinstance(described["data"], dict):
            raise TypeError
    except (FileNotFoundError, NotADirectoryError) as error:
        if not run.exists():
            raise InputError(f"{run}: no such run directory; leave --resume out to start one") from error
        raise InputError(f"{run}: not a run directory, it has no config.json; check --out") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: cannot be read as a run's settings; start a new run") from error
    return described


def stored_settings(run: Path, kind: type[Settings]) -> Settings:
    """The settings that a run was begun with.

    Raises:
        InputError: there is no such run, or its settings are not of this kind.
    """
    stored = stored_description(run)["config"]
    settings: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in stored.items()
    }
    try:
        agent = CONFIGS[settings["agent"]]
        own = {field.name for field in dataclasses.fields(agent)}
        parameters = agent(**{key: value for key, value in settings.items() if key in own})
        rest = {key: value for key, value in settings.items() if key not in own}
        return kind(hyperparameters=parameters, **rest)
    except (KeyError, TypeError) as error:
        raise InputError(f"{run}/config.json: not the settings of this version of seemrl ({error})") from error


def check_same(run: Path, stored: Mapping[str, Any], described: Mapping[str, Any]) -> None:
    """Refuse to continue a run with other settings or other data.

    A setting that the version which began the run did not have yet counts as left at its default.

    Raises:
        InputError: names the first key that differs and both values.
    """
    now = described["config"]
    before = {**_defaults(now), **stored["config"]}
    for key in sorted(before.keys() | now.keys()):
        if key not in _NOT_PART_OF_THE_RUN and before.get(key) != now.get(key):
            raise InputError(
                f"{run}: --resume with a different configuration: {key} was {before.get(key)!r} and is now "
                f"{now.get(key)!r}; leave the option out, or start a new run with another --out"
            )
    if stored["data"].get("fingerprint") != described["data"]["fingerprint"]:
        raise InputError(
            f"{run}: --resume with different data: the content of {described['data']['source']} is not what the run "
            f"began with ({stored['data'].get('source')}); give that file with --data"
        )


def _defaults(settings: Mapping[str, Any]) -> dict[str, Any]:
    """What each of these settings is where it is not given, in JSON's types."""
    kinds = (OnlineConfig if "environments" in settings else TrainConfig, CONFIGS[settings["agent"]])
    known = {field.name: field.default for kind in kinds for field in dataclasses.fields(kind)}
    plain = {name: value for name, value in known.items() if name in settings and value is not dataclasses.MISSING}
    return json.loads(json.dumps(plain))


def cut_logs(run: Path, step: int) -> dict[str, list[dict[str, Any]]]:
    """Drop what a killed run wrote after its last checkpoint, advice included; returns the rows left, by file.

    Raises:
        InputError: a line before the last is broken; no killed process leaves that, and nothing is dropped.
    """
    rows = {name: read_json_lines(run / name) for name in LOGS}
    kept = {name: [row for row in rows[name] if int(row["step"]) <= step] for name in LOGS}
    for name in LOGS:
        if (run / name).exists():
            write_json_lines(run / name, kept[name])
    if _advised_at(run) > step:
        (run / ADVICE).unlink()
    return kept


def _advised_at(run: Path) -> float:
    """The step that advice.json is about; later than any where it cannot be told."""
    try:
        return int(json.loads((run / ADVICE).read_text(encoding="utf-8"))["step"])
    except FileNotFoundError:
        return -1
    except (OSError, ValueError, KeyError, TypeError):
        return math.inf


@contextmanager
def sole_writer(run: Path) -> Generator[None]:
    """Hold the run directory; the lock falls with the process, however it ends.

    Raises:
        InputError: another process is writing in it, or this one may not.
    """
    descriptor = hold(run)
    try:
        yield
    finally:
        os.close(descriptor)


@contextmanager
def held(run: Path, opened: Callable[[], Opened], *, goes_on: bool) -> Generator[Opened]:
    """What ``opened`` makes in the run directory, which is held against other processes.

    A run that goes on is held before anything of it is read or cut; a new one once it was begun.

    Raises:
        InputError: as ``opened`` does, or another process is writing there.
    """
    if goes_on:
        with sole_writer(run):
            yield opened()
        return
    begun = opened()
    with sole_writer(run):
        yield begun
