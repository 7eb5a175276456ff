"""Each normaliser against PyTorch in float64, what its formula promises, and what moves it and what does not."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from cases import shaken
from oracles import InTorch
from seemrl.agents.agent import descend, differentiate, start_optimizer
from seemrl.instrument.kernels.buffers import split
from seemrl.networks.layers import Linear, SpectralNormLinear, SphereLinear, WeightNormLinear
from seemrl.networks.mlp import MLP, AnyNetwork, make_network
from seemrl.networks.normalisers import BatchNorm, UnitBall
from seemrl.networks.residual import BroNet, SimBa
from seemrl.networks.state import after_step, in_training, moved, noting

KEY = jax.random.key(0)
NEW = ("batch", "weight", "spectral", "sphere", "unit-ball")


def inputs(*shape: int, scale: float = 1.0, seed: int = 0) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape) * scale, jnp.float32)


def network(norm: Any, **options: Any) -> MLP:
    return MLP(4, (6, 5), 2, norm=norm, key=KEY, **options)


@eqx.filter_jit
def squares(parameters: AnyNetwork, rest: AnyNetwork, batch: jax.Array) -> jax.Array:
    return jnp.mean(eqx.combine(parameters, rest)(batch) ** 2)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(
    ("norm", "options"),
    [
        *((norm, {}) for norm in NEW),
        ("batch", {"placement": "post", "norm_layers": (1,)}),
        ("weight", {"norm_layers": (1,), "activation": "mish"}),
        ("none", {"network": "simba", "hidden_sizes": (5, 5)}),
        ("none", {"network": "bro", "hidden_sizes": (5, 5), "activation": "gelu"}),
    ],
)
def test_values_and_gradients_are_those_of_torch(norm, options, training):
    options = {"hidden_sizes": (6, 5)} | options
    ours, batch = shaken(make_network(4, output_size=2, norm=norm, key=KEY, **options)), inputs(16, 4)
    theirs = InTorch(ours, training)
    wanted = (theirs.mlp(ours, torch.tensor(np.asarray(batch, np.float64))) ** 2).mean()
    expected = torch.autograd.grad(wanted, theirs.leaves)
    seen = in_training(ours) if training else ours
    loss, found = jax.value_and_grad(squares)(*split(seen), batch)
    assert float(loss) == pytest.approx(wanted.item(), rel=1e-5)
    length = float(torch.sqrt(sum((part**2).sum() for part in expected)))  # type: ignore[arg-type]
    for one, other in zip(jax.tree.leaves(found), expected, strict=True):
        np.testing.assert_allclose(one, other.numpy(), rtol=1e-5, atol=2e-6 * length)


@pytest.mark.parametrize("norm", ["weight", "sphere"])
def test_normalised_weights_begin_as_the_plain_network(norm):
    np.testing.assert_allclose(network(norm)(inputs(8, 4)), network("none")(inputs(8, 4)), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("norm_layers", [None, (), (0,), (1,)])
@pytest.mark.parametrize(
    ("norm", "kind"), [("weight", WeightNormLinear), ("spectral", SpectralNormLinear), ("sphere", SphereLinear)]
)
def test_the_hidden_layers_that_were_asked_for_are_normalised_and_never_the_last(norm, kind, norm_layers):
    found = network(norm, norm_layers=norm_layers)
    wanted = {0, 1} if norm_layers is None else set(norm_layers)
    assert {number for number, layer in enumerate(found.linears) if isinstance(layer, kind)} == wanted
    assert found.norms == (None, None)


def test_features_in_the_unit_ball_are_those_that_the_last_layer_takes():
    found = network("unit-ball")
    assert [type(norm) for norm in found.norms] == [type(None), UnitBall]
    last = found.linears[-1]
    assert isinstance(last, Linear)
    bound = np.linalg.norm(np.asarray(last.weight), axis=0) + np.abs(last.bias)
    assert np.all(np.abs(found(inputs(100, 4, scale=1e3))) <= bound + 1e-5)


def test_features_that_are_all_zero_stay_so_and_have_finite_gradients():
    gradient = jax.grad(lambda features: jnp.sum(UnitBall()(features) ** 2))(jnp.zeros((2, 3)))
    assert np.all(np.asarray(UnitBall()(jnp.zeros((2, 3)))) == 0) and np.all(np.isfinite(gradient))


@pytest.mark.parametrize("kind", ["simba", "bro"])
def test_a_residual_network_has_a_block_for_each_hidden_size_all_as_wide(kind):
    found = make_network(4, (5, 5, 5), 2, network=kind, key=KEY)
    assert isinstance(found, SimBa | BroNet) and len(found.blocks) == 3
    assert {leaf.shape[-1] for block in found.blocks for leaf in jax.tree.leaves(block)} <= {5, 20}
    assert found.normalised() is found
    with pytest.raises(ValueError, match="not the width of one block each"):
        make_network(4, (5, 6), 2, network=kind, key=KEY)


# ------------------------------------------------------------------------------------------------ what moves


def stepped(network: MLP, batch: jax.Array, optimizer: Any = "sgd") -> MLP:
    """After one step on the mean square."""

    def loss(network: MLP, batch: jax.Array) -> tuple[jax.Array, dict[str, jax.Array]]:
        return jnp.mean(network(batch) ** 2), {}

    gradients, network, _ = differentiate(network, loss, batch)
    return descend(optimizer, network, gradients, start_optimizer(optimizer, 0.1, network))[0]


def test_weights_are_back_on_the_sphere_after_every_step_and_scales_are_free():
    before = network("sphere")
    after = stepped(before, inputs(8, 4), "adam")
    for old, new in zip(before.linears[:-1], after.linears[:-1], strict=True):
        assert isinstance(old, SphereLinear) and isinstance(new, SphereLinear)
        np.testing.assert_allclose(np.linalg.norm(new.weight, axis=0), 1, rtol=1e-6)
        assert not np.allclose(new.weight, old.weight, atol=1e-3) and not np.allclose(new.scale, old.scale, atol=1e-3)


def test_the_power_method_finds_the_largest_singular_value():
    layer = shaken(network("spectral").linears[0])
    assert isinstance(layer, SpectralNormLinear)
    for _ in range(60):
        layer = after_step(layer)
    largest = np.linalg.norm(np.asarray(layer.weight), 2)
    np.testing.assert_allclose(
        layer(inputs(3, 4)), inputs(3, 4) @ (layer.weight / largest) + layer.bias, rtol=1e-5, atol=1e-6
    )


def test_only_a_step_moves_the_singular_vector_and_no_gradient_does():
    before = network("spectral").linears[0]
    assert isinstance(before, SpectralNormLinear)
    before(inputs(8, 4))
    after = after_step(before)
    assert not np.array_equal(after.right.value, before.right.value)
    np.testing.assert_array_equal(after.weight, before.weight)
    assert len(jax.tree.leaves(split(before)[0])) == 2


def test_running_statistics_move_towards_the_batch_by_their_rate():
    norm, batch = BatchNorm.over(3), inputs(50, 3, scale=2) + 1
    with noting() as notes:
        standardised = np.asarray(in_training(norm)(batch))
    np.testing.assert_allclose(standardised.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(standardised.std(axis=0), 1, rtol=1e-4)
    after = moved(norm, notes)
    np.testing.assert_allclose(after.mean.value, 0.01 * np.mean(batch, axis=0), rtol=1e-4)
    np.testing.assert_allclose(after.variance.value, 0.99 + 0.01 * np.var(batch, axis=0), rtol=1e-5)
    assert not after.training


def test_evaluation_uses_the_running_statistics_and_moves_nothing():
    norm, batch = shaken(BatchNorm.over(3)), inputs(50, 3, scale=2)
    with noting() as notes:
        whole = norm(batch)
    assert notes == {}
    np.testing.assert_allclose(norm(batch[:1]), whole[:1], rtol=1e-6)


def test_a_step_moves_running_statistics_and_their_gradients_do_not_exist():
    before = network("batch")
    after = stepped(before, inputs(8, 4, scale=3))
    for old, new in zip(before.norms, after.norms, strict=True):
        assert isinstance(old, BatchNorm) and isinstance(new, BatchNorm)
        assert not np.array_equal(new.mean.value, old.mean.value)
        assert not np.array_equal(new.variance.value, old.variance.value)
    assert jax.tree.structure(after) == jax.tree.structure(before)
