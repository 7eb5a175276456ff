"""Standard errors of a reading: it is taken on some rows, and on others it would have come out differently.

Two estimates of the same thing, by how a number changes with the rows it is read on:

* the **jackknife**, from the change when one row is left out altogether. To first order in the pole that belongs to the
  eigenvalue, all rows' changes follow from one inverse (`left_out_changes`);
* the **infinitesimal jackknife**, from the derivative by the weight of each row's gradient, which needs eigenvectors
  alone. It holds for a mode that grows as fast as its kernels are large. A slow one - near zero, or under target
  averaging - hardly depends on weights, only on which rows there are, and there it is far too small.
"""

import numpy as np
from jaxtyping import Float


def left_out_changes(
    singular: np.ndarray, derivative: np.ndarray, rows: int, vectors: tuple[np.ndarray, np.ndarray]
) -> Float[np.ndarray, " rows"] | None:
    """Change of the real part of an eigenvalue z when each row is left out; None where its vectors are of no use.

    With N(z) v = 0 and l^T N(z) = 0, the inverse of N has the pole v l^T / c at z, c = l^T N' v, and a regular part R;
    leaving out the values J of a row moves the pole by -l_J^T R_JJ^-1 v_J / c, to first order.

    Args:
        singular: N at the eigenvalue, (heads * rows) square, heads in order.
        derivative: dN/dz there.
        rows: how many.
        vectors: right and left, N v = 0 and l^H N = 0.
    """
    right, left = vectors[0], vectors[1].conj()
    forward, backward = derivative @ right, left @ derivative
    slope = left @ forward
    with np.errstate(all="ignore"):
        try:
            regular = np.linalg.inv(singular + np.outer(forward, backward) / slope) - np.outer(right, left) / slope
            heads = len(singular) // rows
            own = np.einsum("hrgr->rhg", regular.reshape(heads, rows, heads, rows))
            solved = np.linalg.solve(own, right.reshape(heads, rows).T[:, :, None])[:, :, 0]
        except np.linalg.LinAlgError:
            return None
        changes = np.real(-np.sum(left.reshape(heads, rows).T * solved, axis=1) / slope)
    return changes if np.isfinite(changes).all() else None


def left_out_error(changes: Float[np.ndarray, " rows"] | None, population: int | None) -> float | None:
    """Standard error from the change of a number when each row is left out.

    Args:
        changes: one for each row, or None.
        population: rows sampled from, without replacement; None for many.
    """
    if changes is None or len(changes) < 2:
        return None
    rows = len(changes)
    return float(np.sqrt(_left_to_draw(rows, population) * (rows - 1) / rows * np.sum((changes - changes.mean()) ** 2)))


def influence_error(influence: Float[np.ndarray, " n"] | None, rows: int, population: int | None) -> float | None:
    """Standard error from the change of a number with the weight of each value: (heads * rows), heads in order.

    Args:
        influence: derivative by each weight, or None.
        rows: sampled.
        population: rows sampled from, without replacement; None for many.
    """
    if influence is None or rows < 2:
        return None
    by_row = influence.reshape(-1, rows).sum(axis=0)
    return float(np.sqrt(_left_to_draw(rows, population) * rows / (rows - 1) * np.sum((by_row - by_row.mean()) ** 2)))


def _left_to_draw(rows: int, population: int | None) -> float:
    return 1.0 if population is None else max(0.0, 1 - rows / population)
