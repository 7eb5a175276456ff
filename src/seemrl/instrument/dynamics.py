"""The linear map by which one training step moves the TD error.

With u = f(X) - (r + gamma (1-d) f(X*)), one small gradient step gives u <- (I + eta A) u with
A = cross - gram: ``cross`` carries what a step does to the targets, ``gram`` what it does to the values themselves
(Yue et al. 2023, section 3; masks, heads, preconditioner and target averaging are added here).
"""

from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from seemrl.instrument.spectrum import Columns

Heads = Literal["coupled", "first", "mean", "own"]
"""Which heads form the target: the smaller one (clipped double Q), the first alone, their mean, or each its own."""


@runtime_checkable
class Kernels(Protocol):
    """Both parts of A over ``scale``, as products; columns are (heads * rows), heads in order."""

    @property
    def size(self) -> int:
        """Values: heads * rows."""
        ...

    @property
    def scale(self) -> float:
        """What both were divided by."""
        ...

    def times(self, vectors: Columns, of_cross: float, of_gram: float) -> Columns:
        """(of_cross * cross + of_gram * gram) times the columns."""
        ...

    def transposed(self, vectors: Columns, of_cross: float, of_gram: float) -> Columns:
        """The transpose of that times the columns."""
        ...


@dataclass(frozen=True)
class Dynamics:
    """The two parts of A, entry by entry; heads in order.

    Attributes:
        cross: gamma (1-d) S G(X*, X): how each row's target moves, once for all heads or head after head.
        gram: G(X, X): how each row's value moves.
        scale: what both were divided by, so that they fit their precision.
        targets_each: targets of a row: 1, which the heads share, or one for each head.
    """

    cross: Float[np.ndarray, "targets n"]
    gram: Float[np.ndarray, "n n"]
    scale: float = 1.0
    targets_each: int = 1

    @property
    def size(self) -> int:
        """Values: heads * rows."""
        return len(self.gram)

    @property
    def rows(self) -> int:
        """Transitions."""
        return len(self.cross) // self.targets_each

    @property
    def sharing(self) -> int:
        """Heads that share one target."""
        return len(self.gram) // len(self.cross)

    @property
    def matrix(self) -> Float[np.ndarray, "n n"]:
        """The self-excitation matrix A over ``scale``; NaN where both parts have overflowed."""
        with np.errstate(invalid="ignore"):
            by_head = self.cross[None] - self.gram.reshape(self.sharing, *self.cross.shape)
        return by_head.reshape(self.gram.shape)

    @property
    def targets(self) -> Float[np.ndarray, "n n"]:
        """How each head's target moves: ``cross`` once for every head that shares it."""
        return np.tile(self.cross, (self.sharing, 1))

    def times(self, vectors: Columns, of_cross: float, of_gram: float) -> Columns:
        """(of_cross * cross + of_gram * gram) times the columns."""
        own = vectors.astype(self.gram.dtype, copy=False)
        found = of_gram * (self.gram @ own) if of_gram else np.zeros_like(own)
        return found + np.tile(of_cross * (self.cross @ own), (self.sharing, 1)) if of_cross else found

    def transposed(self, vectors: Columns, of_cross: float, of_gram: float) -> Columns:
        """The transpose of that times the columns; gram is symmetric."""
        own = vectors.astype(self.gram.dtype, copy=False)
        found = of_gram * (self.gram @ own) if of_gram else np.zeros_like(own)
        summed = own.reshape(self.sharing, len(self.cross), -1).sum(axis=0)
        return found + of_cross * (self.cross.T @ summed) if of_cross else found


@dataclass(frozen=True)
class Combination:
    """A combination of both parts of A, as products; A itself is 1 and -1."""

    parts: Kernels
    of_cross: float = 1.0
    of_gram: float = -1.0

    @property
    def size(self) -> int:
        """Rows."""
        return self.parts.size

    def times(self, vectors: Columns) -> Columns:
        """The combination times the columns."""
        return self.parts.times(vectors, self.of_cross, self.of_gram)

    def transposed(self, vectors: Columns) -> Columns:
        """Its transpose times the columns."""
        return self.parts.transposed(vectors, self.of_cross, self.of_gram)


def head_selection(
    heads: Heads, target_values: Float[np.ndarray, "heads points"]
) -> Float[np.ndarray, "sets heads points"]:
    """Weight of each head in each target, for all heads' targets or those of each; given the target critic's values."""
    count, points = target_values.shape
    if heads == "own":
        return np.broadcast_to(np.eye(count)[:, :, None], (count, count, points))
    if heads == "mean":
        return np.full((1, count, points), 1 / count)
    return np.eye(count)[np.argmin(target_values, axis=0)].T[None]
