"""Kernels as products against the same kernels entry by entry."""

from typing import Any

import numpy as np
import pytest
import torch

from cases import CASES, DRAWS, adam_of, noisy_policy, policy, transitions
from seemrl.instrument.dynamics import Dynamics, Heads
from seemrl.instrument.kernels import matrixfree, open_critic
from seemrl.instrument.kernels.layerwise import kernel_blocks
from seemrl.instrument.kernels.matrixfree import MatrixFreeKernels
from seemrl.instrument.measure import measure
from seemrl.instrument.points import Points

NAMES = [
    "three layers",
    "spectral norm",
    "WeightNorm",
    "functools.partial",
    "eqx.nn.MLP",
    "torch twin",
    "torch heads on one trunk",
    "torch: weight_norm",
    "torch: Conv2d, grouped",
    "torch: the same Linear twice",
    "torch: Embedding of several features",
]
COLUMNS = 5


def both_ways(name: str, shares_of: str, preconditioned: bool) -> tuple[Dynamics, MatrixFreeKernels]:
    batch = transitions()
    points = Points.of(batch, noisy_policy(1) if shares_of == "draws" else policy, DRAWS)
    critic = open_critic(CASES[name].make())
    random = np.random.default_rng(3)
    used = 1 if shares_of == "first head" else CASES[name].heads
    shares = random.uniform(0.2, 1, size=(1, used, points.draws, len(batch)))
    if shares_of == "smaller head":
        shares = shares * (shares == shares.min(axis=1)) * ~batch.terminals
    elif shares_of == "each head":
        shares = shares * np.eye(used)[:, :, None, None]
    weights = [np.asarray(np.exp(random.normal(size=leaf.shape))) for leaf in critic.leaves] if preconditioned else None
    dense = Dynamics(*kernel_blocks(critic.trace(*points.of_rows()).layers, shares, weights), targets_each=len(shares))
    return dense, MatrixFreeKernels(critic, points, shares, weights)


def assert_same_products(dense: Dynamics, free: MatrixFreeKernels) -> None:
    assert (free.size, free.scale) == (dense.size, 1.0)
    vectors = np.random.default_rng(4).normal(size=(dense.size, COLUMNS))
    for of_cross, of_gram in ((1.0, -1.0), (1.0, 0.0), (0.0, 1.0), (0.3, 2.0)):
        matrix = of_cross * dense.targets + of_gram * dense.gram
        for kernels, agreement in ((free, 1e-10), (dense, 1e-12)):
            for products, entries in ((kernels.times, matrix), (kernels.transposed, matrix.T)):
                found, wanted = products(vectors, of_cross, of_gram), entries @ vectors
                assert found.shape == vectors.shape
                assert np.linalg.norm(found - wanted) <= agreement * np.linalg.norm(wanted)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shares_of", ["every head", "smaller head", "each head", "first head", "draws"])
def test_products_are_those_of_the_matrices(name, shares_of):
    for preconditioned in (False, True):
        assert_same_products(*both_ways(name, shares_of, preconditioned))


@pytest.mark.parametrize("name", ["three layers", "torch heads on one trunk"])
@pytest.mark.parametrize("chunk", [1, 5])  # 12 rows one at a time, and in uneven parts
def test_products_do_not_depend_on_the_chunk(name, chunk, monkeypatch):
    monkeypatch.setattr(matrixfree, "_CHUNK_BYTES", chunk)  # of a byte a row
    assert_same_products(*both_ways(name, "draws", True))


# ------------------------------------------------------------------------------------------------ readings


OPTIONS: dict[str, dict[str, Any]] = {
    "without learning rate": {},
    "coupled": {"learning_rate": 1e-2},
    "first": {"learning_rate": 1e-2, "heads": "first", "target_rate": 0.1},
    "mean": {"learning_rate": 1e-2, "heads": "mean", "target_rate": 0.01, "mask_terminals": False},
}


def assert_same_reading(critic: Any, act: Any, **options: Any) -> None:
    dense, free = (
        measure(critic, transitions(), act(), discount=0.95, memory=memory, leading=2, **options)
        for memory in (2**31, 1)
    )
    assert dense.method.startswith("dense") and free.method.startswith("matrix-free")
    assert free.seem == pytest.approx(dense.seem, rel=1e-8, abs=1e-10 * abs(dense.seem / dense.normalized))
    assert free.normalized == pytest.approx(dense.normalized, rel=1e-8, abs=1e-10)
    assert free.numerical_abscissa == pytest.approx(dense.numerical_abscissa, rel=1e-6)
    assert free.q_mean == pytest.approx(dense.q_mean, rel=1e-12)
    assert free.by_sample == dense.by_sample
    cosine = free.ntk_cosine(dense)
    assert cosine is not None and cosine > 1 - 1e-6
    for number in ("rate", "spectral_radius"):
        wanted = getattr(dense, number)
        assert getattr(free, number) == (None if wanted is None else pytest.approx(wanted, rel=1e-7, abs=1e-9))
    assert free.normalized_error is not None and free.normalized_error > 0  # estimated in another way: no row left out


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("torch twin", "coupled"),
        ("torch twin", "first"),
        ("torch heads on one trunk", "mean"),
        ("three layers", "first"),
        ("functools.partial", "coupled"),
        ("torch: Conv2d, grouped", "without learning rate"),
    ],
)
def test_a_reading_by_products_is_the_same(name, options):
    assert_same_reading(CASES[name].make(), lambda: policy, **OPTIONS[options])


@pytest.mark.parametrize(
    ("name", "heads"),
    [
        ("three layers", "coupled"),
        ("torch twin", "coupled"),
        ("torch twin", "first"),
        ("torch: weight_norm", "coupled"),
    ],
)
def test_with_adam_and_a_random_policy_it_is_the_same(name, heads: Heads):
    critic = CASES[name].make()
    optimizer = adam_of(critic)
    assert_same_reading(critic, lambda: noisy_policy(1), optimizer=optimizer, heads=heads, target_rate=0.1)


def test_a_critic_that_is_not_finite_is_told_by_its_values_first():
    critic = CASES["torch"].make()
    with torch.no_grad():
        next(critic.parameters()).fill_(torch.nan)
    reading = measure(critic, transitions(), policy, discount=0.95, memory=1, learning_rate=1e-3)
    assert not reading.finite and np.isnan(reading.seem)
