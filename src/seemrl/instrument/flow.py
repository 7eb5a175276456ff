"""Where the values go from here if the kernels stay as they are: the linear flow of the present TD error.

The fastest mode tells how an error grows in the end. The values may lie along other modes, follow the rewards, or still
wait for the target's average; so the same update is followed from where it stands now. With s the sum of the steps from
now on, and time in critic updates,

    q = q0 + gram s        p' = p'0 + cross s
    ds/dt = r + p - q      dp/dt = tau (p' - p)                (p = p' where the target is the live critic)

Stiff modes, which oscillate in the discrete update and are damped by the optimizer's adaptation, simply decay here: one
step of an L-stable diagonally implicit Runge-Kutta method of second order (Alexander 1977), squared again and again.
p stands once for all heads that share their targets.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from seemrl.instrument.dynamics import Dynamics
from seemrl.instrument.modes import Update

Path = tuple[tuple[float, float], ...]
"""Steps ahead, and the growth of log mean |Q| by then."""

_FIRST_STEP = 4.0  # critic updates of the step that is squared
_DOUBLINGS = 14  # 65,536 updates
_SQUARINGS = 10  # of the matrix; from there on the vector alone takes so many steps
_FARTHEST = 30.0  # growth of log mean |Q| beyond which nothing more is learnt
_GAMMA = 1 - 2**-0.5


@dataclass(frozen=True)
class State:
    """What the targets and the values are now.

    Attributes:
        values: of every head at the rows' own points.
        live: what the live critic contributes to each row's target, gamma (1 - d) f(x*); for all heads or each of them.
        averaged: what the target critic contributes.
        rewards: of each row.
    """

    values: Float[np.ndarray, "heads rows"]
    live: Float[np.ndarray, "sets rows"]
    averaged: Float[np.ndarray, "sets rows"]
    rewards: Float[np.ndarray, " rows"]

    @property
    def errors(self) -> Float[np.ndarray, "heads rows"]:
        """TD errors, f(x) - (r + gamma (1 - d) f(x*))."""
        return self.values - (self.rewards + self.averaged)


def flow(kernels: Dynamics, state: State, step_size: float, update: Update) -> Path:
    """Growth of log mean |Q| after 8, 16, ... 65,536 critic updates, as far as it stays below a factor of e^30.

    Momentum is left out: it delays a flow by 1 / (1 - b) updates and changes nothing else.

    Args:
        kernels: with the optimizer's preconditioner, if it has one.
        state: values and targets now.
        step_size: learning_rate * loss_scale / rows, with momentum the steady one.
        update: target averaging.
    """
    before = float(np.abs(state.values).mean())
    if before == 0:
        return ()
    cross, gram = (np.asarray(step_size * kernels.scale * part, np.float64) for part in (kernels.cross, kernels.gram))
    values, size = state.values.ravel(), len(gram)
    path: list[tuple[float, float]] = []
    with np.errstate(over="ignore", invalid="ignore"):  # what leaves the range of numbers ends the path
        matrix, start = _equation(cross, gram, state, update)
        if not np.isfinite(matrix).all():
            return ()
        advance = _implicit_step(matrix, _FIRST_STEP)
        ahead = start
        for doubling in range(1, _DOUBLINGS + 1):
            if doubling <= _SQUARINGS:
                advance = advance @ advance
                ahead = advance @ start
            else:
                for _ in range(2 ** (doubling - _SQUARINGS - 1)):
                    ahead = advance @ ahead
            after = float(np.abs(values + gram @ ahead[:size]).mean())
            if not 0 < after < before * np.exp(_FARTHEST):
                break
            path.append((_FIRST_STEP * 2**doubling, float(np.log(after / before))))
    return tuple(path)


def _equation(cross: np.ndarray, gram: np.ndarray, state: State, update: Update) -> tuple[np.ndarray, np.ndarray]:
    """M and x0 of dx/dt = M x, x = (s, p, 1); p is missing where the target is the live critic."""
    size, targets = len(gram), len(cross)
    own = (state.rewards - state.values).ravel()
    live, averaged = state.live.ravel(), state.averaged.ravel()
    sharing = size // targets
    if update.target_rate == 1.0:
        matrix = np.zeros((size + 1, size + 1))
        matrix[:-1, :-1] = np.tile(cross, (sharing, 1)) - gram
        matrix[:-1, -1] = own + np.tile(averaged, sharing)
        return matrix, np.append(np.zeros(size), 1.0)
    rate = update.target_rate / update.target_period
    matrix = np.zeros((size + targets + 1, size + targets + 1))
    matrix[:size, :size] = -gram
    matrix[:size, size:-1] = np.tile(np.eye(targets), (sharing, 1))
    matrix[size:-1, :size] = rate * cross
    matrix[size:-1, size:-1] = -rate * np.eye(targets)
    matrix[:-1, -1] = np.concatenate([own, rate * live])
    return matrix, np.concatenate([np.zeros(size), averaged, [1.0]])


def _implicit_step(matrix: np.ndarray, step: float) -> np.ndarray:
    """The method's stability function of step * M, (1 + (1 - 2g) z) / (1 - g z)^2 with g = 1 - 1/sqrt(2), in parts."""
    inverse = np.linalg.inv(np.eye(len(matrix)) - _GAMMA * step * matrix)
    return (1 + 2**0.5) * inverse @ inverse - 2**0.5 * inverse
