"""What readings cost a training run at the default cadence, and beside the same reading from per-sample gradients.

python -m benchmarks.readings      (about two minutes on two cores)
"""

import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter

from seemrl.training.backend import prepare_jax

prepare_jax()

import equinox as eqx  # noqa: E402 - JAX's settings come first
import jax  # noqa: E402
import numpy as np  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402

from seemrl import Batch, Reading, measure  # noqa: E402
from seemrl.data.embedded import load_embedded_hopper  # noqa: E402
from seemrl.training.config import TrainConfig  # noqa: E402
from seemrl.training.loop import Run  # noqa: E402
from seemrl.training.reading import read_learner  # noqa: E402
from seemrl.training.setup import open_run  # noqa: E402

_UPDATES = TrainConfig().with_cadences().read_every  # as in a run of default length
_REPEATS = 5


class _Unrecorded(eqx.Module):
    """The same critic behind a matrix product by one, whose parameter no layer records: it is read sample by sample."""

    critic: eqx.Module
    scale: jax.Array

    def __call__(self, observations: jax.Array, actions: jax.Array) -> jax.Array:
        return self.critic(observations, actions) * self.scale  # pyright: ignore[reportCallIssue]


def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        config = TrainConfig(out=str(Path(directory) / "run"), steps=2 * _UPDATES, read_every=_UPDATES, env="none")
        run = open_run(config, print, load_embedded_hopper())
        stops = run.train()
        next(stops)  # compiles
        updates, every = (
            _UPDATES / next(stops).metrics["updates_per_second"],
            _times(lambda: _as_trained(run)),
        )
        print(f"{_UPDATES} updates: {updates:.2f} s; the reading after them: {median(every):.3f} s")
        print(f"share of readings in the time of training: {median(every) / (updates + median(every)):.2%}")
        _report(run, updates)


def _as_trained(run: Run) -> Reading:
    return read_learner(run.agent, run._batch, len(run.data))


def _report(run: Run, updates: float) -> None:
    table = Table("what", "median", "min", "max", "against the first reading", title="Seconds, side by side in one run")
    table.add_row(f"{_UPDATES} updates of TD3+BC, 2x256, batch 256", f"{updates:.3f}", "", "", "")
    unrecorded = _Unrecorded(run.agent.critic, jax.numpy.ones(()))
    base: float | None = None
    for name, read in {
        "reading, 96 rows, plain": lambda: _read(run, run.agent.critic, 96),
        "the same as in training: Adam, target averaging, 2 noise draws": lambda: read_learner(
            run.agent, run._batch, len(run.data)
        ),
        "reading, 256 rows, plain": lambda: _read(run, run.agent.critic, 256),
        "reading, 96 rows, plain, from per-sample gradients": lambda: _read(run, unrecorded, 96),
    }.items():
        times = _times(read)
        base = base or median(times)
        columns = (f"{value:.3f}" for value in (median(times), min(times), max(times)))
        table.add_row(name, *columns, f"{median(times) / base:.2f}")
    Console(width=120).print(table)


def _read(run: Run, critic: object, rows: int) -> object:
    chosen = run.data.batch_rows(rows, seed=0)
    names = ("observations", "actions", "rewards", "next_observations", "terminals")
    batch = Batch(*(run.data.arrays()[name][chosen] for name in names))
    return measure(critic, batch, lambda observations: np.tanh(observations[:, :3]), discount=0.99)


def _times(read: Callable[[], object]) -> list[float]:
    read()
    times: list[float] = []
    for _ in range(_REPEATS):
        started = perf_counter()
        read()
        times.append(perf_counter() - started)
    return times


if __name__ == "__main__":
    main()
