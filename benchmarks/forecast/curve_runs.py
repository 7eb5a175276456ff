"""Recorded Q curves, and everything that `forecast_curve` says along each of them, with what really followed."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from pathlib import Path

import numpy as np
from pyarrow import parquet

from seemrl.errors import InputError
from seemrl.instrument.forecast.curve import curve_verdicts, forecast_curve
from seemrl.instrument.forecast.curve_input import FEWEST_POINTS
from seemrl.instrument.forecast.curve_signals import (
    EARLY_FOLD,
    FEWEST_ROWS,
    FOLD,
    LEARNING_SHARE,
    STEEP,
    raise_alarms,
    read_signals,
)

DISCOUNT, TARGET_RATE = 0.99, 0.005  # of all these runs
HONEST, LARGE = 1.2e3, 5e3  # the largest honest value of these tasks, and one that none comes near
CORE = ("td3", "sac", "td3_plus_bc")
LOOKS = (25_000, 50_000, 100_000, 200_000)
END = 500_000
DEPTHS = (2, 3, 4)
MARKS = ("honest", "large", "alarm")
_UNTRAINED = {"plas": 500_000, "plas_with_perturbation": 500_000}  # they fit a generative model first
_FIRST_LOOK, _WIDE, _NARROW = 5_000, 1.6, 1.15  # where and how closely forecasts are made


@dataclass(frozen=True)
class Recorded:
    """One run: steps, mean Q, and the critic's loss (NaN where the algorithm logs none)."""

    algo: str
    dataset: str
    seed: int
    steps: np.ndarray
    q_values: np.ndarray
    losses: np.ndarray


@dataclass(frozen=True)
class Point:
    """One forecast of |Q| at twice the step, against what was logged there; growth in log10|Q|.

    Attributes:
        grid: "all", or the mark after which the points of this grid lie.
        step: at which it was made.
        alarmed: the alarm was on then.
        grown: what happened.
        forecast: median forecast, by the depth assumed.
        held: whether the 90% band held it.
    """

    grid: str
    step: float
    alarmed: bool
    grown: float
    forecast: dict[int, float]
    held: bool


@dataclass(frozen=True)
class Score:
    """At one look, figures that should be higher for runs that pass `LARGE` by `END`."""

    forecast: float
    size: float
    slope: float
    loss: float
    relative_loss: float
    passed: bool


@dataclass(frozen=True)
class Followed:
    """What was said along one run.

    Attributes:
        onsets: first step past `HONEST`, past `LARGE`, and of the alarm; None for never.
        bounded_alarm: first alarm where `HONEST` is given as the reward bound.
        folds: largest alarm fold before each of the first two onsets, and in the whole run (see `_fold`).
        points: forecasts along the run.
        scores: by look.
    """

    algo: str
    dataset: str
    seed: int
    onsets: dict[str, float | None]
    bounded_alarm: float | None
    folds: dict[str, float]
    points: list[Point] = field(default_factory=list)
    scores: dict[int, Score] = field(default_factory=dict)

    @property
    def core(self) -> bool:
        """Whether it is one of the algorithms that the target names."""
        return self.algo in CORE


def read_runs(file: Path) -> list[Recorded]:
    """The runs of a Parquet file with the columns algo, dataset, seed, step, mean_q, critic_loss."""
    columns = ["algo", "dataset", "seed", "step", "mean_q", "critic_loss"]
    try:
        table = parquet.read_table(file, columns=columns)
    except (OSError, ValueError) as error:
        raise InputError(f"{file}: no Parquet file with the columns {', '.join(columns)} ({error})") from None
    rows = sorted(zip(*(table[name].to_pylist() for name in columns), strict=True), key=itemgetter(0, 1, 2, 3))
    runs: list[Recorded] = []
    for (algo, dataset, seed), group in groupby(rows, itemgetter(0, 1, 2)):
        numbers = np.array([row[3:] for row in group], float)  # None becomes NaN
        runs.append(Recorded(algo, dataset.removesuffix("-v0"), seed, *numbers.T))
    return runs


def follow(run: Recorded) -> Followed:
    """Look at one run as it would have been seen while it trained."""
    size = np.abs(run.q_values)
    options = {"discount": DISCOUNT, "target_rate": TARGET_RATE}
    alone = curve_verdicts(run.steps, run.q_values, **options)
    bounded = curve_verdicts(run.steps, run.q_values, reward_bound=HONEST, **options)
    alarm, bounded_alarm = alone.first("diverging", "diverged"), bounded.first("diverging", "diverged")
    onsets = {
        "honest": _first(run.steps, size > HONEST),
        "large": _first(run.steps, size > LARGE),
        "alarm": None if alarm is None else alone.steps[alarm],
    }
    followed = Followed(
        run.algo,
        run.dataset,
        run.seed,
        onsets,
        None if bounded_alarm is None else bounded.steps[bounded_alarm],
        _folds(run, onsets),
    )
    on = np.array([verdict == "diverging" for verdict in alone.verdicts])
    for grid, step in _looks(run, onsets):
        followed.points.append(_point(run, grid, step, on))
    for look in LOOKS:
        followed.scores[look] = _score(run, look)
    return followed


def _looks(run: Recorded, onsets: dict[str, float | None]) -> Iterator[tuple[str, float]]:
    last = run.steps[-1] / 2
    step = float(max(_FIRST_LOOK, _UNTRAINED.get(run.algo, 0) * 1.02))
    while step <= last:
        yield "all", step
        step *= _WIDE
    for mark in MARKS if run.algo in CORE else ():
        step = onsets[mark] or math.inf
        while step <= last:
            yield mark, step
            step *= _NARROW


def _point(run: Recorded, grid: str, step: float, on: np.ndarray) -> Point:
    row = max(int(np.searchsorted(run.steps, step * 1.0001)), FEWEST_POINTS)
    now = float(run.steps[row - 1])
    log_size = np.log10(np.maximum(np.abs(run.q_values), 1e-12))
    grown = float(np.interp(2 * now, run.steps, log_size) - log_size[row - 1])
    forecast: dict[int, float] = {}
    held = False
    for depth in DEPTHS if grid != "all" else (3,):
        made = forecast_curve(
            run.steps[:row], run.q_values[:row], discount=DISCOUNT, target_rate=TARGET_RATE, depth=depth
        )
        assert made.curve is not None
        low, middle, high = (
            math.log10(min(max(column[-1], 1e-12), 1e300)) - log_size[row - 1]
            for column in (made.curve.low, made.curve.middle, made.curve.high)
        )
        forecast[depth] = middle
        if depth == 3:
            held = low <= grown <= high
    return Point(grid, now, bool(on[row - 1]), grown, forecast, held)


def _score(run: Recorded, look: int) -> Score:
    """How far `LARGE` lies inside the band at `END`; |Q| now, and if the slope of its logarithm stayed; the loss."""
    row = int(np.searchsorted(run.steps, look * 1.0001))
    steps, size = run.steps[:row], np.maximum(np.abs(run.q_values[:row]), 1e-12)
    made = forecast_curve(steps, size, discount=DISCOUNT, target_rate=TARGET_RATE, horizon=END)
    assert made.curve is not None
    ends = (made.curve.low[-1], made.curve.middle[-1], made.curve.high[-1])
    low, middle, high = (math.log(min(max(end, 1e-300), 1e300)) for end in ends)  # a blow-up is infinite
    above = math.log(LARGE) - middle
    forecast = -above / max(high - middle if above > 0 else middle - low, 1e-6)
    half = float(np.interp(look / 2, steps, np.log(size)))
    slope = (math.log(size[-1]) - half) / (look / 2)
    passed = bool((np.abs(run.q_values[run.steps <= END]) > LARGE).any())
    loss = abs(float(np.nan_to_num(run.losses[row - 1])))
    kept = math.log(size[-1]) + slope * (END - look)
    return Score(forecast, float(size[-1]), kept, loss, math.sqrt(loss) / float(size[-1]), passed)


def _folds(run: Recorded, onsets: dict[str, float | None]) -> dict[str, float]:
    """The largest fold with which an alarm could be raised, early ones in the same measure, up to each onset."""
    learning = LEARNING_SHARE / ((1 - DISCOUNT) * TARGET_RATE)
    signals = read_signals(run.steps, run.q_values)
    alarms = raise_alarms(signals, learning)
    may = (signals.steepness > STEEP) & (signals.row >= FEWEST_ROWS)
    fold = np.where(may, alarms.fold * np.where(signals.age <= learning, FOLD / EARLY_FOLD, 1.0), 0.0)
    ends = {"honest": onsets["honest"], "large": onsets["large"], "ever": math.inf}
    return {
        name: float(fold[run.steps < (math.inf if end is None else end)].max(initial=0.0)) for name, end in ends.items()
    }


def _first(steps: np.ndarray, happened: np.ndarray) -> float | None:
    rows = np.flatnonzero(happened)
    return float(steps[rows[0]]) if len(rows) else None
