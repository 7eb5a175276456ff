import math
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from cases import CASES, OBSERVATION, gradients, policy, torch_single, transitions
from oracles import one_update, two_parts
from seemrl.instrument import growth as growth_module
from seemrl.instrument.batch import Batch
from seemrl.instrument.dynamics import Dynamics, head_selection
from seemrl.instrument.growth import growth
from seemrl.instrument.measure import measure
from seemrl.instrument.modes import Update, one_step
from seemrl.instrument.spectrum import spectrum

DISCOUNT = 0.95
seeds = st.integers(0, 2**32 - 1)


def kernels(seed: int, size: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """A positive G(X, X) and a related G(X*, X), as features at random points give them; norms about 1."""
    random = np.random.default_rng(seed)
    features = random.normal(size=(size, size + 2)) / size
    nearby = (features + 0.7 * random.normal(size=features.shape) / size) * random.uniform(0.3, 1.8)
    return nearby @ features.T, features @ features.T


def rate_of(dynamics: Dynamics, step_size: float, **options: Any) -> float:
    return growth(dynamics, step_size, Update(**options)).rate


@given(seeds, st.floats(1e-4, 0.5))
@settings(max_examples=50, deadline=None)
def test_without_discount_only_the_gram_matrix_is_left(seed, step):
    _, gram = kernels(seed)
    dynamics = Dynamics(np.zeros_like(gram), gram)
    np.testing.assert_array_equal(dynamics.matrix, -gram)
    smallest = step * np.linalg.eigvalsh(gram)[0]
    assert rate_of(dynamics, step) == pytest.approx(math.log1p(-smallest), rel=1e-9, abs=1e-14)
    slowest = max(1 - smallest, 0.9)  # the averaged target forgets by itself, and faster than the values move
    assert rate_of(dynamics, step, target_rate=0.1) == pytest.approx(math.log(slowest), rel=1e-9, abs=1e-14)


@given(seeds, st.floats(1e-4, 1e-2), st.integers(1, 3))
@settings(max_examples=50, deadline=None)
def test_a_live_target_grows_by_the_rightmost_eigenvalue(seed, step, period):
    dynamics = Dynamics(*kernels(seed))
    wanted = math.log1p(period * step * spectrum(dynamics.matrix).rightmost) / period
    assert rate_of(dynamics, step, target_period=period) == pytest.approx(wanted, rel=1e-9, abs=1e-14)


@given(seeds, st.floats(1e-3, 1))
@settings(max_examples=30, deadline=None)
def test_one_step_is_the_update_of_the_state(seed, target_rate):
    cross, gram = kernels(seed)
    matrix = one_step(cross, gram, target_rate)
    if target_rate == 1:
        np.testing.assert_array_equal(matrix, np.eye(len(gram)) + cross - gram)
    else:
        np.testing.assert_allclose(matrix, one_update(cross, gram, target_rate), atol=1e-14)


def test_a_target_that_follows_at_once_is_the_live_critic():
    cross, gram = kernels(0)
    averaged = one_update(0.01 * cross, 0.01 * gram, 1.0)
    live = rate_of(Dynamics(cross, gram), 0.01)
    assert live > 0
    assert math.log(np.abs(np.linalg.eigvals(averaged)).max()) == pytest.approx(live, rel=1e-9)


# Kernels with common orthogonal modes: each mode is a critic of one number, with gain cross/gram around the loop.
@given(
    seeds,
    st.lists(st.tuples(st.floats(0.05, 1), st.floats(0.05, 3)), min_size=1, max_size=5),
    st.floats(1e-3, 0.9),
    st.floats(1e-3, 0.3),
)
@settings(max_examples=100, deadline=None)
def test_averaging_slows_growth_and_never_changes_its_sign(seed, modes, target_rate, step):
    gram_values, gains = np.array(modes).T
    gains = np.where(np.abs(gains - 1) < 0.01, 1.01, gains)
    rotation, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(len(modes), len(modes))))
    gram = rotation @ np.diag(gram_values) @ rotation.T
    cross = rotation @ np.diag(gains * gram_values) @ rotation.T
    live = rate_of(Dynamics(cross, gram), step)
    averaged = rate_of(Dynamics(cross, gram), step, target_rate=target_rate)
    if gains.max() > 1:
        assert 0 < averaged < live
    else:
        assert live < averaged < 0


@pytest.mark.parametrize("name", ["three layers", "four layers", "torch twin", "LayerNorm before ReLU", "torch"])
def test_averaging_slows_a_critic_whose_fastest_mode_does_not_turn(name):
    at_rows, at_targets = gradients(name)
    dynamics = Dynamics(*two_parts(at_rows, at_targets, np.full(len(transitions()), 1.0)))
    assert spectrum(dynamics.matrix).eigenvalues[0].imag == 0
    rates = [rate_of(dynamics, 1e-3, target_rate=tau) for tau in (1.0, 0.5, 0.1, 0.01, 0.001)]
    assert rates[-1] > 0
    assert rates == sorted(rates, reverse=True)


def test_averaging_can_speed_up_a_mode_that_turns():
    """The delay feeds back what the loop has turned in the meantime; only modes that do not turn are always slowed."""
    gain = np.array([[0.99, -0.3], [0.3, 0.99]])  # around the loop once: shrinks a little, turns a little
    live, averaged = (rate_of(Dynamics(gain, np.eye(2)), 1e-2, target_rate=tau) for tau in (1.0, 0.01))
    assert live == pytest.approx(math.log1p(-1e-4))
    assert averaged > 5e-5


@given(seeds, st.sampled_from([1.0, 0.05, 0.005]), st.floats(1e-4, 1e-2))
@settings(max_examples=25, deadline=None)
def test_elasticity_is_what_larger_kernels_do_to_the_rate(seed, target_rate, step):
    """By a difference, held between 0 and 1; towards a live target it is 1, which holds in small steps."""
    dynamics = Dynamics(*kernels(seed))
    found = growth(dynamics, step, Update(target_rate=target_rate))
    rates = [rate_of(dynamics, step * (1 + change), target_rate=target_rate) for change in (-1e-4, 1e-4)]
    assume(min(rates) > 1e-6 and abs(rates[1] / rates[0] - 1) < 1e-3)  # no other mode overtakes
    assert found.elasticity is not None
    precision = 0.03 if target_rate == 1.0 else 1e-3
    assert found.elasticity == pytest.approx(np.clip((rates[1] / rates[0] - 1) / 2e-4, 0, 1), abs=precision)
    assert 0 <= found.elasticity <= 1


def test_a_slow_target_caps_the_rate():
    """What is capped grows no faster on kernels a thousand times as large, and its elasticity says so."""
    cross, gram = 1.5 * np.eye(3), np.eye(3)
    small, large = (growth(Dynamics(cross, gram), step, Update(target_rate=0.005)) for step in (1e-5, 0.3))
    assert small.elasticity == pytest.approx(1.0, abs=0.02)
    assert large.elasticity is not None and large.elasticity < 0.03
    assert large.rate == pytest.approx(0.5 * 0.005, rel=0.02)  # tau (1.5 - 1)


def test_compression_leaves_the_growth_rate_alone(monkeypatch):
    monkeypatch.setattr(growth_module, "LARGEST_DENSE", 200)
    cross, gram = kernels(1)
    rotation, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(240, len(gram))))
    large = Dynamics(rotation @ cross @ rotation.T, rotation @ gram @ rotation.T)
    for target_rate in (1.0, 0.05):
        small_rate = rate_of(Dynamics(cross, gram), 0.01, target_rate=target_rate)
        assert small_rate > 0
        assert rate_of(large, 0.01, target_rate=target_rate) == pytest.approx(small_rate, rel=1e-6)


def test_modes_that_turn_fast_are_left_out():
    turning = np.array([[0.0, -1.0], [1.0, 0.0]])
    cross = np.block([[turning, np.zeros((2, 1))], [np.zeros((1, 2)), np.full((1, 1), 0.02)]])
    dynamics = Dynamics(cross, np.zeros((3, 3)))
    assert rate_of(dynamics, 0.5) == pytest.approx(math.log(1.01))  # the pair grows by 1.118 a step
    assert rate_of(dynamics, 0.05) == pytest.approx(math.log(1.001))


@pytest.mark.parametrize("heads", ["coupled", "mean"])
@pytest.mark.parametrize("target_rate", [1.0, 0.1])
def test_identical_heads_read_as_one(heads, target_rate):
    at_rows, (at_targets,) = gradients("torch")
    cross, gram = (DISCOUNT * each.jacobian[0] @ at_rows.jacobian[0].T for each in (at_targets, at_rows))
    ((first, second),) = head_selection(heads, np.zeros((2, len(gram))))
    one = Dynamics(cross, gram / DISCOUNT)
    nothing = np.zeros_like(gram)
    two = Dynamics(
        np.hstack([first[:, None] * cross, second[:, None] * cross]),
        np.block([[one.gram, nothing], [nothing, one.gram]]),
    )
    assert spectrum(one.matrix).rightmost > 0
    assert spectrum(two.matrix).rightmost == pytest.approx(spectrum(one.matrix).rightmost, rel=1e-9)
    rates = [rate_of(dynamics, 1e-3, target_rate=target_rate) for dynamics in (one, two)]
    assert rates[0] == pytest.approx(rates[1], rel=1e-6)


def test_eigenvalues_are_those_of_the_small_side():
    """Apart from zeros, J^T (gamma J* - J) has the eigenvalues of (gamma J* - J) J^T: parameters against rows."""
    at_rows, (at_targets,) = gradients("one layer")
    used = at_rows.jacobian[0].any(axis=0)  # the other parameters are the second head's
    J, J_star = at_rows.jacobian[0][:, used], at_targets.jacobian[0][:, used]
    bootstrap = DISCOUNT * (1 - transitions().terminals[:, None])
    reading = measure(CASES["one layer"].make(), transitions(), policy, discount=DISCOUNT, heads="first")
    assert len(J.T) < len(J)
    wanted = np.linalg.eigvals(J.T @ (bootstrap * J_star - J)).real.max()
    assert reading.seem == pytest.approx(max(wanted, 0.0), rel=1e-9)


@pytest.mark.parametrize(("target_rate", "period"), [(1.0, 1), (0.05, 1), (0.3, 1), (0.05, 2), (1.0, 3)])
def test_a_linear_critic_grows_at_the_rate_that_was_read(target_rate, period):
    """Its kernel never changes, so a reading before the first step holds for all of them: here for 4000."""
    rows, lr = 20, (2e-2 if period == 1 else 5e-3)  # several updates count as one large one: right for small steps
    random = np.random.default_rng(0)
    observations, actions = random.normal(size=(rows, OBSERVATION)), random.uniform(-1, 1, size=(rows, 2))
    next_observations, next_actions = 0.3 * observations, actions * [0.3, 1.3]  # one direction feeds itself
    batch = Batch(observations, actions, np.zeros(rows), next_observations, np.zeros(rows))
    critic = torch_single(bias=False).double()
    reading = measure(
        critic,
        batch,
        lambda _: next_actions,
        discount=0.99,
        learning_rate=lr,
        target_rate=target_rate,
        target_period=period,
    )
    x, x_star = np.hstack([observations, actions]), np.hstack([next_observations, next_actions])
    (weight,) = (parameter.detach().numpy().ravel().copy() for parameter in critic.parameters())
    target, sizes = weight.copy(), []
    for update in range(1, 4001):
        weight -= lr * 2 / rows * x.T @ (x @ weight - 0.99 * x_star @ target)
        if update % period == 0:
            target += target_rate * (weight - target)
        sizes.append(np.linalg.norm(x @ weight))
    observed = math.log(sizes[-1] / sizes[-1001]) / 1000
    assert reading.rate == pytest.approx(observed, rel=1e-6 if period == 1 else 5e-3)
    assert observed > 0
