"""Curves of real runs, thinned to a row per 4,000 or 8,000 updates, and curves whose law is known exactly.

The recorded ones are from the published results of d3rlpy, github.com/takuseno/d3rlpy-benchmarks: MIT licence,
Copyright (c) 2021 Takuma Seno (curves/LICENSE). A file is named by algorithm and D4RL v0 data set.
"""

import csv
from pathlib import Path

import numpy as np

CURVES = Path(__file__).with_name("curves")


def recorded() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Steps and mean predicted action value, by "algorithm data-set"."""
    curves: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for path in sorted(CURVES.glob("*.csv")):
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
        steps = np.array([float(row["step"]) for row in rows])
        curves[path.stem.replace(".", " ")] = (steps, np.array([float(row["mean_q"]) for row in rows]))
    return curves


STEPS = np.arange(1, 201) * 1000.0
"""Steps of the exact curves."""


def power(exponent: float) -> np.ndarray:
    """t^exponent."""
    return (STEPS / 1000) ** exponent


def exponential(fold_steps: float) -> np.ndarray:
    """A factor e in so many steps."""
    return np.exp(STEPS / fold_steps)


def finite_time(end: float) -> np.ndarray:
    """1 / (end - t): infinite at the end."""
    return 1e6 / (end - STEPS)


def filling(horizon: float) -> np.ndarray:
    """Values that fill up to 300."""
    return -300 * np.expm1(-STEPS / horizon)
