"""A dominant subspace of an operator that is known by its products, and how large the operator is altogether."""

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

_SEED = 0
_BLOCK = 64  # columns by which a basis grows
_PROBES = 8
_TILE = 128  # rows looked at together

Columns = Float[np.ndarray, "n columns"]


@runtime_checkable
class LinearMap(Protocol):
    """A square operator, known by its products."""

    @property
    def size(self) -> int:
        """Rows."""
        ...

    def times(self, vectors: Columns) -> Columns:
        """The operator times the columns."""
        ...

    def transposed(self, vectors: Columns) -> Columns:
        """Its transpose times the columns."""
        ...


@dataclass(frozen=True)
class Matrix:
    """An operator that is known entry by entry."""

    matrix: Float[np.ndarray, "n n"]

    @property
    def size(self) -> int:
        """Rows."""
        return len(self.matrix)

    def times(self, vectors: Columns) -> Columns:
        """The matrix times the columns."""
        return self.matrix @ vectors.astype(self.matrix.dtype, copy=False)

    def transposed(self, vectors: Columns) -> Columns:
        """Its transpose times the columns."""
        return self.matrix.T @ vectors.astype(self.matrix.dtype, copy=False)


class Subspace:
    """A growing orthonormal basis Q of what is large in an operator and in its transpose.

    Attributes:
        operator: A.
        basis: Q.
        rows: Q^T A.

    Args:
        operator: A.
        block: vectors by which it grows.
    """

    def __init__(self, operator: LinearMap, block: int = _BLOCK) -> None:
        self.operator = operator
        self._next = np.random.default_rng(_SEED).standard_normal((operator.size, min(block, operator.size)))
        self.basis = np.zeros((operator.size, 0))
        self.rows = np.zeros((0, operator.size))
        self._moved = np.zeros((operator.size, 0))

    @property
    def moved(self) -> Columns:
        """A Q: what each vector becomes, asked for once."""
        new = self.basis[:, self._moved.shape[1] :]
        if new.shape[1]:
            self._moved = np.hstack([self._moved, np.asarray(self.operator.times(new), np.float64)])
        return self._moved

    @property
    def full(self) -> bool:
        """Whether it is the whole space."""
        return self.basis.shape[1] == self.operator.size

    def grow(self) -> None:
        """Add a block of vectors, if there is room."""
        if not self.full:
            self._next = self.extend(np.asarray(self.operator.times(self._next), np.float64)).T

    def extend(self, block: Columns) -> Float[np.ndarray, "added n"]:
        """Add what is new in these vectors, as far as there is room; returns the new rows of Q^T A."""
        block = block[:, : self.operator.size - self.basis.shape[1]]
        for _ in range(2):  # twice is enough
            block = orthonormal(block - self.basis @ (self.basis.T @ block))
        rows = np.asarray(self.operator.transposed(block).T, np.float64)
        self.basis, self.rows = np.hstack([self.basis, block]), np.vstack([self.rows, rows])
        return rows


def orthonormal(block: Columns) -> Columns:
    """An orthonormal basis of the columns: by Cholesky where they are far from dependent, else by Householder."""
    scaled = block / np.maximum(np.linalg.norm(block, axis=0), np.finfo(float).tiny)
    try:
        factor = np.linalg.cholesky(scaled.T @ scaled)
    except np.linalg.LinAlgError:
        factor = None
    if factor is None or np.diag(factor).min() < 1e-6:
        return np.linalg.qr(scaled)[0]
    return scaled @ np.linalg.inv(factor).T


class Norms(NamedTuple):
    """How large an operator is.

    Attributes:
        frobenius: its Frobenius norm.
        spread: half the squared norm of each row and column together.
    """

    frobenius: float
    spread: Float[np.ndarray, " n"]


def exact_norms(matrix: Float[np.ndarray, "n n"]) -> Norms:
    """Of an operator known entry by entry, in its own precision."""
    by_row, by_column = np.empty(len(matrix), matrix.dtype), np.zeros(len(matrix), matrix.dtype)
    for start in range(0, len(matrix), _TILE):
        tile = slice(start, start + _TILE)
        squares = np.square(matrix[tile])
        by_row[tile] = squares.sum(axis=1)
        by_column += squares.sum(axis=0)
    return Norms(float(np.sqrt(by_row.sum(dtype=np.float64))), (by_row + by_column).astype(np.float64) / 2)


def estimated_norms(space: Subspace) -> Norms:
    """Of an operator known by its products: exact on the subspace, by seeded probes off it."""
    basis, rows = space.basis, space.rows
    probes = np.random.default_rng(_SEED + 1).standard_normal((space.operator.size, _PROBES))
    remainder = space.operator.times(probes) - basis @ (rows @ probes)  # E |B v|^2 = ||B||_F^2 for standard normal v
    factor: Any = np.linalg.qr(rows.T, mode="r")
    by_row = np.sum((basis @ factor.T) ** 2, axis=1) + np.mean(remainder**2, axis=1)
    return Norms(float(np.sqrt(by_row.sum())), (by_row + np.sum(rows**2, axis=0)) / 2)
