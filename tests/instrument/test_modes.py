"""Momentum and averaging in the modes of an update, against matrices built entry by entry and real optimizers."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from seemrl.instrument.dynamics import Dynamics
from seemrl.instrument.flow import State, flow
from seemrl.instrument.growth import growth, growth_without_averaging
from seemrl.instrument.modes import SLOW_TURN, Mode, Update
from seemrl.instrument.spectrum import spectrum

seeds = st.integers(0, 2**32 - 1)


def kernels(seed: int, size: int = 6, pull: float = 0.7) -> tuple[np.ndarray, np.ndarray]:
    """A positive G(X, X) and a related G(X*, X), as features at random points give them."""
    random = np.random.default_rng(seed)
    features = random.normal(size=(size, size + 2)) / size
    nearby = (features + pull * random.normal(size=features.shape) / size) * random.uniform(0.9, 2.5)
    return nearby @ features.T, features @ features.T


def with_momentum(cross: np.ndarray, gram: np.ndarray, target_rate: float, momentum: float) -> np.ndarray:
    """The update of (sum of steps, last step, averaged target), written out."""
    size = len(gram)
    state = np.eye(3 * size)
    done, last, target = state[:size], state[size : 2 * size], state[2 * size :]
    last = momentum * last + (1 - momentum) * (target - gram @ done)
    done = done + last
    return np.concatenate([done, last, (1 - target_rate) * target + target_rate * cross @ done])


@given(seeds, st.floats(0.02, 1), st.sampled_from([0.5, 0.9, 0.95]), st.floats(1e-4, 0.3))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_a_mode_is_an_eigenvalue_of_the_update_with_momentum(seed, target_rate, momentum, step):
    cross, gram = (step * part for part in kernels(seed))
    mode = Mode.fastest(cross, gram, Update(target_rate, 1, momentum))
    assert mode is not None
    found = np.linalg.eigvals(with_momentum(cross, gram, target_rate, momentum))
    assert np.abs(found - mode.z).min() < 1e-8
    growing = found[(np.abs(np.angle(found)) <= SLOW_TURN) & (found.real > 1 + 1e-9)]
    if growing.size:
        assert mode.z.real == pytest.approx(growing.real.max(), rel=1e-8)


@pytest.mark.parametrize("target_rate", [1.0, 0.6])
@pytest.mark.parametrize("beside", [True, False])
def test_a_mode_whose_turning_inertia_holds_back_is_found(target_rate, beside):
    """It turns by 0.13 radian without momentum and by 0.04 with it, faster in growing than the slow mode beside it."""
    turning = np.array([[0.5, -0.2, 0.0], [0.2, 0.5, 0.0], [0.0, 0.0, 0.1]])[: 2 + beside, : 2 + beside]
    gram = 0.1 * np.eye(len(turning))
    cross, update = gram + turning, Update(target_rate, 1, 0.9)
    found = np.linalg.eigvals(with_momentum(cross, gram, target_rate, 0.9))
    slow = found[np.abs(np.angle(found)) <= SLOW_TURN].real.max()
    mode = Mode.fastest(cross, gram, update)
    assert mode is not None and mode.z.real == pytest.approx(slow, rel=1e-8) and abs(mode.z.imag) > 0.01
    if target_rate == 1:
        assert growth_without_averaging(spectrum(turning), 1.0, update).rate == pytest.approx(np.log(slow), rel=1e-8)


@given(seeds, st.sampled_from([0.0, 0.9]), st.floats(1e-4, 0.01))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_with_a_live_target_both_ways_to_the_rate_agree(seed, momentum, step):
    dynamics, update = Dynamics(*kernels(seed)), Update(1.0, 1, momentum)
    found = growth_without_averaging(spectrum(dynamics.matrix), step, update)
    whole = growth(dynamics, step, update)
    assert found.rate == pytest.approx(whole.rate, rel=1e-8, abs=1e-12)
    assert found.oscillation == pytest.approx(whole.oscillation, rel=1e-8, abs=1e-12)
    sigma = step * spectrum(dynamics.matrix).eigenvalues[0]
    half = (1 + momentum + (1 - momentum) * sigma) / 2
    if abs(sigma.imag) < 1e-12 and half.real**2 > momentum:  # the quadratic of theory
        assert whole.rate == pytest.approx(np.log((half + np.sqrt(half**2 - momentum)).real), rel=1e-8, abs=1e-12)


@given(seeds, st.sampled_from([1.0, 0.05]))
@settings(max_examples=20, deadline=None, derandomize=True)
def test_where_growth_is_slow_inertia_changes_neither_it_nor_what_each_row_does(seed, target_rate):
    dynamics, step = Dynamics(*kernels(seed, size=20)), 1e-4
    plain, slow = (growth(dynamics, step, Update(target_rate, 1, momentum)) for momentum in (0.0, 0.9))
    assert slow.rate == pytest.approx(plain.rate, rel=0.05, abs=1e-9)
    for name in ("influence", "left_out"):
        changes = getattr(plain, name)
        np.testing.assert_allclose(getattr(slow, name), changes, rtol=0.1, atol=0.02 * np.abs(changes).max() + 1e-9)


def test_too_large_a_step_swings_though_nothing_feeds_itself():
    gram = np.diag([1.0, 0.1])
    slow, fast = (growth(Dynamics(np.zeros((2, 2)), gram), step, Update()) for step in (0.5, 2.5))
    assert slow.rate < 0 and slow.oscillation < 0
    assert fast.rate < 0 and fast.oscillation == pytest.approx(np.log(1.5))
    damped = growth(Dynamics(np.zeros((2, 2)), gram), 2.5, Update(momentum=0.9))
    assert damped.oscillation < 0  # heavy momentum takes steps up to 2 (1 + b) / (1 - b)


def linear_errors(optimizer: type[torch.optim.Optimizer], steps: int, **options: Any) -> np.ndarray:
    """TD errors of a linear critic trained by a real torch optimizer on four rows."""
    random = np.random.default_rng(3)
    features = torch.tensor(random.normal(size=(4, 6)))
    nearby = torch.tensor(1.4 * features.numpy() + 0.3 * random.normal(size=(4, 6)))
    weights = torch.nn.Parameter(torch.tensor(random.normal(size=6)))
    made = optimizer([weights], **options)
    errors = []
    for _ in range(steps):
        made.zero_grad()
        target = (nearby @ weights).detach()
        error = features @ weights - target
        (error**2).mean().backward()
        made.step()
        errors.append((features - nearby) @ weights.detach())
    return torch.stack(errors).norm(dim=1).numpy()


def test_a_real_optimizer_with_momentum_grows_at_the_rate():
    options: dict[str, Any] = {"lr": 0.002, "momentum": 0.9}
    norms = linear_errors(torch.optim.SGD, 3000, **options)
    random = np.random.default_rng(3)
    features = random.normal(size=(4, 6))
    nearby = 1.4 * features + 0.3 * random.normal(size=(4, 6))
    dynamics = Dynamics(nearby @ features.T, features @ features.T)
    found = growth(dynamics, 0.002 / (1 - 0.9) * 2 / 4, Update(momentum=0.9))
    assert found.rate > 1e-3
    assert np.log(norms[-1] / norms[-501]) / 500 == pytest.approx(found.rate, rel=1e-6)
    without = growth(dynamics, 0.002 / (1 - 0.9) * 2 / 4, Update())
    assert without.rate > found.rate  # inertia holds growth back


# --------------------------------------------------------------------------------------------------------------- flow


def stepped(cross: np.ndarray, gram: np.ndarray, state: State, target_rate: float, updates: int) -> np.ndarray:
    """Mean |q| over the updates of the block operator with rewards, one by one."""
    q, live, averaged = state.values.ravel(), state.live.ravel(), state.averaged.ravel()
    sharing = len(q) // len(live)
    seen = []
    for _ in range(updates):
        targets = np.tile(averaged if target_rate < 1 else live, sharing)
        error = np.tile(state.rewards, len(state.values)) + targets - q
        q, live = q + gram @ error, live + cross @ error
        averaged = (1 - target_rate) * averaged + target_rate * live
        seen.append(np.abs(q).mean())
    return np.array(seen)


@given(seeds, st.sampled_from([1.0, 0.05, 0.005]), st.sampled_from([(1, 1), (2, 1), (2, 2)]))
@settings(max_examples=30, deadline=None, derandomize=True)
def test_the_flow_is_the_update_step_by_step(seed, target_rate, heads_and_targets):
    heads, targets_each = heads_and_targets
    random = np.random.default_rng(seed)
    size, step = 6, 2e-3
    cross, gram = kernels(seed, size * heads)
    cross = cross[: size * targets_each]
    targets = random.normal(size=(targets_each, size))
    state = State(random.normal(size=(heads, size)), targets, targets, random.normal(size=size))
    seen = stepped(step * cross, step * gram, state, target_rate, 2048)
    path = flow(Dynamics(cross, gram, targets_each=targets_each), state, step, Update(target_rate))
    before = np.abs(state.values).mean()
    for steps, growth_ in path[2:9]:
        assert growth_ == pytest.approx(np.log(seen[int(steps) - 1] / before), abs=0.02)


def test_the_flow_ends_where_numbers_do():
    cross, gram = kernels(0)
    state = State(np.ones((1, 6)), np.ones((1, 6)), np.ones((1, 6)), np.ones(6))
    path = flow(Dynamics(50 * cross, gram), state, 1.0, Update())
    assert all(growth_ < 30 for _, growth_ in path) and len(path) < 14
    empty = State(np.zeros((1, 6)), np.ones((1, 6)), np.ones((1, 6)), np.ones(6))
    assert flow(Dynamics(cross, gram), empty, 1.0, Update()) == ()
