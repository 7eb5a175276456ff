"""What the corpus keeps of a run: its settings, a fine curve of mean |Q|, and its readings without their kernels."""

import gzip
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.forecast.learners import Learner
from benchmarks.forecast.settings import Half, Setting
from seemrl.errors import InputError
from seemrl.files import strict, write_atomically
from seemrl.instrument.forecast.cadence import steps_to_next
from seemrl.instrument.forecast.reach import DIVERGED_FACTOR, OptimizerKind
from seemrl.instrument.reading import Reading

STOPS = 150  # of the Q curve in a run
LONGEST_GAP = STOPS // 20  # stops between two readings, at most
_CARRIED_ON = 10  # stops after the end, each a tenth of the run and more, for runs that had not settled
_STILL_MOVING = 0.02  # growth of log mean |Q| over the last tenth
_BEYOND = 1e3  # reward bounds at which a run ends: float32 and laws have been seen well past the crash by then
_DROPPED = ("fingerprint", "leading", "by_sample", "method", "heads")


@dataclass(frozen=True)
class StoredReading(Reading):
    """A reading whose kernel was compared with the one before it when it was taken."""

    cosine: float | None = None

    def ntk_cosine(self, previous: Reading) -> float | None:
        """With the reading before it, the only one it was compared with."""
        return self.cosine


@dataclass(frozen=True)
class Record:
    """One run of the corpus.

    Attributes:
        name: of the run.
        half: of the corpus.
        settings: everything that went into it.
        reward_bound: max|r| / (1 - discount).
        depth: layers with weights of a critic without normalisers; None for one with them.
        steps: stops of the curve.
        q_mean: mean |Q| at each.
        readings: at some of the stops.
        later: (step, mean |Q|) past the end of the run, where it had not settled.
    """

    name: str
    half: Half
    settings: dict[str, Any]
    reward_bound: float
    depth: int | None
    steps: list[int]
    q_mean: list[float]
    readings: list[StoredReading]
    later: list[tuple[int, float]]

    @property
    def optimizer(self) -> OptimizerKind:
        """What a forecast is told of it."""
        return "adam" if self.settings["learner"].get("optimizer", "adam") == "adam" else "sgd"

    @classmethod
    def load(cls, path: Path) -> "Record":
        """The record in a file."""
        with gzip.open(path, "rt", encoding="utf-8") as file:
            row = json.load(file)
        row["readings"] = [_stored(reading) for reading in row["readings"]]
        row["q_mean"] = [float(value) for value in row["q_mean"]]
        row["later"] = [(int(step), float(value)) for step, value in row["later"]]
        return cls(**row)


def load_half(corpora: Sequence[Path], half: Half) -> list[Record]:
    """The records of one part of the corpus, from all directories."""
    files = sorted(file for corpus in corpora for file in corpus.glob("*.json.gz"))
    records = [record for file in files if (record := Record.load(file)).half == half]
    if not records:
        raise InputError(
            f"{', '.join(map(str, corpora))}: no {half} runs; make them with: python -m benchmarks.forecast.corpus "
            f"--out {corpora[0]} --half {half}"
        )
    return records


def record_run(setting: Setting, learner: Learner, path: Path) -> None:
    """Train a run to its end, reading it as its values move, and keep what was seen in one file."""
    every = setting.steps // STOPS // 2 * 2  # a multiple of TD3's policy frequency
    shortest = learner.shortest or every
    steps, q_mean, readings = [0], [learner.q_mean()], []
    previous: Reading | None = None
    due = every
    while steps[-1] < setting.steps and q_mean[-1] < _BEYOND * learner.reward_bound:
        stride = min(every, due - steps[-1])  # a blow-up in finite time passes between two usual stops
        learner.advance(stride)
        steps.append(steps[-1] + stride)
        q_mean.append(learner.q_mean())
        if steps[-1] >= due:
            reading = learner.read()
            readings.append(_kept(reading, previous))
            previous = reading
            due = steps[-1] + steps_to_next(reading, shortest=shortest, longest=LONGEST_GAP * every)
    row = {
        "name": setting.name,
        "half": setting.half,
        "settings": setting.to_dict(),
        "reward_bound": learner.reward_bound,
        "depth": learner.depth,
        "steps": steps,
        "q_mean": q_mean,
        "readings": readings,
        "later": _carried_on(setting, learner, steps, q_mean),
    }
    text = json.dumps(strict(row), separators=(",", ":"))
    write_atomically(path, lambda part: part.write_bytes(gzip.compress(text.encode(), mtime=0)))


def _carried_on(setting: Setting, learner: Learner, steps: list[int], q_mean: list[float]) -> list[tuple[int, float]]:
    """Where a run that had neither crashed nor settled goes: what decides whether calling it diverging was wrong.

    The toy maze costs little and goes on to ten times its length; TD3 to twice.
    """
    crash = DIVERGED_FACTOR * learner.reward_bound
    before = [q for step, q in zip(steps, q_mean, strict=True) if step <= 0.9 * steps[-1]][-1]
    settled = q_mean[-1] < before * (1 + _STILL_MOVING)
    if not q_mean[-1] < crash or settled:
        return []
    further = 9 * setting.steps if setting.source == "toy maze" else setting.steps
    stops: list[tuple[int, float]] = []
    for number in range(1, _CARRIED_ON + 1):
        learner.advance(further // _CARRIED_ON)
        stops.append((steps[-1] + number * (further // _CARRIED_ON), learner.q_mean()))
        if not stops[-1][1] < crash:
            break
    return stops


def _kept(reading: Reading, previous: Reading | None) -> dict[str, Any]:
    values = {name: value for name, value in reading.to_dict().items() if name not in _DROPPED}
    return values | {"cosine": None if previous is None else reading.ntk_cosine(previous)}


def _stored(row: dict[str, Any]) -> StoredReading:
    absent = {"fingerprint": "", "heads": "coupled"}
    return StoredReading.from_dict(absent | row)  # pyright: ignore[reportReturnType] - a class method of a subclass
