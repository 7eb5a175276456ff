"""TorchRL's loss modules, taken apart: the same target and the same loss as the library's own."""

# pyright: reportMissingImports=false

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torchrl")

import torch
from td import gradients, td_loss
from tensordict import TensorDict
from torchrl import objectives
from torchrl.data import LazyTensorStorage, TensorDictReplayBuffer
from torchrl_losses import (
    DISCRETE,
    NAMES,
    Learner,
    actor,
    buffer,
    critic,
    learner,
    loss_of,
    random_actor,
    several_inputs,
    transitions,
)

import seemrl
from seemrl.instrument.kernels import open_critic
from seemrl.integrations import torchrl as integration
from seemrl.monitoring.randomness import own_randomness
from seemrl.monitoring.subject import Subject


def parts_of(made, **options) -> Any:
    return integration.parts(made.loss_module, optimizer=made.optimizer, target_updater=made.updater, **options)


def as_data(made, batch) -> TensorDict:
    """The rows again, in the form of the library."""
    name = "DiscreteCQL" if type(made.loss_module) is objectives.DiscreteCQLLoss else "TD3"

    def tensor(array):
        return torch.as_tensor(np.asarray(array, np.float32)).reshape(len(batch), -1)

    actions = tensor(batch.actions)
    if batch.discrete:
        actions = actions[:, 0].long()
        actions = actions if name == "DiscreteCQL" else torch.nn.functional.one_hot(actions, 4)
    following = {
        "observation": tensor(batch.next_observations),
        "reward": tensor(batch.rewards),
        "done": tensor(batch.terminals).bool(),
        "terminated": tensor(batch.terminals).bool(),
    }
    return TensorDict(
        {"observation": tensor(batch.observations), "action": actions, "next": following}, batch_size=[len(batch)]
    )


def library_loss(made, data) -> torch.Tensor:
    """The TD part of the critic's loss as TorchRL computes it."""
    loss_module = made.loss_module
    torch.manual_seed(0)
    methods = {
        objectives.DDPGLoss: "loss_value",
        objectives.TD3Loss: "value_loss",
        objectives.TD3BCLoss: "qvalue_loss",
        objectives.SACLoss: "qvalue_v2_loss",
        objectives.CQLLoss: "q_loss",
        objectives.DiscreteCQLLoss: "value_loss",
    }
    if type(loss_module) is objectives.DQNLoss:
        return loss_module(data)["loss"]
    return getattr(loss_module, methods[type(loss_module)])(data)[0]


def entropy_bonus(loss_module, batch) -> torch.Tensor:
    following = TensorDict(
        {"observation": torch.as_tensor(batch.next_observations, dtype=torch.float32)}, batch_size=[len(batch)]
    )
    with loss_module.actor_network_params.to_module(loss_module.actor_network), torch.no_grad():
        _, log_probability = loss_module.actor_network.get_dist(following).rsample_and_log_prob()
    return -loss_module._alpha * log_probability


@pytest.mark.parametrize("loss_function", ["l2", "smooth_l1"])
@pytest.mark.parametrize("name", NAMES)
def test_the_loss_made_from_the_parts_is_the_librarys_own(name, loss_function):
    made = learner(name, steps=5, discount=0.5, loss_function=loss_function)
    parts, batch = parts_of(made), integration.batch(made.loss_module, made.data, rows=64)
    made.optimizer.zero_grad()
    wanted = library_loss(made, as_data(made, batch))
    wanted.backward()
    wanted_gradients = gradients(parts.critic)
    bonus = 0.0
    if name == "SAC":
        torch.manual_seed(0)
        bonus = entropy_bonus(made.loss_module, batch)
        assert float(bonus.abs().min()) > 0
    if parts.policy == "greedy":
        best = parts.target_critic(torch.as_tensor(batch.next_observations, dtype=torch.float32))[0].argmax(dim=1)
        parts = replace(parts, policy=lambda _: best)
    torch.manual_seed(0)
    own = td_loss(parts, batch, bonus)
    assert parts.discount == 0.5
    assert ("Huber" in parts.left_out) == (loss_function == "smooth_l1")
    torch.testing.assert_close(own.detach(), wanted.detach(), rtol=2e-6, atol=1e-7)
    made.optimizer.zero_grad()
    own.backward()
    torch.testing.assert_close(gradients(parts.critic), wanted_gradients, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("name", NAMES)
def test_a_reading_is_that_of_measure_and_touches_nothing(name):
    made = learner(name, steps=20)
    before = torch.random.get_rng_state()
    state = {key: value.clone() for key, value in made.loss_module.state_dict().items()}
    parts, batch = parts_of(made), integration.batch(made.loss_module, made.data, rows=16)
    reading = parts.measure(batch, step=20)
    assert torch.equal(before, torch.random.get_rng_state())
    assert all(torch.equal(value, state[key]) for key, value in made.loss_module.state_dict().items())
    torch.manual_seed(0)
    live = made.updater is None or name == "DiscreteCQL"
    by_hand = seemrl.measure(
        parts.critic,
        batch,
        parts.policy,
        discount=float(np.float32(0.99)),
        optimizer=made.optimizer,
        target_critic=parts.target_critic,
        target_rate=1.0 if live else 1 - 0.95,
        loss_scale={"DDPG": 2.0, "DQN": 2.0, "DoubleDQN": 2.0}.get(name, 1.0),
        step=20,
    )
    same = {key: value for key, value in by_hand.to_dict().items() if key != "seconds"}
    assert {key: value for key, value in reading.to_dict().items() if key != "seconds"} == same
    assert reading.rate is not None and reading.finite and reading.by_sample == ()


def test_the_critic_is_that_of_the_loss_whatever_becomes_of_it():
    made = learner("TD3", steps=5, norm=torch.nn.LayerNorm)
    parts = parts_of(made)
    made.update()
    owned = {id(value) for value in made.loss_module.qvalue_network_params.parameters()}
    assert {id(value) for value in parts.critic.parameters()} == owned
    data = made.data[:32]
    pairs = data.select("observation", "action").expand(2, 32)
    for heads, name in ((parts.critic, "qvalue_network_params"), (parts.target_critic, "target_qvalue_network_params")):
        own = made.loss_module._vmap_qvalue_network00(pairs, getattr(made.loss_module, name)).get("state_action_value")
        torch.testing.assert_close(torch.stack(heads(data["observation"], data["action"])), own)
        assert not torch.equal(own[0], own[1])
    saved = {key: value.clone() for key, value in made.loss_module.state_dict().items()}
    values = torch.stack(parts.target_critic(data["observation"], data["action"]))
    made.update()
    assert not torch.equal(values, torch.stack(parts.target_critic(data["observation"], data["action"])))
    made.loss_module.load_state_dict(saved)
    assert torch.equal(values, torch.stack(parts.target_critic(data["observation"], data["action"])))


def test_layers_are_counted_and_normalisers_seen():
    depths = []
    for norm in (None, torch.nn.LayerNorm):
        made = learner("TD3", steps=1, norm=norm)
        parts, batch = parts_of(made), integration.batch(made.loss_module, made.data, rows=8)
        depths.append(Subject(parts.critic, batch, parts.policy, parts.optimizer, parts.target_critic).depth())
        assert len(open_critic(parts.critic).leaves) == (6 if norm is None else 10)
    assert depths == [3, None]


@pytest.mark.parametrize("name", ["TD3", "DQN"])
def test_advice_is_measured_on_the_critic(name):
    made = learner(name, steps=20)
    parts, batch = parts_of(made), integration.batch(made.loss_module, made.data, rows=16)
    with own_randomness():
        remedies = seemrl.advise(parts.critic, batch, parts.policy, **parts.options())
    normalised = next(remedy for remedy in remedies if "LayerNorm" in remedy.name)
    assert normalised.normalized_after is not None
    assert normalised.normalized_after != normalised.normalized_before == parts.measure(batch).normalized


@pytest.mark.parametrize(
    "name, settings, options, rate, period",
    [
        ("DQN", {"hard": 4}, {}, 1.0, 5),
        ("DQN", {"hard": 4}, {"target_period": 3}, 1.0, 15),
        ("TD3", {}, {"target_period": 2}, 0.05, 2),
        ("DDPG", {"delay_value": False}, {}, 1.0, 1),
        ("TD3", {"delay_qvalue": False, "delay_actor": True}, {}, 1.0, 1),
        ("DiscreteCQL", {}, {}, 1.0, 1),
    ],
)
def test_rate_and_period_are_those_of_the_updater(name, settings, options, rate, period):
    made = learner(name, **settings)
    parts = parts_of(made, **options)
    assert parts.target_rate == pytest.approx(rate) and parts.target_period == period
    assert (parts.target_critic is parts.critic) == (made.updater is None or name == "DiscreteCQL")


def test_a_hard_update_copies_every_so_many_calls():
    made = learner("DQN", hard=4)
    parts, observations = parts_of(made), made.data[:8]["observation"]
    changes, before = [], parts.target_critic(observations)[0]
    for step in range(1, 13):
        made.update()
        now = parts.target_critic(observations)[0]
        if not torch.equal(before, now):
            changes.append(step)
        before = now
    assert changes == [5, 10] and parts.target_period == 5


def test_a_batch_is_what_the_loss_sees():
    made = learner("TD3")
    first, again, other = (integration.batch(made.loss_module, made.data, rows=32, seed=seed) for seed in (0, 0, 1))
    assert np.array_equal(first.observations, again.observations)
    assert not np.array_equal(first.observations, other.observations)
    whole = transitions("TD3")
    everything = integration.batch(made.loss_module, whole, rows=10**6)
    assert len(everything) == len(whole)
    assert everything.terminals.sum() == whole["next", "terminated"].sum() < whole["next", "done"].sum()
    by_trajectory = integration.batch(made.loss_module, whole.reshape(10, 50), rows=10**6)
    assert np.array_equal(np.sort(by_trajectory.rewards), np.sort(everything.rewards))
    for name in DISCRETE:
        discrete = learner(name)
        drawn = integration.batch(discrete.loss_module, discrete.data, rows=20)
        assert drawn.discrete and set(drawn.actions[:, 0]) <= set(range(4))


def test_a_buffer_gives_rows_with_its_transforms():
    class Halved(torch.nn.Module):
        def forward(self, data):
            return data.set(("next", "reward"), data["next", "reward"] / 2)

    held = TensorDictReplayBuffer(storage=LazyTensorStorage(500), batch_size=8, transform=Halved())
    held.extend(transitions("TD3"))
    loss_module = loss_of("TD3")
    plain = integration.batch(loss_module, transitions("TD3"), rows=40)
    np.testing.assert_allclose(integration.batch(loss_module, held, rows=40).rewards, plain.rewards / 2)


def test_a_network_normalised_before_its_loss_is_made_is_trained_and_read():
    network = critic()
    plain = critic()
    plain.load_state_dict(network.state_dict())
    seemrl.stabilize(network.module, in_place=True)
    seemrl.unstabilize(network.module)
    inputs = torch.randn(8, 11), torch.randn(8, 3)
    assert torch.equal(network(*inputs), plain(*inputs))
    seemrl.stabilize(network.module, in_place=True)

    loss_module = objectives.TD3BCLoss(actor(), network, bounds=(-1.0, 1.0), loss_function="l2")
    loss_module.make_value_estimator(gamma=0.99)
    updater = objectives.SoftUpdate(loss_module, tau=0.05)
    made = Learner(loss_module, updater, torch.optim.Adam(loss_module.parameters(), lr=1e-2), buffer("TD3BC"))
    norms = {name: value for name, value in loss_module.named_parameters() if "normaliser" in name}
    begun = {name: value.detach().clone() for name, value in norms.items()}
    for _ in range(3):
        made.update()
    assert norms and not any(torch.equal(begun[name], norms[name]) for name in norms if "target" not in name)
    parts = integration.parts(loss_module, optimizer=made.optimizer, target_updater=updater)
    batch = integration.batch(loss_module, made.data, rows=16)
    reading = parts.measure(batch)
    assert reading.finite and reading.rate is not None and reading.by_sample == ()


def test_what_has_another_target_is_refused_in_one_line():
    def refused(said, loss_module, updater=None):
        with pytest.raises(seemrl.InputError, match=said) as refusal:
            integration.parts(loss_module, optimizer=None, target_updater=updater)
        assert "by hand" in str(refusal.value) and "\n" not in str(refusal.value)

    values = loss_of("TD3").qvalue_network
    state_values = torch.nn.Linear(11, 1)
    from torchrl.modules import ValueOperator

    states = ValueOperator(state_values, in_keys=["observation"])
    refused("IQLLoss bootstraps from a value network", objectives.IQLLoss(random_actor(), values, states))
    refused("SACLoss with a value network bootstraps", objectives.SACLoss(random_actor(), critic(), states))
    refused("REDQLoss is not supported; DDPGLoss, TD3Loss", objectives.REDQLoss(random_actor(), critic()))
    refused("max_q_backup", loss_of("CQL", max_q_backup=True))
    refused("skip_done_states", loss_of("SAC", skip_done_states=True))
    refused("loss_function='l1'", loss_of("TD3", loss_function="l1"))
    refused("reduction='sum'", loss_of("TD3", reduction="sum"))
    refused("target_updater is not given", loss_of("TD3"))
    refused(r"observations \['observation', 'goal'\]", several_inputs())
    several_steps = loss_of("TD3")
    several_steps.make_value_estimator(objectives.ValueEstimators.TDLambda, gamma=0.9, lmbda=0.9)
    refused("TDLambdaEstimator", several_steps)
    two = loss_of("TD3"), objectives.DDPGLoss(actor(), critic(), delay_value=True)
    with pytest.raises(seemrl.InputError, match="updates another loss module"):
        integration.parts(two[0], optimizer=None, target_updater=objectives.SoftUpdate(two[1], tau=0.1))


def test_data_that_do_not_fit_are_refused_in_one_line():
    made, data = learner("TD3"), transitions("TD3")
    with pytest.raises(seemrl.InputError, match="several steps"):
        integration.batch(made.loss_module, data.clone().set("steps_to_next_obs", torch.full((500, 1), 3)))
    with pytest.raises(seemrl.InputError, match="no transitions yet"):
        integration.batch(made.loss_module, TensorDictReplayBuffer(storage=LazyTensorStorage(5)))
    with pytest.raises(seemrl.InputError, match="no entry action"):
        integration.batch(made.loss_module, data.exclude("action"))
    images = TensorDict({**data, "observation": torch.zeros(500, 3, 4)}, batch_size=[500])
    with pytest.raises(seemrl.InputError, match=r"observation of shape \(128, 3, 4\) is not supported; vectors are"):
        integration.batch(made.loss_module, images)
