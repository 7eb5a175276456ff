"""How a reading is computed: chosen beforehand from bytes and operations, never by trial."""

from dataclasses import dataclass
from typing import Literal

_EXACT = 2e9  # operations up to which products are formed in float64
_COLUMNS = 256  # vectors that a compressed spectrum takes, typically
_PASSES = 3  # products with each of them


Precision = Literal["float64", "float32"]


def taken_at_once(parameters: int, points: int, memory: int) -> bool:
    """Whether traces of all points are taken together, before it is known what their layers are."""
    return 8 * parameters * points <= memory // 4


@dataclass(frozen=True)
class Sizes:
    """What decides.

    Attributes:
        rows: transitions.
        heads: of the critic, as far as used.
        draws: targets of each row.
        parameters: of the critic.
        trace_bytes: of the layers' traces at one point.
        work: multiplications for one entry of the kernel, by factors.
        memory: bytes allowed.
    """

    rows: int
    heads: int
    draws: int
    parameters: int
    trace_bytes: int
    work: int
    memory: int

    @property
    def values(self) -> int:
        """Rows of the self-excitation matrix."""
        return self.rows * self.heads

    def held(self, precision: Precision) -> int:
        """Bytes of all traces: as they come where they are taken at once, else in the precision they are kept in."""
        points = self.rows * (1 + self.draws)
        whole = precision == "float64" or taken_at_once(self.parameters, points, self.memory)
        return self.trace_bytes * points // (1 if whole else 2)


@dataclass(frozen=True)
class Plan:
    """How one operator is computed.

    Attributes:
        method: entry by entry, or by products alone.
        precision: of the products of a dense kernel.
        reason: the rule and its numbers, for people.
        operations: that it takes.
    """

    method: Literal["dense", "matrix-free"]
    precision: Precision
    reason: str
    operations: float


def plan(sizes: Sizes, preconditioned: bool) -> Plan:
    """Dense where the kernel fits into memory and costs fewer operations than products with the network.

    The rule: entry by entry takes 5 matrices of values x values (two kernels, their difference, room to work) and all
    traces; each entry costs the products of its layers' factors, or, with a preconditioner, of their gradients. By
    products alone, each of 256 vectors (or as many as there are values) costs 3 passes of 2 operations a parameter and
    point. Up to 2 GFLOP products are formed in float64; above, in float32 after scaling.
    """
    entries = sizes.rows**2 * (0.5 + (1 if preconditioned else sizes.draws))  # of each layer; gram is symmetric
    dense_operations = 2.0 * entries * (sizes.parameters if preconditioned else sizes.work)
    points = sizes.rows * (1 + sizes.draws)
    free_operations = 2.0 * sizes.parameters * points * min(_COLUMNS, sizes.values) * _PASSES
    precision: Precision = "float64" if dense_operations <= _EXACT else "float32"
    dense_bytes = 5 * (8 if precision == "float64" else 4) * sizes.values**2 + sizes.held(precision)
    fits, cheaper = dense_bytes <= sizes.memory, dense_operations <= free_operations
    method = "dense" if fits and cheaper else "matrix-free"
    if method == "matrix-free":
        precision = "float64" if free_operations <= _EXACT else "float32"
    reason = (
        f"{method} {precision}: entry by entry {_operations(dense_operations)} and {_bytes(dense_bytes)} "
        f"({'within' if fits else 'beyond'} {_bytes(sizes.memory)}), by products alone {_operations(free_operations)}"
    )
    return Plan(method, precision, reason, dense_operations if method == "dense" else free_operations)


def _operations(number: float) -> str:
    return f"{number / 1e9:,.3g} GFLOP"


def _bytes(number: float) -> str:
    return f"{number / 2**20:,.0f} MiB"
