"""How Adam's moments lag behind gradients that grow: why its steps are longer than the learning rate.

A step is learning_rate * m / sqrt(v), both moments being averages over the past, of 1 / (1 - b1) and 1 / (1 - b2)
updates (Kingma and Ba 2015, algorithm 1). Of a steady gradient both are the present one and the step is the learning
rate. While a gradient grows, v still holds smaller ones and the step is longer, for about 1 / (1 - b2) updates times
the power of time with which it grows; m holds smaller ones too, which shortens it a little.
"""

import math
from dataclasses import dataclass

FIRST_DECAY, SECOND_DECAY = 0.9, 0.999
"""b1 and b2, as nearly every Adam has them."""
_FASTEST = 50.0  # growth in units of which nothing can be told any more


@dataclass(frozen=True)
class Moments:
    """Averages of a gradient and of its square, in units of the present one.

    Attributes:
        first: of the gradient, before it is corrected for its start at 0.
        second: of its square, likewise.
        updates: so far.
    """

    first: float = 0.0
    second: float = 0.0
    updates: float = 0.0

    def after(self, updates: float, growth: float) -> "Moments":
        """Some updates later, over which the gradient has grown by a factor of e^growth, at an even pace."""
        return Moments(
            _moved(self.first, -math.log(FIRST_DECAY), updates, growth),
            _moved(self.second, -math.log(SECOND_DECAY), updates, 2 * growth),
            self.updates + updates,
        )

    @property
    def gradient(self) -> float:
        """The first moment over the present gradient."""
        return self.first / _since_start(FIRST_DECAY, self.updates)

    @property
    def size(self) -> float:
        """The root of the second moment over the present gradient."""
        return math.sqrt(self.second / _since_start(SECOND_DECAY, self.updates))

    @property
    def step(self) -> float:
        """The length of a step over that of a steady gradient: above 1 while it grows."""
        return self.gradient / self.size


def _moved(average: float, decay: float, updates: float, growth: float) -> float:
    """An average that forgets at a rate of ``decay``, of something that grows evenly, in its units at the end."""
    exponent = max(decay * updates + growth, -_FASTEST)
    kept = math.exp(-exponent)
    taken_in = -math.expm1(-exponent) / exponent if exponent else 1.0
    return average * kept + decay * updates * taken_in


def _since_start(decay: float, updates: float) -> float:
    return -math.expm1(updates * math.log(decay)) if updates > 0 else 1.0
