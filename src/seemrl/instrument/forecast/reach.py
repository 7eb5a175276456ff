"""Whether the flow of a reading reaches a blow-up soon, slowed down as growth laws and normalisers slow it."""

import math
from typing import Literal

from seemrl.instrument.forecast.path import ahead
from seemrl.instrument.reading import Reading

OptimizerKind = Literal["adam", "sgd"]
"""How the critic is trained; momentum is SGD's, RMSProp is Adam's."""
HORIZON = 10
"""Times the steps so far, within which ten reward bounds must be reached."""
EXPONENT, EXPONENT_SGD, EXPONENT_NORMALISED = -0.4, 0.0, -1.0
"""How kernels change with |Q| in that forecast, cautiously: as under Adam; fixed, as they never shrink under plain
gradient steps without normalisers; or as where values grow along a line."""
WITHOUT_BOUND = 100.0
"""Growth of mean |Q| that counts as a blow-up where no reward bound is known."""
DIVERGED_FACTOR = 10
"""mean |Q| above this many reward bounds has diverged."""


def needed_growth(reading: Reading, reward_bound: float | None) -> float:
    """Growth of log mean |Q| that makes a blow-up."""
    return math.log(WITHOUT_BOUND if reward_bound is None else DIVERGED_FACTOR * reward_bound / reading.q_mean)


def foretold_growth(reading: Reading, *, homogeneous: bool, optimizer: OptimizerKind = "adam") -> float:
    """Growth of log mean |Q| foretold for the next ten times the steps so far."""
    exponent = EXPONENT_NORMALISED if not homogeneous else EXPONENT_SGD if optimizer == "sgd" else EXPONENT
    return ahead(reading, HORIZON * max(reading.step, 1), exponent)


def margin(
    reading: Reading, reward_bound: float | None, *, homogeneous: bool, optimizer: OptimizerKind = "adam"
) -> float:
    """Growth foretold for the next ten times the steps so far, less the growth that makes a blow-up."""
    foretold = foretold_growth(reading, homogeneous=homogeneous, optimizer=optimizer)
    return foretold - needed_growth(reading, reward_bound)
