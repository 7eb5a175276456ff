import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from cases import shaken
from oracles import ACTIVATIONS_IN_TORCH, InTorch
from seemrl.agents.config import TD3BCConfig
from seemrl.instrument.kernels.jax import JaxCritic
from seemrl.networks.layers import Linear
from seemrl.networks.mlp import MLP, DeterministicActor, TwinCritic
from seemrl.networks.normalisers import LayerNorm, RMSNorm

KEY = jax.random.key(0)


def inputs(*shape: int, scale: float = 1.0, seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).normal(size=shape) * scale).astype(np.float32)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
def test_layer_norm_is_that_of_torch(scale):
    ours, theirs = shaken(LayerNorm(7)), torch.nn.LayerNorm(7)
    with torch.no_grad():
        theirs.weight.copy_(torch.tensor(np.asarray(ours.scale)))
        theirs.bias.copy_(torch.tensor(np.asarray(ours.shift)))
    batch = inputs(5, 7, scale=scale)
    np.testing.assert_allclose(ours(jnp.asarray(batch)), theirs(torch.tensor(batch)).detach(), rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
def test_rms_norm_is_that_of_torch(scale):
    ours, theirs = shaken(RMSNorm(7)), torch.nn.RMSNorm(7, eps=1e-5)
    with torch.no_grad():
        theirs.weight.copy_(torch.tensor(np.asarray(ours.scale)))
    batch = inputs(5, 7, scale=scale)
    np.testing.assert_allclose(ours(jnp.asarray(batch)), theirs(torch.tensor(batch)).detach(), rtol=2e-5, atol=2e-6)


def test_rms_norm_forgets_size_and_keeps_the_mean():
    batch = jnp.asarray(inputs(3, 64, scale=10) + 5)
    values = np.asarray(RMSNorm(64)(batch))
    np.testing.assert_allclose((values**2).mean(axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(RMSNorm(64)(1e3 * batch), values, rtol=1e-4)
    assert np.all(values.mean(axis=1) > 0.1)


@pytest.mark.parametrize("activation", ACTIVATIONS_IN_TORCH)
def test_an_activation_is_that_of_torch(activation):
    network, batch = MLP(4, (6, 5), 2, activation=activation, key=KEY), inputs(8, 4, scale=3)
    with torch.no_grad():
        expected = InTorch(network).mlp(network, torch.tensor(batch, dtype=torch.float64))
    np.testing.assert_allclose(network(jnp.asarray(batch)), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("options", [{"norm": "rms"}, {"norm": "rms", "placement": "post", "activation": "mish"}])
def test_critics_with_rms_norm_are_read_layer_by_layer(options):
    critic = JaxCritic(TwinCritic(3, 2, (6, 5), **options, key=KEY))
    critic.trace(inputs(4, 3), inputs(4, 2))
    assert critic.by_sample == ()


def test_only_a_relu_critic_without_normaliser_is_homogeneous():
    assert TD3BCConfig(actor_norm="rms", actor_activation="elu").homogeneous_depth == 3
    assert TD3BCConfig(critic_norm="rms").homogeneous_depth is None
    assert TD3BCConfig(critic_activation="elu").homogeneous_depth is None


def test_layer_norm_begins_as_a_plain_standardisation():
    values = np.asarray(LayerNorm(64)(jnp.asarray(inputs(3, 64, scale=10) + 5)))
    np.testing.assert_allclose(values.mean(axis=1), 0, atol=1e-5)
    np.testing.assert_allclose(values.std(axis=1), 1, rtol=1e-4)


def test_linear_begins_as_in_torch():
    layer = Linear(16, 4000, key=KEY)
    for parameter in (layer.weight, layer.bias):
        values = np.ravel(parameter)
        assert np.abs(values).max() <= 1 / 4
        assert values.std() == pytest.approx(1 / 4 / np.sqrt(3), rel=0.05)
        assert abs(values.mean()) < 0.01
    np.testing.assert_allclose(
        layer(jnp.ones((2, 16))), np.tile(np.asarray(layer.weight).sum(axis=0) + layer.bias, (2, 1)), rtol=1e-5
    )


@pytest.mark.parametrize("norm_layers", [None, (), (0,), (1,), (0, 2)])
@pytest.mark.parametrize("placement", ["pre", "post"])
def test_normalisers_stand_where_they_were_asked_for(placement, norm_layers):
    network = shaken(MLP(4, (6, 5, 6), 2, norm="layer", placement=placement, norm_layers=norm_layers, key=KEY))
    wanted = {0, 1, 2} if norm_layers is None else set(norm_layers)
    assert {number for number, norm in enumerate(network.norms) if norm is not None} == wanted
    assert [norm.scale.shape for norm in network.norms if isinstance(norm, LayerNorm)] == [
        ((6, 5, 6)[number],) for number in sorted(wanted)
    ]
    batch = inputs(8, 4)
    with torch.no_grad():
        expected = InTorch(network).mlp(network, torch.tensor(batch, dtype=torch.float64))
    np.testing.assert_allclose(network(jnp.asarray(batch)), expected, rtol=1e-5, atol=1e-6)


def test_without_a_norm_there_are_only_linear_layers():
    network = MLP(4, (6, 5), 3, key=KEY)
    assert network.norms == (None, None)
    assert [layer.weight.shape for layer in network.linears if isinstance(layer, Linear)] == [(4, 6), (6, 5), (5, 3)]
    assert MLP(4, (6, 5), 3, norm="none", norm_layers=(0,), key=KEY).norms == (None, None)


@pytest.mark.parametrize("heads", [1, 2, 3])
def test_heads_of_a_critic_are_independent_networks(heads):
    critic = TwinCritic(3, 2, (6,), heads=heads, norm="layer", key=KEY)
    observations, actions = jnp.asarray(inputs(4, 3)), jnp.asarray(inputs(4, 2, seed=1))
    values = critic(observations, actions)
    assert values.shape == (heads, 4)
    for head, row in zip(critic.heads, values, strict=True):
        np.testing.assert_array_equal(head(jnp.concatenate([observations, actions], axis=1))[:, 0], row)
    assert len({float(row[0]) for row in values}) == heads
    gradient = jax.grad(lambda critic: critic(observations, actions)[0].sum())(critic)
    assert all(not np.any(leaf) for head in gradient.heads[1:] for leaf in jax.tree.leaves(head))


@pytest.mark.parametrize(
    ("low", "high"), [((-1.0, -1.0), (1.0, 1.0)), ((-0.27034456, -0.45853877), (1.1779953, 1.8078524))]
)
@pytest.mark.parametrize("scale", [1.0, 1e3, 1e20])
def test_an_actor_never_leaves_its_box(low, high, scale):
    actor = DeterministicActor(3, low, high, (8,), key=KEY)
    actions = np.asarray(actor(jnp.asarray(inputs(300, 3, scale=scale))))
    assert actions.shape == (300, 2)
    assert np.all(actions >= np.asarray(low, np.float32)) and np.all(actions <= np.asarray(high, np.float32))


def test_an_actor_fills_its_box():
    actor = DeterministicActor(3, (-2.0,), (0.5,), (8,), key=KEY)
    actions = np.asarray(actor(jnp.asarray(inputs(500, 3, scale=1e3))))
    assert actions.min() == pytest.approx(-2.0) and actions.max() == pytest.approx(0.5)
    middle = actor.network(jnp.zeros((1, 3)))
    np.testing.assert_allclose(actor(jnp.zeros((1, 3))), -0.75 + 1.25 * np.tanh(middle), rtol=1e-6)


def test_clipping_moves_to_the_nearest_point_of_the_box():
    actor = DeterministicActor(3, (-1.0, 0.0), (1.0, 2.0), (4,), key=KEY)
    clipped = actor.clip(jnp.asarray([[5.0, -3.0], [0.5, 1.0], [-5.0, 9.0]]))
    np.testing.assert_array_equal(clipped, [[1.0, 0.0], [0.5, 1.0], [-1.0, 2.0]])
