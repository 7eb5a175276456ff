"""What a cell of the comparison will cost, from the smaller ones that are done.

How the cost of each method grows is known; how fast this machine is, the smaller cells say:

    paper, torch.func   gradients per sample (N), products of all gradients (N^2 P), dense eigenvalues (N^3)
    curvlinops          as many products as on fewer rows, each N P
    ours                the operations that `seemrl.instrument.plan` counts
    bare products       N^2
"""

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median

import torch

from benchmarks.kernel_cells import SLOW, Cell, Limits, Result
from benchmarks.kernel_critics import CriticName, inner_sizes, make_critic, make_problem
from benchmarks.kernel_methods import stored_rows
from seemrl.instrument.kernels import open_critic
from seemrl.instrument.plan import Sizes, plan

_MEMORY = 2 * 2**30  # that `seemrl.measure` may take, by default
_START = 10.0  # seconds until a process has loaded what it needs
# Seconds for a gradient and for each of its entries, operations a second of products and of eigenvalues: only their
# proportions matter, and little.
_LOOP, _ENTRY, _PRODUCTS, _EIGENVALUES = 3e-4, 2.5e-9, 1.5e11, 5e10


@dataclass(frozen=True)
class Prediction:
    """Of one call.

    Attributes:
        seconds: that it will take.
        at_least: whether the cell it is drawn from was stopped itself.
    """

    seconds: float
    at_least: bool

    def of_cell(self, limits: Limits) -> float:
        """Seconds for all its calls, and to start."""
        return _START + self.seconds * (1 if self.seconds > SLOW else 1 + limits.repeats)

    def __str__(self) -> str:
        return f"{'more than ' if self.at_least else ''}{minutes(self.seconds)}"


def predicted(cell: Cell, finished: Mapping[Cell, Result]) -> Prediction | None:
    """From the largest cell below this one: of the same critic, else of another; None where there is none."""
    below = [
        other
        for other, result in finished.items()
        if (other.method, other.targets) == (cell.method, cell.targets)
        and other != cell
        and work(other) <= work(cell)
        and (result.seconds or result.status == "stopped")
    ]
    if not below:
        return None
    nearest = max(below, key=lambda other: (other.critic == cell.critic, work(other)))
    result = finished[nearest]
    taken = median(result.seconds) if result.seconds else result.limit or 0.0
    return Prediction(taken * work(cell) / work(nearest), not result.seconds)


@functools.cache
def work(cell: Cell) -> float:
    """What one call costs, in units of its method."""
    rows, parameters = cell.rows, _parameters(cell.critic)
    if cell.method == "paper":
        return 2 * rows * (_LOOP + _ENTRY * parameters) + _dense(rows, parameters)
    if cell.method.startswith("vmap"):
        dtype = torch.float64 if cell.method == "vmap-float64" else torch.float32
        passes = math.ceil(rows / stored_rows(rows, parameters, dtype))
        return passes * 2 * rows * _ENTRY * parameters + _dense(rows, parameters)
    if cell.method == "curvlinops":
        return rows * parameters
    if cell.method.startswith("ours"):
        return plan(_sizes(cell.critic, rows), False).operations
    return rows**2 * sum(inner_sizes(make_critic(cell.critic)))


def _dense(rows: int, parameters: int) -> float:
    return 4 * rows**2 * parameters / _PRODUCTS + 25 * rows**3 / _EIGENVALUES


@functools.cache
def _parameters(critic: CriticName) -> int:
    return sum(parameter.numel() for parameter in make_critic(critic).parameters())


@functools.cache
def _per_point(critic: CriticName) -> tuple[int, int]:
    """Bytes of all traces at one point, and multiplications for one entry of the kernel."""
    problem = make_problem(critic, 3, "random")
    traced = open_critic(problem.critic).trace(problem.batch.observations, problem.batch.actions)
    layers = list(traced.layers)
    return sum(layer.nbytes // layer.points for layer in layers), sum(layer.work for layer in layers)


def _sizes(critic: CriticName, rows: int) -> Sizes:
    return Sizes(rows, 1, 1, _parameters(critic), *_per_point(critic), _MEMORY)


def minutes(seconds: float) -> str:
    """For people."""
    return f"{seconds:.2g} s" if seconds < 60 else f"{seconds / 60:,.3g} min"
