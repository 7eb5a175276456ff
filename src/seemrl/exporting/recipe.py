"""A policy as a list of plain layers in JSON, and the arrays that they name: what somebody needs to rebuild it.

Weights that are normalised in training stand here as they act: every linear layer is a weight and a bias.
"""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from seemrl.exporting.policy import Policy
from seemrl.networks.diffusion import DiffusionPolicy, flow_steps, posterior, signal_scale
from seemrl.networks.gaussian import GaussianActor, SquashedGaussianActor
from seemrl.networks.layers import Linear, SpectralNormLinear, SphereLinear, WeightNormLinear
from seemrl.networks.mlp import MLP, DeterministicActor
from seemrl.networks.normalisers import BatchNorm, LayerNorm, RMSNorm, UnitBall
from seemrl.networks.residual import BroNet, SimBa

Layer = dict[str, Any]
Arrays = dict[str, np.ndarray]


class UnknownPartError(TypeError):
    """A part of a network that no recipe knows."""


def recipe_of(policy: Policy) -> tuple[dict[str, Any], Arrays]:
    """What policy.json says of the computation, and the arrays of policy.safetensors.

    Raises:
        UnknownPartError: the policy has a part that no layer stands for.
    """
    writer = _Writer()
    standardise = writer.layer("standardise", "observations", shift=policy.mean, scale=policy.deviation)
    if policy.random:
        recipe = {"layers": [standardise], "diffusion": _diffusion(writer, policy)}
    elif policy.discrete:
        layers = writer.network("critic", policy.agent.critic.network)
        recipe = {"layers": [standardise, *layers, {"kind": "argmax"}]}
    else:
        recipe = {"layers": [standardise, *_actor(writer, policy.agent.actor)]}
    return recipe, writer.arrays


def _actor(writer: "_Writer", actor: Any) -> list[Layer]:
    if isinstance(actor, GaussianActor):
        return _actor(writer, actor.mean)
    if isinstance(actor, DeterministicActor | SquashedGaussianActor):
        layers = writer.network("actor", actor.network)
        last, size = layers[-1], len(actor.low)  # behind the means stand logarithms of deviations, of one that samples
        for name in (last["weight"], last["bias"]):
            writer.arrays[name] = np.ascontiguousarray(writer.arrays[name][..., :size])
        return [*layers, {"kind": "tanh"}, writer.box(actor.low, actor.high)]
    raise UnknownPartError(type(actor).__name__)


def _diffusion(writer: "_Writer", policy: Policy) -> dict[str, Any]:
    agent = policy.agent
    sampler: DiffusionPolicy = agent.proposals
    wide, narrow = sampler.network.embedding
    embedding = [*writer.part("embedding.0", wide), {"kind": "mish"}, *writer.part("embedding.1", narrow)]
    *hidden, last = sampler.network.linears
    predictor: list[Layer] = []
    for number, linear in enumerate(hidden):
        predictor += [*writer.part(f"predictor.{number}", linear), {"kind": "mish"}]
    predictor += writer.part(f"predictor.{len(hidden)}", last)
    return {
        "steps": _steps(sampler),
        "signal_scale": signal_scale(np.arange(sampler.levels + 1) / sampler.levels).tolist(),
        "embedding": embedding,
        "predictor": predictor,
        "box": writer.box(sampler.low, sampler.high),
        "critics": [
            writer.network(f"critic.{number}", head) for number, head in enumerate(agent.deciding_critic.heads)
        ],
        "value_scale": float(agent.value_scale),
        "averaged": policy.chosen,
    }


def _steps(sampler: DiffusionPolicy) -> list[dict[str, float]]:
    """From noise to action: x becomes of_noisy x + of_denoised d + of_denoised_before d' + deviation times noise."""
    if sampler.sampler == "ancestral":
        rows = zip(range(sampler.levels, 0, -1), *posterior(sampler.levels), strict=True)
        return [
            _step(level, float(of_noisy), float(of_denoised), 0.0, float(deviation))
            for level, of_denoised, of_noisy, deviation in rows
        ]
    levels = sampler.solver_levels()
    steps = flow_steps(levels / sampler.levels, sampler.solver_order)
    return [
        _step(int(level), of_noisy, pull * (1 + slope), -pull * slope, 0.0)
        for level, (of_noisy, pull, slope) in zip(levels[:-1], steps, strict=True)
    ]


def _step(level: int, of_noisy: float, of_denoised: float, before: float, deviation: float) -> dict[str, float]:
    return {
        "level": level,
        "of_noisy": of_noisy,
        "of_denoised": of_denoised,
        "of_denoised_before": before,
        "deviation": deviation,
    }


class _Writer:
    """Layers as they are told, and the arrays that they name."""

    def __init__(self) -> None:
        self.arrays: Arrays = {}

    def layer(self, kind: str, place: str, *, epsilon: float | None = None, **arrays: Any) -> Layer:
        """One layer; each of its arrays is kept under the layer's place and its own name."""
        told: Layer = {"kind": kind}
        for name, array in arrays.items():
            self.arrays[f"{place}.{name}"] = np.ascontiguousarray(array, np.float32)
            told[name] = f"{place}.{name}"
        return told if epsilon is None else told | {"epsilon": epsilon}

    def box(self, low: Sequence[float], high: Sequence[float]) -> Layer:
        """From [-1, 1] to the box of the actions."""
        return self.layer("box", "actions", low=np.asarray(low), high=np.asarray(high))

    def network(self, place: str, network: Any) -> list[Layer]:
        """A whole network, from its input to its output layer."""
        if isinstance(network, MLP):
            return self._mlp(place, network)
        if isinstance(network, SimBa):
            return self._simba(place, network)
        if isinstance(network, BroNet):
            return self._bro(place, network)
        raise UnknownPartError(type(network).__name__)

    def part(self, place: str, part: Any) -> list[Layer]:
        """One linear layer or normaliser."""
        if isinstance(part, Linear | WeightNormLinear | SpectralNormLinear | SphereLinear):
            weight = _acting_weight(part)
            return [self.layer("linear", place, weight=weight, bias=part.bias)]
        if isinstance(part, LayerNorm):
            return [self.layer("layer_norm", place, scale=part.scale, shift=part.shift, epsilon=part.epsilon)]
        if isinstance(part, RMSNorm):
            return [self.layer("rms_norm", place, scale=part.scale, epsilon=part.epsilon)]
        if isinstance(part, BatchNorm):
            running = {"mean": part.mean.value, "variance": part.variance.value}
            own = {"scale": part.scale, "shift": part.shift}
            return [self.layer("batch_norm", place, **running, **own, epsilon=part.epsilon)]
        if isinstance(part, UnitBall):
            return [self.layer("unit_ball", place, epsilon=part.epsilon)]
        raise UnknownPartError(type(part).__name__)

    def _mlp(self, place: str, network: MLP) -> list[Layer]:
        layers = [] if network.input_norm is None else self.part(f"{place}.inputs.norm", network.input_norm)
        for number, (linear, norm) in enumerate(zip(network.linears[:-1], network.norms, strict=True)):
            layers += self.part(f"{place}.{number}", linear)
            normalise = [] if norm is None else self.part(f"{place}.{number}.norm", norm)
            activate: list[Layer] = [{"kind": network.activation}]
            layers += normalise + activate if network.placement == "pre" else activate + normalise
        return layers + self.part(f"{place}.{len(network.norms)}", network.linears[-1])

    def _simba(self, place: str, network: SimBa) -> list[Layer]:
        layers = self.part(f"{place}.first", network.first)
        for number, block in enumerate(network.blocks):
            at = f"{place}.blocks.{number}"
            inner = self.part(f"{at}.norm", block.norm) + self.part(f"{at}.wide", block.wide)
            inner += [{"kind": network.activation}, *self.part(f"{at}.narrow", block.narrow)]
            layers.append({"kind": "residual", "layers": inner})
        return layers + self.part(f"{place}.norm", network.norm) + self.part(f"{place}.last", network.last)

    def _bro(self, place: str, network: BroNet) -> list[Layer]:
        activate: Layer = {"kind": network.activation}
        layers = self.part(f"{place}.first", network.first) + self.part(f"{place}.norm", network.norm) + [activate]
        for number, block in enumerate(network.blocks):
            at = f"{place}.blocks.{number}"
            inner = self.part(f"{at}.first", block.first) + self.part(f"{at}.first_norm", block.first_norm)
            inner += [activate, *self.part(f"{at}.second", block.second)]
            inner += self.part(f"{at}.second_norm", block.second_norm)
            layers.append({"kind": "residual", "layers": inner})
        return layers + self.part(f"{place}.last", network.last)


def _acting_weight(linear: Linear | WeightNormLinear | SpectralNormLinear | SphereLinear) -> Any:
    """The matrix that inputs are multiplied with."""
    if isinstance(linear, WeightNormLinear):
        return linear.direction * (linear.size / jnp.linalg.norm(linear.direction, axis=0))
    if isinstance(linear, SpectralNormLinear):
        right = linear.right.value / jnp.linalg.norm(linear.right.value)
        return linear.weight / jnp.linalg.norm(linear.weight @ right)
    return linear.weight * linear.scale if isinstance(linear, SphereLinear) else linear.weight
