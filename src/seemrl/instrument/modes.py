"""What one update of training multiplies the TD error by: its modes, with target averaging and momentum.

Write q for the values, p for what the averaged target contributes, and s for the sum of the steps so far, so that
q = gram s and the live critic's contribution is p' = cross s; the kernels carry the step size. Averaging and momentum
are linear filters, and for a mode multiplied by z at each target update (P critic updates) they are numbers:

    p = beta(z) cross s             beta(z) = tau z / (z - 1 + tau)
    p - q = h(z) s                  h(z) = (z - 1) (1 - b / y) / (1 - b),    y = z^(1/P)

with momentum b, whose steady gain 1 / (1 - b) is part of the step size. A mode therefore solves T(z) s = 0 with

    T(z) = beta(z) cross - gram - h(z)

(tau = 1 and P = 1: z^2 - (1 + b + (1 - b) sigma) z + b = 0 for each eigenvalue sigma of cross - gram.)
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Inexact

from seemrl.instrument.eigen import eigenvalues, eigenvectors, refined
from seemrl.instrument.sampling import left_out_changes

SLOW_TURN = 0.1  # radians per target update: a period of at least 60 updates
_VANISHED = 1e-6  # |z| of a mode that is gone at once, and has no angle to speak of
_REFINEMENTS, _STILL = 30, 1e-13
_NEWTON_STEPS = 60


@dataclass(frozen=True)
class Update:
    """What an update does with a gradient.

    Attributes:
        target_rate: tau of target averaging, in (0, 1]; 1: the target is the live critic.
        target_period: critic updates per target update.
        momentum: b, in [0, 1): the share of the last step that goes on (Adam's b1).
    """

    target_rate: float = 1.0
    target_period: int = 1
    momentum: float = 0.0

    def averaged(self, z: complex) -> complex:
        """Beta(z): the averaged target over the live one."""
        return self.target_rate * z / (z - 1 + self.target_rate)

    def averaged_slope(self, z: complex) -> complex:
        """Beta'(z)."""
        return self.target_rate * (self.target_rate - 1) / (z - 1 + self.target_rate) ** 2

    def needed(self, z: complex) -> complex:
        """h(z): the error that keeps a mode going."""
        return (z - 1) * (1 - self.momentum / self._once(z)) / (1 - self.momentum)

    def needed_slope(self, z: complex) -> complex:
        """h'(z)."""
        lost = self.momentum / self._once(z)
        return (1 - lost + (z - 1) * lost / (self.target_period * z)) / (1 - self.momentum)

    def _once(self, z: complex) -> complex:
        return z if self.target_period == 1 else complex(z) ** (1 / self.target_period)

    def multiplier(self, cross: complex, gram: complex, start: complex) -> complex | None:
        """Z of a mode on which the kernels are these two numbers, by Newton's method; None where it finds none."""
        for first in (start, start * (1 + 0.05j)):  # momentum may turn a real mode into a pair
            z = first
            for _ in range(_NEWTON_STEPS):
                if z == 0:
                    break
                value = self.averaged(z) * cross - gram - self.needed(z)
                move = value / (self.averaged_slope(z) * cross - self.needed_slope(z))
                z = z - move
                if not np.isfinite(z):
                    break
                if abs(move) <= 1e-14 * abs(z):
                    return z
        return None


@dataclass(frozen=True)
class Mode:
    """One mode of the update: its multiplier z and the vectors of T(z), on a basis Q or on all values.

    Attributes:
        z: by target update.
        right, left: T(z) right = 0 and left^H T(z) = 0.
        cross, gram: Q^T K Q of both kernels times the step.
        update: what else belongs to an update.
        following: real part of the next mode to the left.
        oscillating: largest |z| among the modes that turn fast, by critic update; 0 where there are none.
    """

    z: complex
    right: np.ndarray
    left: np.ndarray
    cross: np.ndarray
    gram: np.ndarray
    update: Update
    following: float
    oscillating: float

    @classmethod
    def fastest(cls, cross: np.ndarray, gram: np.ndarray, update: Update, sharing: int = 1) -> "Mode | None":
        """The fastest mode that turns slowly, or None; both kernels times the step, on a basis.

        With momentum it is the fastest of those that `leading` names, each followed from no momentum to its own.

        Args:
            cross: how targets move, for every value.
            gram: how values move.
            update: what else belongs to an update.
            sharing: heads that share each target: so often, ``cross`` repeats itself.
        """
        plain = Update(update.target_rate, update.target_period)
        modes = eigenvalues(_reduced_step(cross, gram, update.target_rate, sharing))
        first = leading(modes, update)
        if not first:
            return None
        z = complex(modes[first[0][0]])
        next_one = slowest_turning(behind := modes[np.real(modes) < z.real])
        following = -np.inf if next_one is None else float(np.real(behind[next_one]))
        if update.momentum:
            found = [_with_momentum(cross, gram, update, complex(modes[one]), start) for one, start in first]
            z, right, left = max(found, key=lambda mode: precedence(mode[0]))
        else:
            right, left = _vectors(cross, gram, plain, z)
        return cls(z, right, left, cross, gram, update, following, fastest_oscillation(modes, update))

    @property
    def rate(self) -> float:
        """Log Re z: exact for a mode that does not turn."""
        return float(np.log(self.z.real)) if self.z.real > 0 else -np.inf

    @property
    def elasticity(self) -> float:
        """D log(rate) / d log(kernels), held between 0 and 1; NaN where unknown.

        It is 1 towards a live target and less where averaging caps the rate. Near a rate of 0 a mode may outrun its
        kernels for a while; no pace of growth ahead is taken from that.

        Both kernels larger by a factor s turn T(z) s = 0 into s (T(z) + h(z)) - h(z) = 0, so dz / d log s is
        -h(z) left^H right / (left^H T'(z) right).
        """
        if self.update.target_rate == 1.0:
            return 1.0
        if self.z.real <= 0:
            return np.nan
        with np.errstate(divide="ignore", invalid="ignore"):
            moved = -self.update.needed(self.z) * np.vdot(self.left, self.right) / np.complex128(self._slope)
            return float(np.clip(np.real(moved) / (self.z.real * np.float64(self.rate)), 0.0, 1.0))

    @property
    def _slope(self) -> complex:
        """left^H T'(z) right."""
        derivative = self.update.averaged_slope(self.z) * self.cross @ self.right
        return complex(np.vdot(self.left, derivative - self.update.needed_slope(self.z) * self.right))

    def left_out(self, rows: int) -> Float[np.ndarray, " rows"] | None:
        """Change of log Re z when each row is left out; first order, so cut at the distance to the next mode."""
        singular = _operator(self.cross, self.gram, self.update, self.z)
        slope = self.update.averaged_slope(self.z) * self.cross - self.update.needed_slope(self.z) * np.eye(
            len(singular)
        )
        if not self.z.imag:
            singular, slope = np.real(singular), np.real(slope)
        changes = left_out_changes(singular, slope, rows, (self.right, self.left))
        distance = self.z.real - self.following
        return None if changes is None else np.clip(changes, -distance, distance) / self.z.real

    def _pulled(self, cross_rows: np.ndarray, gram_rows: np.ndarray) -> np.ndarray:
        """h(z) times the left vector on all values, given Q^T K of both kernels."""
        return self.left.conj() @ (self.update.averaged(self.z) * cross_rows - gram_rows)

    def influence(self, cross_rows: np.ndarray, gram_rows: np.ndarray, basis: np.ndarray) -> Float[np.ndarray, " n"]:
        """Change of log Re z with the weight of each value's gradient."""
        with np.errstate(divide="ignore", invalid="ignore"):
            change = -self._pulled(cross_rows, gram_rows) * (basis @ self.right) / self._slope
            return np.real(change) / self.z.real

    def correction(self, moved: Sequence[np.ndarray], rows: Sequence[np.ndarray], basis: np.ndarray) -> float:
        """First-order change of z by what the kernels (K Q and Q^T K of each are given) do outside the basis."""
        cross, gram = (
            (product - basis @ small) @ self.right
            for product, small in zip(moved, (self.cross, self.gram), strict=True)
        )
        with np.errstate(divide="ignore", invalid="ignore"):
            outside = self._pulled(*rows) @ (self.update.averaged(self.z) * cross - gram)
            return float(np.abs(outside / (self.update.needed(self.z) * self._slope)))


def slowest_turning(modes: Inexact[np.ndarray, " modes"]) -> int | None:
    """Which mode has the largest real part among those that turn slowly."""
    slow = np.flatnonzero((np.abs(np.angle(modes)) <= SLOW_TURN) & (np.real(modes) > 0))
    return int(slow[np.argmax(np.real(modes[slow]))]) if slow.size else None


def leading(modes: Inexact[np.ndarray, " modes"], update: Update) -> list[tuple[int, complex]]:
    """Which modes without momentum may be the fastest slow one with it, and where to look for their z.

    Without momentum that is the one. Inertia may change the order of the two fastest, and it holds back a mode's
    turning as well as its growth: so one that turns fast without momentum, and slowly on the branch that momentum alone
    would take it to, is named too.
    """
    number = slowest_turning(modes)
    named = [] if number is None else [(number, complex(modes[number]))]
    if not update.momentum:
        return named
    if number is not None:
        behind = np.flatnonzero(np.real(modes) < modes[number].real)
        second = slowest_turning(modes[behind])
        named += [] if second is None else [(int(behind[second]), complex(modes[behind[second]]))]
    fast = np.flatnonzero((np.abs(np.angle(modes)) > SLOW_TURN) & (np.abs(modes) > _VANISHED))
    slowed = _momentum_alone(modes[fast], update)[0] ** update.target_period
    held = slowest_turning(slowed)
    return named if held is None else [*named, (int(fast[held]), complex(slowed[held]))]


def precedence(z: complex) -> tuple[bool, float]:
    """By which the fastest of followed modes is chosen: those that turn slowly first, then growth."""
    return bool(abs(np.angle(z)) <= SLOW_TURN and z.real > 0), z.real


def _momentum_alone(modes: Inexact[np.ndarray, " modes"], update: Update) -> Inexact[np.ndarray, "2 modes"]:
    """Both multipliers of one critic update with momentum, larger first; the target's share is as it is without."""
    step = np.asarray(modes - 1, complex) / update.target_period  # sigma of one critic update
    half = (1 + update.momentum + (1 - update.momentum) * step) / 2
    root = np.sqrt(half**2 - update.momentum)
    root = np.where(np.real(half.conj() * root) < 0, -root, root)
    return np.stack([half + root, half - root])


def fastest_oscillation(modes: Inexact[np.ndarray, " modes"], update: Update) -> float:
    """Largest |z| by critic update among modes that turn fast, each with the momentum; 0 where there are none.

    The target's average hardly follows what turns fast, so its share in a mode is taken as it is without momentum.
    """
    once = _momentum_alone(modes, update).ravel()
    turning = (np.abs(np.angle(once)) * update.target_period > SLOW_TURN) & (np.abs(once) > _VANISHED)
    return float(np.abs(once[turning]).max(initial=0.0))


def _with_momentum(
    cross: np.ndarray, gram: np.ndarray, update: Update, plain: complex, z: complex
) -> tuple[complex, np.ndarray, np.ndarray]:
    """Follow a mode from no momentum to its own, sought at z first: Rayleigh quotients, inverse iteration in turn."""
    right, left = _vectors(cross, gram, Update(update.target_rate, update.target_period), plain)
    for _ in range(_REFINEMENTS):
        scale = np.vdot(left, right)
        found = update.multiplier(
            complex(np.vdot(left, cross @ right) / scale), complex(np.vdot(left, gram @ right) / scale), z
        )
        if found is None:
            break
        before, z = z, complex(found.real) if abs(found.imag) <= 1e-12 * abs(found) else found
        right, left = refined(_operator(cross, gram, update, z), right, left)
        if abs(z - before) <= _STILL * abs(z):
            break
    return z, right, left


def _operator(cross: np.ndarray, gram: np.ndarray, update: Update, z: complex) -> Inexact[np.ndarray, "n n"]:
    """T(z)."""
    operator = update.averaged(z) * cross - gram - update.needed(z) * np.eye(len(gram))
    return operator if z.imag else np.real(operator)


def _vectors(cross: np.ndarray, gram: np.ndarray, update: Update, z: complex) -> tuple[np.ndarray, np.ndarray]:
    return eigenvectors(_operator(cross, gram, update, z), 0j)


def one_step(
    cross: Float[np.ndarray, "n n"], gram: Float[np.ndarray, "n n"], target_rate: float
) -> Float[np.ndarray, "states states"]:
    """The matrix of one update without momentum, homogeneous part; ``cross`` and ``gram`` carry the step size.

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


def _reduced_step(cross: np.ndarray, gram: np.ndarray, target_rate: float, sharing: int = 1) -> np.ndarray:
    """`one_step` without its modes that stand still (q = p' = p), and with one p for heads that share their targets.

    q and p' move by gram and cross times the same vectors p - q; with s their sum so far, q = gram s and p' = cross s:

        s <- s + p - gram s
        p <- (1 - tau) p + tau cross s        (s after its update)
    """
    if target_rate == 1.0:
        return one_step(cross, gram, 1.0)
    tau, targets = target_rate, len(cross) // sharing
    cross, given = cross[:targets], np.tile(np.eye(targets), (sharing, 1))
    left = np.eye(len(gram)) - gram
    return np.block([[left, given], [tau * cross @ left, (1 - tau) * np.eye(targets) + tau * cross @ given]])
