"""Readings draw noise of their own: the same every time, and none of training's."""

import random
import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import numpy as np


@contextmanager
def own_randomness(seed: int = 0) -> Generator[None]:
    """Seed the global generators of Python, NumPy and torch (CPU and CUDA) inside, and put them back as they were.

    A generator that a policy holds itself is out of reach.
    """
    torch: Any = sys.modules.get("torch")
    cuda: Any = torch.cuda if torch is not None and torch.cuda.is_initialized() else None
    python, numpy = random.getstate(), np.random.get_state()
    on_cpu = None if torch is None else torch.get_rng_state()
    on_cuda = None if cuda is None else cuda.get_rng_state_all()
    try:
        random.seed(seed)
        np.random.seed(seed)
        if torch is not None:
            torch.default_generator.manual_seed(seed)  # torch.manual_seed would also seed a CUDA that starts later
        if cuda is not None:
            cuda.manual_seed_all(seed)
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        if torch is not None:
            torch.set_rng_state(on_cpu)
        if cuda is not None:
            cuda.set_rng_state_all(on_cuda)
