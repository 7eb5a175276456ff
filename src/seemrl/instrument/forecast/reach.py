"""Whether the flow of a reading reaches a blow-up soon, slowed down as growth laws and normalisers slow it."""

import math

from seemrl.instrument.forecast.path import ahead
from seemrl.instrument.reading import Reading

HORIZON = 10
"""Times the steps so far, within which ten reward bounds must be reached."""
EXPONENT, EXPONENT_NORMALISED = -0.4, -1.0
"""How kernels change with |Q| in that forecast: cautiously, as under Adam, or as where values grow along a line."""
WITHOUT_BOUND = 100.0
"""Growth of mean |Q| that counts as a blow-up where no reward bound is known."""
DIVERGED_FACTOR = 10
"""mean |Q| above this many reward bounds has diverged."""


def needed_growth(reading: Reading, reward_bound: float | None) -> float:
    """Growth of log mean |Q| that makes a blow-up."""
    return math.log(WITHOUT_BOUND if reward_bound is None else DIVERGED_FACTOR * reward_bound / reading.q_mean)


def foretold_growth(reading: Reading, *, homogeneous: bool) -> float:
    """Growth of log mean |Q| foretold for the next ten times the steps so far."""
    exponent = EXPONENT if homogeneous else EXPONENT_NORMALISED
    return ahead(reading, HORIZON * max(reading.step, 1), exponent)


def margin(reading: Reading, reward_bound: float | None, *, homogeneous: bool) -> float:
    """Growth foretold for the next ten times the steps so far, less the growth that makes a blow-up."""
    return foretold_growth(reading, homogeneous=homogeneous) - needed_growth(reading, reward_bound)
