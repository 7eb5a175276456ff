"""Remedies: their numbers are those of a reading taken with that setting, and they stand where the numbers put them."""

import copy
import json
import math
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import nn

import seemrl
from cases import policy, transitions, twin
from seemrl import InputError, Remedy, advise, measure
from seemrl.data.embedded import load_embedded_hopper
from seemrl.data.following import logged_next_actions
from seemrl.files import strict
from seemrl.instrument.forecast.remedy import ranked, standing_of

LAYER_NORM = "LayerNorm in the critic"
DISCOUNT, ROWS = 0.99, 32


class Twin(nn.Module):
    """Two heads, written by hand."""

    def __init__(self, observation_size: int, action_size: int, hidden: int = 32) -> None:
        super().__init__()
        size = observation_size + action_size
        self.heads = nn.ModuleList(
            nn.Sequential(
                nn.Linear(size, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, 1)
            )
            for _ in range(2)
        )

    def forward(self, observations: torch.Tensor, actions: torch.Tensor) -> tuple[torch.Tensor, ...]:
        inputs = torch.cat([observations, actions], 1)
        return tuple(head(inputs) for head in self.heads)


class Learner(NamedTuple):
    """What a few hundred updates of TD3 without behaviour cloning and target averaging lead to."""

    critic: nn.Module
    optimizer: torch.optim.Optimizer
    actor: nn.Module
    batch: seemrl.Batch
    next_actions: np.ndarray

    def policy(self, next_observations: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return self.actor(torch.as_tensor(next_observations, dtype=torch.float32)).numpy()

    @property
    def options(self) -> dict[str, Any]:
        return {"discount": DISCOUNT, "optimizer": self.optimizer}


@cache
def diverging(layer_norm: bool = False, updates: int = 300) -> Learner:
    """A critic on the way to divergence, on the embedded data."""
    data = load_embedded_hopper()
    mean, deviation = data.observation_statistics()
    arrays = [
        (data.observations - mean) / deviation,
        data.actions,
        data.rewards,
        (data.next_observations - mean) / deviation,
        data.terminals,
    ]
    tensors = [torch.as_tensor(array).float() for array in arrays]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        critic: nn.Module = Twin(data.observation_size, data.action_size)
        if layer_norm:
            seemrl.stabilize(critic, in_place=True)
        actor = nn.Sequential(
            nn.Linear(data.observation_size, 32), nn.ReLU(), nn.Linear(32, data.action_size), nn.Tanh()
        )
        optimizer = torch.optim.Adam(critic.parameters(), lr=1e-3)
        actor_optimizer = torch.optim.Adam(actor.parameters(), lr=1e-3)
        for _ in range(updates):
            drawn = torch.randint(len(data), (64,))
            s, a, r, following, d = (tensor[drawn] for tensor in tensors)
            with torch.no_grad():
                target = r + DISCOUNT * (1 - d) * torch.min(*critic(following, actor(following)))[:, 0]
            loss = sum(((q[:, 0] - target) ** 2).mean() for q in critic(s, a))
            optimizer.zero_grad()
            torch.as_tensor(loss).backward()
            optimizer.step()
            actor_optimizer.zero_grad()
            (-critic(s, actor(s))[0].mean()).backward()
            actor_optimizer.step()
    rows = data.batch_rows(ROWS, seed=0)
    actions, known = logged_next_actions(data, rows)
    batch = seemrl.Batch(*(array[rows] for array in arrays))
    return Learner(critic, optimizer, actor, batch, np.where(known[:, None], actions, np.nan))


def asked(learner: Learner, **changes: Any) -> dict[str, Remedy]:
    options: dict[str, Any] = learner.options | {"next_actions": learner.next_actions} | changes
    return {item.name: item for item in advise(learner.critic, learner.batch, learner.policy, **options)}


def test_layer_norm_comes_first_for_a_critic_that_diverges():
    remedies = asked(diverging())
    first = next(iter(remedies.values()))
    assert first.name == LAYER_NORM and first.standing == "ends it" and first.helps
    assert first.normalized_before > 0.05 and first.normalized_after is not None
    assert abs(first.normalized_after) < 0.002
    assert first.rate_before is not None and first.rate_after is not None
    assert first.rate_after < first.rate_before / 10
    assert "plain gradient steps" in first.obtained  # Adam has no second moments for it
    standings = [item.standing for item in remedies.values()]
    assert standings == sorted(standings, key=["ends it", "lowers it", "slows it", "no help"].index)


def test_every_number_is_that_of_a_reading_taken_with_the_setting():
    learner = diverging()
    remedies = asked(learner)
    options = learner.options

    def agrees(remedy: Remedy, target: Any = learner.policy, **changes: Any) -> None:
        by_hand = measure(learner.critic, learner.batch, target, **options | changes)
        assert remedy.normalized_after == pytest.approx(by_hand.normalized, rel=1e-9, abs=1e-12)
        assert remedy.rate_after == pytest.approx(by_hand.rate, rel=1e-6, abs=1e-12)
        assert remedy.rate_after_error == pytest.approx(by_hand.rate_error, rel=1e-6)

    now = measure(learner.critic, learner.batch, learner.policy, **options)
    for remedy in remedies.values():
        assert (remedy.rate_before, remedy.normalized_before) == (now.rate, now.normalized)
    agrees(remedies["discount 0.95"], discount=0.95)
    agrees(remedies["target rate 0.005"], target_rate=0.005)
    agrees(remedies["learning rate 0.00033"], learning_rate=1e-3 / 3)
    own, unknown = learner.policy(learner.batch.next_observations), np.isnan(learner.next_actions[:, 0])
    assert unknown[~learner.batch.terminals].sum() == 0
    data_actions = np.where(unknown[:, None], learner.batch.actions, learner.next_actions)
    agrees(remedies["behaviour cloning, 50% of the way"], lambda _: (own + data_actions) / 2)
    agrees(remedies["behaviour cloning, all the way"], lambda _: data_actions)
    stabilised = seemrl.stabilize(learner.critic)
    by_hand = measure(stabilised, learner.batch, learner.policy, discount=DISCOUNT)
    assert remedies[LAYER_NORM].normalized_after == by_hand.normalized


def test_kernels_known_by_products_give_the_same_remedies():
    learner = diverging()
    few = learner._replace(
        batch=seemrl.Batch(
            *(
                getattr(learner.batch, name)[:10]
                for name in ("observations", "actions", "rewards", "next_observations", "terminals")
            )
        ),
        next_actions=learner.next_actions[:10],
    )
    dense, free = asked(few), asked(few, memory=1)
    assert dense.keys() == free.keys()
    for name, remedy in free.items():
        assert remedy.normalized_after == pytest.approx(dense[name].normalized_after, abs=2e-3)
    assert free["discount 0.95"].rate_after == pytest.approx(dense["discount 0.95"].rate_after, rel=1e-2)


def test_other_heads_and_averaging_are_measured_where_they_are_not_in_use_yet():
    learner = diverging()
    remedies = asked(learner, heads="first", target_rate=0.05, target_period=2)
    coupled = measure(
        learner.critic, learner.batch, learner.policy, **learner.options, target_rate=0.05, target_period=2
    )
    assert remedies["smaller head as target"].normalized_after == pytest.approx(coupled.normalized)
    assert remedies["smaller head as target"].rate_after == pytest.approx(coupled.rate, rel=1e-6)
    assert remedies["target rate 0.005"].action.endswith("in place of 0.05")
    assert "smaller head as target" not in asked(learner)


def test_under_plain_gradient_steps_layer_norm_is_read_at_the_same_learning_rate():
    learner = diverging()
    remedies = asked(learner, optimizer=torch.optim.SGD(learner.critic.parameters(), lr=1e-5))
    by_hand = measure(
        seemrl.stabilize(learner.critic), learner.batch, learner.policy, discount=DISCOUNT, learning_rate=1e-5
    )
    assert remedies[LAYER_NORM].rate_after == by_hand.rate
    assert remedies[LAYER_NORM].obtained == "measured on the same rows"


def test_an_equal_step_moves_both_critics_alike():
    learner = diverging()
    (same,) = [
        item
        for item in advise(
            learner.critic,
            learner.batch,
            learner.policy,
            **learner.options,
            variants={"the same": (copy.deepcopy(learner.critic), None)},
        )
        if item.name == "the same"
    ]
    assert same.normalized_after == same.normalized_before
    assert same.rate_after == pytest.approx(same.rate_before, rel=0.02)
    assert same.standing == "no help"


def test_a_healthy_critic_needs_nothing():
    learner = diverging(layer_norm=True)
    remedies = asked(learner)
    assert {item.standing for item in remedies.values()} == {"not needed", "not measured"}
    assert remedies[LAYER_NORM].effect.endswith("see unstabilize for the way back")
    assert remedies[LAYER_NORM].rate_after is None and remedies[LAYER_NORM].normalized_after is None


def test_a_step_that_is_too_long_is_told_from_self_excitation():
    learner = diverging(layer_norm=True)
    reading = measure(learner.critic, learner.batch, learner.policy, discount=0.0, learning_rate=10.0)
    assert reading.spectral_radius is not None and reading.spectral_radius > 1 and reading.seem <= 0
    remedies = advise(learner.critic, learner.batch, learner.policy, discount=0.0, learning_rate=10.0)
    first = remedies[0]
    assert first.name.startswith("learning rate") and first.standing == "ends it" and "oscillating" in first.effect
    smaller = measure(
        learner.critic, learner.batch, learner.policy, discount=0.0, learning_rate=float(first.name.split()[-1])
    )
    assert smaller.spectral_radius is not None and smaller.spectral_radius <= 1


def test_without_a_learning_rate_there_are_no_rates_and_nothing_that_changes_them_alone():
    learner = diverging()
    remedies = asked(learner, optimizer=None)
    assert all(item.rate_after is None and item.rate_before is None for item in remedies.values())
    assert remedies[LAYER_NORM].standing == "ends it"
    assert not any(name.startswith(("target", "learning")) for name in remedies)


def test_a_jax_critic_is_compared_with_the_variants_that_are_given():
    critic, other = twin((8,)), twin((8,), norm="layer")
    batch = transitions(16)
    found = {
        item.name: item for item in advise(critic, batch, policy, discount=0.9, variants={"normed": (other, None)})
    }
    assert found["normed"].normalized_after == measure(other, batch, policy, discount=0.9).normalized
    alone = {item.name: item for item in advise(critic, batch, policy, discount=0.9)}
    assert alone[LAYER_NORM].standing == "not measured" and "variants" in alone[LAYER_NORM].effect


def test_a_random_policy_is_asked_once_and_all_remedies_are_read_at_the_same_draws():
    learner = diverging()
    random = np.random.default_rng(0)
    draws: list[np.ndarray] = []

    def noisy(next_observations: np.ndarray) -> np.ndarray:
        draws.append(np.clip(learner.policy(next_observations) + 0.1 * random.normal(size=(ROWS, 3)), -1, 1))
        return draws[-1]

    remedies = {item.name: item for item in advise(learner.critic, learner.batch, noisy, **learner.options)}
    answers = iter(list(draws))
    changed: dict[str, Any] = {"discount": 0.95}
    by_hand = measure(learner.critic, learner.batch, lambda _: next(answers), **learner.options | changed)
    assert len(draws) == 2
    assert remedies["discount 0.95"].rate_after == pytest.approx(by_hand.rate, rel=1e-6)


def test_discrete_critics_and_greedy_policies():
    torch.manual_seed(0)
    critic = nn.Sequential(nn.Linear(3, 16), nn.ReLU(), nn.Linear(16, 4))
    random = np.random.default_rng(0)
    batch = seemrl.Batch(
        random.normal(size=(20, 3)),
        random.integers(0, 4, 20),
        random.normal(size=20),
        random.normal(size=(20, 3)),
        np.zeros(20),
    )
    found = {item.name: item for item in advise(critic, batch, "greedy", discount=0.9)}
    by_hand = measure(seemrl.stabilize(critic), batch, "greedy", discount=0.9)
    assert found[LAYER_NORM].normalized_after == by_hand.normalized
    assert "behaviour cloning, all the way" in found and "behaviour cloning, 50% of the way" not in found


def test_a_critic_that_is_lost_gets_no_numbers():
    learner = diverging()
    lost = copy.deepcopy(learner.critic)
    with torch.no_grad():
        next(lost.parameters()).fill_(math.nan)
    remedies = advise(lost, learner.batch, learner.policy, discount=DISCOUNT)
    assert {item.standing for item in remedies} == {"not measured"} and {item.obtained for item in remedies} == {
        "theory"
    }
    assert "earlier checkpoint" in remedies[0].effect
    assert json.loads(json.dumps(strict(remedies[0].to_dict()), allow_nan=False))["normalized_before"] == "nan"


def test_nearest_rows_stand_in_for_unknown_next_actions():
    learner = diverging()
    observations = learner.batch.observations
    deviation = observations.std(0)
    distances = ((learner.batch.next_observations[:, None] - observations[None]) / deviation) ** 2
    nearest = learner.batch.actions[distances.sum(2).argmin(1)]
    found = asked(learner, next_actions=None)["behaviour cloning, all the way"]
    by_hand = measure(learner.critic, learner.batch, lambda _: nearest, **learner.options)
    assert found.normalized_after == pytest.approx(by_hand.normalized)
    assert found.obtained.endswith("the actions of the rows with the nearest observations")


def test_standing_and_order():
    def remedy(name: str, standing: Any, normalized: float, rate: float) -> Remedy:
        return Remedy(name, "", 1e-3, None, rate, None, 0.1, normalized, "", "", standing)

    assert standing_of(0.1, 0.01, 1e-3, 0.001, 1e-5, False) == "ends it"
    assert standing_of(0.1, 0.01, 1e-3, 0.08, 9e-4, False) == "lowers it"
    assert standing_of(0.1, 0.05, 1e-3, 0.08, 9e-4, False) == "no help"  # within the error
    assert standing_of(0.1, 0.01, 1e-3, 0.1, 5e-4, True) == "slows it"
    assert standing_of(0.1, 0.01, 1e-3, 0.1, 2e-3, True) == "no help"
    assert standing_of(0.001, 0.01, 1e-3, 0.0, 0.0, False) == "not needed"
    given = [
        remedy("slower", "slows it", 0.1, 5e-4),
        remedy("slowest", "slows it", 0.1, 1e-4),
        remedy("lower", "lowers it", 0.08, 1e-4),
        remedy("lowest", "lowers it", 0.01, 5e-4),
        remedy("first end", "ends it", 0.001, 1e-5),
        remedy("second end", "ends it", 0.0, 0.0),
    ]
    order = ["first end", "second end", "lowest", "lower", "slowest", "slower"]
    assert [item.name for item in ranked(given)] == order


def test_refusals():
    learner = diverging()

    def refused(**changes: Any) -> str:
        with pytest.raises(InputError) as caught:
            advise(learner.critic, learner.batch, changes.pop("policy", learner.policy), **learner.options | changes)
        return str(caught.value)

    assert "next_actions: its shape is (32, 2) but" in refused(next_actions=np.zeros((32, 2)))
    assert "discount: 1.5 is outside [0, 1]" in refused(discount=1.5)
    assert "policy_draws: 0 is below 1" in refused(policy_draws=0)
    assert "policy: greedy needs a discrete critic" in refused(policy="greedy")
    assert "actions of shape (3,)" in refused(policy=lambda _: np.zeros(3))
