"""Blocks of the neural tangent kernel, layer by layer, without ever forming a per-sample gradient.

For a layer z = a W + b with input a_i and backpropagated gradient d_i = df(x_i)/dz_i, the gradient of sample i is the
outer product a_i (x) d_i, so the layer adds (A_x A_y^T + 1) * (D_x D_y^T) to the kernel block between the points x and
y. A scale-and-shift layer z = a * s + t adds (A*D)_x (A*D)_y^T + D_x D_y^T. Whatever fits neither adds the product of
its per-sample gradients. A diagonal preconditioner P (Adam's 1 / (sqrt(v) + eps)) breaks the factorisation: those
blocks are sums over slices of the materialised, weighted gradients.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float

_SLICE_BYTES = 8 * 2**20  # of weighted gradients held at a time


@dataclass(frozen=True)
class LayerTrace:
    """What one layer contributes to the kernel.

    Attributes:
        kind: "linear", "scale_shift", or "gradients" (``deltas`` are the per-sample gradients, ``inputs`` unused).
        inputs: the layer's input at each point.
        deltas: d f_h(point) / d output, for each head h.
        preconditioner: diagonal weights of the first parameter (W, s, or the gradients) and of the second (b, t).
    """

    kind: Literal["linear", "scale_shift", "gradients"]
    inputs: Float[np.ndarray, "points inputs"]
    deltas: Float[np.ndarray, "heads points outputs"]
    preconditioner: tuple[np.ndarray, np.ndarray] | None = None


def kernel_blocks(
    traces: Iterable[LayerTrace],
    rows: slice,
    columns: slice,
    heads: int,
    needed: Bool[np.ndarray, "heads points"] | None = None,
) -> Float[np.ndarray, "heads heads rows columns"]:
    """Kernel blocks K[h, g] = J_h(rows) P J_g(columns)^T, summed over layers; P is the identity by default.

    Args:
        traces: one per layer; consumed once, so a generator keeps only one layer in memory.
        rows: which points stand along the rows.
        columns: which points stand along the columns.
        heads: how many leading heads to use.
        needed: which points' rows are wanted of each head, all by default; the others stay zero. Of clipped double-Q's
            targets each head gives only those where it is the smaller one.
    """
    blocks: np.ndarray | None = None
    for trace in traces:
        points = np.arange(trace.deltas.shape[1])
        if blocks is None:
            blocks = np.zeros((heads, heads, points[rows].size, points[columns].size))
        touched = [bool(np.any(trace.deltas[head])) for head in range(heads)]
        for h in range(heads):
            for g in range(heads):
                if touched[h] and touched[g]:
                    wanted = slice(None) if needed is None else needed[h, rows]
                    blocks[h, g, wanted] += _block(trace, h, points[rows][wanted], g, columns)
    if blocks is None:
        raise ValueError("no layer was traced")
    return blocks


def _block(trace: LayerTrace, h: int, rows: np.ndarray, g: int, columns: slice) -> np.ndarray:
    d_x, d_y = trace.deltas[h, rows], trace.deltas[g, columns]
    if trace.kind == "gradients":
        weight = 1.0 if trace.preconditioner is None else trace.preconditioner[0].ravel()
        return (d_x * weight) @ d_y.T
    a_x, a_y = trace.inputs[rows], trace.inputs[columns]
    if trace.kind == "scale_shift":
        scale, shift = trace.preconditioner or (1.0, 1.0)
        return (a_x * d_x * scale) @ (a_y * d_y).T + (d_x * shift) @ d_y.T
    if trace.preconditioner is None:
        return (a_x @ a_y.T + 1) * (d_x @ d_y.T)
    return _weighted_linear_block(a_x, d_x, a_y, d_y, *trace.preconditioner)


def _weighted_linear_block(
    a_x: np.ndarray, d_x: np.ndarray, a_y: np.ndarray, d_y: np.ndarray, weight: np.ndarray, bias: np.ndarray
) -> np.ndarray:
    """Sum over weights (k, l) of P_kl a_ik d_il a_jk d_jl, plus the bias; a slice of inputs k at a time."""
    block = (d_x * bias) @ d_y.T
    inputs, outputs = weight.shape
    width = max(1, _SLICE_BYTES // (8 * (len(a_x) + len(a_y)) * outputs))
    for start in range(0, inputs, width):
        part = slice(start, start + width)
        left = a_x[:, part, None] * d_x[:, None, :]
        right = d_y[:, None, :] * weight[None, part]
        right *= a_y[:, part, None]
        block += left.reshape(len(a_x), -1) @ right.reshape(len(a_y), -1).T
    return block
