"""CrossQ against its paper, written plainly in PyTorch and float64, and what it learns without a target network."""

import itertools
from dataclasses import replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from agent_checks import (
    HIGH,
    KEY,
    LOW,
    ROWS,
    apart,
    assert_same_loss,
    fresh,
    gradient,
    in_box,
    in_torch,
    leaves,
    same,
    tensor,
    trained,
    transitions,
)

from cases import ACTION, OBSERVATION
from oracles import InTorch
from seemrl.agents.agent import COLUMNS, Transitions, differentiate
from seemrl.agents.crossq import CrossQ
from seemrl.agents.crossq_config import CrossQConfig
from seemrl.agents.sac_config import SACConfig
from seemrl.agents.updates import train_updates
from seemrl.errors import InputError
from seemrl.instrument.batch import Batch
from seemrl.networks.normalisers import BatchNorm
from seemrl.training.reading import as_measured, read_learner

SMALL: dict[str, Any] = {
    "hidden_sizes": (8,),
    "critic_hidden_sizes": (12, 10),
    "discount": 0.97,
    "initial_temperature": 0.4,
}


def learner(seed: int = 0, **changes: Any) -> CrossQ:
    """A learner whose scales and shifts are not 1 and 0, nor its running statistics those of a batch."""
    return apart(fresh(CrossQConfig(**{**SMALL, **changes}), seed), "critic", "actor")


@eqx.filter_jit
def differentiated(agent: CrossQ, name: str, batch: Transitions) -> Any:
    """Gradient of a network's loss in training mode, the network with new running statistics, metrics."""
    return differentiate(getattr(agent, name), getattr(agent, f"{name}_loss"), batch, KEY)


def drawn(actor: InTorch, observations: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Actions and the logarithm of their density, of actions scaled to [-1, 1]."""
    mean, log_std = actor.mlp(actor.networks[0], observations).chunk(2, dim=1)
    normal = torch.distributions.Normal(mean, log_std.clamp(-5, 2).exp())
    unsquashed = mean + normal.stddev * tensor(jax.random.normal(KEY, tuple(mean.shape)))
    log_density = normal.log_prob(unsquashed) - torch.log(1 - torch.tanh(unsquashed) ** 2)
    return in_box(unsquashed), log_density.sum(dim=1)


def plain_critic_loss(agent: CrossQ, batch: Transitions) -> tuple[torch.Tensor, InTorch]:
    """One pass of both halves in training mode; the actor by its running statistics."""
    observations, actions, rewards, next_observations, terminals = in_torch(batch)
    critic, actor = InTorch(agent.critic, training=True), InTorch(agent.actor)
    with torch.no_grad():
        next_actions, log_density = drawn(actor, next_observations)
    both = critic.critic(torch.cat([observations, next_observations]), torch.cat([actions, next_actions]))
    values, next_values = both.chunk(2, dim=1)
    soft = next_values.min(dim=0).values - 0.4 * log_density
    targets = (rewards + 0.97 * (1 - terminals) * soft).detach()
    return ((values - targets) ** 2).mean(dim=1).sum(), critic


def plain_actor_loss(agent: CrossQ, batch: Transitions) -> tuple[torch.Tensor, InTorch]:
    """The actor in training mode, the critic by its running statistics."""
    observations = in_torch(batch)[0]
    critic, actor = InTorch(agent.critic), InTorch(agent.actor, training=True)
    actions, log_density = drawn(actor, observations)
    return (0.4 * log_density - critic.critic(observations, actions).min(dim=0).values).mean(), actor


@pytest.mark.parametrize("changes", [{}, {"heads": 3, "critic_norm_placement": "pre"}])
def test_both_losses_are_those_of_the_paper(changes):
    agent, batch = learner(**changes), transitions()
    for name, plain in (("critic", plain_critic_loss), ("actor", plain_actor_loss)):
        wanted, network = plain(agent, batch)
        found, _, info = differentiated(agent, name, batch)
        assert_same_loss(((info[f"{name}_loss"], info), found), wanted, network.leaves)


def test_without_batch_norm_it_is_sac_against_its_own_critic():
    """Which is tested against its paper."""
    own: dict[str, Any] = {"critic_norm": "layer", "actor_norm": "none"}
    agent = learner(**own, critic_hidden_sizes=(8,))
    other = fresh(SACConfig(hidden_sizes=(8,), discount=0.97, initial_temperature=0.4, critic_norm="layer"))
    other = other.replace(actor=agent.actor)
    other = replace(other, critic=agent.critic, target_critic=agent.critic)
    ours, theirs = (gradient(one, "critic", transitions(), KEY) for one in (agent, other))
    assert same(ours, theirs)


def norms(network: Any) -> list[BatchNorm]:
    found = jax.tree.leaves(network, is_leaf=lambda node: isinstance(node, BatchNorm))
    return [node for node in found if isinstance(node, BatchNorm)]


def test_inputs_and_every_hidden_layer_are_normalised():
    agent = fresh(CrossQConfig())
    assert [len(norm.scale) for norm in norms(agent.critic.heads[0])] == [2048, 2048, 5]
    assert [len(norm.scale) for norm in norms(agent.actor)] == [256, 256, 3]


def test_running_statistics_of_inputs_follow_both_halves():
    agent, batch = learner(), transitions()
    _, critic, _ = differentiated(agent, "critic", batch)
    next_actions = agent.target_actions(batch.next_observations, KEY)
    both = np.concatenate(
        [np.hstack([batch.observations, batch.actions]), np.hstack([batch.next_observations, next_actions])]
    )
    before, after = (norms(network.heads[0])[-1] for network in (agent.critic, critic))
    np.testing.assert_allclose(after.mean.value, 0.99 * before.mean.value + 0.01 * both.mean(0), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(after.variance.value, 0.99 * before.variance.value + 0.01 * both.var(0), rtol=1e-4)


def test_the_actor_moves_at_the_first_and_every_third_update_after_it():
    agents = [learner()]
    for _ in range(5):
        agents.append(trained(agents[-1], 1)[0])
    moved = [not same(one.actor, other.actor) for one, other in itertools.pairwise(agents)]
    assert moved == [True, False, False, True, False]
    temperatures = [float(agent.log_temperature) for agent in agents]
    changed = [one != other for one, other in itertools.pairwise(temperatures)]
    assert changed == moved
    assert all(not same(one.critic, other.critic) for one, other in itertools.pairwise(agents))


def test_metrics_of_the_actor_are_those_of_its_last_update():
    agent, first = trained(learner(), 1)
    _, second = trained(agent, 1)
    names = ("actor_loss", "policy_q_mean", "entropy", "temperature")
    assert [first[name] for name in names] == [second[name] for name in names]
    assert first["critic_loss"] != second["critic_loss"]


def test_the_second_step_of_adam_has_the_decay_that_was_asked_for():
    """Of two critics alike, a step later, the first moment differs as the decay does."""
    for decay in (0.5, 0.9):
        agent, _ = trained(learner(first_moment_decay=decay), 1)
        state = agent.critic_optimizer_state
        assert float(state.hyperparams["b1"]) == pytest.approx(decay)
        (moments, *_) = state.inner_state
        first, second = (np.concatenate([leaf.ravel() for leaf in leaves(part)]) for part in (moments.mu, moments.nu))
        gradients = np.sqrt(second / (1 - 0.999))
        np.testing.assert_allclose(np.abs(first), (1 - decay) * gradients, rtol=2e-3, atol=1e-7)
    assert float(agent.temperature_optimizer_state.hyperparams["b1"]) == pytest.approx(0.9)


def test_the_instrument_reads_it_as_its_own_target():
    agent, _ = trained(learner(), 4)
    critic, target, policy, options = as_measured(agent, ROWS)
    assert critic is target and callable(policy)
    assert options["target_rate"] == 1.0 and options["discount"] == pytest.approx(0.97)
    batch = Batch(*(np.asarray(getattr(transitions(), name)) for name in COLUMNS))
    reading = read_learner(agent, batch, ROWS)
    assert reading.heads == "coupled" and reading.rate is not None and np.isfinite(reading.rate)


def test_it_learns_values_and_the_better_action_without_a_target_network():
    """Reward -4 |a - best|^2, for ever: the policy goes to the best action, and values stay where targets are."""
    random, rows, best = np.random.default_rng(3), 1024, np.array([0.4, 0.1])
    observations, reached = random.normal(size=(2, rows, OBSERVATION))
    actions = random.uniform(LOW, HIGH, size=(rows, ACTION))
    columns = (observations, actions, -4 * np.sum((actions - best) ** 2, axis=1), reached, np.zeros(rows))
    data = Transitions(*(jnp.asarray(column, jnp.float32) for column in columns))
    rates: dict[str, Any] = {
        "critic_learning_rate": 3e-3,
        "actor_learning_rate": 3e-3,
        "temperature_learning_rate": 0.0,
    }
    sizes: dict[str, Any] = {"hidden_sizes": (16,), "critic_hidden_sizes": (32, 32)}
    start = fresh(CrossQConfig(**sizes, **rates, discount=0.5, initial_temperature=0.01))
    agent, _ = train_updates(data, start, 1200, 64)
    before, after = (np.mean(np.abs(np.asarray(one.act(data.observations)) - best)) for one in (start, agent))
    assert after < 0.15 < before
    _, info = train_updates(data, agent, 100, 64)
    assert abs(float(info["target_mean"] - info["q_mean"])) < 0.3


def test_training_in_two_parts_is_training_in_one_and_the_seed_decides():
    whole, info = trained(learner(), 8)
    assert same(whole, trained(trained(learner(), 4)[0], 4)[0]) and int(whole.step) == 8
    assert not same(learner(seed=1).critic, learner(seed=2).critic)
    assert info.keys() == {
        *("critic_loss", "q_mean", "target_mean", "q_std"),
        *("actor_loss", "policy_q_mean", "entropy", "temperature"),
    }
    assert all(np.isfinite(value) for value in info.values())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"critic_hidden_sizes": ()}, "--critic-hidden-sizes empty: it must be one size or more"),
        ({"critic_hidden_sizes": (8, 0)}, "--critic-hidden-sizes (8, 0): it must be 1 or more"),
        ({"critic_norm_layers": (2,)}, "--critic-norm-layers (2,): it must be numbers from 0 to 1"),
        ({"first_moment_decay": 1.0}, "--first-moment-decay 1.0: it must be in [0, 1)"),
        ({"policy_frequency": 0}, "--policy-frequency 0: it must be at least 1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(changes, said):
    with pytest.raises(InputError) as refusal:
        CrossQConfig(**changes).check()
    assert said in str(refusal.value)
