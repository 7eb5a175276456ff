"""From a critic at its points to the kernels of its dynamics: values, what targets are made of, and which way to go."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from seemrl.errors import InputError
from seemrl.instrument.dynamics import Dynamics, Heads, Kernels, head_selection
from seemrl.instrument.kernels import Critic, asked
from seemrl.instrument.kernels.gathered import Gathered, gathered
from seemrl.instrument.kernels.layerwise import Shares, kernel_blocks
from seemrl.instrument.kernels.matrixfree import MatrixFreeKernels
from seemrl.instrument.kernels.traces import LayerTrace, Traced
from seemrl.instrument.plan import Precision, Sizes, plan, taken_at_once
from seemrl.instrument.points import Points

_FIRST_ROWS = 7  # that show which layers there are; few, and no number of heads that anyone has
_VALUE_ROWS = 1024  # evaluated at a time where nothing is kept
_FINGERPRINT_ROWS = 64


@dataclass
class KernelSource:
    """A critic at the points of a batch.

    Attributes:
        critic: opened.
        points: where.
        values: of each used head at the rows' own points.
        live: what the critic itself contributes to each row's target; for all heads, or for each of them.
        averaged: what the target critic contributes.
        shares: what the targets are made of.
        sizes: what decides how kernels are computed.
        traced: all layers' traces, if they were taken already; let go of once there are kernels.
    """

    critic: Critic
    points: Points
    values: Float[np.ndarray, "heads rows"]
    live: Float[np.ndarray, "sets rows"]
    averaged: Float[np.ndarray, "sets rows"]
    shares: Shares
    sizes: Sizes
    traced: Traced | Gathered | None

    @classmethod
    def of(
        cls, critic: Critic, target: Critic, points: Points, heads: Heads, bootstrap: np.ndarray, memory: int
    ) -> "KernelSource":
        """Evaluate the critic, and its target at the targets' points.

        Args:
            critic: to be measured.
            target: decides which head is the smaller one; may be the critic itself.
            points: of the batch.
            heads: how they form the target.
            bootstrap: gamma (1 - d) of each row.
            memory: bytes allowed.
        """
        parameters = sum(leaf.size for leaf in critic.leaves)
        whole = taken_at_once(parameters, points.rows * (1 + points.draws), memory)
        first = _traced(critic, *points.of_rows(slice(None) if whole else slice(0, _FIRST_ROWS)))
        used = 1 if heads == "first" else len(first.values)
        sizes = Sizes(points.rows, used, points.draws, parameters, *_of_layers(first, parameters), memory)
        traced = first if whole else _gathered(critic, points, sizes)
        at_points = _values(critic, points) if traced is None else traced.values
        by_set = at_points[:used].reshape(used, 1 + points.draws, points.rows)
        deciding = by_set[:, 1:]
        if target is not critic:
            with asked("target_critic", *points.of_rows()):
                theirs = _values(target, points)
            if len(theirs) != len(at_points):
                raise InputError(
                    f"target_critic: it has {len(theirs)} heads but the critic has {len(at_points)}; give its own"
                )
            deciding = theirs[:used].reshape(by_set.shape)[:, 1:]
        selection = head_selection(heads, deciding.reshape(used, -1)).reshape(-1, *deciding.shape)
        shares = selection * bootstrap / max(points.draws, 1)
        with np.errstate(invalid="ignore"):  # a critic that has blown up is told by its values
            live, averaged = ((shares * values).sum(axis=(1, 2)) for values in (by_set[:, 1:], deciding))
        return cls(critic, points, by_set[:, 0], live, averaged, shares, sizes, traced)

    @property
    def finite(self) -> bool:
        """Whether the critic still has values."""
        return bool(np.isfinite(self.values).all() and np.isfinite(self.shares).all())

    def kernels(self, preconditioner: Sequence[np.ndarray] | None) -> tuple[Kernels, Kernels, str]:
        """The plain kernels, the preconditioned ones (the plain ones again, without), and how they came about."""
        wanted = [None] if preconditioner is None else [None, preconditioner]
        plans = [plan(self.sizes, weights is not None) for weights in wanted]
        found: list[Kernels] = [
            self._dense(weights, own.precision) if own.method == "dense" else self._matrix_free(weights, own.precision)
            for weights, own in zip(wanted, plans, strict=True)
        ]
        self.traced = None  # the kernels are what is needed of them
        reasons = [own.reason for own in plans]
        return found[0], found[-1], reasons[0] if len(reasons) == 1 else f"{reasons[0]}; rate: {reasons[1]}"

    def fingerprint_kernel(self, plain: Kernels) -> Float[np.ndarray, "heads rows rows"]:
        """G(X, X) of each head on the first rows."""
        kept = min(self.points.rows, _FINGERPRINT_ROWS)
        heads = len(self.values)
        if isinstance(plain, Dynamics):
            blocks = plain.gram.reshape(heads, self.points.rows, heads, self.points.rows)
        else:
            first = slice(0, kept)
            layers = self.critic.trace(*self.points.of_rows(first)).layers
            blocks = kernel_blocks(layers, self.shares[..., first]).gram.reshape(heads, kept, heads, kept)
        return np.stack([blocks[head, :kept, head, :kept] for head in range(heads)])

    def _matrix_free(self, preconditioner: Sequence[np.ndarray] | None, precision: Precision) -> MatrixFreeKernels:
        return MatrixFreeKernels(
            self.critic,
            self.points,
            self.shares,
            preconditioner,
            bytes_per_row=self.sizes.trace_bytes * (1 + self.points.draws),
            keep=self.sizes.memory // 2,
            precision=np.dtype(precision).type,
        )

    def _dense(self, preconditioner: Sequence[np.ndarray] | None, precision: Precision) -> Dynamics:
        traced, sets = self.traced or self.critic.trace(*self.points.of_rows()), len(self.shares)
        with np.errstate(over="ignore", invalid="ignore"):  # a critic that has blown up is told by its values
            if isinstance(traced, Gathered):
                blocks = kernel_blocks(traced.layers, self.shares, preconditioner, np.float32)
                return Dynamics(*blocks, traced.divisor**2, sets)
            if precision == "float64":
                return Dynamics(*kernel_blocks(traced.layers, self.shares, preconditioner), 1.0, sets)
            layers = list(traced.layers)
            largest = max((layer.largest() for layer in layers), default=1.0) or 1.0
            scaled = (layer.scaled(1 / largest, np.float32) for layer in layers)
            return Dynamics(*kernel_blocks(scaled, self.shares, preconditioner, np.float32), largest**2, sets)


def _traced(critic: Critic, observations: np.ndarray, actions: np.ndarray) -> Traced:
    """The first trace; a critic that cannot even be asked is told so.

    Raises:
        InputError: its own code fails at these points.
    """
    try:
        return critic.trace(observations, actions)
    except InputError:
        raise
    except Exception:
        with asked("critic", observations, actions):
            critic(observations, actions)
        raise  # it can be asked, so the defect is not its own


def _of_layers(traced: Traced, parameters: int) -> tuple[int, int]:
    """Bytes of all layers' traces at one point, and multiplications for one entry of the kernel."""
    if not isinstance(traced.layers, list):  # one by one, as per-sample gradients
        return 8 * parameters, parameters
    layers: list[LayerTrace] = traced.layers
    return sum(layer.nbytes // layer.points for layer in layers), sum(layer.work for layer in layers)


def _gathered(critic: Critic, points: Points, sizes: Sizes) -> Gathered | None:
    """All traces, where they are going to be multiplied out in single precision."""
    wanted = plan(sizes, False)
    if (wanted.method, wanted.precision) != ("dense", "float32"):
        return None
    with np.errstate(over="ignore", invalid="ignore"):
        return gathered(critic, points, sizes.trace_bytes * (1 + points.draws))


def _values(critic: Critic, points: Points) -> np.ndarray:
    """Values at all points, (heads, points), some rows at a time."""
    if points.rows <= _VALUE_ROWS:
        return critic(*points.of_rows())
    sets = 1 + points.draws
    parts = [critic(*points.of_rows(part)) for part in points.chunks(_VALUE_ROWS)]
    by_set = [part.reshape(len(part), sets, -1) for part in parts]
    return np.concatenate(by_set, axis=2).reshape(len(parts[0]), -1)
