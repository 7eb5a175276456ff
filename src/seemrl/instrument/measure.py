"""`measure`: one reading of a critic, on fixed transitions, under its policy."""

import math
import time
from typing import Any, Literal, cast

import numpy as np

from seemrl.errors import InputError
from seemrl.instrument.arguments import check_arguments
from seemrl.instrument.batch import Batch
from seemrl.instrument.dynamics import Combination, Dynamics, Heads, Kernels
from seemrl.instrument.flow import State, flow
from seemrl.instrument.growth import Growth, growth, growth_without_averaging
from seemrl.instrument.kernels import Critic, asked, open_critic
from seemrl.instrument.modes import Update
from seemrl.instrument.points import Points, Policy
from seemrl.instrument.reading import Reading, pack_fingerprint
from seemrl.instrument.sampling import influence_error, left_out_changes, left_out_error
from seemrl.instrument.source import KernelSource
from seemrl.instrument.spectrum import LARGEST_DENSE, Spectrum, scaled_back, spectrum


def measure(
    critic: Any,
    batch: Batch,
    policy: Policy | Literal["greedy"],
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
    accuracy: float = 2e-3,
    leading: int = 0,
    population: int | None = None,
    memory: int = 2 * 2**30,
    step: int = 0,
) -> Reading:
    """Measure the self-excitation of a critic (SEEM; Yue et al. 2023, section 3).

    Args:
        critic: an ``eqx.Module`` or ``functools.partial`` over JAX arrays, or a ``torch.nn.Module``; called as
            ``critic(observations, actions)``, returns (rows,), (rows, 1), (heads, rows) or a tuple of heads. Discrete,
            that is where ``batch.actions`` are integers (rows,): called as ``critic(observations)``, returns
            (rows, actions), (heads, rows, actions) or a tuple of heads.
        batch: the N transitions to measure on; the same ones every time makes readings comparable.
        policy: next observations (N, observation) -> actions (N, action), *as the target uses it*: target actor and
            smoothing noise included. A policy whose two answers differ is taken as random and averaged over draws.
            Discrete: indices (N,), or "greedy" for the action of largest value to the target critic.
        discount: gamma, in [0, 1].
        heads: "coupled" for targets from the smaller head, "first" for the first head alone (the paper's reading),
            "mean" for targets from the heads' mean, "own" where each head bootstraps from itself.
        mask_terminals: no bootstrap at terminal transitions; False for parity with the paper's reading.
        learning_rate: the critic's step size; read from ``optimizer`` if that knows it.
        loss_scale: factor before the mean squared error's gradient: 2 for mean MSE per head, 1 for half of it.
        optimizer: the critic's torch optimizer, or a list of those of its heads, or its optax state; for its second
            moments.
        target_critic: chooses the smaller head, and the greedy action; the critic itself if not given.
        target_rate: tau of target averaging; None or 1 where the target is the live critic.
        target_period: critic updates per target update.
        policy_draws: draws averaged for a random policy.
        accuracy: largest residual at which a compressed spectrum is accepted.
        leading: how many of the rightmost eigenvalues to keep in the reading.
        population: transitions the batch was drawn from, without replacement, for the standard errors; None for many.
        memory: bytes the kernels may take; beyond that the spectrum comes from products with the network alone.
        step: training step, kept in the reading.

    Raises:
        InputError: a shape, the discount, the optimizer or the critic does not fit; the message says which. Or the
            spectrum cannot be had to this accuracy.
    """
    started = time.perf_counter()
    check_arguments(
        batch,
        heads,
        population,
        discount=discount,
        target_rate=target_rate,
        target_period=target_period,
        loss_scale=loss_scale,
        learning_rate=learning_rate,
        policy_draws=policy_draws,
        leading=leading,
        memory=memory,
        step=step,
    )
    greedy = isinstance(policy, str) and policy == "greedy"  # an array of actions has no truth of its own
    if greedy and not batch.discrete:
        raise InputError("policy: greedy needs a discrete critic; give batch.actions as integers, (rows,)")
    opened = open_critic(critic, batch.discrete)
    target = opened if target_critic is None else open_critic(target_critic, batch.discrete)
    rule = opened.step_rule(optimizer, learning_rate)
    points = Points.of(batch, greedy_policy(target, heads) if greedy else cast(Policy, policy), policy_draws)
    if batch.discrete:
        _check_indices(points, opened)
    bootstrap = discount * (1.0 - batch.terminals) if mask_terminals else np.full(len(batch), float(discount))
    source = KernelSource.of(opened, target, points, heads, bootstrap, memory)
    step_size = None if rule is None else rule.learning_rate * loss_scale / len(batch)
    preconditioner = None if rule is None else rule.preconditioner
    plain_step = None if preconditioner is not None else step_size
    numbers = _lost(step_size, plain_step)
    if source.finite:
        plain, moved, numbers["method"] = source.kernels(preconditioner)
        found, left_out = None, None
        if _finite(plain):
            operator = plain.matrix if isinstance(plain, Dynamics) else Combination(plain)
            found = scaled_back(spectrum(operator, accuracy), plain.scale)
            numbers |= _spectral_numbers(found, plain_step, leading)
            left_out = _left_out(plain, found)
            numbers["normalized_error"] = _normalized_error(found, left_out, len(batch), population)
            numbers["fingerprint"] = pack_fingerprint(source.fingerprint_kernel(plain))
        state = State(source.values, source.live, source.averaged, batch.rewards)
        numbers["td_error"] = _norm(state.errors) / state.errors.size**0.5
        if rule is not None and step_size is not None and _finite(moved):
            update = Update(target_rate or 1.0, target_period, rule.momentum)
            if found is not None and moved is plain and update.target_rate == 1:
                mode = growth_without_averaging(found, step_size, update, left_out)
            else:
                mode = growth(moved, step_size, update)
            numbers["rate_error"] = _rate_error(mode, target_rate, len(batch), population)
            numbers |= _update_numbers(moved, mode, state, step_size, update)
    at_rows = np.abs(source.values)
    return Reading(
        step=int(step),
        **numbers,
        q_mean=float(at_rows.mean()),
        q_max=float(at_rows.max()),
        parameter_norm=math.hypot(*(_norm(leaf) for leaf in opened.leaves)),
        rows=len(batch),
        heads=heads,
        by_sample=opened.by_sample,
        seconds=time.perf_counter() - started,
    )


def greedy_policy(target: Critic, heads: Heads) -> Policy:
    """The action that the target values most: by its smaller head, its first, or their mean.

    Raises:
        InputError: each head has its own target, and with it an action of its own.
    """
    if heads == "own":
        raise InputError("policy: greedy has no one action where heads are their own targets; give next actions")
    reduced = {"coupled": lambda q: q.min(axis=0), "first": lambda q: q[0], "mean": lambda q: q.mean(axis=0)}[heads]

    def greedy(next_observations: np.ndarray) -> np.ndarray:
        with asked("critic", next_observations):
            values = target.action_values(next_observations)
        return np.argmax(reduced(values), axis=1)

    return greedy


def _check_indices(points: Points, critic: Critic) -> None:
    count = critic.action_values(points.observations[0]).shape[2]
    for name, actions in (("batch.actions", points.actions[:1]), ("policy", points.actions[1:])):
        wrong = actions[(actions < 0) | (actions >= count)]
        if wrong.size:
            raise InputError(f"{name}: action {wrong[0]:g} is none of the critic's {count}, numbered from 0")


def _norm(leaf: np.ndarray) -> float:
    scale = float(np.abs(leaf).max(initial=0.0))  # squares of 1e200 overflow
    return scale * float(np.linalg.norm(leaf / scale)) if 0 < scale < math.inf else scale


def _finite(kernels: Kernels) -> bool:
    if not isinstance(kernels, Dynamics):
        return bool(np.isfinite(kernels.scale))
    return bool(np.isfinite(kernels.cross).all() and np.isfinite(kernels.gram).all())


def _lost(step_size: float | None, plain_step: float | None) -> dict[str, Any]:
    """The numbers of a critic that has none left."""
    return {
        **dict.fromkeys(("seem", "normalized", "numerical_abscissa", "residual"), math.nan),
        **dict.fromkeys(("normalized_error", "rate_error", "oscillation", "kernel_norm", "elasticity")),
        "td_error": math.nan,
        "flow": (),
        "rate": None if step_size is None else math.nan,
        "spectral_radius": None if plain_step is None else math.nan,
        "leading": (),
        "method": "not computed: the critic's values are not finite",
        "fingerprint": "",
    }


def _spectral_numbers(found: Spectrum, step_size: float | None, leading: int) -> dict[str, Any]:
    return {
        "seem": found.rightmost,
        "normalized": found.rightmost / found.norm if found.norm > 0 else 0.0,
        "numerical_abscissa": found.numerical_abscissa,
        "residual": found.residual,
        "spectral_radius": None if step_size is None else float(np.abs(1 + step_size * found.eigenvalues).max()),
        "leading": tuple((float(value.real), float(value.imag)) for value in found.eigenvalues[:leading]),
    }


def _update_numbers(moved: Kernels, mode: Growth, state: State, step_size: float, update: Update) -> dict[str, Any]:
    """What a whole update does; the flow takes matrices twice as large as the kernel, so only where that is small."""
    numbers: dict[str, Any] = {"rate": mode.rate, "oscillation": mode.oscillation, "elasticity": mode.elasticity}
    if isinstance(moved, Dynamics):
        numbers["kernel_norm"] = step_size * moved.scale * _norm(moved.matrix)
        if moved.size <= LARGEST_DENSE:
            numbers["flow"] = flow(moved, state, step_size, update)
    return numbers


def _left_out(plain: Kernels, found: Spectrum) -> np.ndarray | None:
    """Change of the rightmost eigenvalue when each row is left out, where the matrix is small enough to ask."""
    if not isinstance(plain, Dynamics) or found.vectors is None or plain.size > LARGEST_DENSE:
        return None
    size = found.norm / plain.scale
    values = found.eigenvalues / found.norm
    first = complex(values[0])
    identity = np.eye(plain.size)
    singular = plain.matrix / size - (first if first.imag else first.real) * identity
    changes = left_out_changes(singular, -identity, plain.rows, found.vectors)
    if changes is None:
        return None
    distance = first.real - values.real[values.real < first.real].max(initial=-np.inf)
    return found.norm * np.clip(changes, -distance, distance)  # first order, so cut at the next eigenvalue


def _normalized_error(found: Spectrum, left_out: np.ndarray | None, rows: int, population: int | None) -> float | None:
    if found.norm == 0:
        return None
    of_norm = -found.rightmost / found.norm * found.spread / found.norm**2  # what a row's weight does through ||A||_F
    if left_out is not None:
        by_row = of_norm.reshape(-1, rows).sum(axis=0)
        return left_out_error(left_out / found.norm - by_row, population)
    return (
        None if found.influence is None else influence_error(found.influence / found.norm + of_norm, rows, population)
    )


def _rate_error(mode: Growth, target_rate: float | None, rows: int, population: int | None) -> float | None:
    """By rows left out, where they could be; with a live target by their influence; else unknown."""
    if mode.left_out is not None:
        return left_out_error(mode.left_out, population)
    return influence_error(mode.influence, rows, population) if target_rate in (None, 1) else None
