"""Traces taken some rows at a time against the same traces at all rows at once."""

from typing import Any

import numpy as np
import pytest
import torch

from cases import ACTION, CASES, OBSERVATION, adam_of, noisy_policy, policy, transitions
from seemrl.instrument import plan as plan_module
from seemrl.instrument.kernels import gathered as module
from seemrl.instrument.kernels import open_critic
from seemrl.instrument.kernels.gathered import gathered
from seemrl.instrument.kernels.layerwise import kernel_blocks
from seemrl.instrument.measure import measure
from seemrl.instrument.points import Points
from seemrl.instrument.source import KernelSource

NAMES = [
    "three layers",
    "three heads",
    "eqx.nn.MLP",
    "torch twin",
    "torch heads on one trunk",
    "torch: weight_norm",
    "torch: Conv2d, grouped",
    "torch: the same Linear twice",
    "torch: ensemble of 10, baddbmm",
]


def points(name_of_policy: str = "one draw", rows: int = 12) -> Points:
    return Points.of(transitions(rows), noisy_policy(1) if name_of_policy == "draws" else policy, 3)


@pytest.mark.parametrize("at_a_time", [5, 12])
@pytest.mark.parametrize("name_of_policy", ["one draw", "draws"])
@pytest.mark.parametrize("name", NAMES)
def test_some_rows_at_a_time_are_all_rows(name, name_of_policy, at_a_time, monkeypatch):
    monkeypatch.setattr(module, "_ROWS", at_a_time)
    critic, at = open_critic(CASES[name].make()), points(name_of_policy)
    whole = critic.trace(*at.of_rows())
    found = gathered(critic, at, 1)
    assert found is not None
    np.testing.assert_allclose(found.values, whole.values, rtol=1e-12)
    shares = np.random.default_rng(0).uniform(size=(1, len(whole.values), at.draws, at.rows))
    wanted = kernel_blocks(whole.layers, shares)
    blocks = kernel_blocks(found.layers, shares, precision=np.float32)
    for part, own in zip(wanted, blocks, strict=True):
        np.testing.assert_allclose(own * found.divisor**2, part, atol=2e-6 * np.abs(part).max())
    assert all(layer.deltas.dtype == np.float32 for layer in found.layers)


def test_layers_that_depend_on_the_rows_are_not_put_together(monkeypatch):
    class Either(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.ways = torch.nn.ModuleList(torch.nn.Linear(OBSERVATION, 1) for _ in range(2))

        def forward(self, observations: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
            return self.ways[int(observations[0, 0] > 0)](observations)

    monkeypatch.setattr(module, "_ROWS", 6)
    at = points()
    at.observations[:, :6, 0], at.observations[:, 6:, 0] = 1.0, -1.0
    critic = open_critic(Either())
    assert gathered(critic, at, 1) is None


@pytest.mark.parametrize("name", ["three layers", "torch twin"])
def test_gradients_that_dwarf_those_of_the_first_rows_still_fit(name, monkeypatch):
    """Their squares overflow single precision, unless all are divided by the largest."""
    monkeypatch.setattr(module, "_ROWS", 4)
    at = points()
    at.observations[:, -1] *= 1e25
    critic = open_critic(CASES[name].make())
    found, wanted = gathered(critic, at, 1), critic.trace(*at.of_rows())
    assert found is not None and found.divisor > 1e20
    shares = np.ones((1, len(found.values), 1, at.rows))
    gram = kernel_blocks(found.layers, shares, precision=np.float32).gram.astype(float)
    expected = kernel_blocks(wanted.layers, shares).gram
    assert np.isfinite(gram).all()
    np.testing.assert_allclose(gram * found.divisor**2, expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("preconditioned", [False, True])
@pytest.mark.parametrize("name", ["three layers", "torch twin"])
def test_a_reading_is_the_same_whether_its_traces_are_put_together(name, preconditioned, monkeypatch):
    def reading(memory: int) -> Any:
        critic = CASES[name].make()
        options: dict[str, Any] = {"optimizer": adam_of(critic)} if preconditioned else {"learning_rate": 1e-3}
        return measure(critic, batch, policy, discount=0.99, memory=memory, **options)

    batch = transitions(60)
    whole = reading(2**31)
    assert "float64" in whole.method
    monkeypatch.setattr(plan_module, "_EXACT", 0.0)
    monkeypatch.setattr(module, "_ROWS", 25)
    by_parts = reading(2_000_000)  # not enough to trace all rows at once whatever the layers are
    assert by_parts.method.startswith("dense float32")
    assert by_parts.normalized == pytest.approx(whole.normalized, rel=1e-3, abs=1e-6)
    assert by_parts.rate == pytest.approx(whole.rate, rel=1e-3, abs=1e-9)
    assert by_parts.q_mean == pytest.approx(whole.q_mean, rel=1e-12)


@pytest.mark.parametrize("heads", [2, 4, 6, 10, 12])
def test_an_ensemble_of_any_size_has_its_formulas_on_many_rows(heads):
    """As many heads as there are points at a first look would make it unclear which axis is which."""

    class Ensemble(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.randn(heads, OBSERVATION + ACTION, 64))
            self.last = torch.nn.Parameter(torch.randn(heads, 64, 1))

        def forward(self, observations: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
            inputs = torch.cat([observations, actions], dim=-1).expand(heads, -1, -1)
            return torch.bmm(torch.relu(torch.bmm(inputs, self.weight)), self.last)[..., 0]

    for name_of_policy in ("one draw", "draws"):
        torch.manual_seed(0)
        critic, at = open_critic(Ensemble()), points(name_of_policy)
        KernelSource.of(critic, critic, at, "coupled", np.ones(at.rows), memory=1)
        assert critic.by_sample == ()


def test_each_member_of_an_ensemble_moves_one_head():
    critic = open_critic(CASES["torch: ensemble of 10, baddbmm"].make())
    for layer in critic.trace(*points().of_rows()).layers:
        assert len(layer.heads) == 1
