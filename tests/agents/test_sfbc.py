"""SfBC against its paper, written plainly in PyTorch and float64, and what it makes of two kinds of behaviour."""

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
    in_torch,
    leaves,
    same,
    trained,
    transitions,
)
from plain_diffusion import PlainDiffusion

from cases import ACTION
from oracles import InTorch
from seemrl.agents.agent import Transitions
from seemrl.agents.candidates import evaluation_noise, played_from
from seemrl.agents.sfbc import SfBC
from seemrl.agents.sfbc_config import SfBCConfig
from seemrl.cli import main
from seemrl.errors import InputError
from seemrl.files import read_json_lines
from seemrl.training.reading import as_measured
from seemrl_process import EMBEDDED

SMALL: dict[str, Any] = {"hidden_sizes": (16,), "behaviour_hidden_sizes": (16, 12), "discount": 0.97}
DDIM: dict[str, Any] = {"sampler": "dpm_solver", "solver_order": 1, "solver_steps": 3, "diffusion_steps": 6}


def learner(seed: int = 0, **changes: Any) -> SfBC:
    """A learner whose target is no copy and whose values are divided by something."""
    agent = apart(fresh(SfBCConfig(**{**SMALL, **changes}), seed), "critic", "target_critic")
    return agent.replace(deviation=jnp.asarray(1.7))


def plain_critic_loss(agent: SfBC, batch: Transitions, config: SfBCConfig) -> tuple[torch.Tensor, InTorch]:
    """Every state's candidates one after another."""
    observations, actions, rewards, next_observations, terminals = in_torch(batch)
    critic, target, behaviour = InTorch(agent.critic), InTorch(agent.target_critic), PlainDiffusion(agent.behaviour)
    repeated = next_observations.repeat_interleave(config.backup_actions, dim=0)
    with torch.no_grad():
        if config.sampler == "ancestral":
            candidates = behaviour.sample(repeated, KEY)
        else:
            candidates = behaviour.sample_by_ddim(repeated, KEY, [6, 4, 2, 0])
        every = target.critic(repeated, candidates).min(dim=0).values
        next_values = []
        for q in every.split(config.backup_actions):
            weights = torch.exp(config.inverse_temperature * (q - q.max()) / 1.7)
            next_values.append((weights * q).sum() / weights.sum())
        targets = rewards + config.discount * (1 - terminals) * torch.stack(next_values)
    heads = critic.critic(observations, actions)
    return torch.stack([torch.nn.functional.mse_loss(head, targets) for head in heads]).sum(), critic


@pytest.mark.parametrize(
    "changes",
    [
        {"sampler": "ancestral", "diffusion_steps": 4, "backup_actions": 6},
        {**DDIM, "inverse_temperature": 3.0, "backup_actions": 5, "critic_norm": "layer", "heads": 2},
    ],
)
def test_the_critic_loss_is_that_of_the_paper(changes):
    agent, config = learner(**changes), SfBCConfig(**{**SMALL, **changes})
    wanted, critic = plain_critic_loss(agent, transitions(), config)
    assert_same_loss(gradient(agent, "critic", transitions(), KEY), wanted, critic.leaves)


def test_the_behaviour_loss_is_that_of_the_paper():
    agent, batch = learner(), transitions()
    plain = PlainDiffusion(agent.behaviour)
    observations, actions, *_ = in_torch(batch)
    wanted = plain.denoising_loss(observations, actions, KEY)
    assert_same_loss(gradient(agent, "behaviour", batch, KEY), wanted, plain.leaves)


def test_actions_read_have_the_mean_value_that_the_target_takes():
    agent, states = learner(inverse_temperature=2.0, backup_actions=4), transitions().next_observations[:8]
    batch = jax.tree.map(lambda column: column[:8], transitions())._replace(
        rewards=jnp.zeros(8), terminals=jnp.zeros(8), next_observations=states
    )
    keys = jax.random.split(KEY, 500)
    of_loss = jax.jit(jax.vmap(lambda key: agent.critic_loss(agent.critic, batch, key)[1]["target_mean"]))(keys)
    drawn = jax.jit(jax.vmap(lambda key: agent.target_critic(states, agent.target_actions(states, key))[0]))(keys)
    error = float(jnp.std(jnp.mean(drawn, axis=1))) / np.sqrt(len(keys))
    assert abs(float(jnp.mean(drawn)) - float(jnp.mean(of_loss)) / 0.97) < 5 * error


def test_evaluation_plays_the_mean_of_the_best_candidates():
    agent = learner(evaluation_actions=12, averaged_actions=3, evaluation_inverse_temperature=1e6)
    observations = transitions().observations
    sample_key = jax.random.split(jax.random.fold_in(agent.key, int(np.sum(bits_of(observations), dtype=np.uint32))))[0]
    repeated, candidates = agent.behaviour.several(observations, 12, sample_key)
    q = np.asarray(agent.critic(repeated, candidates)[0]).reshape(ROWS, 12)
    best = np.argsort(-q, axis=1)[:, :3]
    wanted = np.take_along_axis(np.asarray(candidates).reshape(ROWS, 12, ACTION), best[:, :, None], axis=1).mean(axis=1)
    played = np.asarray(agent.act(observations))
    np.testing.assert_allclose(played, wanted, rtol=1e-5, atol=1e-6)
    assert np.all(played >= np.asarray(LOW, np.float32)) and np.all(played <= np.asarray(HIGH, np.float32))


def test_actions_from_given_noise_are_those_of_evaluation():
    agent, observations = learner(), transitions().observations
    found, scores = played_from(agent, observations, *evaluation_noise(agent, observations))
    np.testing.assert_allclose(found, agent.act(observations), atol=1e-6)
    assert scores.shape == (len(observations), agent.evaluation_actions)


def test_candidates_of_equal_scores_are_averaged_and_not_added_up():
    """More than are played: those of a policy at the ends of the box are equal."""
    agent, observations = learner(), transitions().observations
    noise, _ = evaluation_noise(agent, observations)

    def alike(count: int) -> jnp.ndarray:
        several = jnp.broadcast_to(noise[:, :1], (len(noise), count, *noise.shape[2:]))
        return played_from(agent, observations, several, jnp.zeros((len(noise), count)))[0]

    found, only = alike(agent.evaluation_actions), alike(agent.averaged_actions)
    np.testing.assert_allclose(found, only, atol=1e-6)
    assert bool(((found >= jnp.asarray(LOW)) & (found <= jnp.asarray(HIGH))).all())


def bits_of(array: Any) -> np.ndarray:
    return np.asarray(array, np.float32).view(np.uint32)


def two_behaviours() -> Transitions:
    """Each action is near one of two points, by a coin; the reward tells which, and the episode ends."""
    random = np.random.default_rng(0)
    side = random.choice([-1.0, 1.0], size=ROWS)
    middle, half = (np.array(HIGH) + LOW) / 2, (np.array(HIGH) - LOW) / 2
    actions = middle + half * (0.6 * side[:, None] + 0.05 * random.normal(size=(ROWS, ACTION)))
    return transitions()._replace(
        actions=jnp.asarray(actions, jnp.float32),
        rewards=jnp.asarray(side, jnp.float32),
        terminals=jnp.ones(ROWS),
    )


def test_it_selects_the_better_of_two_behaviours_and_only_by_their_values():
    rates: dict[str, Any] = {"critic_learning_rate": 3e-3, "behaviour_learning_rate": 3e-3, "averaged_actions": 1}
    agent, info = trained(fresh(SfBCConfig(**SMALL, **rates)), 1500, two_behaviours())
    assert info["denoising_loss"] < 0.5
    observations = transitions().observations
    middle = (np.array(HIGH) + LOW) / 2
    half = (np.array(HIGH) - LOW) / 2

    def share_of_better(alpha: float) -> float:
        scalars = agent.scalars._replace(evaluation_inverse_temperature=jnp.asarray(alpha))
        sides = (np.asarray(agent.replace(scalars=scalars).act(observations)) - middle) / half
        assert np.mean(np.abs(sides)) > 0.4  # a mean of both would be 0
        return float(np.mean(np.sign(sides[:, 0]) == 1))

    assert share_of_better(100.0) > 0.95
    assert 0.25 < share_of_better(0.0) < 0.75


def test_what_values_are_divided_by_follows_the_targets():
    first, info = trained(fresh(SfBCConfig(**SMALL, target_rate=0.3)), 1)
    assert float(first.deviation) == pytest.approx(info["target_std"])
    second, info = trained(first, 1)
    assert float(second.deviation) == pytest.approx(0.7 * float(first.deviation) + 0.3 * info["target_std"])


def test_larger_rewards_select_alike():
    """Values and their deviation grow together."""
    agent, factor = learner(), 50.0
    network: Any = agent.critic.heads[0]
    last = network.linears[-1]
    larger = jax.tree.map(lambda leaf: factor * leaf, last)
    critic = eqx.tree_at(lambda critic: critic.heads[0].linears[-1], agent.critic, larger)
    scaled = agent.replace(critic=critic, deviation=agent.deviation * factor)
    observations = transitions().observations
    np.testing.assert_allclose(scaled.act(observations), agent.act(observations), atol=1e-5)


def test_training_in_two_parts_is_training_in_one_and_the_seed_decides():
    whole, info = trained(learner(), 8)
    assert same(whole, trained(trained(learner(), 3)[0], 5)[0]) and int(whole.step) == 8
    assert not same(learner(seed=1).behaviour, learner(seed=2).behaviour)
    assert info.keys() == {
        *("critic_loss", "q_mean", "target_mean", "target_std", "effective_actions", "denoising_loss"),
    }
    assert all(np.isfinite(value) for value in info.values())


def test_the_target_follows_the_critic():
    before = learner(target_rate=0.3)
    after, _ = trained(before, 1)
    for old, live, new in zip(*map(leaves, (before.target_critic, after.critic, after.target_critic)), strict=True):
        np.testing.assert_allclose(new, 0.7 * old + 0.3 * live, rtol=1e-5, atol=1e-6)


def test_the_instrument_reads_candidates_at_random():
    agent, batch = learner(), transitions()
    _, _, policy, options = as_measured(agent, ROWS)
    assert callable(policy)
    first, second = policy(np.asarray(batch.next_observations)), policy(np.asarray(batch.next_observations))
    assert options["policy_draws"] == agent.draws and not np.array_equal(first, second)
    assert options["target_rate"] == pytest.approx(0.005) and options["discount"] == pytest.approx(0.97)


def test_it_trains_from_the_command_line_with_readings(tmp_path):
    run = tmp_path / "run"
    given = ("--agent", "sfbc", "--data", EMBEDDED, "--out", run, "--hidden-sizes", 32, 32, "--steps", 60)
    behaviour = ("--behaviour-hidden-sizes", 32, 32, "--behaviour-learning-rate", 3e-3, "--backup-actions", 4)
    cadence = ("--env", "none", "--read-every", 30, "--reading-rows", 24, "--batch-size", 64)
    assert main(["train", *map(str, (*given, *behaviour, *cadence))]) == 0
    readings = read_json_lines(run / "readings.jsonl")
    assert [row["step"] for row in readings] == [30, 60]
    assert all(np.isfinite(row["seem"]) and row["forecast"]["verdict"] for row in readings)
    first, last = read_json_lines(run / "metrics.jsonl")
    assert last["denoising_loss"] < first["denoising_loss"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"solver_steps": 16}, "--solver-steps 16: it must be from 1 to the 15"),
        ({"averaged_actions": 33}, "--averaged-actions 33: it must be at most the 32 of --evaluation-actions"),
        ({"heads": 0}, "--heads 0: it must be at least 1"),
        ({"behaviour_learning_rate": 0.0}, "--behaviour-learning-rate 0.0: it must be finite and above 0"),
        ({"inverse_temperature": -1.0}, "--inverse-temperature -1.0: it must be finite, 0 or more"),
        ({"behaviour_hidden_sizes": ()}, "--behaviour-hidden-sizes"),
    ],
)
def test_settings_that_make_no_sense_are_refused(changes, said):
    with pytest.raises(InputError) as refusal:
        SfBCConfig(**changes).check()
    assert said in str(refusal.value)
