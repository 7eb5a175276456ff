"""Kernel blocks against two libraries that come to them in other ways.

NNGeometry captures the inputs and gradients of each layer with its own hooks and has a rule of its own for each kind of
layer. curvlinops knows no layers: it multiplies with the Jacobian and its transpose by forward and reverse
differentiation of the whole network.
"""

from collections.abc import Callable, Generator
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from curvlinops import JacobianLinearOperator
from nngeometry.gram import GramMatrix
from torch import nn

from cases import ACTION, OBSERVATION, ROWS, policy, seeded, torch_layers, transitions
from seemrl.instrument.kernels import open_critic
from seemrl.instrument.kernels.layerwise import KernelBlocks, kernel_blocks

AGREEMENT = 1e-10
Points = tuple[torch.Tensor, torch.Tensor]


class Columns(nn.Module):
    """Heads over (observation, action), as both libraries want them: (rows, heads)."""

    def __init__(self, *networks: nn.Module) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)

    def forward(self, observations: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        inputs = torch.cat([observations, actions], dim=1)
        return torch.cat([network(inputs) for network in self.networks], dim=1)


class HeadsFirst(nn.Module):
    """The same heads as the instrument wants them: (heads, rows)."""

    def __init__(self, columns: Columns) -> None:
        super().__init__()
        self.columns = columns

    def forward(self, observations: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        return self.columns(observations, actions).T


class OneArgument(nn.Module):
    """The same heads as curvlinops calls them, with a single tensor."""

    def __init__(self, columns: Columns) -> None:
        super().__init__()
        self.columns = columns

    def forward(self, points: torch.Tensor) -> torch.Tensor:
        return self.columns(points[:, :OBSERVATION], points[:, OBSERVATION:])


class Residual(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        return hidden + self.inner(hidden)


class Scaled(nn.Module):
    """A parameter of its own beside the layers'."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        return self.scale * self.inner(hidden)


class Twice(nn.Module):
    """One layer at two places."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        return self.inner(torch.relu(self.inner(hidden)))


def flat(*middle: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Linear(OBSERVATION + ACTION, 6), *middle, nn.ReLU(), nn.Linear(6, 1))


def image(*middle: nn.Module, features: int) -> nn.Module:
    """The point as features laid out on a 4 x 4 image of two channels."""
    laid_out = [nn.Linear(OBSERVATION + ACTION, 32), nn.Tanh(), nn.Unflatten(1, (2, 4, 4))]
    return nn.Sequential(*laid_out, *middle, nn.ReLU(), nn.Flatten(), nn.Linear(features, 1))


def residual() -> nn.Module:
    block = nn.Sequential(nn.LayerNorm(6), nn.Linear(6, 7), nn.ReLU(), nn.Linear(7, 6))
    return flat(Residual(block), nn.LayerNorm(6))


def settled(norm: nn.BatchNorm1d | nn.BatchNorm2d) -> nn.Module:
    """With running statistics as training leaves them."""
    assert norm.running_mean is not None and norm.running_var is not None
    norm.running_mean += torch.linspace(-0.5, 0.5, norm.num_features)
    norm.running_var *= torch.linspace(0.5, 2, norm.num_features)
    return norm


def make_columns(*networks: Callable[[], nn.Module]) -> Columns:
    made = seeded(lambda: Columns(*[make() for make in networks]))()
    assert isinstance(made, Columns)
    return made.double().eval()


CRITICS: dict[str, list[Callable[[], nn.Module]]] = {
    "Linear": [lambda: torch_layers(6, 5)],
    "Linear without biases": [lambda: torch_layers(6, 5, bias=False)],
    "two heads": [lambda: torch_layers(6), lambda: torch_layers(4)],
    "LayerNorm": [lambda: torch_layers(6, 5, norm=True)],
    "residual": [residual],
    "BatchNorm1d": [lambda: flat(settled(nn.BatchNorm1d(6)))],
    "BatchNorm2d": [lambda: image(nn.Conv2d(2, 3, 3), settled(nn.BatchNorm2d(3)), features=12)],
    "Conv2d": [lambda: image(nn.Conv2d(2, 3, 3), features=12)],
    "Conv2d with stride and padding": [lambda: image(nn.Conv2d(2, 3, 3, stride=2, padding=1), features=12)],
    "Conv2d without bias, with dilation": [lambda: image(nn.Conv2d(2, 3, 2, dilation=2, bias=False), features=12)],
    "two Conv2d": [lambda: image(nn.Conv2d(2, 3, 2), nn.ReLU(), nn.Conv2d(3, 2, 2), features=8)],
    "RMSNorm": [lambda: flat(nn.RMSNorm(6))],
    "Conv2d in groups": [lambda: image(nn.Conv2d(2, 4, 3, groups=2), features=16)],
    "a layer used twice": [lambda: flat(Twice(nn.Linear(6, 6)))],
    "a parameter outside the layers": [lambda: Scaled(torch_layers(6))],
}
# NNGeometry 0.4 refuses the first, and leaves parts of the others' gradients out without a word. (BatchNorm in train
# mode, where samples interact, is refused by both libraries and by the instrument.)
WITHOUT_NNGEOMETRY = {"RMSNorm", "Conv2d in groups", "a layer used twice", "a parameter outside the layers"}


@pytest.fixture(scope="module", params=CRITICS)
def name(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def columns(name: str) -> Columns:
    return make_columns(*CRITICS[name])


@pytest.fixture(scope="module")
def points() -> Points:
    """The rows' own points, then the targets'."""
    batch = transitions()
    observations = np.concatenate([batch.observations, batch.next_observations])
    actions = np.concatenate([batch.actions, policy(batch.next_observations)])
    return torch.as_tensor(observations), torch.as_tensor(actions)


@pytest.fixture(scope="module")
def shares(columns: Columns) -> np.ndarray:
    """What every head gives to every target; none is zero."""
    return np.random.default_rng(0).uniform(0.5, 1, size=(1, len(columns.networks), 1, ROWS))


@pytest.fixture(scope="module")
def blocks(columns: Columns, points: Points, shares: np.ndarray) -> KernelBlocks:
    traced = open_critic(HeadsFirst(columns)).trace(points[0].numpy(), points[1].numpy())
    return kernel_blocks(traced.layers, shares)


@pytest.mark.parametrize("name", [name for name in CRITICS if name not in WITHOUT_NNGEOMETRY], indirect=True)
def test_nngeometry_agrees(blocks: KernelBlocks, shares: np.ndarray, columns: Columns, points: Points):
    examples = tuple(tensor.clone() for tensor in points)  # it asks for their gradient in place
    with default_float64():
        gram = GramMatrix(columns, examples, function=lambda *inputs: columns(*inputs)).to_torch()
    assert_same(blocks, gram.detach().numpy(), shares)


def test_curvlinops_agrees(blocks: KernelBlocks, shares: np.ndarray, columns: Columns, points: Points):
    model, inputs = OneArgument(columns), torch.cat(points, dim=1)
    jacobian = JacobianLinearOperator(model, list(model.parameters()), [(inputs, inputs[:, :1])])
    gram = jacobian @ (jacobian.adjoint() @ torch.eye(jacobian.shape[0], dtype=torch.float64))
    heads = len(columns.networks)
    by_point = gram.detach().numpy().reshape(2 * ROWS, heads, 2 * ROWS, heads)
    assert_same(blocks, by_point.transpose(1, 0, 3, 2), shares)


def assert_same(found: KernelBlocks, wanted: np.ndarray, shares: np.ndarray) -> None:
    """``wanted``: (heads, points, heads, points) between all points."""
    among_rows = wanted[:, :ROWS, :, :ROWS].reshape(found.gram.shape)
    from_targets = np.einsum("hi,higj->igj", shares[0, :, 0], wanted[:, ROWS:, :, :ROWS]).reshape(found.cross.shape)
    for block, reference in ((found.gram, among_rows), (found.cross, from_targets)):
        assert np.linalg.norm(block - reference) <= AGREEMENT * np.linalg.norm(reference)


@contextmanager
def default_float64() -> Generator[None]:
    """NNGeometry 0.4 sums convolutions and normalisers in the default precision, whatever the model's is."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
