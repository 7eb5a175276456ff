"""d3rlpy's learners, taken apart: the same target and the same loss as the library's own."""

# pyright: reportMissingImports=false

import numpy as np
import pytest

pytest.importorskip("d3rlpy")

import d3rlpy
import torch
from d3rlpy.torch_utility import TorchMiniBatch
from d3rlpy_learners import NAMES, config, dataset, fit, fitted
from in_place import check_in_place
from td import gradients, td_loss

import seemrl
from seemrl.integrations import d3rlpy as integration

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def as_minibatch(algo, batch):
    def tensor(array):
        return torch.as_tensor(np.asarray(array, np.float32)).reshape(len(batch), -1)

    return TorchMiniBatch(
        observations=tensor(batch.observations),
        actions=tensor(batch.actions),
        rewards=tensor(batch.rewards),
        next_observations=tensor(batch.next_observations),
        next_actions=tensor(batch.actions),
        returns_to_go=torch.zeros(len(batch), 1),
        terminals=tensor(batch.terminals),
        intervals=torch.ones(len(batch), 1),
        device="cpu:0",
    )


def library_loss(algo, batch):
    """The TD part of the critic's loss as d3rlpy computes it, and its gradients."""
    seen, impl = as_minibatch(algo, batch), algo.impl
    torch.manual_seed(0)
    target = impl.compute_target(seen)
    forwarder = impl._q_func_forwarder
    loss = forwarder.compute_error(
        observations=seen.observations,
        actions=seen.actions.long() if batch.discrete else seen.actions,
        rewards=seen.rewards,
        target=target,
        terminals=seen.terminals,
        gamma=algo.config.gamma,
    )
    impl.q_function_optim.zero_grad()
    loss.backward()
    return loss.detach(), [value.grad.clone() for value in impl.q_function.parameters()]


@pytest.mark.parametrize(
    "name, settings",
    [*((name, {}) for name in NAMES), ("CQL", {"soft_q_backup": True}), ("CQL", {"max_q_backup": True})],
)
def test_the_loss_made_from_the_parts_is_the_librarys_own(name, settings):
    algo, data = fitted(name, gamma=0.5, **settings)
    parts, batch = integration.parts(algo), integration.batch(algo, data, rows=64)
    wanted, wanted_gradients = library_loss(algo, batch)
    torch.manual_seed(0)
    bonus = 0.0
    if name == "SAC" or settings.get("soft_q_backup"):
        following = torch.as_tensor(batch.next_observations, dtype=torch.float32)
        distribution = integration._distribution(algo.impl, following)
        _, log_probability = distribution.sample_with_log_prob()
        bonus = -(d3rlpy.models.torch.get_parameter(algo.impl.modules.log_temp).exp() * log_probability)[:, 0].detach()
        torch.manual_seed(0)
    own = td_loss(parts, batch, bonus)
    assert parts.discount == 0.5
    torch.testing.assert_close(own.detach(), wanted, rtol=2e-6, atol=1e-7)
    algo.impl.q_function_optim.zero_grad()
    own.backward()
    torch.testing.assert_close(gradients(parts.critic), wanted_gradients, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("name", NAMES)
def test_a_reading_is_that_of_measure_and_touches_nothing(name):
    algo, data = fitted(name)
    before = torch.random.get_rng_state()
    weights = [value.detach().clone() for value in algo.impl.q_function.parameters()]
    parts, batch = integration.parts(algo), integration.batch(algo, data, rows=16)
    reading = parts.measure(batch, step=20)
    assert torch.equal(before, torch.random.get_rng_state())
    assert all(torch.equal(*pair) for pair in zip(weights, algo.impl.q_function.parameters(), strict=True))
    torch.manual_seed(0)
    config = algo.config
    by_hand = seemrl.measure(
        integration.Heads(algo.impl.q_function),
        batch,
        parts.policy,
        discount=config.gamma,
        optimizer=algo.impl.q_function_optim,
        target_critic=integration.Heads(algo.impl.modules.targ_q_funcs),
        target_rate=getattr(config, "tau", 1.0),
        target_period=getattr(config, "update_actor_interval", getattr(config, "target_update_interval", 1)),
        loss_scale=1.0 if batch.discrete else 2.0,
        step=20,
    )
    same = {key: value for key, value in by_hand.to_dict().items() if key != "seconds"}
    assert {key: value for key, value in reading.to_dict().items() if key != "seconds"} == same
    assert reading.rate is not None and reading.finite


def test_a_batch_is_what_the_learner_sees():
    algo, data = fitted("TD3PlusBC")
    first, again, other = (integration.batch(algo, data, rows=32, seed=seed) for seed in (0, 0, 1))
    assert np.array_equal(first.observations, again.observations)
    assert not np.array_equal(first.observations, other.observations)
    raw = np.concatenate([episode.observations for episode in data.episodes])
    scaler = algo.observation_scaler
    scaled = (raw - scaler.mean) / (scaler.std + scaler.eps)
    assert all(np.isclose(scaled, row, atol=1e-5).all(axis=1).any() for row in first.observations)
    assert np.abs(first.actions).max() <= 1
    everything = integration.batch(algo, data, rows=10**6)
    assert len(everything) == data.transition_count


@pytest.mark.parametrize(
    "name, settings, said",
    [
        ("IQL", {}, "IQL bootstraps from a value network"),
        ("AWAC", {}, "AWAC is not supported; TD3PlusBC, TD3, DDPG, SAC, CQL"),
        ("TD3", {"q_func_factory": "QR"}, "TD3 with ContinuousQRQFunction is not supported"),
    ],
)
def test_what_has_another_target_is_refused_in_one_line(name, settings, said):
    if settings:
        settings = {"q_func_factory": d3rlpy.models.QRQFunctionFactory()}
    algo, _ = fitted(name, steps=1, **settings)
    with pytest.raises(seemrl.InputError, match=said) as refusal:
        integration.parts(algo)
    assert "by hand" in str(refusal.value) and "\n" not in str(refusal.value)


def test_a_learner_that_is_not_built_says_so():
    with pytest.raises(seemrl.InputError, match="TD3PlusBC has no impl"):
        integration.parts(config("TD3PlusBC").create(device=False))


def test_transitions_of_several_steps_are_refused():
    algo, data = fitted("TD3", steps=1)
    several = d3rlpy.dataset.ReplayBuffer(
        d3rlpy.dataset.InfiniteBuffer(),
        episodes=data.episodes,
        transition_picker=d3rlpy.dataset.MultiStepTransitionPicker(n_steps=3, gamma=0.99),
    )
    with pytest.raises(seemrl.InputError, match="several steps"):
        integration.batch(algo, several)
    assert len(integration.batch(algo, dataset(), rows=8)) == 8


@pytest.mark.parametrize("name, argument", [("TD3PlusBC", "critic_encoder_factory"), ("DQN", "encoder_factory")])
def test_the_encoder_with_layer_norm_survives_saving(name, argument, tmp_path):
    from seemrl.integrations.d3rlpy_encoders import LayerNormEncoderFactory

    algo, data = fitted(name, **{argument: LayerNormEncoderFactory(hidden_units=[16, 16])})
    for function in algo.impl.q_function:
        kinds = [type(layer).__name__ for layer in function.encoder._layers]
        assert kinds == ["Linear", "LayerNorm", "ReLU"] * 2
    algo.save(str(tmp_path / "learner.d3"))
    loaded = d3rlpy.load_learnable(str(tmp_path / "learner.d3"))
    batch = integration.batch(algo, data, rows=16)
    readings = [integration.parts(one).measure(batch).to_dict() | {"seconds": 0} for one in (algo, loaded)]
    assert readings[0] == readings[1]


def test_training_with_readings_is_bit_identical_to_training_without():
    weights, data = [], dataset()

    def watch(algo, epoch, step):
        if step % 10 == 0:
            integration.parts(algo).measure(integration.batch(algo, data, rows=8), step=step)

    for callback in (None, watch):
        algo, _ = fitted("SAC", steps=40, callback=callback)
        weights.append(
            [value.detach() for net in (algo.impl.q_function, algo.impl.policy) for value in net.parameters()]
        )
    assert all(torch.equal(*pair) for pair in zip(*weights, strict=True))


@pytest.mark.parametrize("name", ["TD3PlusBC", "CQL", "DQN"])
def test_normalisers_in_place_are_the_learners_own_and_come_out_again(name):
    algo, data = fitted(name, steps=3)
    parts, batch = integration.parts(algo), integration.batch(algo, data, rows=16)
    inputs = [torch.as_tensor(batch.observations, dtype=torch.float32)]
    inputs += [] if batch.discrete else [torch.as_tensor(batch.actions, dtype=torch.float32)]

    def values():
        return torch.stack([function(*inputs).q_value.detach() for function in algo.impl.modules.q_funcs])

    check_in_place(
        [parts.critic], [parts.optimizer], [parts.target_critic], values, lambda: fit(algo, data, 4), example=inputs
    )
    assert integration.parts(algo).measure(batch).finite
