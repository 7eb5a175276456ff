"""The toy maze: one short walk in the plane, with eight directions to choose from (Yue et al. 2023, section 3).

Sixty-four transitions of a random walk, no reward at all: the only right value is zero. A small critic over (position,
direction) either finds that or feeds itself until it overflows, depending on nothing but its initial weights.
"""

import numpy as np
from jaxtyping import Float

from seemrl.data.dataset import Dataset

LENGTH = 64
DIRECTIONS: Float[np.ndarray, "8 2"] = np.array(
    [(np.cos(angle), np.sin(angle)) for angle in np.arange(8) * np.pi / 4], np.float32
).round(7)
"""The eight actions, unit vectors."""
_STRIDE = 0.2  # of one step: the walk covers the unit square, about


def toy_maze(seed: int = 0, length: int = LENGTH) -> Dataset:
    """One walk of uniformly random directions from the origin; positions are not bounded, rewards are zero.

    Args:
        seed: of the walk.
        length: transitions, at least 1. The last one is a timeout: the walk goes on, its record does not.
    """
    random = np.random.Generator(np.random.PCG64(seed))
    actions = DIRECTIONS[random.integers(len(DIRECTIONS), size=length)]
    positions = np.concatenate([np.zeros((1, 2)), np.cumsum(_STRIDE * actions, axis=0)]).astype(np.float32)
    ends = np.arange(length) == length - 1
    return Dataset(
        observations=positions[:-1],
        actions=actions,
        rewards=np.zeros(length, np.float32),
        next_observations=positions[1:],
        terminals=np.zeros(length, bool),
        timeouts=ends,
        environment=None,
        source=f"toy maze, {length} steps, seed {seed}",
    )
