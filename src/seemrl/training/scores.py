"""What several seeds came to: final and last-ten averages, apart by name, and interquartile means with intervals.

The interquartile mean and its interval from bootstrap samples of the seeds are those of Agarwal et al. (Deep
reinforcement learning at the edge of the statistical precipice, 2021).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from seemrl.files import read_json_lines

LAST = 10
_RESAMPLES = 10_000


@dataclass(frozen=True)
class Score:
    """Returns of one run.

    Attributes:
        run: its directory.
        final: mean return of the last evaluation.
        last_ten: mean over the last ten evaluations, or over as many as there are.
        evaluations: how many the average is over.
    """

    run: Path
    final: float
    last_ten: float
    evaluations: int


@dataclass(frozen=True)
class Aggregate:
    """Interquartile mean over runs, with its 95% interval; the interval is None for a single run."""

    mean: float
    interval: tuple[float, float] | None


def score_of(run: Path, number: str = "return_mean") -> Score | None:
    """Returns of a run, or its "score_mean", normalised; None where it was never evaluated or has no such number."""
    known = [row[number] for row in read_json_lines(run / "evaluations.jsonl")[-LAST:]]
    if not known or None in known:
        return None
    last = [float(value) for value in known]
    return Score(run, last[-1], float(np.mean(last)), len(last))


def interquartile_mean(values: Float[np.ndarray, "*samples runs"]) -> Float[np.ndarray, "*samples"]:
    """Mean of the middle half along the last axis; a run on the edge counts with the part of it that is inside."""
    ordered = np.sort(values, axis=-1)
    count = ordered.shape[-1]
    ranks = np.arange(count)
    inside = np.clip(np.minimum(ranks + 1, 0.75 * count) - np.maximum(ranks, 0.25 * count), 0, None)
    return np.asarray((ordered * inside).sum(axis=-1) / inside.sum())


def aggregate(values: Sequence[float], seed: int = 0) -> Aggregate:
    """Interquartile mean of some runs and its 95% interval by percentile bootstrap over them.

    Args:
        values: one number a run; at least one.
        seed: of the bootstrap's samples.
    """
    runs = np.asarray(values, dtype=np.float64)
    mean = float(interquartile_mean(runs))
    if len(runs) < 2:
        return Aggregate(mean, None)
    drawn = np.random.default_rng(seed).choice(runs, size=(_RESAMPLES, len(runs)))
    low, high = np.quantile(interquartile_mean(drawn), [0.025, 0.975])
    return Aggregate(mean, (float(low), float(high)))


def summed_gain(pairs: Sequence[tuple[Sequence[float], Sequence[float]]], seed: int = 0) -> Aggregate:
    """What a change brings, summed over tasks: differences of interquartile means, and the sum's 95% interval.

    The bootstrap draws runs anew within each task and side. There is no interval where a side is a single run.

    Args:
        pairs: of each task, the runs without the change and those with it.
        seed: of the bootstrap's samples.
    """
    sides = [(np.asarray(before, np.float64), np.asarray(after, np.float64)) for before, after in pairs]
    mean = sum(float(interquartile_mean(after) - interquartile_mean(before)) for before, after in sides)
    if any(len(side) < 2 for pair in sides for side in pair):
        return Aggregate(mean, None)
    random = np.random.default_rng(seed)
    drawn = np.zeros(_RESAMPLES)
    for before, after in sides:
        drawn += interquartile_mean(random.choice(after, size=(_RESAMPLES, len(after))))
        drawn -= interquartile_mean(random.choice(before, size=(_RESAMPLES, len(before))))
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Aggregate(mean, (float(low), float(high)))
