"""Critics in the styles that people write them in, small; each made anew from the same seed."""

from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from architectures import ACTION, INPUTS, OBSERVATION


class Sequential(nn.Module):
    """Two `nn.Sequential` heads, as in CORL."""

    def __init__(self) -> None:
        super().__init__()
        self.q1, self.q2 = (
            nn.Sequential(nn.Linear(INPUTS, 8), nn.ReLU(), nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 1))
            for _ in range(2)
        )

    def forward(self, state: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
        inputs = torch.cat([state, action], 1)
        return self.q1(inputs), self.q2(inputs)


class ByHand(nn.Module):
    """Two heads in one forward method, as in the authors' TD3."""

    def __init__(self) -> None:
        super().__init__()
        self.l1, self.l2, self.l3 = nn.Linear(INPUTS, 8), nn.Linear(8, 6), nn.Linear(6, 1)
        self.l4, self.l5, self.l6 = nn.Linear(INPUTS, 8), nn.Linear(8, 6), nn.Linear(6, 1)

    def forward(self, state: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
        inputs = torch.cat([state, action], 1)
        q1 = self.l3(F.relu(self.l2(F.relu(self.l1(inputs)))))
        q2 = self.l6(F.relu(self.l5(F.relu(self.l4(inputs)))))
        return q1, q2


class ActionLater(nn.Module):
    """The action joins at the second layer, as in DDPG."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2, self.out = nn.Linear(OBSERVATION, 8), nn.Linear(8 + ACTION, 6), nn.Linear(6, 1)

    def forward(self, state: Tensor, action: Tensor) -> Tensor:
        hidden = torch.cat([F.elu(self.fc1(state)), action], dim=1)
        return self.out(F.elu(self.fc2(hidden))).squeeze(-1)


class VectorizedLinear(nn.Module):
    """Linear layers of several heads in one product, as in EDAC."""

    def __init__(self, inputs: int, outputs: int, heads: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(heads, inputs, outputs) / inputs**0.5)
        self.bias = nn.Parameter(torch.randn(heads, 1, outputs))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight + self.bias


class Vectorized(nn.Module):
    """Three heads of shape heads x in x out."""

    def __init__(self) -> None:
        super().__init__()
        self.critic = nn.Sequential(
            VectorizedLinear(INPUTS, 8, 3), nn.ReLU(), VectorizedLinear(8, 6, 3), nn.ReLU(), VectorizedLinear(6, 1, 3)
        )

    def forward(self, state: Tensor, action: Tensor) -> Tensor:
        inputs = torch.cat([state, action], dim=-1)
        if inputs.dim() != 3:
            assert inputs.dim() == 2
            inputs = inputs.unsqueeze(0).repeat_interleave(3, dim=0)
        return self.critic(inputs).squeeze(-1)


class ListedHeads(nn.Module):
    """Heads that are submodules by `add_module` and a plain list, behind a flattening extractor, as in SB3."""

    def __init__(self) -> None:
        super().__init__()
        self.features_extractor = nn.Flatten()
        self.q_networks: list[nn.Module] = []
        for number in range(2):
            head = nn.Sequential(nn.Linear(INPUTS, 8), nn.ReLU(), nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 1))
            self.add_module(f"qf{number}", head)
            self.q_networks.append(head)

    def forward(self, obs: Tensor, actions: Tensor) -> tuple[Tensor, ...]:
        inputs = torch.cat([self.features_extractor(obs), actions], dim=1)
        return tuple(self._modules[f"qf{number}"](inputs) for number in range(2))  # type: ignore[misc]


class EncoderAndHead(nn.Module):
    """An encoder of its own class, activation included, then the value, as in d3rlpy."""

    class Encoder(nn.Module):
        """Observation and action to features."""

        def __init__(self) -> None:
            super().__init__()
            self._layers = nn.Sequential(nn.Linear(INPUTS, 8), nn.SiLU(), nn.Linear(8, 6), nn.SiLU())

        def forward(self, x: Tensor, action: Tensor) -> Tensor:
            return self._layers(torch.cat([x, action], dim=1))

    def __init__(self) -> None:
        super().__init__()
        self._encoder, self._fc = self.Encoder(), nn.Linear(6, 1)

    def forward(self, x: Tensor, action: Tensor) -> Tensor:
        return self._fc(self._encoder(x, action))


class OneActivation(nn.Module):
    """One activation module for all layers, in a loop over a ModuleList."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(INPUTS, 8), nn.Linear(8, 8), nn.Linear(8, 1)])
        self.activation = nn.Tanh()

    def forward(self, state: Tensor, action: Tensor) -> Tensor:
        hidden = torch.cat([state, action], 1)
        for layer in self.layers[:-1]:
            hidden = self.activation(layer(hidden))
        return self.layers[-1](hidden)


class SharedTrunk(nn.Module):
    """Two heads on one trunk, with a swish written out."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk, self.q1, self.q2 = nn.Linear(INPUTS, 8), nn.Linear(8, 1), nn.Linear(8, 1)

    def forward(self, state: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self.trunk(torch.cat([state, action], 1))
        hidden = hidden * torch.sigmoid(hidden)
        return self.q1(hidden), self.q2(hidden)


class Residual(nn.Module):
    """A block whose input is added to its output."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.inner, self.back, self.out = (
            nn.Linear(INPUTS, 8),
            nn.Linear(8, 16),
            nn.Linear(16, 8),
            nn.Linear(8, 1),
        )

    def forward(self, state: Tensor, action: Tensor) -> Tensor:
        hidden = self.first(torch.cat([state, action], 1))
        hidden = hidden + self.back(F.relu(self.inner(hidden)))
        return self.out(F.relu(hidden))


Style = TypeVar("Style", bound=nn.Module)

STYLES: dict[str, tuple[type[nn.Module], list[str], bool]] = {
    "Sequential twins": (Sequential, ["q1.0", "q1.2", "q2.0", "q2.2"], True),
    "forward by hand": (ByHand, ["l1", "l2", "l4", "l5"], True),
    "action at the second layer": (ActionLater, ["fc1", "fc2"], False),
    "heads in one product": (Vectorized, ["critic.0", "critic.2"], True),
    "listed heads": (ListedHeads, ["qf0.0", "qf0.2", "qf1.0", "qf1.2"], True),
    "encoder and head": (EncoderAndHead, ["_encoder._layers.0", "_encoder._layers.2"], True),
    "one activation for all": (OneActivation, ["layers.0", "layers.1"], True),
    "shared trunk": (SharedTrunk, ["trunk"], True),
    "residual block": (Residual, ["first", "inner", "back"], False),
}
"""Each style's class, its hidden layers in order, and whether every one of them has its activation to itself."""


def make(style: type[Style]) -> Style:
    """A critic of the style, always with the same weights."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return style()


def values(critic: nn.Module) -> Tensor:
    """Values at fixed points, one row per head."""
    random = torch.Generator().manual_seed(2)
    points = torch.randn(10, OBSERVATION, generator=random), torch.randn(10, ACTION, generator=random)
    output = critic(*points)
    heads = output if isinstance(output, tuple) else [output]
    return torch.stack(
        [head.reshape(-1, 10) if head.ndim == 2 and head.shape[1] == 10 else head.reshape(1, 10) for head in heads]
    ).reshape(-1, 10)
