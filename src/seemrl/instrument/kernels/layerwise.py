"""Blocks of the neural tangent kernel, layer by layer, without forming a per-sample gradient.

For a layer z = a W + b with input a_i and backpropagated gradient d_i = df(x_i)/dz_i, the gradient of sample i is the
outer product (a_i, 1) (x) d_i, so the layer adds (A_x A_y^T + 1) * (D_x D_y^T) to the kernel block between the points x
and y. Where products of the gradients themselves are cheaper - one output, a convolution, a scale and shift - or where
every entry has a weight of its own - a preconditioner - the gradients are written out, a slice at a time.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from seemrl.instrument.kernels.traces import LayerTrace

_SLICE_BYTES = 8 * 2**20  # of gradients written out at a time
_TILE = 256  # rows of a block computed at a time: its two factors stay in the cache

Shares = Float[np.ndarray, "sets heads draws rows"]
"""d target_i / d f_h(x*_i, draw): gamma (1 - d_i), times the head's part in the target, over the number of draws; one
set of targets for all heads, or one for each."""


class KernelBlocks(NamedTuple):
    """The two kernels that the dynamics are made of; values are those of all heads, head after head.

    Attributes:
        cross: gradients of the targets, set after set, against those of the values.
        gram: G(X, X): gradients of the values against those of the values.
    """

    cross: Float[np.ndarray, "targets values"]
    gram: Float[np.ndarray, "values values"]


def kernel_blocks(
    traces: Iterable[LayerTrace],
    shares: Shares,
    preconditioner: Sequence[np.ndarray] | None = None,
    precision: type = np.float64,
) -> KernelBlocks:
    """The kernels, summed over layers.

    Args:
        traces: one per layer, at the rows' own points and then at those of each draw of the targets; consumed once.
        shares: what the targets are made of; heads beyond those named here are left out.
        preconditioner: diagonal weights of the parameters, none negative, an array per leaf; None for the identity.
        precision: of the products.
    """
    sets, heads, _, rows = shares.shape
    values_count = heads * rows
    blocks = KernelBlocks(*(np.zeros((count, values_count), precision) for count in (sets * rows, values_count)))
    for trace in traces:
        values, targets = values_and_targets(trace, shares)
        if not values.heads:  # none of those that are used
            continue
        if preconditioner is None and values.inputs is not None:
            _add_factored(blocks, values, targets)
        else:
            weights = None if preconditioner is None else trace.pick(preconditioner).astype(precision)
            _add_gradients(blocks, values, targets, weights)
    for start in (head * rows + tile for head in range(heads) for tile in range(0, rows, _TILE)):
        end = min(start + _TILE, (start // rows + 1) * rows)
        blocks.gram[start:end, end:] = blocks.gram[end:, start:end].T  # only the lower half was computed
    return blocks


def values_and_targets(trace: LayerTrace, shares: Shares) -> tuple[LayerTrace, LayerTrace]:
    """One trace of the rows' values, per head, and one of their targets, per set: positions of all draws, weighed."""
    sets, used, draws, rows = shares.shape
    heads = [head for head in trace.heads if head < used]
    deltas = trace.deltas[: len(heads)]
    values = replace(
        trace,
        heads=tuple(heads),
        inputs=None if trace.inputs is None else trace.inputs[:rows],
        deltas=deltas[:, :rows],
    )
    by_draw = deltas[:, rows:].reshape(len(heads), draws, rows, *deltas.shape[2:])
    moving = tuple(number for number in range(sets) if shares[number, heads].any())
    weighed = [_weighed(shares[number, heads], by_draw) for number in moving]
    if trace.inputs is None:
        found, inputs = [own.sum(axis=0) for own in weighed], None
    else:
        found = [_positions(own) for own in weighed]
        inputs = _positions(trace.inputs[rows:].reshape(draws, rows, *trace.inputs.shape[1:]))
    positions = deltas.shape[2] if inputs is None else inputs.shape[1]
    none = np.zeros((0, rows, positions, deltas.shape[3]), deltas.dtype)
    targets = found[0][None] if len(found) == 1 else np.stack(found) if found else none
    return values, replace(values, heads=moving, inputs=inputs, deltas=targets)


def _weighed(shares: np.ndarray, by_draw: np.ndarray) -> np.ndarray:
    """Sum over heads, for each draw."""
    given = shares.any(axis=(1, 2))
    if not given.all():
        shares, by_draw = shares[given], by_draw[given]
    return np.einsum("hdn,hdnto->dnto", shares.astype(by_draw.dtype), by_draw)


def _positions(by_draw: np.ndarray) -> np.ndarray:
    """(draws, rows, positions, size) -> (rows, draws * positions, size)."""
    draws, rows, positions, size = by_draw.shape
    return by_draw[0] if draws == 1 else by_draw.transpose(1, 0, 2, 3).reshape(rows, draws * positions, size)


def _add_factored(blocks: KernelBlocks, values: LayerTrace, targets: LayerTrace) -> None:
    assert values.inputs is not None and targets.inputs is not None
    rows = values.points
    for g, column in enumerate(values.heads):
        columns = slice(column * rows, (column + 1) * rows)
        right = values.inputs, values.deltas[g]
        for h, row in enumerate(values.heads):
            if h >= g:
                block = blocks.gram[row * rows : (row + 1) * rows, columns]
                _add_pairs(block, (values.inputs, values.deltas[h]), right, lower=h == g)
        for number, deltas in zip(targets.heads, targets.deltas, strict=True):
            block = blocks.cross[number * rows : (number + 1) * rows, columns]
            _add_pairs(block, (targets.inputs, deltas), right)


_Factors = tuple[np.ndarray, np.ndarray]
"""Inputs and deltas, (rows, positions, size) each."""


def _add_pairs(block: np.ndarray, left: _Factors, right: _Factors, lower: bool = False) -> None:
    """Add sums over pairs of positions of (A_x A_y^T) * (D_x D_y^T); ``lower``: the lower triangle's tiles alone."""
    for t in range(left[0].shape[1]):
        moved = _moved(left[1][:, t])
        a_x, d_x = (factor[moved, t] for factor in left)
        for s in range(right[0].shape[1]):
            a_y, d_y = np.ascontiguousarray(right[0][:, s]), np.ascontiguousarray(right[1][:, s])
            for tile, rows, end in _tiles(moved, len(a_x), lower, len(a_y)):
                product = a_x[tile] @ a_y[:end].T
                product *= d_x[tile] @ d_y[:end].T
                block[rows, :end] += product


def _add_gradients(blocks: KernelBlocks, values: LayerTrace, targets: LayerTrace, weights: np.ndarray | None) -> None:
    rows = values.points
    sets: list[tuple[slice, slice | np.ndarray, LayerTrace]] = []
    for number, deltas in zip(targets.heads, targets.deltas, strict=True):
        moved, one = _moved(deltas), replace(targets, heads=(number,), deltas=deltas[None])
        sets.append((slice(number * rows, (number + 1) * rows), moved, one.at(moved)))
    roots = None if weights is None else np.sqrt(weights)  # on both sides: half a product is enough for a symmetric one
    for part in _slices(values):
        gradients = _weighted(values, part, roots)
        of_targets = [(own, moved, _weighted(trace, part, roots)[0]) for own, moved, trace in sets]
        for g, column in enumerate(values.heads):
            columns = slice(column * rows, (column + 1) * rows)
            for own, moved, target in of_targets:
                _add_product(blocks.cross[own, columns], target, gradients[g], moved)
            for h, row in enumerate(values.heads):
                if h >= g:
                    block = blocks.gram[row * rows : (row + 1) * rows, columns]
                    _add_product(block, gradients[h], gradients[g], slice(None), lower=h == g)


def _weighted(trace: LayerTrace, part: slice, roots: np.ndarray | None) -> np.ndarray:
    """Gradients written out, (heads, points, parameters), times the roots of their weights."""
    gradients = trace.gradients(part)
    if roots is None:
        return gradients
    own = None if trace.inputs is None else gradients  # which was made just now
    return np.multiply(gradients, roots[part].ravel(), out=own)


def _add_product(
    block: np.ndarray, left: np.ndarray, right: np.ndarray, moved: slice | np.ndarray, lower: bool = False
) -> None:
    """Add left times right transposed to the rows of the block that ``left`` is about."""
    for tile, rows, end in _tiles(moved, len(left), lower, len(right)):
        block[rows, :end] += left[tile] @ right[:end].T


def _moved(deltas: np.ndarray) -> slice | np.ndarray:
    """The points with a gradient: all, mostly, but a target moves only the head that gives it."""
    moves = deltas.reshape(len(deltas), -1).any(axis=1)
    return slice(None) if moves.all() else np.flatnonzero(moves)


def _tiles(
    moved: slice | np.ndarray, count: int, lower: bool, columns: int
) -> Iterator[tuple[slice, slice | np.ndarray, int]]:
    """Some of the points that move at a time, their rows, and how many columns of those rows are wanted."""
    for start in range(0, count, _TILE):
        tile = slice(start, start + _TILE)
        if isinstance(moved, slice):
            yield tile, tile, min(start + _TILE, columns) if lower else columns
        else:
            yield tile, moved[tile], columns


def _slices(values: LayerTrace) -> Iterator[slice]:
    """Parts of the inputs (or of the gradients, where they are written out already) to take at a time."""
    if values.inputs is None:
        yield slice(None)
        return
    inputs, outputs = values.inputs.shape[-1], values.deltas.shape[-1]
    column = values.deltas.itemsize * outputs * (len(values.heads) + 1) * values.points
    width = max(1, _SLICE_BYTES // column)
    for start in range(0, inputs, width):
        yield slice(start, start + width)
