"""Which way a reading goes, and that it says so; single precision where it goes through many products."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from cases import CASES, adam_of, noisy_policy, policy, torch_single, torch_twin, transitions
from seemrl.instrument import plan as plan_module
from seemrl.instrument.dynamics import Dynamics
from seemrl.instrument.kernels import open_critic
from seemrl.instrument.measure import measure
from seemrl.instrument.plan import Sizes, plan
from seemrl.instrument.points import Points
from seemrl.instrument.source import KernelSource

SMALL = Sizes(rows=100, heads=2, draws=1, parameters=50_000, trace_bytes=20_000, work=1_500, memory=2**31)


def test_a_small_kernel_is_formed_entry_by_entry_in_double_precision():
    found = plan(SMALL, preconditioned=False)
    assert (found.method, found.precision) == ("dense", "float64")


@pytest.mark.parametrize("preconditioned", [False, True])
def test_memory_decides(preconditioned):
    needed = 5 * 8 * 200**2 + 20_000 * 200  # matrices, and the traces of both points of each row
    fits, not_quite = (plan(replace(SMALL, memory=memory), preconditioned) for memory in (needed, needed - 1))
    assert (fits.method, not_quite.method) == ("dense", "matrix-free")
    assert "within" in fits.reason and "beyond" in not_quite.reason


def test_traces_count_in_the_precision_that_they_are_kept_in():
    """Too many for all points at once, they are gathered in single precision, with the kernels."""
    large = replace(SMALL, rows=10_000, heads=1, memory=2**31, trace_bytes=8_400)
    needed = 5 * 4 * 10_000**2 + 4_200 * 20_000
    fits, not_quite = (plan(replace(large, memory=memory), False) for memory in (needed, needed - 1))
    assert (fits.method, fits.precision, not_quite.method) == ("dense", "float32", "matrix-free")


def test_operations_decide():
    """Entry by entry grows with the square of the rows, products with their number."""
    few, many = (replace(SMALL, rows=rows, heads=1, memory=2**50) for rows in (1_000, 10_000))
    assert plan(few, preconditioned=True).method == "dense"
    assert plan(many, preconditioned=True).method == "matrix-free"
    assert plan(many, preconditioned=False).method == "dense"  # by factors an entry costs next to nothing


def test_many_products_are_formed_in_single_precision():
    entries = 1.5 * 100**2
    just_below = replace(SMALL, work=int(plan_module._EXACT / (2 * entries)))
    assert plan(just_below, preconditioned=False).precision == "float64"
    above = plan(replace(just_below, work=just_below.work + 1), preconditioned=False)
    assert (above.method, above.precision) == ("dense", "float32")


def test_the_reason_names_bytes_and_operations():
    found = plan(replace(SMALL, rows=5_000, memory=2**30), preconditioned=False)
    assert found.reason.startswith(f"{found.method} {found.precision}: ")
    assert found.reason.count("GFLOP") == 2 and found.reason.count("MiB") == 2
    assert "beyond 1,024 MiB" in found.reason and "by products alone" in found.reason


def test_a_reading_says_which_way_it_went():
    critic, batch = torch_twin(6), transitions()
    dense, free = (measure(critic, batch, policy, discount=0.9, memory=memory) for memory in (2**31, 1))
    assert dense.method.startswith("dense float64: ") and free.method.startswith("matrix-free float64: ")
    both = measure(critic, batch, policy, discount=0.9, optimizer=adam_of(critic)).method
    assert both.count("GFLOP") == 4 and "; rate: dense" in both


# ------------------------------------------------------------------------------------------------ single precision


@pytest.fixture
def single(monkeypatch) -> None:
    monkeypatch.setattr(plan_module, "_EXACT", 0)


def dynamics_of(critic: Any, preconditioned: bool, random: bool = False) -> Dynamics:
    opened, batch = open_critic(critic), transitions()
    points = Points.of(batch, noisy_policy(1) if random else policy, 3)
    weights = np.random.default_rng(0)
    preconditioner = [np.asarray(np.exp(weights.normal(size=leaf.shape))) for leaf in opened.leaves]
    source = KernelSource.of(opened, opened, points, "coupled", np.full(len(batch), 0.9), 2**31)
    _, found, _ = source.kernels(preconditioner if preconditioned else None)
    assert isinstance(found, Dynamics)
    return found


def enlarged(name: str, factor: float) -> Any:
    """Gradients times the factor: the values are multiplied by it."""
    critic = CASES[name].make()

    class Enlarged(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.critic = critic

        def forward(self, *points: torch.Tensor) -> Any:
            values = self.critic(*points)
            return tuple(factor * value for value in values) if isinstance(values, tuple) else factor * values

    return Enlarged()


@pytest.mark.parametrize("name", ["torch twin", "torch: Conv2d", "torch: weight_norm", "torch: ensemble of 10, @"])
@pytest.mark.parametrize("preconditioned", [False, True])
@pytest.mark.parametrize("factor", [1.0, 1e15, 1e-15])
def test_single_precision_agrees_with_double(name, preconditioned, factor, monkeypatch):
    double = dynamics_of(enlarged(name, factor), preconditioned, random=True)
    monkeypatch.setattr(plan_module, "_EXACT", 0)
    found = dynamics_of(enlarged(name, factor), preconditioned, random=True)
    assert (double.gram.dtype, found.gram.dtype) == (np.float64, np.float32)
    for part in ("cross", "gram", "matrix"):
        wanted = getattr(double, part)
        difference = found.scale * getattr(found, part).astype(np.float64) - wanted
        assert np.linalg.norm(difference) <= 1e-5 * np.linalg.norm(wanted), part


@pytest.mark.parametrize("options", [{}, {"learning_rate": 1e-3}, {"learning_rate": 1e-3, "target_rate": 0.1}])
def test_a_reading_in_single_precision_is_the_same(options, monkeypatch):
    critic, batch = CASES["torch twin"].make(), transitions()
    wanted = measure(critic, batch, policy, discount=0.95, **options)
    monkeypatch.setattr(plan_module, "_EXACT", 0)
    found = measure(critic, batch, policy, discount=0.95, **options)
    assert found.method.startswith("dense float32: ")
    assert found.normalized == pytest.approx(wanted.normalized, abs=1e-5)
    assert found.seem == pytest.approx(wanted.seem, rel=1e-4)
    assert found.rate == (None if wanted.rate is None else pytest.approx(wanted.rate, rel=1e-4, abs=1e-8))


@pytest.mark.parametrize("exponent", [50, -50])
def test_a_huge_critic_reads_as_the_small_one_in_single_precision(exponent, single):
    small, huge = torch_single(6, bias=False), torch_single(6, bias=False)
    with torch.no_grad():
        for parameter in huge.parameters():
            parameter.mul_(2.0**exponent)  # of two layers: the values grow by its square, 1e30
    first, second = (measure(each, transitions(), policy, discount=0.95, learning_rate=1e-3) for each in (small, huge))
    assert second.finite
    assert second.q_max == pytest.approx(first.q_max * 4.0**exponent, rel=1e-12)
    assert second.normalized == pytest.approx(first.normalized, abs=1e-6)
    assert second.seem == pytest.approx(first.seem * 4.0**exponent, rel=1e-4)


def test_a_critic_of_zeros_has_no_kernel_in_single_precision(single):
    critic = torch_single(6, bias=False)
    with torch.no_grad():
        for parameter in critic.parameters():
            parameter.zero_()
    reading = measure(critic, transitions(), policy, discount=0.95, learning_rate=1e-3)
    assert reading.finite and (reading.seem, reading.normalized, reading.rate) == (0.0, 0.0, 0.0)
