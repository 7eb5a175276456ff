"""The normalisers themselves, and the two hooks by which a layer has one."""

from typing import Any, Literal

import torch

FeatureNorm = Literal["layer", "rms", "batch"]
"""LayerNorm (Ba et al., 2016), RMSNorm (Zhang and Sennrich, 2019) or BatchNorm (Ioffe and Szegedy, 2015)."""


class HeadwiseNorm(torch.nn.Module):
    """A normaliser of stacked heads, (heads, rows, features), with a scale and a shift of each head's own."""

    def __init__(self, norm: Literal["layer", "rms"], heads: int, features: int) -> None:
        super().__init__()
        self.features = features
        self.weight = torch.nn.Parameter(torch.ones(heads, 1, features))
        self.bias = torch.nn.Parameter(torch.zeros(heads, 1, features)) if norm == "layer" else None

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Normalise the last axis."""
        if self.bias is None:
            return self.weight * torch.nn.functional.rms_norm(inputs, (self.features,))
        return self.weight * torch.nn.functional.layer_norm(inputs, (self.features,)) + self.bias


class UnitBall(torch.nn.Module):
    """Division of each sample's features by their length (Hussing et al., 2024)."""

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Divide the last axis."""
        return torch.nn.functional.normalize(inputs, dim=-1, eps=1e-6)


def make_normaliser(norm: FeatureNorm, features: int, heads: int | None) -> torch.nn.Module:
    """A normaliser with scale 1 and shift 0."""
    if norm == "batch":
        return torch.nn.BatchNorm1d(features)
    if heads is not None:
        return HeadwiseNorm(norm, heads, features)
    return torch.nn.LayerNorm(features) if norm == "layer" else torch.nn.RMSNorm(features)


def normalise_output(part: torch.nn.Module, given: Any, output: torch.Tensor) -> torch.Tensor:
    """Forward hook of a layer with a normaliser behind it."""
    return part.get_submodule("normaliser")(output)


def normalise_input(part: torch.nn.Module, given: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    """Forward pre-hook of a layer with a normaliser before it."""
    return (part.get_submodule("normaliser")(given[0]), *given[1:])


def untouched(normaliser: torch.nn.Module) -> bool:
    """Whether scale and shift are still what they began as."""
    return all(
        bool((value == (1.0 if name == "weight" else 0.0)).all()) for name, value in normaliser.named_parameters()
    )


def remove(part: torch.nn.Module, name: str) -> None:
    """Take the normaliser and its hook out of a layer."""
    for store in ("_forward_hooks", "_forward_pre_hooks"):
        hooks = getattr(part, store)
        for key in [key for key, hook in hooks.items() if hook in (normalise_output, normalise_input)]:
            del hooks[key]
    delattr(part, name)
