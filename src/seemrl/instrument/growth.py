"""The growth rate of the whole update, from kernels that are known entry by entry or by their products alone."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from seemrl.errors import InputError
from seemrl.instrument.dynamics import Combination, Dynamics, Kernels
from seemrl.instrument.modes import Mode, Update, fastest_oscillation, leading, precedence
from seemrl.instrument.spectrum import LARGEST_BASIS, LARGEST_DENSE, Spectrum
from seemrl.instrument.subspace import Subspace

_SETTLED, _UNNOTICED = 1e-3, 1e-9  # what may be missing of a mode's growth: a share of it, and per step


@dataclass(frozen=True)
class Growth:
    """The fastest mode of the whole update that does not turn fast, and how fast those grow that do.

    Attributes:
        rate: d log|u| / d step.
        oscillation: log|z| per step of the fastest-growing mode that turns by more than 0.1 radian; -inf without one.
        influence: change of the rate with the weight of each value's gradient, (heads * rows); None where unknown.
        left_out: change of the rate when each row is left out; None where unknown.
        elasticity: d log(rate) / d log(kernels), from 1 for kernels that may grow on to 0 where target averaging caps
            the rate; None where unknown.
    """

    rate: float
    oscillation: float
    influence: Float[np.ndarray, " n"] | None = None
    left_out: Float[np.ndarray, " rows"] | None = None
    elasticity: float | None = None

    @classmethod
    def of(cls, mode: Mode, influence: np.ndarray | None, left_out: np.ndarray | None = None) -> "Growth":
        """Per critic update, from what a mode does at each target update."""
        period = mode.update.target_period
        per_step = [None if change is None else change / period for change in (influence, left_out)]
        return cls(mode.rate / period, _log(mode.oscillating), *per_step, elasticity=_known(mode.elasticity))


def growth(kernels: Kernels, step_size: float, update: Update) -> Growth:
    """Growth rate d log|u| / d step of the fastest slowly-turning mode of the whole update.

    For a mode that is multiplied by z at each target update the rate is log(Re z): exact for a mode that does not turn,
    and for one that does it leaves out the b^2 / 2 that a step of finite length adds to |1 + ib|. Modes that turn by
    more than 0.1 radian are told apart: under a preconditioner stiff directions show up as violent oscillations, which
    the optimizer's own adaptation damps.

    Args:
        kernels: with the optimizer's preconditioner, if it has one.
        step_size: learning_rate * loss_scale / rows; with momentum the steady learning rate, 1 / (1 - b) times its own.
        update: target averaging and momentum.

    Raises:
        InputError: kernels known by their products alone do not settle on a rate with 1,024 vectors.
    """
    step = step_size * update.target_period * kernels.scale
    whole = isinstance(kernels, Dynamics)
    if not whole or kernels.size > LARGEST_DENSE:
        found = _growth_on_subspace(kernels, step, update)
        if found is not None:
            return found
    if not whole:
        raise InputError(
            f"rate: it does not settle with {LARGEST_BASIS} vectors; measure fewer rows, or allow more memory"
        )
    cross, gram = (np.asarray(step * part, np.float64) for part in (kernels.targets, kernels.gram))
    mode = Mode.fastest(cross, gram, update, kernels.sharing)
    if mode is None:
        return Growth(-np.inf, -np.inf)
    left_out = mode.left_out(kernels.rows) if kernels.size <= LARGEST_DENSE else None
    return Growth.of(mode, mode.influence(cross, gram, np.eye(len(gram))), left_out)


def growth_without_averaging(
    found: Spectrum, step_size: float, update: Update, left_out: Float[np.ndarray, " rows"] | None = None
) -> Growth:
    """`growth` of plain gradient steps towards a live target, from the spectrum of A: h(z) = step lambda.

    Args:
        found: the spectrum.
        step_size: learning_rate * loss_scale / rows, with momentum the steady one.
        update: its target period and momentum; the target is the live critic.
        left_out: change of the rightmost eigenvalue when each row is left out.
    """
    step = step_size * update.target_period
    modes = 1 + step * found.eigenvalues
    first = leading(modes, update)
    oscillation = _log(fastest_oscillation(modes, update))
    if not first:
        return Growth(-np.inf, oscillation)
    number, z = first[0]
    if update.momentum:
        each = [(update.multiplier(complex(modes[one] - 1), 0.0, start) or start, one) for one, start in first]
        z, number = max(each, key=lambda mode: precedence(mode[0]))
    rate = float(np.log(z.real)) / update.target_period if z.real > 0 else -np.inf
    if number:  # not the rightmost one
        return Growth(rate, oscillation, elasticity=1.0)
    per_value = step / (update.needed_slope(z) * z.real * update.target_period)
    changes = [None if change is None else np.real(per_value * change) for change in (found.influence, left_out)]
    return Growth(rate, oscillation, *changes, elasticity=1.0)


def _growth_on_subspace(kernels: Kernels, step: float, update: Update) -> Growth | None:
    """From a subspace that grows until the mode's multiplier, corrected by what is left over, no longer matters."""
    spaces = [Subspace(Combination(kernels, 1.0, 0.0)), Subspace(Combination(kernels, 0.0, 1.0))]
    limit = kernels.size // 3 if isinstance(kernels, Dynamics) else LARGEST_BASIS
    while sum(space.basis.shape[1] for space in spaces) < min(limit, 2 * kernels.size):
        for space in spaces:
            space.grow()
        basis = np.linalg.qr(np.hstack([space.basis for space in spaces]))[0]
        parts = [space.operator for space in spaces]
        rows = [step * np.asarray(part.transposed(basis).T, np.float64) for part in parts]
        mode = Mode.fastest(rows[0] @ basis, rows[1] @ basis, update)
        if mode is None:
            continue
        moved = [step * np.asarray(part.times(basis), np.float64) for part in parts]
        if mode.correction(moved, rows, basis) <= _SETTLED * abs(mode.z - 1) + _UNNOTICED * update.target_period:
            return Growth.of(mode, mode.influence(rows[0], rows[1], basis))
    return None


def _known(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _log(modulus: float) -> float:
    return float(np.log(modulus)) if modulus > 0 else -np.inf
