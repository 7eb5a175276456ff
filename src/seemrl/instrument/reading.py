"""`measure`: one reading of a critic, on fixed transitions, under its policy."""

import base64
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, NamedTuple, get_args

import numpy as np
import scipy.linalg
from jaxtyping import Float

from seemrl.errors import InputError
from seemrl.instrument.batch import Batch
from seemrl.instrument.dynamics import Dynamics, Heads, growth_rate, head_selection, self_excitation
from seemrl.instrument.kernels import open_critic
from seemrl.instrument.kernels.layerwise import kernel_blocks
from seemrl.instrument.spectrum import numerical_abscissa, spectrum

_FINGERPRINT_ROWS = 64

Policy = Callable[[np.ndarray], Any]
"""next observations (rows, observation) -> actions (rows, action), as the target uses them."""


@dataclass(frozen=True)
class Reading:
    """What one look at a critic says.

    Attributes:
        step: training step it was taken at.
        seem: largest real part among the eigenvalues of the self-excitation matrix A (raw; its scale is the kernel's).
        normalized: ``seem`` over the Frobenius norm of A: the scale-free number the paper plots.
        rate: d log|TD error| / d step, per critic update, of the fastest mode that does not oscillate fast, with the
            optimizer's preconditioner and the target's averaging where given; None when no learning rate is known.
        spectral_radius: of I + eta A for a plain gradient step; above 1 while ``seem`` <= 0 means an oscillating
            instability (learning rate too large). None when no learning rate is known or a preconditioner is used.
        numerical_abscissa: largest eigenvalue of (A + A^T)/2: bound on the transient growth.
        residual: backward error of the eigenvalues, relative to the Frobenius norm of A.
        q_mean: mean |Q| over rows and heads used.
        q_max: largest |Q|.
        parameter_norm: Euclidean norm of all parameters of the critic.
        rows: transitions measured.
        heads: how the heads form the target.
        seconds: wall-clock time of the reading.
        fingerprint: the direction of the kernel G(X, X) on the first rows, for `ntk_cosine`.
    """

    step: int
    seem: float
    normalized: float
    rate: float | None
    spectral_radius: float | None
    numerical_abscissa: float
    residual: float
    q_mean: float
    q_max: float
    parameter_norm: float
    rows: int
    heads: str
    seconds: float
    fingerprint: str

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
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Reading":
        """The reading that `to_dict` described; other keys are ignored, "nan" and "inf" are read back."""
        known = {field.name: values[field.name] for field in fields(cls)}
        plain: dict[str, Callable[[Any], Any]] = {"step": int, "rows": int, "heads": str, "fingerprint": str}
        read: dict[str, Any] = {
            name: None if value is None else plain.get(name, float)(value) for name, value in known.items()
        }
        return cls(**read)


def measure(
    critic: Any,
    batch: Batch,
    policy: Policy,
    *,
    discount: float,
    heads: Heads = "coupled",
    mask_terminals: bool = True,
    learning_rate: float | None = None,
    loss_scale: float = 2.0,
    optimizer: Any = None,
    target_critic: Any = None,
    target_rate: float | None = None,
    target_period: int = 1,
    policy_draws: int = 2,
    accuracy: float = 1e-4,
    step: int = 0,
) -> Reading:
    """Measure the self-excitation of a critic (SEEM; Yue et al. 2023, section 3).

    Args:
        critic: an ``eqx.Module`` or ``functools.partial`` over JAX arrays, or a ``torch.nn.Module``; called as
            ``critic(observations, actions)``, returns (rows,), (rows, 1), (heads, rows) or a tuple of heads.
        batch: the N transitions to measure on; the same ones every time makes readings comparable.
        policy: next observations (N, observation) -> actions (N, action), *as the target uses it*: target actor and
            smoothing noise included. A policy whose two answers differ is taken as random and averaged over draws.
        discount: gamma, in [0, 1].
        heads: "coupled" for targets from the smaller head, "first" for the first head alone (the paper's reading),
            "mean" for targets from the heads' mean.
        mask_terminals: no bootstrap at terminal transitions; False for parity with the paper's reading.
        learning_rate: the critic's step size; read from ``optimizer`` if that knows it.
        loss_scale: factor before the mean squared error's gradient: 2 for mean MSE per head, 1 for half of it.
        optimizer: the critic's torch optimizer or optax state, for its second moments.
        target_critic: chooses the smaller head; the critic itself if not given.
        target_rate: tau of target averaging; None or 1 where the target is the live critic.
        target_period: critic updates per target update.
        policy_draws: draws averaged for a random policy.
        accuracy: largest residual at which a compressed spectrum is accepted; otherwise the dense one is computed.
        step: training step, kept in the reading.

    Raises:
        InputError: a shape, the discount, the optimizer or the critic does not fit; the message says which.
    """
    started = time.perf_counter()
    _check(discount, heads, target_rate, target_period, loss_scale, learning_rate, policy_draws)
    opened = open_critic(critic)
    rule = opened.step_rule(optimizer, learning_rate)
    points = _Points.of(batch, policy, policy_draws)
    values = _used(opened(*points), heads)
    deciding = values if target_critic is None else _used(open_critic(target_critic)(*points), heads)
    if deciding.shape != values.shape:
        raise InputError(f"target_critic: it has {len(deciding)} heads but the critic has {len(values)}; give its own")
    rows = len(batch)
    selection = head_selection(heads, deciding[:, rows:])
    needed = np.concatenate([np.ones((len(values), rows), bool), selection > 0], axis=1)
    bootstrap = discount * (1.0 - batch.terminals) if mask_terminals else np.full(rows, float(discount))

    def dynamics(preconditioner: Sequence[np.ndarray] | None) -> Dynamics:
        with np.errstate(over="ignore", invalid="ignore"):  # a critic that has blown up is told by `finite`
            blocks = kernel_blocks(
                opened.traces(*points, preconditioner), slice(None), slice(rows), len(values), needed
            )
            return self_excitation(blocks[:, :, rows:], blocks[:, :, :rows], selection, bootstrap)

    plain = dynamics(None)
    rate = None
    if rule is not None:
        moved = plain if rule.preconditioner is None else dynamics(rule.preconditioner)
        step_size = rule.learning_rate * loss_scale / rows
        rate = (
            growth_rate(moved, step_size, target_rate=target_rate or 1.0, target_period=target_period)
            if np.isfinite(moved.matrix).all()
            else math.nan
        )
    at_rows = np.abs(values[:, :rows])
    plain_step = rule.learning_rate * loss_scale / rows if rule is not None and rule.preconditioner is None else None
    return Reading(
        step=int(step),
        **_spectral_numbers(plain, plain_step, accuracy),
        rate=rate,
        q_mean=float(at_rows.mean()),
        q_max=float(at_rows.max()),
        parameter_norm=math.hypot(*(scipy.linalg.norm(leaf.ravel(), check_finite=False) for leaf in opened.leaves)),
        rows=rows,
        heads=heads,
        fingerprint=pack_fingerprint(plain.gram, rows),
        seconds=time.perf_counter() - started,
    )


class _Points(NamedTuple):
    """The batch's own points, then the target's: (rows + draws * rows) of each."""

    observations: np.ndarray
    actions: np.ndarray

    @classmethod
    def of(cls, batch: Batch, policy: Policy, draws: int) -> "_Points":
        answers = [_actions(policy, batch), _actions(policy, batch)]
        if np.array_equal(answers[0], answers[1]):
            answers = answers[:1]
        else:
            answers = [*answers, *(_actions(policy, batch) for _ in range(draws - len(answers)))][:draws]
        return cls(
            np.concatenate([batch.observations, *[batch.next_observations] * len(answers)]),
            np.concatenate([batch.actions, *answers]),
        )


def _actions(policy: Policy, batch: Batch) -> np.ndarray:
    answer = policy(batch.next_observations)
    actions = np.asarray(answer.detach().cpu() if hasattr(answer, "detach") else answer, np.float64)
    if actions.shape != batch.actions.shape:
        raise InputError(
            f"policy: it returned actions of shape {actions.shape}; the batch's have {batch.actions.shape}"
        )
    return actions


def _spectral_numbers(plain: Dynamics, step_size: float | None, accuracy: float) -> dict[str, Any]:
    matrix = plain.matrix
    if not np.isfinite(matrix).all():
        lost = dict.fromkeys(("seem", "normalized", "numerical_abscissa", "residual"), math.nan)
        return {**lost, "spectral_radius": None if step_size is None else math.nan}
    values = spectrum(matrix, accuracy)
    scale = np.abs(matrix).max(initial=0.0)
    norm = float(np.linalg.norm(matrix / scale) * scale) if scale > 0 else 0.0
    return {
        "seem": values.rightmost,
        "normalized": values.rightmost / norm if norm > 0 else 0.0,
        "numerical_abscissa": numerical_abscissa(matrix),
        "residual": values.residual,
        "spectral_radius": None if step_size is None else float(np.abs(1 + step_size * values.eigenvalues).max()),
    }


def _used(values: np.ndarray, heads: Heads) -> np.ndarray:
    return values[:1] if heads == "first" else values


def _check(
    discount: float,
    heads: Heads,
    target_rate: float | None,
    target_period: int,
    loss_scale: float,
    learning_rate: float | None,
    policy_draws: int,
) -> None:
    if not 0 <= discount <= 1:
        raise InputError(f"discount: {discount} is outside [0, 1]")
    if heads not in get_args(Heads):
        raise InputError(f"heads: {heads!r} is none of {', '.join(get_args(Heads))}")
    if target_rate is not None and not 0 < target_rate <= 1:
        raise InputError(f"target_rate: {target_rate} is outside (0, 1]; 1 means the target is the live critic")
    if target_period < 1:
        raise InputError(f"target_period: {target_period} is below 1; give critic updates per target update")
    if not 0 < loss_scale < math.inf:
        raise InputError(f"loss_scale: {loss_scale} is outside (0, inf); it is 2 for a mean squared error")
    if learning_rate is not None and not 0 <= learning_rate < math.inf:
        raise InputError(f"learning_rate: {learning_rate} is outside [0, inf); give the critic's step size")
    if policy_draws < 1:
        raise InputError(f"policy_draws: {policy_draws} is below 1; give how often a random policy is asked")


def pack_fingerprint(gram: Float[np.ndarray, "n n"], rows: int) -> str:
    """The kernel's direction on the first rows of each head, as base64 of float16."""
    kept = min(rows, _FINGERPRINT_ROWS)
    upper = np.triu_indices(kept)
    parts = [gram[start : start + kept, start : start + kept][upper] for start in range(0, len(gram), rows)]
    direction = np.concatenate(parts)
    largest = np.abs(direction).max()
    if not np.isfinite(largest) or largest == 0:
        return ""
    return base64.b64encode((direction / largest).astype("<f2").tobytes()).decode("ascii")


def _unpack(fingerprint: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(fingerprint), "<f2").astype(np.float64)
