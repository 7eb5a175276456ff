"""Runs whose every reading theory knows: homogeneous critics under plain gradient steps and under Adam."""

import math
from dataclasses import replace

import numpy as np

from seemrl.instrument.forecast.lag import FIRST_DECAY, SECOND_DECAY
from seemrl.instrument.reading import Reading, pack_fingerprint

SETTLED = pack_fingerprint(np.eye(4)[None])


def reading(step: int, q_mean: float, rate: float | None, normalized: float = 0.1, **changes: object) -> Reading:
    values = Reading(
        step=step,
        seem=normalized * 100,
        normalized=normalized,
        normalized_error=None,
        rate=rate,
        rate_error=None,
        spectral_radius=None,
        numerical_abscissa=200.0,
        residual=1e-15,
        leading=(),
        q_mean=q_mean,
        q_max=3 * q_mean,
        parameter_norm=20.0,
        rows=4,
        heads="coupled",
        method="dense float64",
        by_sample=(),
        seconds=0.1,
        fingerprint=SETTLED,
    )
    return replace(values, **changes)


def flowing(step: int, q_mean: float, rate: float, **changes: object) -> Reading:
    """A reading whose flow is exponential, as that of one mode is."""
    flow = tuple((8.0 * 2**k, rate * 8 * 2**k) for k in range(14) if rate * 8 * 2**k < 30)
    return replace(reading(step, q_mean, rate), flow=flow, **changes)


def sgd_run(depth: int, crash: float, steps: range) -> list[Reading]:
    """1/rate falls on a line to 0 at the crash; kernels go like |Q|^k, k = (2L-2)/L (Yue et al. 2023, theorem 1)."""
    exponent = (2 * depth - 2) / depth
    left = [1 - step / crash for step in steps]
    return [
        flowing(step, 20 * part ** (-1 / exponent), 1 / (exponent * crash * part), kernel_norm=1 / part)
        for step, part in zip(steps, left, strict=True)
    ]


def adam_run(depth: int, steps: range, size: float = 0.02) -> list[Reading]:
    """One weight under the algorithm itself: Q = w^L, its gradient w^(2L-1), m and v as Kingma and Ba have them."""
    weight, first, second, found = 1.0, 0.0, 0.0, list[Reading]()
    for step in range(1, steps[-1] + 1):
        gradient = weight ** (2 * depth - 1)
        first = FIRST_DECAY * first + (1 - FIRST_DECAY) * gradient
        second = SECOND_DECAY * second + (1 - SECOND_DECAY) * gradient**2
        root = math.sqrt(second / (1 - SECOND_DECAY**step))
        weight += size * first / (1 - FIRST_DECAY**step) / root
        if step in steps:
            root *= weight ** (2 * depth - 1) / gradient
            rate = depth * size * weight ** (2 * depth - 1) / root / weight
            found.append(flowing(step, weight**depth, rate, kernel_norm=rate))
    return found
