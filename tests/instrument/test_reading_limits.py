import copy
import functools
import json
import math
import warnings
from typing import Any

import equinox as eqx
import jax
import numpy as np
import pytest
import torch

from cases import (
    CASES,
    adam_of,
    bias_free,
    bias_free_weights,
    gradients,
    policy,
    torch_single,
    torch_twin,
    transitions,
    twin,
)
from seemrl import forecast
from seemrl.files import strict
from seemrl.instrument.batch import Batch
from seemrl.instrument.measure import measure
from seemrl.instrument.reading import Reading

DISCOUNT = 0.95


def read(critic, batch: Batch | None = None, **options) -> Reading:
    """A reading during which no warning is raised, in whatever module."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        settings: dict[str, Any] = {"discount": DISCOUNT, "learning_rate": 1e-3, "target_rate": 0.1, **options}
        return measure(critic, transitions() if batch is None else batch, policy, **settings)


def scaled_module(module: torch.nn.Module, factor: float) -> torch.nn.Module:
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(factor)
    return module


def scaled_partial(factor: float) -> functools.partial:
    return functools.partial(bias_free, jax.tree.map(lambda weight: weight * factor, bias_free_weights((5,))))


# An L-layer ReLU network without biases: scaling every weight by s scales Q by s^L and its kernel by s^(2L-2).
@pytest.mark.parametrize(
    ("make", "layers"),
    [
        (lambda s: scaled_module(torch_single(bias=False), s), 1),
        (lambda s: scaled_module(torch_single(6, bias=False), s), 2),
        (lambda s: scaled_module(torch_twin(6, 5, bias=False), s), 3),
        (scaled_partial, 2),
    ],
    ids=["1 layer", "2 layers", "3 layers", "2 layers in JAX"],
)
def test_a_homogeneous_critic_reads_the_same_at_every_size(make, layers):
    exponent = 100 // layers  # a power of two is an exact factor
    small, huge = read(make(1.0)), read(make(2.0**exponent))
    assert huge.finite and 1e29 < huge.q_max < 1e33
    assert huge.q_mean == pytest.approx(small.q_mean * 2.0 ** (layers * exponent), rel=1e-12)
    assert huge.seem == pytest.approx(small.seem * 2.0 ** ((2 * layers - 2) * exponent), rel=1e-9)
    assert huge.normalized == pytest.approx(small.normalized, rel=1e-9)
    assert huge.parameter_norm == pytest.approx(small.parameter_norm * 2.0**exponent, rel=1e-12)
    assert huge.ntk_cosine(small) == pytest.approx(1, abs=1e-12)


def with_value(module: torch.nn.Module, value: float) -> torch.nn.Module:
    with torch.no_grad():
        next(module.parameters())[0, 0] = value
    return module


def twin_with_value(value: float) -> eqx.Module:
    return eqx.tree_at(lambda critic: critic.heads[1].linears[0].weight, twin((6,)), replace_fn=lambda w: w * value)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("heads", ["coupled", "first", "mean"])
@pytest.mark.parametrize(
    "make", [twin_with_value, lambda value: with_value(torch_twin(6), value)], ids=["jax", "torch"]
)
def test_a_critic_that_is_not_finite_is_read_as_such(make, value, heads):
    reading = read(make(value), heads=heads)
    in_use = not (make is twin_with_value and heads == "first")  # there the second head is the broken one
    assert reading.finite is not in_use
    assert reading.rate is not None
    assert math.isnan(reading.seem) is math.isnan(reading.normalized) is math.isnan(reading.rate) is in_use
    assert not math.isfinite(reading.parameter_norm)
    assert (forecast([reading]).verdict == "diverged") is in_use


@pytest.mark.parametrize("size", [1e80, 1e200])
def test_an_overflow_of_the_kernel_or_the_values_is_no_error(size):
    reading = read(scaled_module(torch_twin(6, 5).double(), size))
    assert not reading.finite
    assert math.isfinite(reading.q_max) is (size == 1e80)


def test_a_policy_that_is_not_finite_is_no_error():
    reading = measure(
        twin((6,)), transitions(), lambda observations: policy(observations) * math.nan, discount=0.9, learning_rate=1.0
    )
    assert not reading.finite and math.isfinite(reading.q_mean)


@pytest.mark.parametrize("value", [1.0, math.nan, math.inf], ids=["finite", "nan", "inf"])
@pytest.mark.parametrize("learning_rate", [1e-3, None])
def test_a_reading_survives_strict_json(value, learning_rate):
    reading = read(twin_with_value(value), learning_rate=learning_rate, step=7)
    text = json.dumps(strict({**reading.to_dict(), "another": "key"}), allow_nan=False)
    again = Reading.from_dict(json.loads(text))
    np.testing.assert_equal(again.to_dict(), reading.to_dict())  # NaN equals NaN here
    assert (again.step, again.finite) == (7, value == 1.0)


def test_the_kernel_has_the_direction_of_itself_only():
    reading, other = read(twin((6,))), read(twin((6,), seed=1))
    assert reading.ntk_cosine(reading) == pytest.approx(1, abs=1e-12)
    cosine = reading.ntk_cosine(other)
    assert cosine is not None and -1 <= cosine < 0.99
    assert other.ntk_cosine(reading) == cosine


def test_a_kernel_without_direction_has_no_cosine():
    whole, lost, one_head = read(twin((6,))), read(twin_with_value(math.nan)), read(twin((6,)), heads="first")
    assert whole.ntk_cosine(lost) is lost.ntk_cosine(whole) is lost.ntk_cosine(lost) is None
    assert whole.ntk_cosine(one_head) is None


def test_terminals_alone_leave_nothing_to_excite():
    batch = transitions()
    terminal = Batch(batch.observations, batch.actions, batch.rewards, batch.next_observations, np.ones(len(batch)))
    masked, unmasked = read(twin((6,)), terminal), read(twin((6,)), terminal, mask_terminals=False)
    assert masked.seem <= 1e-9 and masked.rate is not None and masked.rate <= 1e-9
    assert unmasked.seem == read(twin((6,)), batch, mask_terminals=False).seem != masked.seem
    without_discount = read(twin((6,)), discount=0.0)
    assert masked.seem == pytest.approx(without_discount.seem, abs=1e-12)


@pytest.mark.parametrize("name", ["LayerNorm before ReLU", "torch twin", "torch: weight_norm"])
@pytest.mark.parametrize("adam", [False, True])
@pytest.mark.parametrize("memory", [2**31, 1])
@pytest.mark.parametrize("why", ["terminal", "discount"])
def test_without_bootstrap_the_values_move_alone(name, adam, memory, why):
    """A = -G exactly: its eigenvalues are those of G, with the other sign."""
    critic, batch = CASES[name].make(), transitions()
    columns = (batch.observations, batch.actions, batch.rewards, batch.next_observations)
    batch = Batch(*columns, np.ones(len(batch))) if why == "terminal" else batch
    at_rows, _ = gradients(name)
    J = np.concatenate(list(at_rows.jacobian))
    options: dict[str, Any] = {"discount": 0.95 if why == "terminal" else 0.0, "memory": memory}
    options |= {"optimizer": adam_of(critic)} if adam else {"learning_rate": 1e-3}
    reading = measure(critic, batch, policy, leading=3, **options)
    wanted = np.linalg.eigvalsh(-J @ J.T)[::-1]
    norm = float(np.linalg.norm(J @ J.T))
    assert reading.seem == pytest.approx(wanted[0], abs=1e-11 * norm) and reading.seem <= 1e-11 * norm
    assert [real for real, _ in reading.leading] == pytest.approx(wanted[:3], abs=1e-11 * norm)
    assert reading.numerical_abscissa == pytest.approx(wanted[0], abs=1e-8 * norm)
    assert reading.rate is not None and reading.rate <= 1e-9


def repeated(batch: Batch, rows: np.ndarray) -> Batch:
    columns = (batch.observations, batch.actions, batch.rewards, batch.next_observations, batch.terminals)
    return Batch(*(column[rows] for column in columns))


@pytest.mark.parametrize("make", [CASES["torch twin"].make, CASES["torch"].make], ids=["twin", "single"])
def test_rows_measured_twice_grow_the_eigenvalue_and_not_the_rate(make):
    batch, critic = transitions(), make()
    once, twice = read(critic, batch), read(critic, repeated(batch, np.tile(np.arange(len(batch)), 2)))
    assert once.seem > 0
    assert twice.seem == pytest.approx(2 * once.seem, rel=1e-9)
    assert twice.normalized == pytest.approx(once.normalized, rel=1e-9)
    assert twice.rate == pytest.approx(once.rate, rel=1e-6)


def test_one_row_is_a_number():
    batch = repeated(transitions(), np.array([0]))
    critic = CASES["torch"].make()
    at_rows, (at_targets,) = (
        CASES["torch"].differentiate(critic, batch.observations, batch.actions),
        [CASES["torch"].differentiate(critic, batch.next_observations, policy(batch.next_observations))],
    )
    g, g_star = at_rows.jacobian[0, 0], at_targets.jacobian[0, 0]
    reading = read(critic, batch)
    assert reading.seem == pytest.approx(DISCOUNT * g_star @ g - g @ g, rel=1e-12)
    assert reading.normalized == pytest.approx(np.sign(reading.seem))
    assert reading.numerical_abscissa == pytest.approx(reading.seem)


@pytest.mark.parametrize("name", ["torch twin", "three layers", "torch: Conv2d"])
@pytest.mark.parametrize("memory", [2**31, 1])
def test_a_critic_of_zeros_is_read(name, memory):
    """The last bias alone moves its values: gradients of one everywhere."""
    critic = CASES[name].make()
    if isinstance(critic, torch.nn.Module):
        scaled_module(critic, 0.0)
    else:
        critic = jax.tree.map(lambda leaf: 0 * leaf if eqx.is_inexact_array(leaf) else leaf, critic)
    reading = read(critic, memory=memory, heads="first")
    rows = len(transitions())
    terminals = transitions().terminals.sum()
    assert reading.finite and reading.q_max == reading.q_mean == reading.parameter_norm == 0.0
    norm = math.sqrt(rows * ((rows - terminals) * (1 - DISCOUNT) ** 2 + terminals))
    # A is -1 or gamma - 1 in each row: of rank one, and its eigenvalue is the sum.
    assert reading.seem == pytest.approx(0.0, abs=1e-9 * norm)
    assert reading.normalized == pytest.approx(0.0, abs=1e-9)


def test_a_dead_critic_is_at_rest():
    dead = copy.deepcopy(CASES["torch"].make())
    with torch.no_grad():
        for name, parameter in dead.named_parameters():
            parameter.fill_(-1.0 if name.endswith("0.bias") else 0.0)
    for parameter in list(dead.parameters())[-1:]:
        parameter.requires_grad = False
    reading = read(dead)
    assert (reading.seem, reading.normalized, reading.q_max) == (0.0, 0.0, 0.0)
    assert reading.finite and reading.ntk_cosine(reading) is None
