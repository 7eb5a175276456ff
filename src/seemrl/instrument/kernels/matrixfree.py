"""Products with the kernels, without the kernels: J^T v and J w, layer by layer and a chunk of rows at a time.

J^T v is one backward pass, J w one forward pass of a linearised network. Both follow from the layers' traces: with W
the part of w that belongs to a layer z = a W + b,

    (J^T v)_layer = sum_i v_i a_i (x) d_i = A^T diag(v) D            (J w)_i = sum over layers of a_i^T W d_i

so that a diagonal preconditioner costs nothing but a multiplication of w. Memory is that of the traces of one chunk (of
all, where they fit) and of one copy of the parameters for each column of v.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from seemrl.instrument.kernels import Critic
from seemrl.instrument.kernels.layerwise import Shares, values_and_targets
from seemrl.instrument.kernels.traces import LayerTrace
from seemrl.instrument.points import Points

_CHUNK_ROWS = 1024
_CHUNK_BYTES = 64 * 2**20

Columns = Float[np.ndarray, "values columns"]


class _Layer(NamedTuple):
    """One layer at some rows: the heads' values, the targets, and its weights in the preconditioner."""

    values: LayerTrace
    targets: LayerTrace
    weights: np.ndarray | None


class MatrixFreeKernels:
    """The kernels of the dynamics as products; values are those of all heads, head after head.

    Args:
        critic: traced anew at each product, unless its traces are kept.
        points: where.
        shares: what targets are made of.
        preconditioner: diagonal weights of the parameters, an array per leaf, or None.
        bytes_per_row: of all traces at one row's points.
        keep: how many bytes of traces may stay in memory.
        precision: of the products.
    """

    def __init__(
        self,
        critic: Critic,
        points: Points,
        shares: Shares,
        preconditioner: Sequence[np.ndarray] | None = None,
        *,
        bytes_per_row: int = 1,
        keep: int = 0,
        precision: type = np.float64,
    ) -> None:
        self._critic, self._points, self._shares = critic, points, shares
        self._preconditioner, self._precision = preconditioner, precision
        self._sets, self.heads, _, self.rows = shares.shape
        self._chunk = max(1, min(_CHUNK_ROWS, _CHUNK_BYTES // max(bytes_per_row, 1)))
        self._divisor = 1.0
        if precision is np.float32:
            first = critic.trace(*points.of_rows(slice(0, self._chunk))).layers
            self._divisor = max((layer.largest() for layer in first), default=1.0) or 1.0
        fits = bytes_per_row * self.rows * np.dtype(precision).itemsize // 8 <= keep
        self._kept = list(self._traced()) if fits else None

    @property
    def size(self) -> int:
        """Values: heads * rows."""
        return self.heads * self.rows

    @property
    def scale(self) -> float:
        """What both kernels were divided by."""
        return self._divisor * self._divisor  # infinite where the kernel is, which a power would refuse

    def times(self, vectors: Columns, of_cross: float, of_gram: float) -> Columns:
        """(of_cross * cross + of_gram * gram) times each column; cross is the same for heads that share it."""
        by_head = vectors.reshape(self.heads, self.rows, -1)
        at_values, at_targets = self._pushed(self._pulled(by_head, None), bool(of_gram), bool(of_cross))
        return (of_gram * at_values + of_cross * at_targets).reshape(vectors.shape)

    def transposed(self, vectors: Columns, of_cross: float, of_gram: float) -> Columns:
        """The transpose of that times each column."""
        by_head = vectors.reshape(self.heads, self.rows, -1)
        at_targets = by_head if self._sets > 1 else by_head.sum(axis=0)[None]
        pulled = self._pulled(of_gram * by_head if of_gram else None, of_cross * at_targets if of_cross else None)
        return self._pushed(pulled, True, False)[0].reshape(vectors.shape)

    def _chunks(self) -> Iterator[tuple[slice, list[_Layer]]]:
        return self._traced() if self._kept is None else iter(self._kept)

    def _traced(self) -> Iterator[tuple[slice, list[_Layer]]]:
        for part in self._points.chunks(self._chunk):
            layers: list[_Layer] = []
            for trace in self._critic.trace(*self._points.of_rows(part)).layers:
                lowered = trace.scaled(1 / self._divisor, self._precision)
                weights = None
                if self._preconditioner is not None:
                    weights = trace.pick(self._preconditioner).astype(self._precision)
                values, targets = values_and_targets(lowered, self._shares[..., part])
                layers.append(_Layer(values, targets, weights))
            yield part, layers

    def _pulled(self, values: np.ndarray | None, targets: np.ndarray | None) -> list[np.ndarray]:
        """J^T v per layer, preconditioned: v on the values of each head, on the targets, or both."""
        total: list[np.ndarray] = []
        for part, layers in self._chunks():
            for number, layer in enumerate(layers):
                pulled: np.ndarray | float = 0.0
                if values is not None:
                    pulled = _pull(layer.values, values[list(layer.values.heads), part])
                if targets is not None:
                    pulled = pulled + _pull(layer.targets, targets[list(layer.targets.heads), part])
                if layer.weights is not None:
                    pulled = pulled * (layer.weights if layer.values.inputs is None else layer.weights[:, None])
                if number == len(total):
                    total.append(np.asarray(pulled))
                else:
                    total[number] += pulled
        return total

    def _pushed(self, pulled: list[np.ndarray], to_values: bool, to_targets: bool) -> tuple[np.ndarray, np.ndarray]:
        """J w at the values, (heads, rows, columns), and at the targets, (sets, rows, columns)."""
        columns = pulled[0].shape[0 if pulled[0].ndim == 2 else 1]
        at_values = np.zeros((self.heads, self.rows, columns))
        at_targets = np.zeros((self._sets, self.rows, columns))
        for part, layers in self._chunks():
            for layer, weights in zip(layers, pulled, strict=True):
                if to_values:
                    for head, product in zip(layer.values.heads, _push(layer.values, weights), strict=True):
                        at_values[head, part] += product
                if to_targets:
                    for number, product in zip(layer.targets.heads, _push(layer.targets, weights), strict=True):
                        at_targets[number, part] += product
        return at_values, at_targets


def _pull(trace: LayerTrace, vectors: np.ndarray) -> np.ndarray:
    """Sum over heads and points of v times the gradient: (inputs, columns, outputs), or (columns, parameters)."""
    vectors = vectors.astype(trace.deltas.dtype, copy=False)
    if trace.inputs is None:
        found = np.zeros((vectors.shape[-1], trace.deltas.shape[-1]), trace.deltas.dtype)
        for v, d in zip(vectors, trace.deltas, strict=True):
            found += v.T @ d[:, 0]
        return found
    inputs = trace.inputs.reshape(-1, trace.inputs.shape[-1])
    columns, outputs = vectors.shape[-1], trace.deltas.shape[-1]
    found = np.empty((inputs.shape[1], columns, outputs), trace.deltas.dtype)
    for part in _column_groups(len(inputs), columns, outputs, found.itemsize):
        found[:, part] = 0.0
        for v, d in zip(vectors, trace.deltas, strict=True):
            weighed = (v[:, None, part, None] * d[:, :, None]).reshape(len(inputs), -1)
            found[:, part] += (inputs.T @ weighed).reshape(inputs.shape[1], -1, outputs)
    return found


def _push(trace: LayerTrace, weights: np.ndarray) -> list[np.ndarray]:
    """Gradient times w, (points, columns), of each head."""
    if trace.inputs is None:
        return [deltas[:, 0] @ weights.T for deltas in trace.deltas]
    points, positions, size = trace.inputs.shape
    inputs = trace.inputs.reshape(-1, size)
    _, columns, outputs = weights.shape
    found = [np.empty((points, columns), weights.dtype) for _ in trace.deltas]
    for part in _column_groups(len(inputs), columns, outputs, weights.itemsize):
        moved = (inputs @ weights[:, part].reshape(size, -1)).reshape(len(inputs), -1, outputs)
        for own, deltas in zip(found, trace.deltas, strict=True):
            product = np.matmul(moved, deltas.reshape(len(inputs), outputs, 1))[:, :, 0]
            own[:, part] = product.reshape(points, positions, -1).sum(axis=1)
    return found


def _column_groups(points: int, columns: int, outputs: int, item: int) -> Iterator[slice]:
    """So many columns at a time that what they take stays small."""
    width = max(1, _CHUNK_BYTES // (item * points * outputs))
    for start in range(0, columns, width):
        yield slice(start, min(start + width, columns))
