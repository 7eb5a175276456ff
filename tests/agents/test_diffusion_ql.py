from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from agent_checks import BATCH, HIGH, KEY, LOW, ROWS, assert_same_loss, in_torch, leaves, same, transitions
from plain_diffusion import PlainDiffusion

from cases import OBSERVATION, shaken
from oracles import InTorch
from seemrl.agents.agent import Transitions, shortened
from seemrl.agents.diffusion_ql import DiffusionQL
from seemrl.agents.diffusion_ql_config import DiffusionQLConfig
from seemrl.agents.updates import train_updates
from seemrl.cli import main
from seemrl.errors import InputError
from seemrl.files import read_json_lines
from seemrl.training.reading import as_measured
from seemrl_process import EMBEDDED

CONFIG: dict[str, Any] = {"hidden_sizes": (16, 12), "discount": 0.97}
OTHER_KEY = jax.random.key(13)


def learner(seed: int = 0, **changes: Any) -> DiffusionQL:
    return DiffusionQL.create(DiffusionQLConfig(**{**CONFIG, **changes}), OBSERVATION, LOW, HIGH, seed)


def apart(agent: DiffusionQL) -> DiffusionQL:
    """The same learner with targets that are not copies."""
    targets = shaken(agent.target_critic, 1), shaken(agent.target_policy, 2)
    return eqx.tree_at(lambda agent: (agent.target_critic, agent.target_policy), agent, targets)


@eqx.filter_jit
def critic_gradient(agent: DiffusionQL, batch: Transitions) -> Any:
    return jax.value_and_grad(agent.critic_loss, has_aux=True)(agent.critic, batch, KEY)


@eqx.filter_jit
def actor_gradient(agent: DiffusionQL, batch: Transitions, key: jax.Array) -> Any:
    return jax.value_and_grad(agent.actor_loss, has_aux=True)(agent.policy, batch, key)


# ------------------------------------------------------------------------------------------------ losses


class PlainDiffusionQL:
    """Diffusion-QL's two losses, in PyTorch and float64; it begins where a learner stands."""

    def __init__(self, agent: DiffusionQL, config: DiffusionQLConfig) -> None:
        self.config = config
        self.critic, self.target_critic = InTorch(agent.critic), InTorch(agent.target_critic)
        self.policy, self.target_policy = PlainDiffusion(agent.policy), PlainDiffusion(agent.target_policy)

    def critic_loss(self, batch: list[torch.Tensor], key: Any) -> torch.Tensor:
        observations, actions, rewards, next_observations, terminals = batch
        count = self.config.backup_actions
        with torch.no_grad():
            repeated = next_observations.repeat_interleave(count, dim=0)
            first, second = self.target_critic.critic(repeated, self.target_policy.sample(repeated, key))
            best = [head.reshape(-1, count).max(dim=1).values for head in (first, second)]
            targets = rewards + self.config.discount * (1 - terminals) * torch.minimum(*best)
        first, second = self.critic.critic(observations, actions)
        return torch.nn.functional.mse_loss(first, targets) + torch.nn.functional.mse_loss(second, targets)

    def actor_loss(self, batch: list[torch.Tensor], key: Any) -> torch.Tensor:
        observations, actions = batch[:2]
        denoising_key, sample_key, coin_key = jax.random.split(key, 3)
        cloning = self.policy.denoising_loss(observations, actions, denoising_key)
        one, other = self.critic.critic(observations, self.policy.sample(observations, sample_key))
        if not bool(jax.random.bernoulli(coin_key)):
            one, other = other, one
        return self.config.diffusion_weight * cloning - self.config.q_weight * one.mean() / other.abs().mean().detach()


@pytest.mark.parametrize(
    "changes",
    [{}, {"backup_actions": 10}, {"diffusion_steps": 2, "critic_norm": "layer", "discount": 0.5}],
)
def test_the_critic_loss_is_that_of_the_paper(changes):
    agent, config = apart(learner(**changes)), DiffusionQLConfig(**{**CONFIG, **changes})
    batch, reference = transitions(), PlainDiffusionQL(agent, config)
    found = critic_gradient(agent, batch)
    assert_same_loss(found, reference.critic_loss(in_torch(batch), KEY), reference.critic.leaves)


@pytest.mark.parametrize(
    "changes",
    [{}, {"diffusion_weight": 0.0}, {"diffusion_weight": 10.0, "q_weight": 0.0}, {"diffusion_steps": 8}],
)
@pytest.mark.parametrize("key", [KEY, OTHER_KEY], ids=["one head", "the other"])
def test_the_actor_loss_is_that_of_the_paper(changes, key):
    agent, config = apart(learner(**changes)), DiffusionQLConfig(**{**CONFIG, **changes})
    batch, reference = transitions(), PlainDiffusionQL(agent, config)
    found = actor_gradient(agent, batch, key)
    assert_same_loss(found, reference.actor_loss(in_torch(batch), key), reference.policy.leaves)


def test_the_coin_of_the_actor_loss_falls_on_both_sides_here():
    sides = {bool(jax.random.bernoulli(jax.random.split(key, 3)[2])) for key in (KEY, OTHER_KEY)}
    assert sides == {False, True}


def test_without_its_diffusion_term_the_policy_does_not_know_the_data():
    agent, batch = learner(diffusion_weight=0.0), transitions()
    found = [actor_gradient(agent, b, KEY)[1] for b in (batch, batch._replace(actions=-batch.actions / 3))]
    assert same(*found)


def test_a_long_gradient_is_shortened_and_a_short_one_kept():
    gradients = [jnp.asarray([3.0, 0.0]), jnp.asarray([[4.0]])]
    for longest, factor in ((1.0, 0.2), (5.0, 1.0), (jnp.inf, 1.0)):
        parts, norm = shortened(gradients, jnp.asarray(longest))
        assert float(norm) == pytest.approx(5.0)
        np.testing.assert_allclose(parts[0], factor * gradients[0], rtol=1e-5)
        np.testing.assert_allclose(parts[1], factor * gradients[1], rtol=1e-5)


# ------------------------------------------------------------------------------------------------ policies


def test_max_q_backup_takes_each_target_heads_best_action():
    agent = apart(learner(backup_actions=7))
    batch = transitions()
    actions, values = agent._backup(batch.next_observations, KEY)
    np.testing.assert_array_equal(actions, agent.target_actions(batch.next_observations, KEY))
    repeated, candidates = agent.target_policy.several(batch.next_observations, 7, KEY)
    each = np.asarray(agent.target_critic(repeated, candidates)).reshape(2, ROWS, 7)
    np.testing.assert_allclose(values, each.max(axis=2).min(axis=0), rtol=1e-6)
    of_chosen = np.asarray(agent.target_critic(batch.next_observations, actions))
    assert np.all(np.isclose(of_chosen, values, rtol=1e-4, atol=1e-5).any(axis=0))


def test_evaluation_prefers_valued_candidates_and_plays_the_same_again():
    observations = transitions().observations
    many, one = apart(learner(evaluation_actions=20)), apart(learner(evaluation_actions=1))
    value = lambda actions: jnp.min(many.target_critic(observations, actions), axis=0)  # noqa: E731
    assert np.mean(value(many.act(observations))) > np.mean(value(one.act(observations)))
    assert not np.array_equal(many.act(observations)[0], many.act(observations + 1e-3)[0])
    assert np.array_equal(many.act(observations), many.act(observations))


def test_the_instrument_reads_the_target_policy_at_random():
    agent, batch = apart(learner()), transitions()
    _, _, policy, options = as_measured(agent, ROWS)
    assert callable(policy)
    first, second = policy(np.asarray(batch.next_observations)), policy(np.asarray(batch.next_observations))
    assert options["policy_draws"] == agent.draws >= 2 and not np.array_equal(first, second)
    assert options["target_rate"] == pytest.approx(0.005) and options["discount"] == pytest.approx(0.97)


# ------------------------------------------------------------------------------------------------ training


def trained(agent: DiffusionQL, updates: int) -> tuple[DiffusionQL, dict[str, float]]:
    agent, info = train_updates(transitions(), agent, updates, BATCH)
    return agent, {name: float(value) for name, value in info.items()}


def test_the_target_policy_waits_for_its_start_and_its_period():
    start = learner(target_policy_start=4, target_policy_period=3, target_policy_rate=0.25)
    waiting, _ = trained(start, 6)  # moves after updates numbered 6, 9, ... from 0
    assert same(waiting.target_policy, start.policy) and not same(waiting.policy, start.policy)
    moved, _ = trained(waiting, 1)
    for old, live, new in zip(*map(leaves, (waiting.target_policy, moved.policy, moved.target_policy)), strict=True):
        np.testing.assert_allclose(new, 0.75 * old + 0.25 * live, rtol=1e-5, atol=1e-7)
    assert same(trained(moved, 2)[0].target_policy, moved.target_policy)


def test_targets_of_the_critic_move_at_every_update():
    before = apart(learner(target_rate=0.3))
    after, _ = trained(before, 1)
    for old, live, new in zip(*map(leaves, (before.target_critic, after.critic, after.target_critic)), strict=True):
        np.testing.assert_allclose(new, 0.7 * old + 0.3 * live, rtol=1e-5, atol=1e-6)


def test_training_in_two_parts_is_training_in_one_and_the_seed_decides():
    whole, info = trained(learner(), 20)
    parts = trained(trained(learner(), 10)[0], 10)[0]
    assert same(whole, parts) and int(whole.step) == 20
    assert not same(learner(seed=1).policy, learner(seed=2).policy)
    assert info.keys() == {
        *("critic_loss", "q_mean", "target_mean", "critic_gradient_norm"),
        *("actor_loss", "denoising_loss", "policy_q_mean", "actor_gradient_norm"),
    }
    assert all(np.isfinite(value) for value in info.values())


def test_gradients_are_bounded_while_it_trains():
    """Plain gradient descent at rate 1 moves a network by its gradient's norm, and no further than the bound."""
    bounds = {"critic_gradient_norm": 1e-3, "actor_gradient_norm": 2e-3}
    rates: dict[str, Any] = {"optimizer": "sgd", "critic_learning_rate": 1.0, "actor_learning_rate": 1.0}
    before = learner(**bounds, **rates)
    after, info = trained(before, 1)
    for network, name in (("critic", "critic_gradient_norm"), ("policy", "actor_gradient_norm")):
        pairs = zip(leaves(getattr(before, network)), leaves(getattr(after, network)), strict=True)
        moved = np.sqrt(sum(np.sum((new - old) ** 2) for old, new in pairs))
        assert info[name] > bounds[name]
        assert moved == pytest.approx(bounds[name], rel=0.02)


@pytest.mark.parametrize("options", [(), ("--sampler", "dpm_solver", "--solver-steps", "2", "--backup-actions", "2")])
def test_it_trains_from_the_command_line_with_readings(tmp_path, options):
    run = tmp_path / "run"
    given = ("--agent", "diffusion_ql", "--data", EMBEDDED, "--out", run, "--hidden-sizes", 32, 32, "--steps", 60)
    cadence = (
        "--env",
        "none",
        "--read-every",
        30,
        "--actor-learning-rate",
        3e-3,
        "--reading-rows",
        24,
        "--batch-size",
        64,
    )
    assert main(["train", *map(str, (*given, *cadence)), *options]) == 0
    readings = read_json_lines(run / "readings.jsonl")
    assert [row["step"] for row in readings] == [30, 60]
    assert all(np.isfinite(row["seem"]) and row["forecast"]["verdict"] for row in readings)
    first, last = read_json_lines(run / "metrics.jsonl")
    assert last["denoising_loss"] < first["denoising_loss"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"sampler": "dpm_solver", "solver_steps": 6}, "--solver-steps 6: it must be from 1 to the 5"),
        ({"diffusion_steps": 0}, "--diffusion-steps 0: it must be at least 1"),
        ({"actor_gradient_norm": 0.0}, "--actor-gradient-norm 0.0: it must be finite and above 0"),
        ({"target_policy_rate": 0.0}, "--target-policy-rate 0.0: it must be in (0, 1]"),
        ({"diffusion_weight": -1.0}, "--diffusion-weight -1.0: it must be finite, 0 or more"),
    ],
)
def test_settings_that_make_no_sense_are_refused(changes, said):
    with pytest.raises(InputError) as refusal:
        DiffusionQLConfig(**changes).check()
    assert said in str(refusal.value)
