"""Environments small enough to know what collecting in them must give."""

import contextlib
from functools import cache
from typing import Any

import gymnasium
import numpy as np

from seemrl.data.environments import register_environments
from seemrl.errors import MissingPartError


class Counter(gymnasium.Env):
    """Observes the number of steps; ends after 3 steps in odd episodes and is cut short after 2 in even ones."""

    observation_space = gymnasium.spaces.Box(0, np.inf, (1,))

    def __init__(self, low=-0.4, high=0.4, dtype: Any = np.float32):
        self.action_space = gymnasium.spaces.Box(low, high, (2,), dtype)
        self.episode = 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.episode += 1
        self.count = 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.count += 1
        odd = self.episode % 2 == 1
        reached = np.full(1, self.count, np.float32)
        return reached, float(self.count), odd and self.count == 3, not odd and self.count == 2, {}


class Grid(Counter):
    def __init__(self):
        super().__init__()
        self.action_space = gymnasium.spaces.Discrete(4)


class Pair(Counter):
    def __init__(self):
        super().__init__()
        self.action_space = gymnasium.spaces.MultiDiscrete([2, 3])


class Image(Counter):
    observation_space = gymnasium.spaces.Box(0, 255, (8, 8, 3), np.uint8)


TOYS = {
    "Counter-v0": Counter,
    "Unbounded-v0": lambda: Counter(-np.inf, np.inf),
    "Double-v0": lambda: Counter(dtype=np.float64),
    "Grid-v0": Grid,
    "Pair-v0": Pair,
    "Image-v0": Image,
}


@cache
def packages() -> dict[str, Any]:
    """What gymnasium_robotics and icu_sepsis register, once, when they are first imported."""
    before = dict(gymnasium.registry)
    for name in ("PointMaze", "Sepsis/"):
        with contextlib.suppress(MissingPartError):
            register_environments(name, "a test")
    return {name: made for name, made in gymnasium.registry.items() if before.get(name) is not made}
