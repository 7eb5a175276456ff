"""The critics and the transitions that `benchmarks.kernels` compares on; the same at each call, in any process."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from seemrl import Batch

CriticName = Literal["2x256", "3x512", "5x1024-residual", "conv"]
Targets = Literal["random", "saturated"]

DISCOUNT = 0.99
_OBSERVATION, _ACTION = 17, 6
_IMAGE = (3, 16, 16)
_SEED = 0


@dataclass(frozen=True)
class Problem:
    """One critic on fixed transitions, none of them terminal.

    Attributes:
        name: which critic.
        critic: with its initial weights, float32.
        batch: numbers that float32 holds exactly, so that every method sees the same points.
        target_actions: the policy's answers at the next observations.
    """

    name: CriticName
    critic: nn.Module
    batch: Batch
    target_actions: np.ndarray

    @property
    def rows(self) -> int:
        return len(self.batch)

    @property
    def parameters(self) -> int:
        return sum(parameter.numel() for parameter in self.critic.parameters())

    def policy(self, next_observations: np.ndarray) -> np.ndarray:
        return self.target_actions

    def points(self, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
        """Observations and actions of the rows, then of the targets."""
        observations = np.concatenate([self.batch.observations, self.batch.next_observations])
        actions = np.concatenate([self.batch.actions, self.target_actions])
        return torch.as_tensor(observations, dtype=dtype), torch.as_tensor(actions, dtype=dtype)

    @cached_property
    def in_jax(self) -> Any:
        """The same critic as a network of this package; only for plain MLPs."""
        linears = [layer for layer in self.critic.modules() if isinstance(layer, nn.Linear)]
        return _network_in_jax([(_transposed(layer.weight), layer.bias.detach().numpy()) for layer in linears])


def make_problem(name: CriticName, rows: int, targets: Targets) -> Problem:
    """The named critic with seeded weights, and seeded transitions.

    Args:
        name: which critic.
        rows: how many transitions.
        targets: "random": next points have nothing to do with the rows' own, as in a fresh run. "saturated": the next
            observation is near the observation and its actions lie far outside the data, as in a run that diverges.
    """
    random = np.random.default_rng(_SEED)
    size = prod(_IMAGE) if name == "conv" else _OBSERVATION
    observations, noise = random.normal(size=(2, rows, size)).astype(np.float32)
    actions = random.uniform(-1, 1, size=(rows, _ACTION)).astype(np.float32)
    if targets == "random":
        next_observations = noise
        target_actions = random.uniform(-1, 1, size=actions.shape).astype(np.float32)
    else:
        next_observations = observations + np.float32(0.1) * noise
        target_actions = np.full_like(actions, 3.0)
    batch = Batch(observations, actions, random.normal(size=rows), next_observations, np.zeros(rows, bool))
    return Problem(name, make_critic(name), batch, target_actions.astype(np.float64))


def make_critic(name: CriticName) -> nn.Module:
    """Called as critic(observations, actions) -> (rows, 1); PyTorch's initial weights."""
    makers: dict[CriticName, Callable[[], nn.Module]] = {
        "2x256": lambda: _Flat(_mlp(256, 256)),
        "3x512": lambda: _Flat(_mlp(512, 512, 512)),
        "5x1024-residual": lambda: _Flat(_residual(1024, blocks=2)),
        "conv": _Images,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_SEED)
        return makers[name]()


def inner_sizes(critic: nn.Module) -> list[int]:
    """Inner dimensions of the products X_x X_y^T that the layerwise formula needs for one kernel block.

    A Linear layer multiplies its inputs and its backpropagated gradients, a LayerNorm the gradients of its scale and
    of its shift; a convolution's smallest form is the product of its per-sample gradients.
    """
    sizes: list[int] = []
    for layer in critic.modules():
        if isinstance(layer, nn.Linear):
            sizes += [layer.in_features, layer.out_features]
        elif isinstance(layer, nn.LayerNorm):
            sizes += [prod(layer.normalized_shape)] * 2
        elif isinstance(layer, nn.Conv2d):
            sizes.append(sum(parameter.numel() for parameter in layer.parameters()))
    return sizes


class _Flat(nn.Module):
    """A network over the concatenated observation and action."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, observations: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        return self.network(torch.cat([observations, actions], dim=1))


class _Images(nn.Module):
    """A small convolutional encoder; the actions join after it."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(_IMAGE[0], 16, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
        )
        self.head = nn.Sequential(nn.Linear(32 * 4 * 4 + _ACTION, 256), nn.ReLU(), nn.Linear(256, 1))

    def forward(self, observations: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        features = self.encoder(observations.reshape(-1, *_IMAGE))
        return self.head(torch.cat([features, actions], dim=1))


class _Residual(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        return hidden + self.inner(hidden)


def _mlp(*hidden_sizes: int) -> nn.Sequential:
    sizes = [_OBSERVATION + _ACTION, *hidden_sizes]
    hidden = [[nn.Linear(a, b), nn.ReLU()] for a, b in itertools.pairwise(sizes)]
    return nn.Sequential(*itertools.chain.from_iterable(hidden), nn.Linear(sizes[-1], 1))


def _residual(width: int, blocks: int) -> nn.Sequential:
    """As SimBa has it, with inner layers of the same width: an input layer, then two Linear layers a block."""
    inner = [
        nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))
        for _ in range(blocks)
    ]
    body = [_Residual(block) for block in inner]
    return nn.Sequential(nn.Linear(_OBSERVATION + _ACTION, width), *body, nn.LayerNorm(width), nn.Linear(width, 1))


def _transposed(weight: torch.Tensor) -> np.ndarray:
    return weight.detach().numpy().T


def _network_in_jax(layers: Sequence[tuple[np.ndarray, np.ndarray]]) -> Any:
    import equinox as eqx
    import jax
    import jax.numpy as jnp

    from seemrl.networks.layers import Linear
    from seemrl.networks.mlp import MLP

    class InJax(eqx.Module):
        network: MLP

        def __call__(self, observations: jax.Array, actions: jax.Array) -> jax.Array:
            return self.network(jnp.concatenate([observations, actions], axis=-1))

    hidden_sizes = [len(bias) for _, bias in layers[:-1]]
    fresh = MLP(len(layers[0][0]), hidden_sizes, 1, key=jax.random.key(_SEED))

    def arrays_of(network: MLP) -> list[jax.Array]:
        return [array for layer in network.linears if isinstance(layer, Linear) for array in (layer.weight, layer.bias)]

    copied = [jnp.asarray(array) for layer in layers for array in layer]
    return InJax(eqx.tree_at(arrays_of, fresh, copied))
