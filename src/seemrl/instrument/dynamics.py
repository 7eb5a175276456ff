"""The linear map by which one training step moves the TD error, and its growth rate.

With u = f(X) - (r + gamma (1-d) f(X*)), one small gradient step gives u <- (I + eta A) u with
A = cross - gram: ``cross`` carries what a step does to the targets, ``gram`` what it does to the values themselves
(Yue et al. 2023, section 3; masks, heads, preconditioner and target averaging are added here).
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy.linalg
from jaxtyping import Float

from seemrl.instrument.spectrum import range_basis

Heads = Literal["coupled", "first", "mean"]
"""Which heads form the target: the smaller one (clipped double Q), the first alone, or their mean."""

_SLOW_TURN = 0.1  # radians per target update: a period of at least 60 updates


@dataclass(frozen=True)
class Dynamics:
    """The two parts of A, each (heads * rows) square, heads in order.

    Attributes:
        cross: gamma (1-d) S G(X*, X): how each row's target moves; the same for every head.
        gram: G(X, X): how each row's value moves.
    """

    cross: Float[np.ndarray, "n n"]
    gram: Float[np.ndarray, "n n"]

    @property
    def matrix(self) -> Float[np.ndarray, "n n"]:
        """The self-excitation matrix A; NaN where both parts have overflowed."""
        with np.errstate(invalid="ignore"):
            return self.cross - self.gram


def self_excitation(
    blocks_at_targets: Float[np.ndarray, "heads heads targets rows"],
    blocks: Float[np.ndarray, "heads heads rows rows"],
    selection: Float[np.ndarray, "heads targets"],
    bootstrap: Float[np.ndarray, " rows"],
) -> Dynamics:
    """Assemble the dynamics from kernel blocks.

    Args:
        blocks_at_targets: G_hg(X*, X); ``targets`` = draws * rows when the policy is random, draw after draw.
        blocks: G_hg(X, X).
        selection: weight of each head in each target: one-hot at the minimising head, or 1/heads.
        bootstrap: gamma (1 - d) of each row.
    """
    heads, _, targets, rows = blocks_at_targets.shape
    draws = targets // rows
    selected = np.einsum("kt,kgtr->gtr", selection, blocks_at_targets)
    averaged = selected.reshape(heads, draws, rows, rows).mean(axis=1) * bootstrap[:, None]
    cross = np.tile(np.concatenate(list(averaged), axis=1), (heads, 1))
    gram = blocks.transpose(0, 2, 1, 3).reshape(heads * rows, heads * rows)
    return Dynamics(cross=cross, gram=gram)


def head_selection(
    heads: Heads, target_values: Float[np.ndarray, "heads targets"]
) -> Float[np.ndarray, "heads targets"]:
    """Weight of each head in each target; target_values are the target critic's values at X*."""
    if heads == "mean":
        return np.full_like(target_values, 1 / len(target_values))
    return np.eye(len(target_values))[np.argmin(target_values, axis=0)].T


def growth_rate(
    dynamics: Dynamics, step_size: float, *, target_rate: float = 1.0, target_period: int = 1, accuracy: float = 1e-4
) -> float:
    """Growth rate d log|u| / d step of the fastest slowly-turning mode of the whole update, target averaging included.

    For a mode that is multiplied by z at each target update the rate is log(Re z): exact for a mode that does not turn,
    and for one that does it leaves out the b^2 / 2 that a step of finite length adds to |1 + ib|. Modes that turn by
    more than 0.1 radian are left out altogether: under a preconditioner stiff directions show up as violent
    oscillations, which the optimizer's own adaptation damps.

    Args:
        dynamics: from blocks that carry the optimizer's preconditioner, if it has one.
        step_size: learning_rate * loss_scale / rows.
        target_rate: tau, in (0, 1]; 1 means that the target is the live critic.
        target_period: critic updates per target update.
        accuracy: residual accepted when the two matrices are compressed together.
    """
    basis, _ = range_basis([dynamics.cross, dynamics.gram], accuracy)
    cross, gram = dynamics.cross, dynamics.gram
    if basis is not None:
        cross, gram = basis.T @ (cross @ basis), basis.T @ (gram @ basis)
    step = step_size * target_period
    modes = scipy.linalg.eigvals(one_step(step * cross, step * gram, target_rate), check_finite=False)
    slow = np.abs(np.angle(modes)) <= _SLOW_TURN
    return float(np.log(modes[slow].real.max(initial=1e-300)) / target_period)


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
