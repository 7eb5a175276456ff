"""What one look at a critic says."""

import base64
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True)
class Reading:
    """What one look at a critic says.

    Attributes:
        step: training step it was taken at.
        seem: largest real part among the eigenvalues of the self-excitation matrix A (raw; its scale is the kernel's).
        normalized: ``seem`` over the Frobenius norm of A: the scale-free number the paper plots.
        normalized_error: standard error of ``normalized`` from the choice of rows; None where it is unknown.
        rate: d log|TD error| / d step, per critic update, of the fastest mode that does not oscillate fast, with the
            optimizer's preconditioner and the target's averaging where given; None when no learning rate is known.
        rate_error: standard error of ``rate`` from the choice of rows; None where it is unknown.
        spectral_radius: of I + eta A for a plain gradient step; above 1 while ``seem`` <= 0 means an oscillating
            instability (learning rate too large). None when no learning rate is known or a preconditioner is used.
        numerical_abscissa: largest eigenvalue of (A + A^T)/2: bound on the transient growth.
        residual: backward error of the eigenvalues, relative to the Frobenius norm of A.
        leading: the rightmost eigenvalues, (real, imaginary), as many as were asked for.
        q_mean: mean |Q| over rows and heads used.
        q_max: largest |Q|.
        parameter_norm: Euclidean norm of all parameters of the critic.
        rows: transitions measured.
        heads: how the heads form the target.
        method: how the kernels were computed, and the rule by which that was chosen.
        by_sample: parameters without a layerwise formula, which took per-sample gradients.
        seconds: wall-clock time of the reading.
        fingerprint: the direction of the kernel G(X, X) on the first rows, for `ntk_cosine`.
        oscillation: log|z| per critic update of the fastest-growing mode that turns by more than 0.1 radian per target
            update: above zero, values swing ever wider - with the preconditioner as it stands, which an adaptive
            optimizer does not let stand. -inf where no mode turns; None when no learning rate is known.
        flow: steps ahead, and the growth of log mean |Q| by then if the kernels stayed as they are: the same update
            followed from the present TD errors, rewards included. Empty where unknown.
        kernel_norm: Frobenius norm of the update's own operator, step size and preconditioner included: how the flow
            itself speeds up or slows down from one reading to the next. None when no learning rate is known.
        td_error: root mean square of the TD errors.
        elasticity: d log(rate) / d log(kernels) of the fastest mode: 1 where kernels twice as large make it grow twice
            as fast, as with a live target; towards 0 where target averaging caps the rate. None where unknown.
    """

    step: int
    seem: float
    normalized: float
    normalized_error: float | None
    rate: float | None
    rate_error: float | None
    spectral_radius: float | None
    numerical_abscissa: float
    residual: float
    leading: tuple[tuple[float, float], ...]
    q_mean: float
    q_max: float
    parameter_norm: float
    rows: int
    heads: str
    method: str
    by_sample: tuple[str, ...]
    seconds: float
    fingerprint: str
    oscillation: float | None = None
    flow: tuple[tuple[float, float], ...] = ()
    kernel_norm: float | None = None
    td_error: float = math.nan
    elasticity: float | None = None

    @property
    def finite(self) -> bool:
        """False once the critic's values, or its kernel, are no longer finite."""
        return math.isfinite(self.q_max) and math.isfinite(self.seem)

    def ntk_cosine(self, previous: "Reading") -> float | None:
        """Cosine similarity of this kernel's direction with an earlier one's; None where either has none."""
        now, then = _unpack(self.fingerprint), _unpack(previous.fingerprint)
        if now.size == 0 or now.size != then.size:
            return None
        return float(now @ then / (np.linalg.norm(now) * np.linalg.norm(then)))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        values = asdict(self)
        pairs = {name: [list(pair) for pair in values[name]] for name in ("leading", "flow")}
        return values | pairs | {"by_sample": list(self.by_sample)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Reading":
        """The reading that `to_dict` described; other keys are ignored, "nan" and "inf" are read back."""
        read: dict[str, Any] = {}
        for field in fields(cls):
            value = values.get(field.name, _ABSENT.get(field.name))
            read[field.name] = None if value is None else _READ.get(field.name, float)(value)
        return cls(**read)


_ABSENT: dict[str, Any] = {"leading": (), "flow": (), "method": "", "by_sample": (), "td_error": math.nan}
"""Of what readings written by earlier versions lack."""


def _pairs(values: Any) -> tuple[tuple[float, float], ...]:
    return tuple((float(first), float(second)) for first, second in values)


_READ: dict[str, Callable[[Any], Any]] = {
    "step": int,
    "rows": int,
    "heads": str,
    "method": str,
    "fingerprint": str,
    "by_sample": tuple,
    "leading": _pairs,
    "flow": _pairs,
}


def pack_fingerprint(kernel: Float[np.ndarray, "heads rows rows"]) -> str:
    """The kernel's direction, head by head, as base64 of float16; empty where it has none."""
    upper = np.triu_indices(kernel.shape[1])
    direction = np.concatenate([block[upper] for block in kernel])
    largest = np.abs(direction).max()
    if not np.isfinite(largest) or largest == 0:
        return ""
    return base64.b64encode((direction / largest).astype("<f2").tobytes()).decode("ascii")


def _unpack(fingerprint: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(fingerprint), "<f2").astype(np.float64)
