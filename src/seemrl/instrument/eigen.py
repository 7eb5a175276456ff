"""Eigenvalues and eigenvectors of matrices that fit, by LAPACK; the top of a symmetric operator, by Lanczos."""

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Complex, Float, Inexact

_SEED = 3
_LONGEST_LANCZOS = 200


def eigenvalues(matrix: Float[np.ndarray, "n n"]) -> Complex[np.ndarray, " n"]:
    """All eigenvalues by falling real part."""
    found: Any = np.linalg.eigvals(matrix)
    return by_falling_real_part(found.astype(complex))


def by_falling_real_part(values: Inexact[np.ndarray, " n"]) -> Inexact[np.ndarray, " n"]:
    """The rightmost first."""
    return values[np.argsort(-np.real(values), kind="stable")]


def eigenvectors(matrix: Inexact[np.ndarray, "n n"], value: complex) -> tuple[np.ndarray, np.ndarray]:
    """Right and left eigenvector of a known eigenvalue, by inverse iteration with one inverse."""
    inverse = np.linalg.inv(_beside(matrix, value))
    right = left = unit(np.random.default_rng(_SEED).standard_normal(len(matrix)))
    for _ in range(3):
        right, left = unit(inverse @ right), unit(inverse.conj().T @ left)
    return right, left


def refined(
    singular: Inexact[np.ndarray, "n n"], right: Inexact[np.ndarray, " n"], left: Inexact[np.ndarray, " n"]
) -> tuple[np.ndarray, np.ndarray]:
    """Both null vectors of a matrix that is nearly singular, from vectors near them: one step of inverse iteration."""
    near = _beside(singular, 0j)
    return unit(np.linalg.solve(near, right)), unit(np.linalg.solve(near.conj().T, left))


def _beside(matrix: Inexact[np.ndarray, "n n"], value: complex) -> Inexact[np.ndarray, "n n"]:
    """The matrix less a number next to its eigenvalue, so that the inverse exists."""
    size = len(matrix)
    scale = max(float(np.abs(matrix).max(initial=0.0)), abs(value))
    scale = scale if scale > 1e-100 else 1.0  # every vector is an eigenvector of zeros
    shift = value + 1e-13 * scale * size
    return matrix - (shift if value.imag else shift.real) * np.eye(size)


def unit(vector: Inexact[np.ndarray, " n"]) -> Inexact[np.ndarray, " n"]:
    """Of length one."""
    return vector / np.linalg.norm(vector)


def lanczos_top(product: Callable[[np.ndarray], np.ndarray], start: np.ndarray, tolerance: float) -> float:
    """The largest eigenvalue of a symmetric operator by Lanczos with full orthogonalisation.

    Some eigenvalue lies within the residual of the largest Ritz value; once that is below the tolerance, their sum is
    returned.
    """
    basis = unit(start)[:, None]
    diagonal: list[float] = []
    beside: list[float] = []
    for step in range(min(len(start), _LONGEST_LANCZOS)):
        rest = product(basis[:, -1])
        diagonal.append(float(rest @ basis[:, -1]))
        for _ in range(2):
            rest = rest - basis @ (basis.T @ rest)
        beside.append(float(np.linalg.norm(rest)))
        if step % 3 == 2 or beside[-1] == 0.0:
            top, left = _largest_ritz(diagonal, beside)
            if left <= tolerance:
                return top + left
        basis = np.hstack([basis, (rest / beside[-1])[:, None]])
    top, left = _largest_ritz(diagonal, beside)
    return top + left


def _largest_ritz(diagonal: list[float], beside: list[float]) -> tuple[float, float]:
    """The largest eigenvalue of a tridiagonal matrix, and its residual in the operator it stands for."""
    off = np.diag(beside[:-1], 1)
    values, vectors = np.linalg.eigh(np.diag(diagonal) + off + off.T)
    return float(values[-1]), abs(beside[-1] * float(vectors[-1, -1]))
