"""Fit the chance of divergence on the tuning half, and check it there run by run left out.

python -m benchmarks.forecast.fit_chance --corpus corpus      (seconds; prints the weights of `chance`)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro
from jaxtyping import Float

from benchmarks.forecast.calls import Fate
from benchmarks.forecast.record import Record, load_half
from benchmarks.forecast.tables import area
from seemrl.instrument.forecast.chance import FEATURES, features
from seemrl.instrument.forecast.path import known

EARLY = 0.3  # of a run: what is fitted
_RIDGE = 1.0  # of standardised weights, in runs
_FOLDS = 8
_STEPS = 50


@dataclass(frozen=True)
class Sample:
    """Readings of runs still within their bounds.

    Attributes:
        x: features.
        diverges: fate of the reading's run.
        weight: one over the readings of the same run.
        fold: the same for all seeds of one setting.
        run: number of its run.
        part: of the run, at which it was taken.
    """

    x: Float[np.ndarray, "readings features"]
    diverges: np.ndarray
    weight: np.ndarray
    fold: np.ndarray
    run: np.ndarray
    part: np.ndarray

    @classmethod
    def of(cls, records: Sequence[Record]) -> "Sample":
        """All that count in the fit."""
        groups = sorted({_group(record) for record in records})
        folds = dict(zip(groups, np.random.default_rng(0).integers(0, _FOLDS, len(groups)), strict=True))
        rows = list[tuple[np.ndarray, bool, int, int, float]]()
        for number, record in enumerate(records):
            fate = Fate.of(record)
            for count in range(2, len(record.readings) + 1):
                history = record.readings[:count]
                part = history[-1].step / record.settings["steps"]
                past = fate.passed is not None and history[-1].step >= fate.passed
                if past or part > EARLY or not known(history[-1]):
                    break
                told = features(history, record.reward_bound, homogeneous=record.depth is not None)
                rows.append((told, fate.diverges, number, folds[_group(record)], part))
        x, diverges, run, fold, part = (np.array(column) for column in zip(*rows, strict=True))
        return cls(x, diverges, 1 / np.bincount(run)[run], fold, run, part)


def main(corpus: tuple[Path, ...] = (Path("corpus"),)) -> None:
    """Print weights, and how well they do on settings that were left out.

    Args:
        corpus: directories that `benchmarks.forecast.corpus` filled.
    """
    sample = Sample.of(load_half(corpus, "tuning"))
    everything = np.ones(len(sample.run), bool)
    intercept, weights = fit(sample, everything)
    print(f"WEIGHTS = ({', '.join(f'{weight:.3f}' for weight in weights)})  # {', '.join(FEATURES)}")
    print(f"INTERCEPT = {intercept:.3f}")
    scores = np.empty(len(sample.run))
    for fold in range(_FOLDS):
        left_out = sample.fold == fold
        intercept, weights = fit(sample, ~left_out)
        scores[left_out] = intercept + sample.x[left_out] @ weights
    print(f"AUROC over all readings, settings left out in {_FOLDS} folds: {area(sample.diverges, scores):.3f}")


def fit(sample: Sample, chosen: np.ndarray) -> tuple[float, Float[np.ndarray, " features"]]:
    """Intercept and weights of a ridge logistic regression by Newton's method, in the features' own units."""
    x, diverges, weight = sample.x[chosen], sample.diverges[chosen], sample.weight[chosen]
    middle, spread = np.average(x, axis=0, weights=weight), x.std(axis=0) + 1e-9
    design = np.column_stack([np.ones(len(x)), (x - middle) / spread])
    ridge = np.diag([0.0, *[_RIDGE] * x.shape[1]])
    found = np.zeros(design.shape[1])
    for _ in range(_STEPS):
        chance = 1 / (1 + np.exp(-design @ found))
        gradient = design.T @ (weight * (diverges - chance)) - ridge @ found
        curvature = (design.T * (weight * chance * (1 - chance))) @ design + ridge
        found = found + np.linalg.solve(curvature, gradient)
    weights = found[1:] / spread
    return float(found[0] - middle @ weights), weights


def _group(record: Record) -> str:
    return record.name.rsplit(" seed=", 1)[0]


if __name__ == "__main__":
    tyro.cli(main)
