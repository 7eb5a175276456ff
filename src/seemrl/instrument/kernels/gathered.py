"""Traces at many rows in single precision, taken some rows at a time.

A trace in double precision takes several times the memory of what is kept of it: the graph, its activations and their
gradients. Some rows at a time, that stays in the cache, and only the factors in single precision are as long as there
are rows.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from seemrl.instrument.kernels import Critic
from seemrl.instrument.kernels.traces import LayerTrace, power_of_two
from seemrl.instrument.points import Points

_ROWS = 512
_BYTES = 16 * 2**20
_RANGE = 1e9  # by which gradients may exceed those of the first rows, whose squares have to fit single precision


class Gathered(NamedTuple):
    """A critic at all its points.

    Attributes:
        values: in double precision.
        layers: gradients over ``divisor``, in single precision.
        divisor: about the largest gradient.
    """

    values: Float[np.ndarray, "heads points"]
    layers: list[LayerTrace]
    divisor: float


def gathered(critic: Critic, points: Points, bytes_per_row: int, like: Sequence[float] = ()) -> Gathered | None:
    """Trace a critic some rows at a time; None if its layers are not the same at all of them.

    Args:
        critic: to be traced.
        points: where.
        bytes_per_row: of all traces at one row's points.
        like: about the largest gradient, then about the largest input of each layer; those at the first rows, if not
            given.
    """
    layers: list[_Layer] = []
    values: list[np.ndarray] = []
    sizes: list[float] = []
    for part in _parts(points.rows, max(1, min(_ROWS, _BYTES // max(bytes_per_row, 1)))):
        traced = critic.trace(*points.of_rows(part))
        traces = list(traced.layers)
        here = [power_of_two(max((trace.largest() for trace in traces), default=0.0)), *map(_input_size, traces)]
        if not values:
            like, sizes = like or here, here
            values = [np.empty((points.draws + 1, points.rows)) for _ in traced.values]
            layers = [_Layer(trace, points, size) for trace, size in zip(traces, like[1:], strict=False)]
        if len(here) != len(like) or not all(map(_Layer.fits, layers, traces)):
            return None
        sizes = [max(pair) for pair in zip(sizes, here, strict=True)]
        for head, own in zip(values, traced.values, strict=True):
            head[:, part] = own.reshape(points.draws + 1, -1)
        for layer, trace in zip(layers, traces, strict=True):
            layer.put(trace, part, 1 / like[0])
    if any(found > _RANGE * used for found, used in zip(sizes, like, strict=True)):
        return gathered(critic, points, bytes_per_row, sizes)
    return Gathered(np.stack(values).reshape(len(values), -1), [layer.whole() for layer in layers], like[0])


def _parts(rows: int, most: int) -> list[slice]:
    """All rows, in parts of one length, so that what is compiled for one fits all; the last two may overlap."""
    count = -(-rows // most)
    length = -(-rows // count)
    return [slice(start, start + length) for start in (min(k * length, rows - length) for k in range(count))]


class _Layer:
    """One layer's factors at all rows, to be filled."""

    def __init__(self, trace: LayerTrace, points: Points, size: float) -> None:
        self._trace, self._size = trace, size
        self._sets, self._rows = points.draws + 1, points.rows
        self._inputs = None if trace.inputs is None else self._room(trace.inputs.shape[1:])
        self._deltas: dict[int, np.ndarray] = {}

    def _room(self, shape: tuple[int, ...]) -> np.ndarray:
        return np.zeros((self._sets, self._rows, *shape), np.float32)

    def fits(self, trace: LayerTrace) -> bool:
        """Whether a trace is of this layer."""
        return trace.names == self._trace.names and _shape(trace) == _shape(self._trace)

    def put(self, trace: LayerTrace, part: slice, factor: float) -> None:
        """Keep the trace at some of the rows, its gradients times a factor."""
        if self._inputs is not None and trace.inputs is not None:
            np.multiply(self._by_set(trace.inputs), 1 / self._size, out=self._inputs[:, part], casting="same_kind")
        for head, deltas in zip(trace.heads, trace.deltas, strict=True):
            if head not in self._deltas:
                self._deltas[head] = self._room(deltas.shape[1:])
            own = self._deltas[head][:, part]
            np.multiply(self._by_set(deltas), factor * self._size, out=own, casting="same_kind")

    def _by_set(self, by_point: np.ndarray) -> np.ndarray:
        return by_point.reshape(self._sets, -1, *by_point.shape[1:])

    def whole(self) -> LayerTrace:
        """The trace at all rows."""
        heads = sorted(self._deltas)
        shape = (len(heads), self._sets * self._rows, *self._trace.deltas.shape[2:])
        own = [self._deltas[head] for head in heads]
        deltas = own[0] if len(own) == 1 else np.array(own, np.float32)
        inputs = None if self._inputs is None else self._inputs.reshape(shape[1], *self._inputs.shape[2:])
        return LayerTrace(self._trace.names, tuple(heads), inputs, deltas.reshape(shape), self._trace.pick)


def _input_size(trace: LayerTrace) -> float:
    return trace.input_size()


def _shape(trace: LayerTrace) -> tuple[tuple[int, ...] | None, tuple[int, ...]]:
    """Of its factors at one point, and of one head."""
    return None if trace.inputs is None else trace.inputs.shape[1:], trace.deltas.shape[2:]
