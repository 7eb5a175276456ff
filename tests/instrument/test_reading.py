import math
from typing import Any

import equinox as eqx
import numpy as np
import pytest
import scipy.linalg

from cases import CASES, DRAWS, gradients, noisy_policy, policy, transitions
from oracles import Gradients, moving_update, two_parts
from seemrl.instrument.dynamics import Heads
from seemrl.instrument.measure import measure
from seemrl.instrument.reading import Reading

AGREEMENT = 1e-11  # of eigenvalues, relative to the matrix
DISCOUNT, LEARNING_RATE = 0.95, 0.02
SLOW = 0.1  # radians: what turns faster is not counted in the rate


def assert_reads(reading: Reading, cross, gram, target_rate: float = 1.0) -> None:
    """Every number of a reading against dense matrices."""
    A = cross - gram
    norm = float(np.linalg.norm(A))
    eigenvalues = scipy.linalg.eigvals(A)
    seem = eigenvalues.real.max()
    assert reading.seem == pytest.approx(seem, rel=1e-9, abs=AGREEMENT * norm)
    assert reading.normalized == pytest.approx(seem / norm, rel=1e-9, abs=AGREEMENT)
    assert reading.numerical_abscissa == pytest.approx(
        float(np.linalg.eigvalsh((A + A.T) / 2).max()), abs=AGREEMENT * norm
    )
    assert 0 <= reading.residual < 1e-12
    eta = 2 * LEARNING_RATE / reading.rows
    radius = np.abs(1 + eta * eigenvalues).max()
    assert reading.spectral_radius == pytest.approx(radius, abs=AGREEMENT * eta * norm)
    moves = np.eye(len(A)) + eta * A if target_rate == 1 else moving_update(eta * cross, eta * gram, target_rate)
    modes = scipy.linalg.eigvals(moves)
    growth = math.log(modes[np.abs(np.angle(modes)) <= SLOW].real.max())
    assert reading.rate == pytest.approx(growth, rel=1e-8, abs=1e-11)


def bootstrap(mask_terminals: bool) -> np.ndarray:
    return DISCOUNT * np.where(transitions().terminals & mask_terminals, 0.0, 1.0)


@pytest.mark.parametrize("name", CASES)
def test_a_reading_is_what_the_formulas_say(name):
    at_rows, at_targets = gradients(name)
    reading = measure(CASES[name].make(), transitions(), policy, discount=DISCOUNT, learning_rate=LEARNING_RATE)
    assert_reads(reading, *two_parts(at_rows, at_targets, bootstrap(True)))
    assert reading.q_mean == pytest.approx(np.abs(at_rows.values).mean())
    assert reading.q_max == pytest.approx(np.abs(at_rows.values).max())
    assert reading.finite and (reading.rows, reading.heads) == (len(transitions()), "coupled")


@pytest.mark.parametrize("name", ["two layers", "LayerNorm before ReLU", "torch heads on one trunk"])
@pytest.mark.parametrize("mask_terminals", [True, False])
@pytest.mark.parametrize("heads", ["coupled", "first", "mean", "own"])
@pytest.mark.parametrize("random", [False, True])
def test_heads_terminals_and_draws_enter_as_stated(name, heads, mask_terminals, random):
    reading = measure(
        CASES[name].make(),
        transitions(),
        noisy_policy(seed=1) if random else policy,
        discount=DISCOUNT,
        heads=heads,
        mask_terminals=mask_terminals,
        learning_rate=LEARNING_RATE,
        target_rate=0.1,
        policy_draws=DRAWS,
    )
    at_rows, at_targets = gradients(name, random)
    assert len(at_targets) == (DRAWS if random else 1)
    parts = two_parts(at_rows, at_targets, bootstrap(mask_terminals), heads)
    assert_reads(reading, *parts, target_rate=0.1)
    assert reading.heads == heads


@pytest.mark.parametrize("name", ["two layers", "torch heads on one trunk"])
def test_the_target_critic_chooses_the_head(name):
    critic, batch = CASES[name].make(), transitions()
    other = CASES["torch twin"].make()
    at_rows, (at_targets,) = gradients(name)
    _, (of_other,) = gradients("torch twin")
    chosen = two_parts(at_rows, [Gradients(of_other.values, at_targets.jacobian)], bootstrap(True))
    reading = measure(
        critic, batch, policy, discount=DISCOUNT, target_critic=other, learning_rate=LEARNING_RATE, target_rate=0.5
    )
    assert_reads(reading, *chosen, target_rate=0.5)
    assert reading.seem != measure(critic, batch, policy, discount=DISCOUNT).seem


@pytest.mark.parametrize("heads", ["coupled", "mean"])
def test_a_critic_with_two_equal_heads_reads_as_one(heads: Heads):
    critic = CASES["two layers"].make()
    equal = eqx.tree_at(lambda critic: critic.heads[1], critic, critic.heads[0])
    pairs: list[tuple[Any, Heads]] = [(critic, "first"), (equal, heads)]
    one, two = (
        measure(each, transitions(), policy, discount=DISCOUNT, heads=how, learning_rate=LEARNING_RATE, target_rate=0.1)
        for each, how in pairs
    )
    assert one.seem > 0
    assert two.seem == pytest.approx(one.seem, rel=1e-9)
    assert two.rate == pytest.approx(one.rate, rel=1e-6)
    assert (two.q_mean, two.q_max) == (pytest.approx(one.q_mean), one.q_max)


@pytest.mark.parametrize("memory", [2**31, 1])
def test_heads_that_are_their_own_targets_read_as_each_alone(memory):
    """Separate networks: the eigenvalues of both together are those of each."""
    critic = CASES["torch twin"].make()
    options: dict[str, Any] = {"discount": DISCOUNT, "learning_rate": LEARNING_RATE, "target_rate": 0.1}
    both = measure(critic, transitions(), policy, heads="own", memory=memory, leading=3, **options)
    alone = []
    for network in critic.networks:
        one = CASES["torch"].make()
        one.networks[0] = network
        alone.append(measure(one, transitions(), policy, leading=3, **options))
    assert both.heads == "own"
    assert both.seem == pytest.approx(max(one.seem for one in alone), rel=1e-8)
    assert both.rate == pytest.approx(max(one.rate for one in alone), rel=1e-6)
    assert both.q_mean == pytest.approx(sum(one.q_mean for one in alone) / 2)
    if memory > 1:
        together = sorted((pair[0] for one in alone for pair in one.leading), reverse=True)
        np.testing.assert_allclose([real for real, _ in both.leading], together[:3], rtol=1e-7)


@pytest.mark.parametrize("count", [0, 1, 5, 100])
def test_leading_keeps_the_rightmost_eigenvalues(count):
    name = "torch twin"
    at_rows, at_targets = gradients(name)
    cross, gram = two_parts(at_rows, at_targets, bootstrap(True))
    wanted = scipy.linalg.eigvals(cross - gram)
    wanted = wanted[np.argsort(-wanted.real)]
    found = measure(CASES[name].make(), transitions(), policy, discount=DISCOUNT, leading=count).leading
    assert len(found) == min(count, len(wanted))
    near = 1e-7 * float(np.linalg.norm(cross - gram))  # of those that cluster at zero, no more can be told
    np.testing.assert_allclose([real for real, _ in found], wanted[:count].real, rtol=0, atol=near)


@pytest.mark.parametrize(
    ("name", "by_sample"),
    [
        ("torch twin", ()),
        ("torch: Conv2d, grouped", ()),
        ("torch: the same Linear twice", ()),
        ("torch: ensemble of 10, baddbmm", ()),
        ("torch: ensemble of 10, member by member", ()),
        ("torch: members with LayerNorm, unbound", ()),
        (
            "torch: weight_norm",
            ("layers.0.parametrizations.weight.original0", "layers.0.parametrizations.weight.original1"),
        ),
        ("torch: temperature", ("layers.2.temperature",)),
        ("torch: an unused layer", ()),
        ("three layers", ()),
    ],
)
def test_a_reading_names_the_parameters_without_a_formula(name, by_sample):
    assert measure(CASES[name].make(), transitions(), policy, discount=DISCOUNT).by_sample == by_sample


def test_weights_in_a_dictionary_are_named_by_their_keys():
    reading = measure(CASES["functools.partial"].make(), transitions(), policy, discount=DISCOUNT)
    first, second = reading.by_sample
    assert first.endswith("['layer0']") and second.endswith("['layer1']")


def test_without_a_learning_rate_nothing_is_said_per_step():
    reading = measure(CASES["two layers"].make(), transitions(), policy, discount=DISCOUNT)
    assert (reading.rate, reading.spectral_radius) == (None, None)


@pytest.mark.parametrize("factor", [0.5, 3.0])
def test_the_loss_scale_is_a_factor_of_the_learning_rate(factor):
    critic, batch = CASES["two layers"].make(), transitions()
    options: dict[str, Any] = {"discount": DISCOUNT, "target_rate": 0.2}
    scaled = measure(critic, batch, policy, learning_rate=1e-3, loss_scale=2 * factor, **options)
    faster = measure(critic, batch, policy, learning_rate=1e-3 * factor, **options)
    assert scaled.rate == pytest.approx(faster.rate, rel=1e-9)
    assert scaled.spectral_radius == pytest.approx(faster.spectral_radius, rel=1e-12)
    assert scaled.seem == faster.seem


def test_two_readings_of_the_same_critic_are_the_same():
    first, second = (
        measure(CASES["two layers"].make(), transitions(), noisy_policy(seed=1), discount=DISCOUNT, learning_rate=1e-3)
        for _ in range(2)
    )
    assert {**first.to_dict(), "seconds": 0} == {**second.to_dict(), "seconds": 0}
