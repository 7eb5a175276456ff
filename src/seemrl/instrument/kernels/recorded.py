"""From what a recorded layer leaves behind, its input and its backpropagated gradients, to gradients of its parameters.

With d = df/dz for one sample, a linear layer's weight has the gradient x (x) d. Of normalised weights it follows from
that of the weights W' in use, G = x (x) d:

    W' = size_j v_j / |v_j|:    dv_j = size_j / |v_j| (G_j - e_j (e_j . G_j)),  dsize_j = e_j . G_j,  e_j = v_j / |v_j|
    W' = W / sigma:             dW = G / sigma - <G, W> / sigma^2 left (x) right, which is a sum of two outer products
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from seemrl.instrument.kernels.recording import LayerKind


class Part(NamedTuple):
    """Gradients of some of a layer's parameters.

    Attributes:
        parameters: which, among the layer's own; those of one part are stacked.
        inputs, deltas: as in `seemrl.instrument.kernels.traces.LayerTrace`.
    """

    parameters: slice
    inputs: Float[np.ndarray, "points positions inputs"] | None
    deltas: Float[np.ndarray, "heads points positions outputs"]


def layer_parts(kind: LayerKind, parameters: Sequence[np.ndarray], inputs: Any, deltas: np.ndarray) -> Iterator[Part]:
    """The gradients of one recorded layer.

    Args:
        kind: which formula it follows.
        parameters: its own, in the order it records them in.
        inputs: what it recorded as its input; an array (points, inputs), or what the kind says.
        deltas: (heads, points, 1, outputs).
    """
    if kind == "linear":
        factors = inputs if len(parameters) == 1 else _with(inputs, 1.0)
        yield Part(slice(None), factors[:, None], deltas)
    elif kind == "spectral_norm":
        yield _of_spectral_norm(parameters[0], inputs, deltas)
    elif kind == "weight_norm":
        yield from _of_weight_norm(parameters, inputs, deltas)
    else:
        yield Part(slice(0, 1), None, deltas * inputs[None, :, None])
        if len(parameters) > 1:
            yield Part(slice(1, 2), None, deltas)


def _with(inputs: np.ndarray, last: float) -> np.ndarray:
    """The inputs with another column, which stands for the bias."""
    return np.concatenate([inputs, np.full_like(inputs[:, :1], last)], axis=1)


def _of_spectral_norm(weight: np.ndarray, noted: tuple[np.ndarray, ...], deltas: np.ndarray) -> Part:
    inputs, left, right, sigma = noted
    along = np.einsum("po,hpto->hpt", inputs @ weight, deltas) / sigma**2  # <G, W> / sigma^2
    sides = np.stack([_with(inputs / sigma, 1.0), _with(np.tile(left, (len(inputs), 1)), 0.0)], axis=1)
    return Part(slice(None), sides, np.concatenate([deltas, -along[..., None] * right], axis=2))


def _of_weight_norm(parameters: Sequence[np.ndarray], inputs: np.ndarray, deltas: np.ndarray) -> Iterator[Part]:
    direction, size, _ = parameters
    lengths = np.linalg.norm(direction, axis=0)
    units = direction / lengths
    turned = inputs @ units
    scaled = deltas * (size / lengths)
    radial = scaled * turned[None, :, None]
    gradients = inputs[None, :, :, None] * scaled - units * radial
    yield Part(slice(0, 1), None, gradients.reshape(*deltas.shape[:3], -1))
    yield Part(slice(1, 2), None, deltas * turned[None, :, None])
    yield Part(slice(2, 3), None, deltas)
