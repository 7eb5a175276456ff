"""Eigenvalues of a real, non-symmetric, nearly singular operator, with a certificate.

The self-excitation matrix is far from normal and its eigenvalues cluster at zero, where restarted Arnoldi stalls. Small
matrices go to LAPACK. Larger ones, and operators known by their products alone, are restricted to a dominant subspace
Q: with T = Q^T A Q and P = I - Q Q^T, the eigenvalues of T and those of P A P are together exactly those of A + E with
||E|| = ||P A Q||; and no eigenvalue of P A P lies further right than the largest eigenvalue of its symmetric part. So
the rightmost eigenvalue of T is the answer as soon as

    ||A x - lambda x||   (its own backward error),
    max eig P (A + A^T)/2 P - max(lambda, 0)   (room for another one further right) and
    ||P A Q|| / 5   (how far from invariant the subspace is)

are all below the accuracy wanted, relative to ||A||_F. The subspace grows until they are; it is spanned by a seeded
block Golub-Kahan iteration, whose vectors catch what is large in A and in A^T alike. An eigenvalue that stands clear of
what leaks out is sharpened by what its own vector leaves over, A x - lambda x, as one more vector of the basis.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Complex, Float

from seemrl.errors import InputError
from seemrl.instrument.eigen import by_falling_real_part, eigenvalues, eigenvectors, lanczos_top
from seemrl.instrument.subspace import Columns, LinearMap, Matrix, Norms, Subspace, estimated_norms, exact_norms

__all__ = [
    "LARGEST_BASIS",
    "LARGEST_DENSE",
    "Columns",
    "LinearMap",
    "Matrix",
    "Spectrum",
    "Subspace",
    "eigenvalues",
    "eigenvectors",
    "scaled_back",
    "spectrum",
]

LARGEST_DENSE = 600
"""Rows up to which LAPACK on the whole matrix is the quickest way, and rows can be left out one by one."""
LARGEST_BASIS = 1024
"""Vectors that an operator known by its products may take."""

_BLOCK = 32  # columns by which the basis of a matrix grows; small ones follow better what is large
_FIRST, _SHARE = 64, 1.25  # columns at which it is looked at first, and times as many at each next look
_SHARPENINGS, _SHARP = 4, 1e-3  # vectors that may be added for the rightmost pair, until this share of the accuracy
_INVARIANCE = 5.0  # times the accuracy
_SEED = 2


@dataclass(frozen=True)
class Spectrum:
    """Eigenvalues by falling real part.

    Attributes:
        eigenvalues: all of them, or those on the dominant subspace, and zero for the rest.
        residual: how sure the rightmost one is, relative to ``norm``: the larger of its backward error and of the room
            that is left for another one further right.
        norm: the Frobenius norm.
        numerical_abscissa: largest eigenvalue of (A + A^T)/2: above zero, errors can grow for a while even where every
            eigenvalue is negative.
        influence: change of the rightmost eigenvalue with the weight of each column; None where it has no vectors.
        spread: half the squared norm of each row and column of A together.
        vectors: right and left eigenvector of the rightmost one, where the whole matrix was solved.
    """

    eigenvalues: Complex[np.ndarray, " eigenvalues"]
    residual: float
    norm: float
    numerical_abscissa: float
    influence: Float[np.ndarray, " n"] | None
    spread: Float[np.ndarray, " n"]
    vectors: tuple[np.ndarray, np.ndarray] | None = None

    @property
    def rightmost(self) -> float:
        """The largest real part."""
        return float(self.eigenvalues[0].real)


def spectrum(operator: Float[np.ndarray, "n n"] | LinearMap, accuracy: float = 2e-3) -> Spectrum:
    """Eigenvalues of a finite real matrix, or of an operator known by its products.

    Args:
        operator: a square matrix, or an operator.
        accuracy: largest residual at which the answer from a subspace is accepted.

    Raises:
        InputError: an operator known by its products alone does not get there with 1,024 vectors, or the accuracy is
            no number from zero on.
    """
    if not accuracy >= 0:
        raise InputError(f"accuracy: {accuracy} is not 0 or more; give the largest residual, relative to the norm of A")
    if not isinstance(operator, np.ndarray):
        found = _on_subspace(operator, accuracy, LARGEST_BASIS)
        if found is None:
            raise InputError(
                f"accuracy: {accuracy} is out of reach with {LARGEST_BASIS} vectors; measure fewer rows, allow more "
                "memory, or accept a larger accuracy"
            )
        return found
    scale = max(float(operator.max(initial=0.0)), -float(operator.min(initial=0.0)))
    if scale == 0.0:
        return Spectrum(np.zeros(1, complex), 0.0, 0.0, 0.0, None, np.zeros(len(operator)))
    if operator.dtype != np.float64:  # those come scaled
        scale = 1.0
    scaled = operator if scale == 1.0 else operator / scale
    found = _on_subspace(Matrix(scaled), accuracy, len(scaled) // 3) if len(scaled) > LARGEST_DENSE else None
    return scaled_back(_dense(scaled.astype(np.float64, copy=False)) if found is None else found, scale)


def scaled_back(found: Spectrum, scale: float) -> Spectrum:
    """The spectrum of an operator ``scale`` times as large."""
    with np.errstate(over="ignore", invalid="ignore"):  # of a scale that is not finite nothing is
        return Spectrum(
            found.eigenvalues * scale,
            found.residual,
            found.norm * scale,
            found.numerical_abscissa * scale,
            None if found.influence is None else found.influence * scale,
            found.spread * scale * scale,
            found.vectors,
        )


# ------------------------------------------------------------------------------------------------------ on a subspace


def _on_subspace(operator: LinearMap, accuracy: float, largest: int) -> Spectrum | None:
    """The spectrum from a dominant subspace, or None where that takes more than ``largest`` vectors."""
    whole = isinstance(operator, Matrix)
    space = Subspace(operator, _BLOCK) if whole else Subspace(operator)
    exact = exact_norms(operator.matrix) if whole else None
    largest = min(largest, operator.size)
    while (size := space.basis.shape[1]) < largest:
        while space.basis.shape[1] < min(max(_FIRST, _SHARE * size), largest):
            space.grow()
        found = _certified(space, estimated_norms(space) if exact is None else exact, accuracy)
        if found is not None:
            return found
    return None


def _certified(space: Subspace, norms: Norms, accuracy: float) -> Spectrum | None:
    """The spectrum on a subspace, if what it leaves out is small enough; sharpens the rightmost pair where it can."""
    norm, spread = norms
    if norm == 0.0:
        return Spectrum(np.zeros(1, complex), 0.0, 0.0, 0.0, None, spread)
    found = _sharpened(space, _INVARIANCE * accuracy * norm, _SHARP * accuracy * norm)
    if found is None or found.residual > accuracy * norm:
        return None
    room = _room(space, norm, accuracy, found.rightmost.real)
    if room > accuracy * norm:
        return None
    values = found.values
    if not space.full:
        values = by_falling_real_part(np.append(values, 0.0))  # the rest: no further right than the residual says
    symmetric = np.linalg.eigh((found.small + found.small.T) / 2)[1][:, -1]
    abscissa = _symmetric_top(space.operator, space.basis[:, :0], space.basis @ symmetric, accuracy * norm / 4)
    influence = found.influence if values[0] != 0 else None
    return Spectrum(values, max(found.residual, room) / norm, norm, abscissa, influence, spread)


def _sharpened(space: Subspace, leak: float, residual: float) -> "_Restriction | None":
    """An operator on its subspace and on a few vectors more, for its rightmost pair; None where more leaks out."""
    found = _Restriction.of(space)
    for _ in range(_SHARPENINGS):
        if found.leak > leak or not found.clear or space.full or found.residual <= residual:
            break
        rest = found.rest
        space.extend(np.stack([np.real(rest), np.imag(rest)], axis=1) if np.iscomplexobj(rest) else rest[:, None])
        found = _Restriction.of(space)
    return None if found.leak > leak else found


def _room(space: Subspace, norm: float, accuracy: float, rightmost: float) -> float:
    """How much further right than the eigenvalue found (and zero) one of P A P can lie."""
    found = max(rightmost, 0.0)
    left_out = max(norm**2 - float(np.linalg.norm(space.rows)) ** 2, 0.0) ** 0.5  # ||P A||_F bounds it
    if left_out <= found:
        return 0.0
    start = np.random.default_rng(_SEED).standard_normal(space.operator.size)
    return _symmetric_top(space.operator, space.basis, start, accuracy * norm / 2) - found


@dataclass(frozen=True)
class _Restriction:
    """An operator on a subspace.

    Attributes:
        space: spanned by Q.
        small: T = Q^T A Q.
        leak: ||P A Q||.
        values: eigenvalues of T.
        right: eigenvector of the rightmost one.
        left: likewise.
        rest: A x - lambda x for that pair.
    """

    space: Subspace
    small: np.ndarray
    leak: float
    values: np.ndarray
    right: np.ndarray
    left: np.ndarray
    rest: np.ndarray

    @classmethod
    def of(cls, space: Subspace) -> "_Restriction":
        """The operator of a subspace, restricted to it."""
        small = space.rows @ space.basis
        outside = space.moved - space.basis @ small
        leak = max(float(np.linalg.eigvalsh(outside.T @ outside)[-1]), 0.0) ** 0.5
        values = eigenvalues(small)
        right, left = eigenvectors(small, complex(values[0]))
        return cls(space, small, leak, values, right, left, outside @ right)

    @property
    def rightmost(self) -> complex:
        """The eigenvalue furthest right."""
        return complex(self.values[0])

    @property
    def residual(self) -> float:
        """Its backward error."""
        return float(np.linalg.norm(self.rest))

    @property
    def clear(self) -> bool:
        """Whether it stands clear of what leaks out."""
        return abs(self.rightmost) > self.leak

    @property
    def influence(self) -> Float[np.ndarray, " n"] | None:
        """How it changes with the weight of each column; where it stands clear, with both vectors a power step on."""
        pulled = self.left.conj() @ self.space.rows  # y^H A, which is y^H up to a factor
        if self.clear:
            moved = self.space.moved @ self.right
            factor = self.rightmost / (pulled @ moved)
        else:
            moved, factor = self.space.basis @ self.right, 1 / np.vdot(self.left, self.right)
        return _finite(np.real(factor * pulled * moved))


def _finite(values: np.ndarray) -> np.ndarray | None:
    return values if np.isfinite(values).all() else None


def _symmetric_top(operator: LinearMap, basis: Columns, start: np.ndarray, tolerance: float) -> float:
    """The largest eigenvalue of P (A + A^T)/2 P, P projecting off the basis; an upper estimate, to the tolerance."""

    def product(vector: np.ndarray) -> np.ndarray:
        column = vector[:, None] - basis @ (basis.T @ vector[:, None])
        moved = np.asarray(operator.times(column), np.float64) + operator.transposed(column)
        return (moved - basis @ (basis.T @ moved))[:, 0] / 2

    return lanczos_top(product, start, tolerance)


# ------------------------------------------------------------------------------------------------------------ dense


def _dense(matrix: np.ndarray) -> Spectrum:
    values = eigenvalues(matrix)
    norm = float(np.linalg.norm(matrix))
    right, left = eigenvectors(matrix, complex(values[0]))
    residual = float(np.linalg.norm(matrix @ right - values[0] * right) / norm)
    with np.errstate(divide="ignore", invalid="ignore"):
        influence = np.real(values[0] * np.conj(left) * right / np.vdot(left, right))
    top = float(np.linalg.eigvalsh((matrix + matrix.T) / 2)[-1])
    spread = (np.sum(matrix**2, axis=1) + np.sum(matrix**2, axis=0)) / 2
    return Spectrum(values, residual, norm, top, _finite(influence), spread, (right, left))
