"""PyTorch critics of every make that a user may bring, small, called as critic(observations, actions).

Several sizes are chosen to coincide with how many points the tests give at once, `POINTS`: whoever takes another axis
for that of the points is found out.
"""

import copy
import functools
import math
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.nn.utils import parametrizations

OBSERVATION, ACTION, ROWS = 3, 2, 12
INPUTS = OBSERVATION + ACTION
POINTS = 2 * ROWS  # the rows' own points, then the targets'

Make = Callable[[], nn.Module]


class Architecture(NamedTuple):
    """How to make a critic, and how many heads it returns."""

    make: Make
    heads: int = 1


# ------------------------------------------------------------------------------------------------ building blocks


class Apply(nn.Module):
    """A formula over the inputs and other modules: formula(*inputs, *modules)."""

    def __init__(self, formula: Callable[..., Any], *modules: nn.Module) -> None:
        super().__init__()
        self.formula, self.parts = formula, nn.ModuleList(modules)

    def forward(self, *inputs: Tensor) -> Any:
        return self.formula(*inputs, *self.parts)


class Bare(nn.Module):
    """A formula over the inputs and bare parameters, whose names and shapes are given."""

    def __init__(self, formula: Callable[..., Tensor], **shapes: tuple[int, ...]) -> None:
        super().__init__()
        self.formula, self.names = formula, list(shapes)
        for name, shape in shapes.items():
            self.register_parameter(name, nn.Parameter(torch.randn(shape) / math.sqrt(max(shape, default=1))))

    def forward(self, inputs: Tensor) -> Tensor:
        return self.formula(inputs, **{name: getattr(self, name) for name in self.names})


class Critic(nn.Module):
    """Layers over the concatenated observation and action."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, observations: Tensor, actions: Tensor) -> Any:
        return self.layers(torch.cat([observations, actions], dim=1))


def valued(*layers: nn.Module) -> Critic:
    """The layers, then a Linear from all that they return of a point to its value."""
    features = nn.Sequential(*layers, nn.Flatten()).eval()
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch says, once, that an even kernel pads unevenly
        size = features(torch.zeros(2, INPUTS)).shape[1]
    return Critic(*features.train(), nn.Linear(size, 1))


def hidden(*layers: nn.Module, width: int = 6) -> Critic:
    """The layers after a first Linear of the given width, and a last one."""
    return valued(nn.Linear(INPUTS, width), *layers)


def mlp(
    *widths: int, activation: Callable[[], nn.Module] = nn.Tanh, bias: bool = True, outputs: int = 1
) -> nn.Sequential:
    """Linear layers with the activation between them."""
    layers: list[nn.Module] = []
    size = INPUTS
    for width in widths:
        layers += [nn.Linear(size, width, bias=bias), activation()]
        size = width
    return nn.Sequential(*layers, nn.Linear(size, outputs, bias=bias))


def residual(*layers: nn.Module) -> Apply:
    """The inputs plus what the layers make of them."""
    return Apply(lambda inputs, block: inputs + block(inputs), nn.Sequential(*layers))


def frozen(module: nn.Module, *names: str) -> nn.Module:
    """The module, with every parameter frozen whose name contains one of those given."""
    for name, parameter in module.named_parameters():
        parameter.requires_grad = not any(part in name for part in names)
    return module


# ------------------------------------------------------------------------------------------------ layers in a row


class StandardisedLinear(nn.Linear):
    """A Linear that is not: it standardises the rows of its weight first."""

    def forward(self, input: Tensor) -> Tensor:
        weight = self.weight - self.weight.mean(1, keepdim=True)
        return F.linear(input, weight / weight.norm(dim=1, keepdim=True), self.bias)


def plain_networks() -> dict[str, Make]:
    """Multilayer perceptrons, and their linear maps in every spelling."""

    def spelled(formula: Callable[..., Tensor], **shapes: tuple[int, ...]) -> Make:
        return lambda: valued(Bare(formula, **shapes), nn.Tanh())

    def in_place_sum(inputs: Tensor, block: nn.Module) -> Tensor:
        outputs = block(inputs)
        outputs += inputs
        return outputs

    def never_called(inputs: Tensor, layer: nn.Linear) -> Tensor:
        return F.linear(inputs, layer.weight, layer.bias)

    def hooked() -> nn.Module:
        layer = nn.Linear(INPUTS, 6)
        layer.register_forward_hook(lambda _module, _inputs, outputs: torch.sin(2 * outputs))
        return valued(layer)

    weight, transposed, bias = (4, INPUTS), (INPUTS, 4), (4,)
    mask = torch.tensor([[1.0, 0.0, 1.0, 1.0, 0.0]])
    return {
        "one layer": lambda: Critic(mlp()),
        "two layers, Tanh": lambda: Critic(mlp(5)),
        "three layers, ELU": lambda: Critic(mlp(5, 4, activation=nn.ELU)),
        "four layers, SiLU": lambda: Critic(mlp(4, 3, 4, activation=nn.SiLU)),
        "five layers, GELU": lambda: Critic(mlp(4, 3, 3, 4, activation=nn.GELU)),
        "width 1": lambda: Critic(mlp(1, 1)),
        "width 1024": lambda: Critic(mlp(2, 1024, activation=nn.ReLU)),
        "as wide as there are points": lambda: Critic(mlp(POINTS, POINTS, activation=nn.ReLU)),
        "without biases": lambda: Critic(mlp(5, 4, activation=nn.ReLU, bias=False)),
        "in-place ReLU": lambda: Critic(mlp(6, 5, activation=functools.partial(nn.ReLU, inplace=True))),
        "in-place sum": lambda: hidden(Apply(in_place_sum, nn.Linear(6, 6)), nn.Tanh()),
        "F.linear": spelled(lambda x, weight, bias: F.linear(x, weight, bias), weight=weight, bias=bias),
        "x @ weight + bias": spelled(lambda x, weight, bias: x @ weight + bias, weight=transposed, bias=bias),
        "x @ weight.t()": spelled(lambda x, weight: x @ weight.t(), weight=weight),
        "addmm": spelled(
            lambda x, weight, bias: torch.addmm(bias, x, weight, beta=0.5, alpha=2), weight=transposed, bias=bias
        ),
        "einsum": spelled(lambda x, weight: torch.einsum("ni,oi->no", x, weight), weight=weight),
        "weight on the left": spelled(lambda x, weight: (weight @ x.T).T, weight=weight),
        "products summed by hand": spelled(lambda x, weight: (x[:, None] * weight).sum(2), weight=weight),
        "low-rank update": spelled(
            lambda x, weight, up, down: F.linear(x, weight + up @ down), weight=weight, up=(4, 2), down=(2, INPUTS)
        ),
        "weight used squared": spelled(lambda x, weight: x @ (weight.T @ weight), weight=weight),
        "masked weight": spelled(lambda x, weight: F.linear(x, weight * mask), weight=weight),
        "subclass of Linear": lambda: valued(StandardisedLinear(INPUTS, 6), nn.Tanh()),
        "Linear with a hook that changes its output": hooked,
        "Linear that is never called": lambda: valued(Apply(never_called, nn.Linear(INPUTS, 6)), nn.Tanh()),
        "straight-through estimator": lambda: hidden(Apply(lambda x: x + (x.sign() - x).detach())),
        "Bilinear": lambda: Apply(lambda s, a, layer: layer(s, a), nn.Bilinear(OBSERVATION, ACTION, 1)),
        "gated linear unit": lambda: hidden(nn.GLU()),
        "learned PReLU": lambda: hidden(nn.PReLU(6)),
    }


def normalised_networks() -> dict[str, Make]:
    """Normalisations within a sample, and those that are fixed at evaluation."""

    def with_statistics(norm: nn.BatchNorm1d | nn.BatchNorm2d) -> nn.Module:
        size = norm.num_features
        norm.running_mean, norm.running_var = torch.randn(size), torch.rand(size) + 0.5
        return norm

    def by_hand(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        centred = x - x.mean(-1, keepdim=True)
        return scale * centred * torch.rsqrt(centred.square().mean(-1, keepdim=True) + 1e-5) + shift

    grid = functools.partial(nn.Unflatten, 1)
    return {
        "LayerNorm before the activation": lambda: hidden(nn.LayerNorm(6), nn.ReLU()),
        "LayerNorm after the activation": lambda: hidden(nn.ReLU(), nn.LayerNorm(6)),
        "LayerNorm of the inputs": lambda: valued(nn.LayerNorm(INPUTS), nn.Linear(INPUTS, 6), nn.Tanh()),
        "LayerNorm without parameters": lambda: hidden(nn.LayerNorm(6, elementwise_affine=False), nn.ReLU()),
        "LayerNorm without bias": lambda: hidden(nn.LayerNorm(6, bias=False), nn.ReLU()),
        "LayerNorm over two axes": lambda: hidden(grid((2, 3)), nn.LayerNorm([2, 3]), nn.Tanh()),
        "LayerNorm of each of several positions": lambda: hidden(grid((2, 3)), nn.LayerNorm(3), nn.Tanh()),
        "LayerNorm by hand": lambda: hidden(Bare(by_hand, scale=(6,), shift=(6,)), nn.ReLU()),
        "RMSNorm": lambda: hidden(nn.RMSNorm(6), nn.Tanh()),
        "GroupNorm of features": lambda: hidden(nn.GroupNorm(2, 6), nn.Tanh()),
        "GroupNorm of channels": lambda: hidden(grid((4, 3)), nn.GroupNorm(2, 4), nn.Tanh(), width=12),
        "InstanceNorm": lambda: hidden(grid((2, 3)), nn.InstanceNorm1d(2, affine=True), nn.Tanh()),
        "BatchNorm1d evaluated": lambda: hidden(with_statistics(nn.BatchNorm1d(6)), nn.ReLU()).eval(),
        "BatchNorm2d evaluated": lambda: hidden(
            grid((2, 3, 2)), with_statistics(nn.BatchNorm2d(2)), nn.ReLU(), width=12
        ).eval(),
        "weight_norm": lambda: valued(parametrizations.weight_norm(nn.Linear(INPUTS, 6)), nn.Tanh()),
        "spectral_norm evaluated": lambda: valued(
            parametrizations.spectral_norm(nn.Linear(INPUTS, 6)), nn.Tanh()
        ).eval(),
        "orthogonal": lambda: hidden(parametrizations.orthogonal(nn.Linear(6, 6)), nn.Tanh()),
        "Dropout evaluated": lambda: hidden(nn.Dropout(0.5), nn.Tanh()).eval(),
    }


# ------------------------------------------------------------------------------------------------ encoders


def convolutional_networks() -> dict[str, Make]:
    """Convolutions over the inputs as a sequence of 5, and over their products as an image of 5 by 5."""

    def of_sequence(*layers: nn.Module) -> Critic:
        return valued(nn.Unflatten(1, (1, INPUTS)), *layers, nn.Tanh())

    def of_image(*layers: nn.Module) -> Critic:
        return valued(Apply(lambda x: x[:, None, :, None] * x[:, None, None, :]), *layers, nn.Tanh())

    return {
        "Conv1d": lambda: of_sequence(nn.Conv1d(1, 3, 2)),
        "Conv1d, strided, padded, dilated": lambda: of_sequence(nn.Conv1d(1, 3, 2, stride=2, padding=2, dilation=2)),
        "Conv1d, padding to the same size": lambda: of_sequence(nn.Conv1d(1, 3, 4, padding="same")),
        "Conv1d, circular": lambda: of_sequence(nn.Conv1d(1, 2, 3, padding=1, padding_mode="circular")),
        "Conv1d, twice": lambda: of_sequence(nn.Conv1d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv1d(4, 2, 1)),
        "conv1d of a bare weight": lambda: of_sequence(
            Bare(lambda x, weight, bias: F.conv1d(x, weight, bias), weight=(2, 1, 3), bias=(2,))
        ),
        "Conv2d": lambda: of_image(nn.Conv2d(1, 3, 3)),
        "Conv2d, strided and padded": lambda: of_image(nn.Conv2d(1, 2, (3, 2), stride=(2, 1), padding=(1, 2))),
        "Conv2d, dilated": lambda: of_image(nn.Conv2d(1, 2, 2, dilation=(1, 3))),
        "Conv2d, grouped": lambda: of_image(nn.Conv2d(1, 4, 2, stride=2), nn.ReLU(), nn.Conv2d(4, 6, 2, groups=2)),
        "Conv2d, depthwise": lambda: of_image(nn.Conv2d(1, 4, 2), nn.ReLU(), nn.Conv2d(4, 4, 3, groups=4)),
        "Conv2d, circular": lambda: of_image(nn.Conv2d(1, 2, 3, padding=1, padding_mode="circular")),
        "Conv2d, reflected": lambda: of_image(nn.Conv2d(1, 2, 3, padding=1, padding_mode="reflect")),
        "Conv2d without bias": lambda: of_image(nn.Conv2d(1, 3, 3, bias=False)),
        "Conv2d, weight_norm": lambda: of_image(parametrizations.weight_norm(nn.Conv2d(1, 3, 3))),
        "Conv3d": lambda: hidden(nn.Unflatten(1, (1, 2, 3, 2)), nn.Conv3d(1, 2, 2), nn.Tanh(), width=12),
        "ConvTranspose1d": lambda: of_sequence(nn.ConvTranspose1d(1, 2, 3, stride=2, output_padding=1)),
        "ConvTranspose2d": lambda: of_image(
            nn.Conv2d(1, 4, 3), nn.Tanh(), nn.ConvTranspose2d(4, 2, 2, stride=2, padding=1, groups=2)
        ),
        "max pooling": lambda: of_image(nn.Conv2d(1, 3, 2), nn.MaxPool2d(2)),
        "average pooling": lambda: of_image(nn.Conv2d(1, 3, 2), nn.AdaptiveAvgPool2d(1)),
        "as many channels as there are points": lambda: of_sequence(nn.Conv1d(1, POINTS, 2), nn.ReLU()),
        "DrQ's encoder": lambda: of_image(
            nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(27, 5), nn.LayerNorm(5)
        ),
    }


STATES = 7


def discretised(features: Tensor) -> Tensor:
    """Features as integers below `STATES`; the middle one is the most frequent."""
    return (2 * features).clamp(-3, 3).long() + 3


def embedding_networks() -> dict[str, Make]:
    """Tables indexed by the discretised observation."""

    def looked_up(table: nn.Module, by: Callable[[Tensor], Tensor] = lambda s: discretised(s[:, 0])) -> nn.Module:
        def value(s: Tensor, a: Tensor, table: nn.Module, head: nn.Module) -> Tensor:
            return head(torch.cat([torch.tanh(table(by(s))).flatten(1), s, a], dim=1))

        size = table(by(torch.zeros(2, OBSERVATION))).flatten(1).shape[1]
        return Apply(value, table, nn.Sequential(nn.Linear(size + INPUTS, 6), nn.ReLU(), nn.Linear(6, 1)))

    def every(s: Tensor) -> Tensor:
        return discretised(s)

    def bagged(s: Tensor, a: Tensor, bag: nn.Module) -> Tensor:
        offsets = OBSERVATION * torch.arange(len(s))
        return bag(discretised(s).flatten(), offsets) * a[:, :1]

    return {
        "Embedding": lambda: looked_up(nn.Embedding(STATES, 3)),
        "Embedding with padding": lambda: looked_up(nn.Embedding(STATES, 3, padding_idx=STATES // 2)),
        "Embedding larger than the batch": lambda: looked_up(nn.Embedding(100, 3), lambda s: 13 * discretised(s[:, 0])),
        "Embedding of as many as there are points": lambda: looked_up(nn.Embedding(POINTS, 3)),
        "Embedding of several features": lambda: looked_up(nn.Embedding(STATES, 3), every),
        "EmbeddingBag, sum": lambda: looked_up(nn.EmbeddingBag(STATES, 4, mode="sum"), every),
        "EmbeddingBag, mean": lambda: looked_up(nn.EmbeddingBag(STATES, 4, mode="mean"), every),
        "EmbeddingBag with offsets": lambda: Apply(bagged, nn.EmbeddingBag(STATES, 1, mode="sum")),
        "bare table": lambda: looked_up(Bare(lambda index, table: table[index], table=(STATES, 3))),
        "bare table, of values": lambda: Apply(
            lambda s, a, table: table(discretised(s[:, 0])) + a[:, 0],
            Bare(lambda index, table: table[index], table=(STATES,)),
        ),
        "one-hot": lambda: looked_up(
            nn.Linear(STATES, 3), lambda s: F.one_hot(discretised(s[:, 0]), STATES).to(s.dtype)
        ),
        "actions of a discrete critic, gathered": lambda: Apply(
            lambda s, a, values: values(s).gather(1, discretised(a[:, :1])),
            nn.Sequential(nn.Linear(OBSERVATION, 6), nn.ReLU(), nn.Linear(6, STATES)),
        ),
    }


# ------------------------------------------------------------------------------------------------ bare parameters


class Codes(nn.Module):
    """Features compared with learned codes, which pass through a layer of their own."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.codes = nn.Parameter(torch.randn(count, 2))
        self.layer = nn.Linear(2, INPUTS)

    def forward(self, inputs: Tensor) -> Tensor:
        return torch.tanh(inputs @ self.layer(self.codes).T)


def bare_parameters() -> dict[str, Make]:
    """Parameters outside any layer."""

    def after_tanh(formula: Callable[..., Tensor], **shapes: tuple[int, ...]) -> Make:
        return lambda: hidden(nn.Tanh(), Bare(formula, **shapes))

    return {
        "scalar scale": after_tanh(lambda x, scale: scale * x, scale=()),
        "scale of one number": after_tanh(lambda x, scale: scale * x, scale=(1,)),
        "scale and shift of each feature": after_tanh(
            lambda x, scale, shift: x * scale + shift, scale=(6,), shift=(6,)
        ),
        "positive by softplus": after_tanh(lambda x, scale: F.softplus(scale) * x, scale=(6,)),
        "shape of one sample's features": after_tanh(lambda x, shift: x + shift, shift=(1, 6)),
        "shape of one sample's value": lambda: Critic(mlp(4), Bare(lambda x, shift: x + shift, shift=(1,))),
        "temperature": after_tanh(lambda x, temperature: torch.softmax(x / temperature.exp(), 1), temperature=()),
        "scale of as many as there are points": lambda: hidden(
            Bare(lambda x, scale: torch.tanh(x * scale), scale=(POINTS,)), width=POINTS
        ),
        "values of as many as there are points": lambda: hidden(
            Bare(lambda x, mix: torch.tanh(x) @ mix, mix=(POINTS, 3)), width=POINTS
        ),
        "learned Fourier features": lambda: valued(
            Bare(lambda x, waves: torch.cat([torch.cos(x @ waves), torch.sin(x @ waves)], 1), waves=(INPUTS, 4))
        ),
        "layer over learned codes": lambda: valued(Codes(4)),
        "layer over as many codes as there are points": lambda: valued(Codes(POINTS)),
        "layer over one learned code": lambda: valued(Codes(1)),
    }


# ------------------------------------------------------------------------------------------------ used more than once


class Tied(nn.Module):
    """An autoencoder whose decoder is the encoder's transpose."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Linear(INPUTS, 4)

    def forward(self, inputs: Tensor) -> Tensor:
        return F.linear(torch.tanh(self.encoder(inputs)), self.encoder.weight.t())


def sharing(first: nn.Module, second: nn.Module) -> tuple[nn.Module, nn.Module]:
    """Both modules, the second with the first one's weight."""
    second.weight = first.weight
    return first, second


def shared_parameters() -> dict[str, Make]:
    """Parameters used several times in one call, in part, or not at all."""

    def twice(layer: nn.Module) -> nn.Module:
        return hidden(nn.Tanh(), layer, nn.Tanh(), layer)

    def apart(s: Tensor, a: Tensor, trunk: nn.Module, head: nn.Module) -> Tensor:
        return head(torch.tanh(trunk(s[:, :ACTION])) * torch.tanh(trunk(a)))

    def stacked(s: Tensor, a: Tensor, trunk: nn.Module, head: nn.Module) -> Tensor:
        left, right = torch.tanh(trunk(torch.cat([s[:, :ACTION], a]))).chunk(2)
        return head(left * right)

    def larger(x: Tensor, layer: nn.Module) -> Tensor:
        return torch.maximum(layer(x), layer(-2 * x))

    def output_output(s: Tensor, a: Tensor, table: nn.Module) -> Tensor:
        logits = F.linear(torch.tanh(table(discretised(s[:, 0]))) * a[:, :1], next(table.parameters()))
        return torch.logsumexp(logits, 1)

    def second_use_detached(x: Tensor, weight: Tensor) -> Tensor:
        return F.linear(torch.tanh(F.linear(x, weight)), weight.detach())

    def detached(x: Tensor, layer: nn.Module) -> Tensor:
        return x + layer(torch.tanh(layer(x)).detach())

    def without_gradient(x: Tensor, gate: nn.Module, layer: nn.Module) -> Tensor:
        with torch.no_grad():
            weight = torch.sigmoid(gate(x))
        return weight * layer(x)

    def first_only(x: Tensor, first: nn.Module, _: nn.Module) -> Tensor:
        return torch.tanh(first(x))

    return {
        "the same Linear twice": lambda: twice(nn.Linear(6, 6)),
        "the same LayerNorm twice": lambda: twice(nn.LayerNorm(6)),
        "the same Conv1d twice": lambda: valued(nn.Unflatten(1, (1, INPUTS)), *[nn.Conv1d(1, 1, 3, padding=1)] * 2),
        "the larger of two uses": lambda: hidden(nn.Tanh(), Apply(larger, nn.Linear(6, 4))),
        "one trunk for observations and actions": lambda: Apply(apart, nn.Linear(ACTION, 4), nn.Linear(4, 1)),
        "one trunk for both in one call": lambda: Apply(stacked, nn.Linear(ACTION, 4), nn.Linear(4, 1)),
        "tied to its transpose": lambda: valued(Tied()),
        "two modules with one weight": lambda: hidden(*sharing(nn.Linear(6, 6), nn.Linear(6, 6, bias=False))),
        "an Embedding also as the last weight": lambda: Apply(output_output, nn.Embedding(STATES, 4)),
        "frozen layer": lambda: frozen(Critic(mlp(6, 5)), "layers.0.0."),
        "frozen biases": lambda: frozen(hidden(nn.LayerNorm(6), nn.ReLU()), "bias"),
        "frozen weights": lambda: frozen(hidden(nn.LayerNorm(6), nn.ReLU()), "weight"),
        "frozen last layer": lambda: frozen(Critic(mlp(6, 5)), "layers.0.4."),
        "one of two uses detached": lambda: valued(Bare(second_use_detached, weight=(INPUTS, INPUTS))),
        "a layer's first output detached": lambda: hidden(Apply(detached, nn.Linear(6, 6))),
        "a gate without gradient": lambda: hidden(Apply(without_gradient, nn.Linear(6, 6), nn.Linear(6, 6))),
        "an unused layer": lambda: hidden(Apply(first_only, nn.Linear(6, 4), nn.Linear(6, 4))),
        "an unused parameter": lambda: hidden(nn.Tanh(), Bare(lambda x, used, _: x * used, used=(6,), _=(2, 3))),
    }


# ------------------------------------------------------------------------------------------------ whole structures


class Tokens(nn.Module):
    """Each input as a token: its value times a learned direction, plus a learned position."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.directions = nn.Parameter(torch.randn(INPUTS, size))
        self.positions = nn.Embedding(INPUTS, size)

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs[:, :, None] * self.directions + self.positions(torch.arange(INPUTS))


class LastOutput(nn.Module):
    """The last output of a recurrent layer; ``time_first`` hands it (time, points, features)."""

    def __init__(self, layer: nn.RNNBase, time_first: bool = False) -> None:
        super().__init__()
        self.layer, self.time_first = layer, time_first

    def forward(self, inputs: Tensor) -> Tensor:
        outputs = self.layer(inputs.transpose(0, 1) if self.time_first else inputs)[0]
        return outputs[-1] if self.time_first else outputs[:, -1]


class CellByCell(nn.Module):
    """A recurrent cell stepped through the positions by hand."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.cell = nn.GRUCell(size, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        state = inputs.new_zeros(len(inputs), 3)
        for position in inputs.unbind(1):
            state = self.cell(position, state)
        return state


def structured_networks() -> dict[str, Make]:
    """Blocks, sequences, attention, recurrence, and values that are not a plain last layer."""

    def simba(size: int) -> Apply:
        return residual(nn.LayerNorm(size), nn.Linear(size, 2 * size), nn.ReLU(), nn.Linear(2 * size, size))

    def bro(size: int) -> Apply:
        return residual(nn.Linear(size, size), nn.LayerNorm(size), nn.ReLU(), nn.Linear(size, size), nn.LayerNorm(size))

    def dueling(s: Tensor, a: Tensor, trunk: nn.Module, state: nn.Module, advantage: nn.Module) -> Tensor:
        features = torch.relu(trunk(s))
        return (state(features) + advantage(torch.cat([features, a], 1))).squeeze(1)

    def pooled(x: Tensor, score: nn.Module) -> Tensor:
        return (torch.softmax(score(x), dim=1) * x).sum(1)

    def attended(x: Tensor, attention: nn.Module) -> Tensor:
        return attention(x, x, x, need_weights=False)[0]

    def dot_products(x: Tensor, queries: nn.Module, keys: nn.Module, values: nn.Module) -> Tensor:
        return F.scaled_dot_product_attention(queries(x), keys(x), values(x))

    def folded(x: Tensor, layer: nn.Module) -> Tensor:
        return torch.tanh(layer(x.flatten(0, 1))).unflatten(0, x.shape[:2])

    def modulated(s: Tensor, a: Tensor, trunk: nn.Module, modulation: nn.Module, head: nn.Module) -> Tensor:
        scale, shift = modulation(a).chunk(2, dim=1)
        return head(torch.tanh(trunk(s)) * (1 + scale) + shift)

    def hypernetwork(s: Tensor, a: Tensor, generator: nn.Module) -> Tensor:
        weights = generator(s).unflatten(1, (4, ACTION))
        return torch.tanh(torch.bmm(weights, a[:, :, None])).sum((1, 2))

    def mixture(x: Tensor, gate: nn.Module, *experts: nn.Module) -> Tensor:
        return torch.einsum("ne,neo->no", gate(x).softmax(1), torch.stack([expert(x) for expert in experts], 1))

    def expected(logits: Tensor) -> Tensor:
        support = torch.linspace(-5, 5, logits.shape[1], dtype=logits.dtype)
        return logits.softmax(1) @ support

    def cosine(s: Tensor, a: Tensor, left: nn.Module, right: nn.Module) -> Tensor:
        return F.cosine_similarity(left(s), right(a))

    def tokens(*layers: nn.Module, size: int = 4) -> Critic:
        return valued(Tokens(size), *layers)

    def long(*layers: nn.Module) -> Critic:
        return valued(nn.Linear(INPUTS, 2 * POINTS), nn.Unflatten(1, (POINTS, 2)), *layers)

    mean = functools.partial(Apply, lambda x: x.mean(1))
    return {
        "SimBa": lambda: hidden(simba(6), simba(6), nn.LayerNorm(6)),
        "BRO": lambda: hidden(nn.LayerNorm(6), nn.ReLU(), bro(6), bro(6)),
        "dueling": lambda: Apply(
            dueling, nn.Linear(OBSERVATION, 5), nn.Linear(5, 1, bias=False), nn.Linear(5 + ACTION, 1)
        ),
        "Linear at each position, mean": lambda: tokens(nn.Linear(4, 5), nn.ReLU(), mean()),
        "Linear at each position, maximum": lambda: tokens(nn.Linear(4, 5), nn.Tanh(), Apply(lambda x: x.amax(1))),
        "Linear at each position, pooled by attention": lambda: tokens(nn.Linear(4, 3), Apply(pooled, nn.Linear(3, 1))),
        "Linear over positions, folded into the points": lambda: tokens(Apply(folded, nn.Linear(4, 3)), mean()),
        "Linear across positions": lambda: tokens(Apply(lambda x: x.transpose(1, 2)), nn.Linear(INPUTS, 2), nn.Tanh()),
        "as many positions as there are points": lambda: long(nn.Linear(2, 3), nn.Tanh(), mean()),
        "as many positions as there are points, first": lambda: long(
            Apply(lambda x: x.transpose(0, 1)), nn.Linear(2, 3), nn.Tanh(), Apply(lambda x: x.mean(0))
        ),
        "attention": lambda: tokens(
            Apply(dot_products, nn.Linear(4, 3), nn.Linear(4, 3), nn.Linear(4, 2)), nn.Tanh(), mean()
        ),
        "MultiheadAttention": lambda: tokens(
            Apply(attended, nn.MultiheadAttention(4, 2, batch_first=True)), nn.Tanh(), mean()
        ),
        "MultiheadAttention, positions first": lambda: tokens(
            Apply(lambda x: x.transpose(0, 1)),
            Apply(attended, nn.MultiheadAttention(4, 2)),
            Apply(lambda x: torch.tanh(x).mean(0)),
        ),
        "Transformer evaluated": lambda: tokens(
            nn.TransformerEncoderLayer(4, 2, dim_feedforward=6, batch_first=True, norm_first=True), mean()
        ).eval(),
        "GRU": lambda: tokens(LastOutput(nn.GRU(4, 3, batch_first=True))),
        "GRU, time first": lambda: tokens(LastOutput(nn.GRU(4, 3), time_first=True)),
        "GRU over as many steps as there are points": lambda: long(LastOutput(nn.GRU(2, 2), time_first=True)),
        "LSTM, both ways": lambda: tokens(LastOutput(nn.LSTM(4, 2, batch_first=True, bidirectional=True)), size=4),
        "LSTM of two layers": lambda: tokens(LastOutput(nn.LSTM(2, 3, num_layers=2, batch_first=True)), size=2),
        "GRUCell": lambda: tokens(CellByCell(2), size=2),
        "modulated by the action": lambda: Apply(
            modulated, nn.Linear(OBSERVATION, 4), nn.Linear(ACTION, 8), nn.Linear(4, 1)
        ),
        "weights from a hypernetwork": lambda: Apply(hypernetwork, nn.Linear(OBSERVATION, 4 * ACTION)),
        "mixture of experts": lambda: hidden(
            Apply(mixture, nn.Linear(6, 3), *[nn.Linear(6, 4) for _ in range(3)]), nn.Tanh()
        ),
        "mean of a categorical distribution": lambda: Critic(mlp(6, outputs=11), Apply(expected)),
        "cosine of two encoders": lambda: Apply(cosine, nn.Linear(OBSERVATION, 4), nn.Linear(ACTION, 4)),
    }


# ------------------------------------------------------------------------------------------------ heads


class VectorizedLinear(nn.Module):
    """One Linear for each head, over (heads, points, inputs) or, the same for all, (points, inputs)."""

    def __init__(self, heads: int, inputs: int, outputs: int, spelled: str = "@") -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(heads, inputs, outputs) / math.sqrt(inputs))
        self.bias = nn.Parameter(torch.zeros(heads, 1, outputs))
        self.spelled = spelled

    def forward(self, inputs: Tensor) -> Tensor:
        if self.spelled == "einsum":
            points = "n" if inputs.ndim == 2 else "hn"
            return torch.einsum(f"{points}i,hio->hno", inputs, self.weight) + self.bias
        if self.spelled == "baddbmm":
            return torch.baddbmm(self.bias, inputs.expand(len(self.weight), *inputs.shape[-2:]), self.weight)
        return inputs @ self.weight + self.bias


def ensemble(heads: int, spelled: str = "@", width: int = 4, norm: Make = nn.Identity) -> Critic:
    """Heads with a hidden layer each, stacked (heads, points)."""
    return Critic(
        VectorizedLinear(heads, INPUTS, width, spelled),
        norm(),
        nn.ReLU(),
        VectorizedLinear(heads, width, 1, spelled),
        Apply(lambda values: values.squeeze(-1)),
    )


class VmappedEnsemble(nn.Module):
    """One module called by `torch.func` with the stacked parameters of all members."""

    def __init__(self, heads: int) -> None:
        super().__init__()
        members: list[nn.Module] = [mlp(4) for _ in range(heads)]
        stacked, _ = torch.func.stack_module_state(members)
        self.names = list(stacked)
        self.stacked = nn.ParameterList([nn.Parameter(value.detach()) for value in stacked.values()])
        self.hollow = [copy.deepcopy(members[0]).to("meta")]  # in a list: its parameters are not the critic's

    def forward(self, observations: Tensor, actions: Tensor) -> Tensor:
        inputs = torch.cat([observations, actions], dim=1)

        def member(*parameters: Tensor) -> Tensor:
            named = dict(zip(self.names, parameters, strict=True))
            return torch.func.functional_call(self.hollow[0], named, (inputs,))

        return torch.func.vmap(member)(*self.stacked).squeeze(-1)


class MemberByMember(nn.Module):
    """Stacked parameters of all members, put into one module for each of them in turn."""

    def __init__(self, heads: int, make: Make, taken: str = "[]") -> None:
        super().__init__()
        members = [make() for _ in range(heads)]
        self.module = copy.deepcopy(members[0])
        for name, stacked in torch.func.stack_module_state(members)[0].items():
            owner, _, own = name.rpartition(".")
            setattr(self.module.get_submodule(owner), own, nn.Parameter(stacked.detach()))
        self.heads, self.taken = heads, taken

    def forward(self, observations: Tensor, actions: Tensor) -> tuple[Tensor, ...]:
        inputs = torch.cat([observations, actions], dim=1)
        stacked = dict(self.module.named_parameters())
        whole = {name: value.unbind() for name, value in stacked.items()} if self.taken == "unbind" else stacked
        return tuple(
            torch.func.functional_call(self.module, {name: value[head] for name, value in whole.items()}, (inputs,))
            for head in range(-self.heads, 0)
        )


class Heads(nn.Module):
    """Separate networks, their values gathered by a function of the list of (points, 1)."""

    def __init__(self, gathered: Callable[[list[Tensor]], Any], *networks: nn.Module) -> None:
        super().__init__()
        self.gathered, self.networks = gathered, nn.ModuleList(networks)

    def forward(self, observations: Tensor, actions: Tensor) -> Any:
        inputs = torch.cat([observations, actions], dim=1)
        return self.gathered([network(inputs) for network in self.networks])


def critics_with_heads() -> dict[str, Architecture]:
    """Every form in which several heads are returned, and one head made of several."""

    def gathered(how: Callable[[list[Tensor]], Any], heads: int = 2, of: int = 2) -> Architecture:
        return Architecture(lambda: Heads(how, *[mlp(5) for _ in range(of)]), heads)

    def quantiles(values: Tensor) -> Tensor:
        return values.unflatten(1, (2, 5)).mean(2).T

    def of_ten(spelled: str = "@", norm: Make = nn.Identity) -> Architecture:
        return Architecture(lambda: ensemble(10, spelled, norm=norm), 10)

    def norm_of_each() -> nn.Module:
        scaled = Bare(lambda x, scale: x * scale, scale=(10, 1, 4))
        return nn.Sequential(nn.LayerNorm(4, elementwise_affine=False), scaled)

    return {
        "tuple of (points, 1)": gathered(tuple),
        "tuple of (points,)": gathered(lambda values: tuple(value.squeeze(1) for value in values)),
        "list of (points, 1)": gathered(list),
        "list of (points,)": gathered(lambda values: [value.squeeze(1) for value in values]),
        "stacked": gathered(lambda values: torch.cat(values, 1).T),
        "tuple of one stacked and one alone": gathered(
            lambda values: (torch.cat(values[:2], 1).T, values[2]), heads=3, of=3
        ),
        "one of two heads returned": gathered(lambda values: values[1], heads=1),
        "the smaller of two heads returned": gathered(lambda values: torch.minimum(*values), heads=1),
        "heads with a common second term": gathered(
            lambda values: (values[0] + values[2], values[1] + values[2]), of=3
        ),
        "two heads on one trunk": Architecture(lambda: Critic(mlp(6, outputs=2), Apply(lambda x: x.T)), 2),
        "two heads of quantiles": Architecture(lambda: Critic(mlp(6, outputs=10), Apply(quantiles)), 2),
        "twin with a frozen layer": Architecture(lambda: frozen(Heads(tuple, mlp(6, 5), mlp(6, 5)), "1.0."), 2),
        "twin of different depths": Architecture(lambda: Heads(tuple, mlp(6), mlp(4, 4, activation=nn.ReLU)), 2),
        "ensemble of 10, @": of_ten(),
        "ensemble of 10, baddbmm": of_ten("baddbmm"),
        "ensemble of 10, einsum": of_ten("einsum"),
        "ensemble of 10, LayerNorm": of_ten(norm=functools.partial(nn.LayerNorm, 4)),
        "ensemble of 10, LayerNorm of their own": of_ten(norm=norm_of_each),
        "ensemble of 10, vmap": Architecture(lambda: VmappedEnsemble(10), 10),
        "ensemble of 10, member by member": Architecture(lambda: MemberByMember(10, lambda: mlp(4)), 10),
        "members with LayerNorm, unbound": Architecture(
            lambda: MemberByMember(2, lambda: hidden(nn.LayerNorm(6), nn.ReLU()).layers, "unbind"), 2
        ),
        "ensemble of 10, separate": Architecture(
            lambda: Heads(lambda values: torch.stack(values).squeeze(2), *[mlp(4) for _ in range(10)]), 10
        ),
        "as many heads as there are points": Architecture(lambda: ensemble(POINTS, "@", 3), POINTS),
        "as many heads as there are points, baddbmm": Architecture(lambda: ensemble(POINTS, "baddbmm", 3), POINTS),
        "twice as many heads as there are points": Architecture(lambda: ensemble(2 * POINTS, "@", 2), 2 * POINTS),
        "as many heads as there are rows, vmap": Architecture(lambda: VmappedEnsemble(ROWS), ROWS),
        "as many heads as there are points, one trunk": Architecture(
            lambda: Critic(mlp(4, outputs=POINTS), Apply(lambda x: x.T)), POINTS
        ),
    }


# ------------------------------------------------------------------------------------------------ precisions


def mixed_precisions() -> dict[str, Make]:
    """Parameters in other precisions, cast on the way. They are read in float64, where no cast loses anything."""
    low = torch.bfloat16

    def cast(layer: nn.Module) -> nn.Module:
        return Apply(lambda x, layer: layer(x.to(torch.bfloat16)).float(), layer.to(low))

    def to_the_weight(x: Tensor, layer: nn.Module) -> Tensor:
        return layer(x.to(next(layer.parameters()).dtype))

    def norm_in_single(x: Tensor, norm: nn.Module) -> Tensor:
        return norm(x.float()).type_as(x)

    def softmax_in_single(x: Tensor) -> Tensor:
        return F.softmax(x, dim=1, dtype=torch.float32).to(x.dtype)

    return {
        "float64": lambda: hidden(nn.LayerNorm(6), nn.ReLU()).double(),
        "bfloat16 trunk, cast to and from": lambda: Critic(cast(nn.Linear(INPUTS, 6)), nn.Tanh(), nn.Linear(6, 1)),
        "bfloat16 trunk of half precision layers": lambda: Critic(
            cast(nn.Sequential(nn.Linear(INPUTS, 6), nn.Tanh())),
            Apply(lambda x, layer: layer(x.half()).to(torch.float32), nn.Linear(6, 4).half()),
            nn.Tanh(),
            nn.Linear(4, 1),
        ),
        "bfloat16, inputs cast to the weight's": lambda: Critic(Apply(to_the_weight, mlp(6).to(low))),
        "bfloat16, values cast back": lambda: Critic(Apply(to_the_weight, mlp(6).to(low)), Apply(lambda x: x.float())),
        "bfloat16, LayerNorm in float32": lambda: Critic(
            Apply(lambda x: x.bfloat16()),
            nn.Linear(INPUTS, 6).to(low),
            Apply(norm_in_single, nn.LayerNorm(6)),
            nn.ReLU(),
            nn.Linear(6, 1).to(low),
        ),
        "softmax in float32": lambda: hidden(Apply(softmax_in_single)),
        "cast to another tensor's": lambda: Critic(
            Bare(lambda x, weight: x.to(weight) @ weight, weight=(INPUTS, 6)), nn.Tanh(), nn.Linear(6, 1)
        ),
    }


def _architectures() -> dict[str, Architecture]:
    single = (
        plain_networks()
        | normalised_networks()
        | convolutional_networks()
        | embedding_networks()
        | bare_parameters()
        | shared_parameters()
        | structured_networks()
        | mixed_precisions()
    )
    return {name: Architecture(make) for name, make in single.items()} | critics_with_heads()


ARCHITECTURES = _architectures()
"""Every make of PyTorch critic, by name."""
