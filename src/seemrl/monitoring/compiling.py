"""How much of some time JAX spent on tracing and compiling, which later calls of the same shapes do not pay again."""

import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

_EVENTS = "/jax/core/compile/"
_open: list["Compiling"] = []
_registered = False


class Compiling:
    """What is traced and compiled while it is open."""

    def __init__(self) -> None:
        self.spans: list[tuple[float, float]] = []
        self._opened = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Of the wall clock, so far; 0 where JAX is not loaded."""
        return covered([(max(begin, self._opened), end) for begin, end in self.spans])


@contextmanager
def compiling() -> Generator[Compiling]:
    """Listen to JAX's own events. torch.compile tells nobody, so its time is not in it."""
    _register()
    found = Compiling()
    _open.append(found)
    try:
        yield found
    finally:
        _open.remove(found)


def covered(spans: list[tuple[float, float]]) -> float:
    """The length that spans of time cover together: a function is traced while the one that calls it is."""
    length, reached = 0.0, -float("inf")
    for begin, end in sorted(spans):
        length += max(end - max(begin, reached), 0.0)
        reached = max(reached, end)
    return length


def _register() -> None:
    """Once for a process, as soon as JAX is there."""
    global _registered
    jax: Any = sys.modules.get("jax")
    if jax is None or _registered:
        return
    from jax import monitoring

    monitoring.register_event_duration_secs_listener(_heard)
    _registered = True


def _heard(event: str, duration_secs: float, **kwargs: Any) -> None:
    """JAX says it at the end of what took so long."""
    if event.startswith(_EVENTS):
        end = time.perf_counter()
        for found in _open:
            found.spans.append((end - duration_secs, end))
