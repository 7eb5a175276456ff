from collections.abc import Iterable

import jax.numpy as jnp
import numpy as np
import pytest

from cases import ACTION, CASES, OBSERVATION, gradients, policy, transitions, twin
from oracles import Gradients
from seemrl.instrument.kernels import Critic, layerwise, open_critic
from seemrl.instrument.kernels.layerwise import LayerTrace, kernel_blocks
from seemrl.instrument.kernels.recording import record, recording

AGREEMENT = 1e-12
WITHOUT_FORMULA = {
    "eqx.nn.MLP",
    "functools.partial",
    "jax.tree_util.Partial",
    "beside a free parameter",
    "sample by sample",
    *(name for name in CASES if name.startswith("torch")),
}
Points = tuple[np.ndarray, np.ndarray]


@pytest.fixture(scope="module", params=CASES)
def name(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def critic(name: str) -> Critic:
    return open_critic(CASES[name].make())


@pytest.fixture(scope="module")
def wanted(name: str) -> Gradients:
    """At the rows' own points, then at the targets'."""
    at_rows, (at_targets,) = gradients(name)
    return Gradients(
        np.concatenate([at_rows.values, at_targets.values], axis=1),
        np.concatenate([at_rows.jacobian, at_targets.jacobian], axis=1),
    )


@pytest.fixture(scope="module")
def points() -> Points:
    batch = transitions()
    return (
        np.concatenate([batch.observations, batch.next_observations]),
        np.concatenate([batch.actions, policy(batch.next_observations)]),
    )


@pytest.fixture(scope="module")
def traces(critic: Critic, points: Points) -> list[LayerTrace]:
    return list(critic.traces(*points, None))


def blocks_of(traces: Iterable[LayerTrace], points: Points, heads) -> np.ndarray:
    return kernel_blocks(traces, slice(None), slice(len(points[0]) // 2), heads)


def assert_same_blocks(found: np.ndarray, jacobian: np.ndarray, weights: np.ndarray | float = 1.0) -> None:
    """Every pair of heads, each to the accuracy of its own size; heads that share nothing have a block of zeros."""
    rows = jacobian.shape[1] // 2
    for h, left in enumerate(jacobian):
        for g, right in enumerate(jacobian):
            block = (weights * left) @ right[:rows].T
            size = np.linalg.norm(block)
            assert np.linalg.norm(found[h, g] - block) <= AGREEMENT * size, f"heads {h}, {g}"


def test_values_are_those_of_the_critic(name, critic, points: Points, wanted):
    values = critic(*points)
    assert values.shape == (CASES[name].heads, len(points[0]))
    np.testing.assert_allclose(values, wanted.values, rtol=1e-12, atol=1e-13)


def test_blocks_are_products_of_per_sample_gradients(name, traces, points: Points, wanted):
    assert_same_blocks(blocks_of(traces, points, CASES[name].heads), wanted.jacobian)


def test_preconditioned_blocks_weigh_each_parameter(name, critic, points: Points, wanted):
    random = np.random.default_rng(5)
    preconditioner = [np.asarray(np.exp(random.normal(scale=2, size=leaf.shape))) for leaf in critic.leaves]
    weights = np.concatenate([weight.ravel() for weight in preconditioner])
    blocks = blocks_of(critic.traces(*points, preconditioner), points, CASES[name].heads)
    assert_same_blocks(blocks, wanted.jacobian, weights)


def test_layers_are_traced_by_formula_where_every_parameter_has_one(name, traces):
    kinds = {trace.kind for trace in traces}
    assert (kinds == {"gradients"}) if name in WITHOUT_FORMULA else kinds <= {"linear", "scale_shift"}


def test_weighted_blocks_do_not_depend_on_the_slice(points: Points, monkeypatch):
    critic = open_critic(CASES["two layers"].make())
    preconditioner = [np.random.default_rng(0).uniform(1, 2, leaf.shape) for leaf in critic.leaves]
    traces = list(critic.traces(*points, preconditioner))
    whole = blocks_of(traces, points, 2)
    monkeypatch.setattr(layerwise, "_SLICE_BYTES", 1)
    np.testing.assert_allclose(blocks_of(traces, points, 2), whole, rtol=1e-12, atol=1e-14)


def test_fewer_heads_are_the_leading_ones(points: Points):
    traces = list(open_critic(CASES["three heads"].make()).traces(*points, None))
    np.testing.assert_array_equal(blocks_of(traces, points, 1), blocks_of(traces, points, 3)[:1, :1])


def test_no_trace_is_no_kernel():
    with pytest.raises(ValueError, match="no layer"):
        kernel_blocks([], slice(None), slice(None), 1)


def test_recording_ends_with_its_block_and_costs_nothing_outside():
    critic = twin((4,))
    observations, actions = jnp.ones((2, OBSERVATION)), jnp.ones((2, ACTION))
    with recording() as outer:
        with recording() as inner:
            critic(observations, actions)
        with pytest.raises(ZeroDivisionError), recording():
            raise ZeroDivisionError
        critic(observations, actions)
    critic(observations, actions)
    assert outer.kinds == inner.kinds == ["linear"] * 4
    outputs = object()
    assert record("linear", (None, None), None, outputs) is outputs
