"""The linear map by which one training step moves the TD error, and its growth rate.

With u = f(X) - (r + gamma (1-d) f(X*)), one small gradient step gives u <- (I + eta A) u with
A = cross - gram: ``cross`` carries what a step does to the targets, ``gram`` what it does to the values themselves
(Yue et al. 2023, section 3; masks, heads, preconditioner and target averaging are added here).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from seemrl.errors import InputError
from seemrl.instrument.sampling import left_out_changes
from seemrl.instrument.spectrum import Columns, Spectrum, Subspace, eigenvalues, eigenvectors

Heads = Literal["coupled", "first", "mean"]
"""Which heads form the target: the smaller one (clipped double Q), the first alone, or their mean."""

_SLOW_TURN = 0.1  # radians per target update: a period of at least 60 updates
LARGEST_DENSE = 600  # values up to which all modes are computed, and rows left out one by one
_LARGEST_BASIS = 1024
_SETTLED, _UNNOTICED = 1e-3, 1e-9  # what may be missing of a mode's growth: a share of it, and per step


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
        cross: gamma (1-d) S G(X*, X): how each row's target moves, the same for every head.
        gram: G(X, X): how each row's value moves.
        scale: what both were divided by, so that they fit their precision.
    """

    cross: Float[np.ndarray, "rows n"]
    gram: Float[np.ndarray, "n n"]
    scale: float = 1.0

    @property
    def size(self) -> int:
        """Values: heads * rows."""
        return len(self.gram)

    @property
    def rows(self) -> int:
        """Transitions."""
        return len(self.cross)

    @property
    def heads(self) -> int:
        """How many there are."""
        return len(self.gram) // len(self.cross)

    @property
    def matrix(self) -> Float[np.ndarray, "n n"]:
        """The self-excitation matrix A over ``scale``; NaN where both parts have overflowed."""
        with np.errstate(invalid="ignore"):
            by_head = self.cross[None] - self.gram.reshape(self.heads, *self.cross.shape)
        return by_head.reshape(self.gram.shape)

    @property
    def targets(self) -> Float[np.ndarray, "n n"]:
        """How each head's target moves: ``cross`` once for every head."""
        return np.tile(self.cross, (self.heads, 1))

    def times(self, vectors: Columns, of_cross: float, of_gram: float) -> Columns:
        """(of_cross * cross + of_gram * gram) times the columns."""
        own = vectors.astype(self.gram.dtype, copy=False)
        found = of_gram * (self.gram @ own) if of_gram else np.zeros_like(own)
        return found + np.tile(of_cross * (self.cross @ own), (self.heads, 1)) if of_cross else found

    def transposed(self, vectors: Columns, of_cross: float, of_gram: float) -> Columns:
        """The transpose of that times the columns; gram is symmetric."""
        own = vectors.astype(self.gram.dtype, copy=False)
        found = of_gram * (self.gram @ own) if of_gram else np.zeros_like(own)
        summed = own.reshape(self.heads, len(self.cross), -1).sum(axis=0)
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
    heads: Heads, target_values: Float[np.ndarray, "heads targets"]
) -> Float[np.ndarray, "heads targets"]:
    """Weight of each head in each target; target_values are the target critic's values at X*."""
    if heads == "mean":
        return np.full_like(target_values, 1 / len(target_values))
    return np.eye(len(target_values))[np.argmin(target_values, axis=0)].T


@dataclass(frozen=True)
class Growth:
    """The fastest mode of the whole update that does not turn fast.

    Attributes:
        rate: d log|u| / d step.
        influence: change of the rate with the weight of each value's gradient, (heads * rows); None where unknown.
        left_out: change of the rate when each row is left out; None where unknown.
    """

    rate: float
    influence: Float[np.ndarray, " n"] | None
    left_out: Float[np.ndarray, " rows"] | None = None


def growth(kernels: Kernels, step_size: float, *, target_rate: float = 1.0, target_period: int = 1) -> Growth:
    """Growth rate d log|u| / d step of the fastest slowly-turning mode of the whole update, target averaging included.

    For a mode that is multiplied by z at each target update the rate is log(Re z): exact for a mode that does not turn,
    and for one that does it leaves out the b^2 / 2 that a step of finite length adds to |1 + ib|. Modes that turn by
    more than 0.1 radian are left out altogether: under a preconditioner stiff directions show up as violent
    oscillations, which the optimizer's own adaptation damps.

    Args:
        kernels: with the optimizer's preconditioner, if it has one.
        step_size: learning_rate * loss_scale / rows.
        target_rate: tau, in (0, 1]; 1 means that the target is the live critic.
        target_period: critic updates per target update.

    Raises:
        InputError: kernels known by their products alone do not settle on a rate with 1,024 vectors.
    """
    step = step_size * target_period * kernels.scale
    whole = isinstance(kernels, Dynamics)
    if not whole or kernels.size > LARGEST_DENSE:
        found = _growth_on_subspace(kernels, step, target_rate, target_period)
        if found is not None:
            return found
    if not whole:
        raise InputError(
            f"rate: it does not settle with {_LARGEST_BASIS} vectors; measure fewer rows, or allow more memory"
        )
    cross, gram = (np.asarray(step * part, np.float64) for part in (kernels.targets, kernels.gram))
    mode = _fastest(cross, gram, target_rate)
    if mode is None:
        return Growth(-np.inf, None)
    influence = mode.influence(cross, gram, np.eye(len(gram))) / target_period
    left_out = mode.left_out(kernels.rows) if kernels.size <= LARGEST_DENSE else None
    return Growth(mode.rate / target_period, influence, None if left_out is None else left_out / target_period)


def growth_without_averaging(
    found: Spectrum, step_size: float, target_period: int = 1, left_out: Float[np.ndarray, " rows"] | None = None
) -> Growth:
    """`growth` of plain gradient steps towards a live target, from the spectrum of A: z = 1 + step lambda.

    Args:
        found: the spectrum.
        step_size: learning_rate * loss_scale / rows.
        target_period: critic updates per target update.
        left_out: change of the rightmost eigenvalue when each row is left out.
    """
    step = step_size * target_period
    modes = 1 + step * found.eigenvalues
    number = _slowest_turning(modes)
    if number is None:
        return Growth(-np.inf, None)
    z = float(np.real(modes[number]))
    if number:  # not the rightmost one
        return Growth(float(np.log(z)) / target_period, None)
    changes = [
        None if change is None else step * change / (z * target_period) for change in (found.influence, left_out)
    ]
    return Growth(float(np.log(z)) / target_period, *changes)


def _slowest_turning(modes: np.ndarray) -> int | None:
    """Which mode has the largest real part among those that turn slowly."""
    slow = np.flatnonzero((np.abs(np.angle(modes)) <= _SLOW_TURN) & (np.real(modes) > 0))
    return int(slow[np.argmax(np.real(modes[slow]))]) if slow.size else None


def _growth_on_subspace(kernels: Kernels, step: float, target_rate: float, target_period: int) -> Growth | None:
    """From a subspace that grows until the mode's multiplier, corrected by what is left over, no longer matters."""
    spaces = [Subspace(Combination(kernels, 1.0, 0.0)), Subspace(Combination(kernels, 0.0, 1.0))]
    limit = kernels.size // 3 if isinstance(kernels, Dynamics) else _LARGEST_BASIS
    while sum(space.basis.shape[1] for space in spaces) < min(limit, 2 * kernels.size):
        for space in spaces:
            space.grow()
        basis = np.linalg.qr(np.hstack([space.basis for space in spaces]))[0]
        parts = [space.operator for space in spaces]
        rows = [step * np.asarray(part.transposed(basis).T, np.float64) for part in parts]
        mode = _fastest(rows[0] @ basis, rows[1] @ basis, target_rate)
        if mode is None:
            continue
        moved = [step * np.asarray(part.times(basis), np.float64) for part in parts]
        if mode.correction(moved, rows, basis) <= _SETTLED * abs(mode.z - 1) + _UNNOTICED * target_period:
            return Growth(mode.rate / target_period, mode.influence(rows[0], rows[1], basis) / target_period)
    return None


@dataclass(frozen=True)
class _Mode:
    """One mode of the update on a basis Q: z, the vectors of `_reduced_step`, and how far left the next one lies."""

    z: complex
    right: np.ndarray
    left: np.ndarray
    cross: np.ndarray
    gram: np.ndarray
    target_rate: float
    following: float

    @property
    def rate(self) -> float:
        return float(np.log(self.z.real))

    def left_out(self, rows: int) -> np.ndarray | None:
        """Change of log Re z when each row is left out: (b cross - gram - (z - 1)) v = 0, b = tau z / (z - 1 + tau).

        First order, so cut where it would pass the distance to the next mode.
        """
        z, tau, identity = self.z, self.target_rate, np.eye(len(self.gram))
        back = z - 1 + tau
        singular = tau * z / back * self.cross - self.gram - (z - 1) * identity
        derivative = tau * (tau - 1) / back**2 * self.cross - identity
        if not z.imag:
            singular, derivative = singular.real, derivative.real
        changes = left_out_changes(singular, derivative, rows)
        distance = z.real - self.following
        return None if changes is None else np.clip(changes, -distance, distance) / z.real

    def _moving(self) -> np.ndarray:
        """The TD error it consists of, p - q or u, on the basis."""
        size = len(self.gram)
        return self.right if self.target_rate == 1.0 else self.right[size:] - self.gram @ self.right[:size]

    def _pulled(self, cross_rows: np.ndarray, gram_rows: np.ndarray) -> np.ndarray:
        """What the left vector sees of a gradient on each value, given Q^T K of both kernels."""
        if self.target_rate == 1.0:
            return self.left.conj() @ (cross_rows - gram_rows)
        own = self.left[len(self.gram) :].conj()
        back = (self.z - 1 + self.target_rate) * own
        return (self.z * self.target_rate * own @ cross_rows - back @ gram_rows) / (self.z - 1)

    def influence(self, cross_rows: np.ndarray, gram_rows: np.ndarray, basis: np.ndarray) -> np.ndarray:
        """Change of log Re z with the weight of each value's gradient."""
        with np.errstate(divide="ignore", invalid="ignore"):
            change = self._pulled(cross_rows, gram_rows) * (basis @ self._moving())
            return np.real(change / np.vdot(self.left, self.right)) / self.z.real

    def correction(self, moved: Sequence[np.ndarray], rows: Sequence[np.ndarray], basis: np.ndarray) -> float:
        """First-order change of z by what the kernels (K Q and Q^T K of each are given) do outside the basis."""
        own = self.right[: len(self.gram)]
        cross, gram = (
            (product - basis @ small) @ own for product, small in zip(moved, (self.cross, self.gram), strict=True)
        )
        tau, pulled = self.target_rate, self._pulled(*rows)
        with np.errstate(divide="ignore", invalid="ignore"):
            if tau == 1.0:
                change = pulled @ (cross - gram) / (self.z - 1)
            else:
                change = tau * self.z * (pulled @ cross) / (self.z - 1 + tau) - pulled @ gram
            return float(np.abs(change / np.vdot(self.left, self.right)))


def _fastest(cross: np.ndarray, gram: np.ndarray, target_rate: float) -> _Mode | None:
    """From both kernels times the step, on a basis."""
    matrix = _reduced_step(cross, gram, target_rate)
    modes = eigenvalues(matrix)
    number = _slowest_turning(modes)
    if number is None:
        return None
    z = complex(modes[number])
    behind = modes[np.real(modes) < z.real]
    next_one = _slowest_turning(behind)
    following = -np.inf if next_one is None else float(np.real(behind[next_one]))
    right, left = eigenvectors(matrix, z)
    return _Mode(z, right, left, cross, gram, target_rate, following)


def one_step(
    cross: Float[np.ndarray, "n n"], gram: Float[np.ndarray, "n n"], target_rate: float
) -> Float[np.ndarray, "states states"]:
    """The matrix of one update, homogeneous part; ``cross`` and ``gram`` carry the step size.

    Without averaging the state is u, and the matrix I + cross - gram. With it the state is (q, p', p): values, what
    they contribute to the targets, and what the averaged target contributes,

        q  <- q  + gram (p - q)
        p' <- p' + cross (p - q)
        p  <- (1 - tau) p + tau p'        (p' after its update)

    where p' and p are already multiplied by gamma (1 - d).
    """
    identity, zero = np.eye(len(gram)), np.zeros_like(gram)
    if target_rate == 1.0:
        return identity + cross - gram
    tau = target_rate
    return np.block(
        [
            [identity - gram, zero, gram],
            [-cross, identity, cross],
            [-tau * cross, tau * identity, (1 - tau) * identity + tau * cross],
        ]
    )


def _reduced_step(cross: np.ndarray, gram: np.ndarray, target_rate: float) -> np.ndarray:
    """`one_step` without its n modes that stand still (q = p' = p).

    q and p' move by gram and cross times the same vectors p - q; with s their sum so far, q = gram s and p' = cross s:

        s <- s + p - gram s
        p <- (1 - tau) p + tau cross s        (s after its update)
    """
    if target_rate == 1.0:
        return one_step(cross, gram, 1.0)
    identity, tau = np.eye(len(gram)), target_rate
    left = identity - gram
    return np.block([[left, identity], [tau * cross @ left, (1 - tau) * identity + tau * cross]])
