"""Eigenvalues of a real, non-symmetric, nearly singular matrix, with a stated residual.

The self-excitation matrix is far from normal and its eigenvalues cluster at zero, where restarted Arnoldi stalls. It
is also numerically of low rank. So it is compressed onto its dominant range by a seeded randomised range finder
(Halko, Martinsson & Tropp, 2011): with Q orthonormal, the eigenvalues of Q^T A Q are, zeros aside, exactly those of
Q Q^T A, a matrix at distance ||A - Q Q^T A|| from A. That distance is the residual. Where it stays above the wanted
accuracy, LAPACK solves the whole matrix.
"""

from dataclasses import dataclass

import numpy as np
import scipy.linalg
from jaxtyping import Complex, Float

_SEED = 0
_SMALL = 600  # rows up to which LAPACK on the whole matrix is the quickest way
_POWER_STEPS = 1


@dataclass(frozen=True)
class Spectrum:
    """Eigenvalues by falling real part.

    Attributes:
        eigenvalues: all of them, or those of the compressed matrix (the others are zero to the residual's accuracy).
        residual: backward error, relative to the matrix's Frobenius norm: the eigenvalues are exactly those of a
            matrix this near.
    """

    eigenvalues: Complex[np.ndarray, " eigenvalues"]
    residual: float

    @property
    def rightmost(self) -> float:
        """The largest real part."""
        return float(self.eigenvalues[0].real)


def range_basis(
    matrices: list[Float[np.ndarray, "n n"]], accuracy: float
) -> tuple[Float[np.ndarray, "n rank"] | None, float]:
    """An orthonormal basis that holds every matrix's range to ``accuracy`` (relative, Frobenius), and the residual.

    The basis is None where compression does not pay: small matrices, or a rank near the full one.
    """
    size = len(matrices[0])
    rank = 64
    while size > _SMALL and rank <= size // 3:
        basis = np.hstack([_range_of(matrix, rank // len(matrices)) for matrix in matrices])
        basis, _ = scipy.linalg.qr(basis, mode="economic", check_finite=False)
        residual = max(_distance(matrix, basis) for matrix in matrices)
        if residual <= accuracy:
            return basis, residual
        rank *= 2
    return None, 0.0


def spectrum(matrix: Float[np.ndarray, "n n"], accuracy: float = 1e-4) -> Spectrum:
    """Eigenvalues of a finite real matrix.

    Args:
        matrix: square, finite.
        accuracy: largest residual at which the compressed answer is accepted.
    """
    scale = np.abs(matrix).max(initial=0.0)
    if scale == 0.0:
        return Spectrum(np.zeros(1, complex), 0.0)
    scaled = matrix / scale
    basis, residual = range_basis([scaled], accuracy)
    if basis is None:
        solved = scipy.linalg.eig(scaled, check_finite=False)
        values, vectors = np.asarray(solved[0]), np.asarray(solved[1])
        first = int(np.argmax(np.real(values)))
        error = scaled @ vectors[:, first] - values[first] * vectors[:, first]
        residual = float(np.linalg.norm(error) / np.linalg.norm(scaled))
    else:
        values = scipy.linalg.eigvals(basis.T @ (scaled @ basis), check_finite=False)
        values = np.append(values, 0.0)  # what the compression left out
    order = np.argsort(-np.real(values), kind="stable")
    return Spectrum(values[order] * scale, residual)


def numerical_abscissa(matrix: Float[np.ndarray, "n n"]) -> float:
    """The largest eigenvalue of (A + A^T)/2: above zero, errors can grow for a while even where SEEM is negative."""
    size = len(matrix)
    scale = np.abs(matrix).max(initial=0.0)
    if scale == 0.0:
        return 0.0
    symmetric = (matrix + matrix.T) / (2 * scale)
    top = scipy.linalg.eigh(symmetric, eigvals_only=True, subset_by_index=[size - 1, size - 1], check_finite=False)
    return float(top[0] * scale)


def _range_of(matrix: np.ndarray, rank: int) -> np.ndarray:
    start = np.random.default_rng(_SEED).standard_normal((len(matrix), rank))
    basis = matrix @ start
    for _ in range(_POWER_STEPS):
        basis, _ = scipy.linalg.qr(basis, mode="economic", check_finite=False)
        basis = matrix @ (matrix.T @ basis)
    return basis


def _distance(matrix: np.ndarray, basis: np.ndarray) -> float:
    norm = np.linalg.norm(matrix)
    return float(np.linalg.norm(matrix - basis @ (basis.T @ matrix)) / norm) if norm > 0 else 0.0
