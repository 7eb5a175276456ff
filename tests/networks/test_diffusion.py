"""The diffusion policy: its schedule, its samplers, and what it can learn."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from seemrl.networks.diffusion import DiffusionPolicy, follow_probability_flow, signal_scale

KEY = jax.random.key(5)


@pytest.mark.parametrize("levels", [1, 5, 40])
def test_the_schedule_is_the_published_one(levels):
    """beta_n = 1 - exp(-0.1 / N - 9.9 (2n - 1) / (2 N^2)), Diffusion-QL's appendix."""
    n = np.arange(1, levels + 1)
    betas = 1 - np.exp(-0.1 / levels - 0.5 * 9.9 * (2 * n - 1) / levels**2)
    np.testing.assert_allclose(signal_scale(n / levels) ** 2, np.cumprod(1 - betas), rtol=1e-12)


# ------------------------------------------------------------------------------------------------ solver

MEAN, DEVIATION = 0.4, 0.3


def solved(times: np.ndarray, order: int, noise: np.ndarray) -> np.ndarray:
    """The flow of a Gaussian, whose denoised actions are known: E[x_0 | x_t] by conditioning."""
    alpha = signal_scale(times)
    with jax.enable_x64(True):

        def denoise(noisy: jax.Array, number: int) -> jax.Array:
            variance = alpha[number] ** 2 * DEVIATION**2 + 1 - alpha[number] ** 2
            return MEAN + float(alpha[number] * DEVIATION**2 / variance) * (noisy - float(alpha[number] * MEAN))

        return np.asarray(follow_probability_flow(denoise, jnp.asarray(noise), times, order))


def exact(start: float, end: float, noise: np.ndarray) -> np.ndarray:
    """The flow of a Gaussian keeps the standardised value: x_t = alpha m + sqrt(alpha^2 s^2 + sigma^2) z."""
    first, last = alpha_at(start), alpha_at(end)
    standardised = (noise - first * MEAN) / spread(first)
    return last * MEAN + spread(last) * standardised


def spread(alpha: float) -> float:
    return float(np.sqrt(alpha**2 * DEVIATION**2 + 1 - alpha**2))


def alpha_at(time: float) -> float:
    return float(signal_scale(np.array([time]))[0])


@pytest.mark.parametrize("order", [1, 2])
def test_the_solver_follows_the_flow_of_a_gaussian_at_its_order(order):
    noise = np.random.default_rng(0).normal(size=(50, 2))
    wanted = exact(1.0, 0.1, noise)
    errors = [np.abs(solved(np.linspace(1.0, 0.1, steps + 1), order, noise) - wanted).max() for steps in (80, 160)]
    assert errors[1] < {1: 1e-2, 2: 1e-4}[order]
    assert np.log2(errors[0] / errors[1]) > order - 0.15


def test_the_solver_ends_at_the_distribution_of_actions():
    noise = np.random.default_rng(1).normal(size=(4000, 1))
    actions = solved(np.linspace(1.0, 0.0, 200), 2, noise)
    np.testing.assert_allclose(actions, exact(1.0, 0.0, noise), atol=0.01)
    assert actions.mean() == pytest.approx(MEAN, abs=0.03)
    assert actions.std() == pytest.approx(DEVIATION, abs=0.02)


def test_in_few_steps_the_second_order_is_nearer():
    noise = np.random.default_rng(2).normal(size=(200, 1))
    times, wanted = np.linspace(1.0, 0.1, 11), exact(1.0, 0.1, noise)
    first, second = (np.abs(solved(times, order, noise) - wanted).mean() for order in (1, 2))
    assert second < first / 2


# ------------------------------------------------------------------------------------------------ policy

LOW, HIGH = (-1.0, 2.0), (3.0, 2.5)
LEVELS = 20  # with the published five, one action in six falls between modes this far apart


def modes(observations: np.ndarray, signs: np.ndarray | float) -> np.ndarray:
    """Two actions are right at each observation, on either side of a forbidden middle."""
    signs = np.broadcast_to(signs, len(observations))
    return np.stack([1.0 + signs * (1.6 + 0.2 * observations[:, 0]), 2.25 + 0.1 * signs], axis=1)


@pytest.fixture(scope="module")
def two_sided() -> DiffusionPolicy:
    """A policy that cloned actions of both modes, seven in ten of the upper one."""
    random = np.random.default_rng(0)
    observations = random.uniform(-1, 1, size=(4096, 1)).astype(np.float32)
    signs = np.where(random.random(4096) < 0.7, 1.0, -1.0)
    actions = modes(observations, signs) + random.normal(size=(4096, 2)) * [0.1, 0.0125]
    data = jnp.asarray(observations), jnp.asarray(np.clip(actions, LOW, HIGH), jnp.float32)
    policy = DiffusionPolicy(1, LOW, HIGH, (64, 64), levels=LEVELS, key=jax.random.key(0))
    optimizer = optax.adam(3e-3)

    def step(carry, key):
        policy, state = carry
        rows_key, key = jax.random.split(key)
        rows = jax.random.randint(rows_key, (256,), 0, 4096)
        gradients = jax.grad(lambda policy: policy.denoising_loss(*(column[rows] for column in data), key))(policy)
        updates, state = optimizer.update(gradients, state)
        return (optax.apply_updates(policy, updates), state), None

    keys = jax.random.split(jax.random.key(1), 1500)
    (policy, _), _ = eqx.filter_jit(lambda carry: jax.lax.scan(step, carry, keys))((policy, optimizer.init(policy)))
    return policy


@pytest.mark.parametrize("changes", [{}, {"sampler": "dpm_solver", "solver_steps": 10, "solver_order": 2}])
def test_both_modes_are_learned_in_their_proportion_and_the_middle_stays_empty(two_sided, changes):
    """A Gaussian fitted to these actions has its densest place in the empty middle."""
    observations = np.linspace(-1, 1, 2000, dtype=np.float32)[:, None]
    policy = _rebuilt(two_sided, **changes)
    actions = np.asarray(policy.sample(jnp.asarray(observations), KEY))
    upper, lower = (np.abs(actions - modes(observations, sign))[:, 0] < 0.5 for sign in (1.0, -1.0))
    assert np.mean(upper | lower) > 0.9
    assert not np.any(upper & lower)
    assert np.mean(upper[upper | lower]) == pytest.approx(0.7, abs=0.08)
    middle = np.abs(actions[:, 0] - 1.0) < 0.5
    assert np.mean(middle) < 0.05
    # A Gaussian of the data's mean and deviation, on the other hand:
    random = np.random.default_rng(3)
    signs = np.where(random.random(2000) < 0.7, 1.0, -1.0)
    wanted = modes(observations, signs)[:, 0]
    gaussian = random.normal(wanted.mean(), wanted.std(), size=2000)
    assert np.mean(np.abs(gaussian - 1.0) < 0.5) > 0.15


def _rebuilt(policy: DiffusionPolicy, **changes) -> DiffusionPolicy:
    fresh = DiffusionPolicy(1, LOW, HIGH, (64, 64), levels=LEVELS, key=KEY, **changes)
    return eqx.tree_at(lambda policy: policy.network, fresh, policy.network)


def test_every_action_lies_in_the_box_and_depends_on_the_key(two_sided):
    observations = jnp.asarray(np.random.default_rng(4).normal(size=(500, 1)) * 10, jnp.float32)
    for policy in (two_sided, _rebuilt(two_sided, sampler="dpm_solver", solver_steps=2, solver_order=1)):
        actions = policy.sample(observations, KEY)
        assert np.all(actions >= np.asarray(LOW, np.float32)) and np.all(actions <= np.asarray(HIGH, np.float32))
        assert np.array_equal(actions, policy.sample(observations, KEY))
        assert not np.array_equal(actions, policy.sample(observations, jax.random.key(6)))


def test_the_solver_decides_by_the_starting_noise_alone(two_sided):
    observations = jnp.zeros((400, 1))
    start = np.asarray(jax.random.normal(jax.random.split(KEY)[0], (400, 2)))[:, 0]
    solver = _rebuilt(two_sided, sampler="dpm_solver", solver_steps=20, solver_order=1)
    sides = [np.asarray(policy.sample(observations, KEY))[:, 0] > 1.0 for policy in (solver, two_sided)]
    followed, ancestral = (np.abs(np.corrcoef(start, side)[0, 1]) for side in sides)
    assert followed > 0.55 and followed > 1.5 * ancestral


def test_candidates_lie_beside_their_observation(two_sided):
    observations = jnp.asarray([[-1.0], [1.0]])
    repeated, actions = two_sided.several(observations, 3, KEY)
    np.testing.assert_array_equal(repeated[:, 0], [-1, -1, -1, 1, 1, 1])
    assert actions.shape == (6, 2)
