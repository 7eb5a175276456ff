"""How likely a run is to diverge: a logistic function of five dimensionless numbers of the readings so far.

Its weights were fitted by ``python -m benchmarks.forecast.fit_chance`` to the tuning half of the corpus: readings in
the first three tenths of runs whose values are still within the reward bound, each run counted once; the label is
whether the run passes ten reward bounds, carried on or not. So it is a share among runs like those, early on: of late
readings it says too much.
"""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from seemrl.instrument.forecast.path import known
from seemrl.instrument.forecast.reach import foretold_growth, needed_growth
from seemrl.instrument.reading import Reading

FEATURES = ("reach", "level", "excitation", "growth", "homogeneous")
WEIGHTS = (1.977, -0.392, 0.124, 0.605, 3.747)
INTERCEPT = -5.524
"""Of the features, in the order of `FEATURES`, and the constant."""
_LEAST_NEEDED = 0.5  # growth of log|Q|
_RECENT = 0.5  # of the steps so far
_REACH, _LEVEL, _EXCITATION, _GROWTH = (-1.0, 3.0), (-3.0, 1.0), (-4.0, 0.0), (-3.0, 6.0)  # where numbers are cut


def features(history: Sequence[Reading], reward_bound: float, *, homogeneous: bool) -> Float[np.ndarray, " features"]:
    """What the chance is computed from, in the order of `FEATURES`.

    * reach: growth foretold for the next ten times the steps so far, over the growth that makes a blow-up.
    * level: log10 of mean |Q| over the reward bound.
    * excitation: log10 of the normalized SEEM.
    * growth: d log mean |Q| / d log step, seen since half the steps so far.
    * homogeneous: 1 for a critic without normalisers, else 0.

    Args:
        history: readings on the same rows, by step; the last one says something.
        reward_bound: max|r| / (1 - discount).
        homogeneous: the critic has no normaliser.
    """
    last = history[-1]
    reach = foretold_growth(last, homogeneous=homogeneous) / max(needed_growth(last, reward_bound), _LEAST_NEEDED)
    level = math.log10(last.q_mean / reward_bound)
    excitation = math.log10(max(last.normalized, 10 ** _EXCITATION[0]))
    numbers = (reach, level, excitation, _growth(history))
    ends = (_REACH, _LEVEL, _EXCITATION, _GROWTH)
    return np.array([*(np.clip(number, *end) for number, end in zip(numbers, ends, strict=True)), float(homogeneous)])


def probability(history: Sequence[Reading], reward_bound: float | None, *, homogeneous: bool) -> float | None:
    """Chance that mean |Q| goes on to pass ten reward bounds; None where readings or bound do not say enough."""
    if reward_bound is None or reward_bound <= 0 or len(history) < 2:
        return None
    if history[-1].rate is None or not known(history[-1]):
        return None
    score = INTERCEPT + float(features(history, reward_bound, homogeneous=homogeneous) @ np.array(WEIGHTS))
    return 1 / (1 + math.exp(-score))


def _growth(history: Sequence[Reading]) -> float:
    last = history[-1]
    usable = [reading for reading in history[:-1] if reading.finite and reading.q_mean > 0]
    if not usable:
        return 0.0
    old = next((reading for reading in reversed(usable) if reading.step <= _RECENT * last.step), usable[0])
    apart = max(math.log(max(last.step, 1) / max(old.step, 1)), 0.2)
    return math.log(last.q_mean / old.q_mean) / apart
