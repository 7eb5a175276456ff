"""Baird's counterexample (Baird 1995): seven states, eight weights, no reward, and linear values that diverge.

Every state leads to the seventh under the target policy, all states are updated equally often, and the true values are
zero. Because the features generalise from each state to the seventh more than back, the error feeds itself at any
learning rate: the smallest case of self-excitation, with a kernel that never changes.
"""

import numpy as np
from jaxtyping import Float

from seemrl.data.dataset import Dataset

INITIAL_WEIGHTS: Float[np.ndarray, " 8"] = np.array([1, 1, 1, 1, 1, 1, 10, 1], np.float32)
"""The customary start."""
LEARNING_RATE = 0.01
DISCOUNT = 0.99


def baird() -> Dataset:
    """One transition from each state; observations are the states' eight features, actions an idle zero."""
    features = np.zeros((7, 8), np.float32)
    features[np.arange(6), np.arange(6)] = 2
    features[:6, 7] = 1
    features[6, 6:] = 1, 2
    return Dataset(
        observations=features,
        actions=np.zeros((7, 1), np.float32),
        rewards=np.zeros(7, np.float32),
        next_observations=np.tile(features[6], (7, 1)),
        terminals=np.zeros(7, bool),
        timeouts=np.zeros(7, bool),
        environment=None,
        source="Baird's counterexample",
    )
