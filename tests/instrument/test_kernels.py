from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
import pytest

from cases import ACTION, CASES, DRAWS, OBSERVATION, ROWS, gradients, target_actions, transitions, twin
from oracles import Gradients
from seemrl.instrument.kernels import Critic, layerwise, open_critic
from seemrl.instrument.kernels.layerwise import KernelBlocks, kernel_blocks
from seemrl.instrument.kernels.recording import record, recording
from seemrl.instrument.kernels.traces import LayerTrace, Traced

AGREEMENT = 1e-10
WITHOUT_FORMULA = {
    "eqx.nn.MLP",
    "functools.partial",
    "jax.tree_util.Partial",
    "beside a free parameter",
    "sample by sample",
}
IN_JAX = [name for name in CASES if not name.startswith("torch")]


def points(random: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """The rows' own points, then those of each draw's targets."""
    batch, answers = transitions(), target_actions(random)
    observations = np.concatenate([batch.observations, *[batch.next_observations] * len(answers)])
    return observations, np.concatenate([batch.actions, *answers])


def random_shares(heads: int, draws: int = 1) -> np.ndarray:
    """What every head gives to every target; none is zero, and none like another."""
    return np.random.default_rng(7).uniform(0.2, 1, size=(1, heads, draws, ROWS))


def random_weights(critic: Critic) -> list[np.ndarray]:
    random = np.random.default_rng(5)
    return [np.asarray(np.exp(random.normal(scale=2, size=leaf.shape))) for leaf in critic.leaves]


def assert_products(
    found: KernelBlocks,
    at_rows: Gradients,
    at_targets: Sequence[Gradients],
    shares: np.ndarray,
    weights: np.ndarray | float = 1.0,
) -> None:
    """Every pair of heads, each to the accuracy of its own size; heads that share nothing have a block of zeros."""
    sets, heads = shares.shape[:2]
    gram = found.gram.reshape(heads, ROWS, heads, ROWS)
    cross = found.cross.reshape(sets, ROWS, heads, ROWS)
    targets = [
        sum(
            share[:, None] * gradient
            for draw, by_head in enumerate(at_targets)
            for share, gradient in zip(given[:, draw], by_head.jacobian, strict=True)
        )
        for given in shares
    ]
    for g in range(heads):
        right = (weights * at_rows.jacobian[g]).T
        for number, own in enumerate(targets):
            assert_block(cross[number, :, g], own @ right, f"targets {number}, head {g}")
        for h in range(heads):
            assert_block(gram[h, :, g], at_rows.jacobian[h] @ right, f"heads {h}, {g}")


def assert_block(found: np.ndarray, wanted: np.ndarray, where: str) -> None:
    assert np.linalg.norm(found - wanted) <= AGREEMENT * np.linalg.norm(wanted), where


@pytest.fixture(scope="module", params=CASES)
def name(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def critic(name: str) -> Critic:
    return open_critic(CASES[name].make())


@pytest.fixture(scope="module")
def traced(critic: Critic) -> Traced:
    values, layers = critic.trace(*points())
    return Traced(values, list(layers))


def test_values_are_those_of_the_critic(name, critic, traced: Traced):
    at_rows, (at_targets,) = gradients(name)
    wanted = np.concatenate([at_rows.values, at_targets.values], axis=1)
    for values in (critic(*points()), traced.values):
        assert values.shape == (CASES[name].heads, 2 * ROWS)
        np.testing.assert_allclose(values, wanted, rtol=1e-12, atol=1e-13)


def test_kernels_are_products_of_per_sample_gradients(name, critic, traced: Traced):
    at_rows, at_targets = gradients(name)
    shares, preconditioner = random_shares(CASES[name].heads), random_weights(critic)
    assert_products(kernel_blocks(traced.layers, shares), at_rows, at_targets, shares)
    weighed = kernel_blocks(traced.layers, shares, preconditioner)
    assert_products(weighed, at_rows, at_targets, shares, np.concatenate([part.ravel() for part in preconditioner]))


@pytest.mark.parametrize("name", IN_JAX, indirect=True, scope="module")
def test_layers_are_traced_by_formula_where_every_parameter_has_one(name, critic, traced: Traced):
    assert len(critic.by_sample) == (len(critic.leaves) if name in WITHOUT_FORMULA else 0)


WITH_DRAWS = [
    "LayerNorm before ReLU",
    "functools.partial",
    "torch heads on one trunk",
    "torch: Conv2d, grouped",
    "torch: weight_norm",
    "torch: ensemble of 10, baddbmm",
    "torch: the same Linear twice",
    "torch: Embedding of several features",
]


@pytest.mark.parametrize("name", WITH_DRAWS, indirect=True, scope="module")
def test_the_target_is_a_sum_over_draws(name, critic):
    at_rows, at_targets = gradients(name, random=True)
    shares, preconditioner = random_shares(CASES[name].heads, DRAWS), random_weights(critic)
    layers = critic.trace(*points(random=True)).layers
    assert_products(kernel_blocks(layers, shares), at_rows, at_targets, shares)
    weighed = kernel_blocks(layers, shares, preconditioner)
    assert_products(weighed, at_rows, at_targets, shares, np.concatenate([part.ravel() for part in preconditioner]))


@pytest.mark.parametrize("name", WITH_DRAWS, indirect=True, scope="module")
def test_targets_without_a_share_are_left_out(name, critic):
    """One head for each target, and none at all for terminal transitions, as a clipped double Q has it."""
    at_rows, at_targets = gradients(name, random=True)
    shares = random_shares(CASES[name].heads, DRAWS)
    largest = shares == shares.max(axis=1)
    shares = shares * largest * (np.arange(ROWS) % 4 != 1)
    layers, preconditioner = critic.trace(*points(random=True)).layers, random_weights(critic)
    plain, weighed = kernel_blocks(layers, shares), kernel_blocks(layers, shares, preconditioner)
    assert_products(plain, at_rows, at_targets, shares)
    assert_products(weighed, at_rows, at_targets, shares, np.concatenate([part.ravel() for part in preconditioner]))
    assert not plain.cross[1::4].any() and not weighed.cross[1::4].any()


@pytest.mark.parametrize("name", WITH_DRAWS, indirect=True, scope="module")
def test_each_head_may_have_targets_of_its_own(name, critic):
    """Each from itself alone, from all but itself, and one that never bootstraps."""
    at_rows, at_targets = gradients(name, random=True)
    heads = CASES[name].heads
    parts = np.array([np.eye(heads), 1 - np.eye(heads), np.diag(np.arange(heads))])
    layers, preconditioner = critic.trace(*points(random=True)).layers, random_weights(critic)
    weights = np.concatenate([part.ravel() for part in preconditioner])
    for part in parts:
        shares = random_shares(heads, DRAWS) * part[:, :, None, None]
        assert_products(kernel_blocks(layers, shares), at_rows, at_targets, shares)
        assert_products(kernel_blocks(layers, shares, preconditioner), at_rows, at_targets, shares, weights)


@pytest.mark.parametrize("name", WITH_DRAWS, indirect=True, scope="module")
def test_where_no_target_counts_values_move_alone(name, critic):
    """Every transition terminal, or a discount of zero."""
    at_rows, at_targets = gradients(name, random=True)
    layers, preconditioner = critic.trace(*points(random=True)).layers, random_weights(critic)
    nothing = np.zeros((1, CASES[name].heads, DRAWS, ROWS))
    for found in (kernel_blocks(layers, nothing), kernel_blocks(layers, nothing, preconditioner)):
        assert not found.cross.any() and found.gram.any()
    assert_products(kernel_blocks(layers, nothing), at_rows, at_targets, nothing)


@pytest.fixture
def layers() -> list[LayerTrace]:
    return list(open_critic(CASES["three heads"].make()).trace(*points()).layers)


@pytest.mark.parametrize("size", ["_SLICE_BYTES", "_TILE"])
@pytest.mark.parametrize("value", [1, 5])
def test_kernels_do_not_depend_on_the_slice(size, value, layers, monkeypatch):
    shares = random_shares(3)
    preconditioner = random_weights(open_critic(CASES["three heads"].make()))
    whole = [kernel_blocks(layers, shares, weights) for weights in (None, preconditioner)]
    monkeypatch.setattr(layerwise, size, value)
    for weights, wanted in zip((None, preconditioner), whole, strict=True):
        found = kernel_blocks(layers, shares, weights)
        np.testing.assert_allclose(found.gram, wanted.gram, rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(found.cross, wanted.cross, rtol=1e-12, atol=1e-14)


def test_fewer_heads_are_the_leading_ones(layers):
    shares = random_shares(3)
    shares[:, 1:] = 0.0
    first, every = kernel_blocks(layers, shares[:, :1]), kernel_blocks(layers, shares)
    np.testing.assert_allclose(first.gram, every.gram[:ROWS, :ROWS], rtol=1e-14, atol=1e-14)
    np.testing.assert_allclose(first.cross, every.cross[:, :ROWS], rtol=1e-14, atol=1e-14)


def test_the_gram_kernel_of_two_heads_is_symmetric_to_the_bit(layers):
    gram = kernel_blocks(layers, random_shares(3)).gram.reshape(3, ROWS, 3, ROWS)
    for h, g in ((0, 1), (0, 2), (1, 2)):
        np.testing.assert_array_equal(gram[h, :, g], gram[g, :, h].T)


def test_without_layers_nothing_moves():
    found = kernel_blocks([], random_shares(2))
    assert found.gram.shape == (2 * ROWS, 2 * ROWS) and found.cross.shape == (ROWS, 2 * ROWS)
    assert not found.gram.any() and not found.cross.any()


def test_recording_ends_with_its_block_and_costs_nothing_outside():
    critic = twin((4,))
    observations, actions = jnp.ones((2, OBSERVATION)), jnp.ones((2, ACTION))
    with recording() as outer:
        with recording() as inner:
            critic(observations, actions)
        with pytest.raises(ZeroDivisionError), recording():
            raise ZeroDivisionError
        critic(observations, actions)
    critic(observations, actions)
    assert outer.kinds == inner.kinds == ["linear"] * 4
    outputs = object()
    assert record("linear", (None, None), None, outputs) is outputs
