"""A policy from policy.json and policy.safetensors with NumPy alone: the recipe, followed.

It is what every export of weights is compared by, and an example of how to rebuild one elsewhere. Imports no JAX.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

Values = NDArray[Any]
_WAVELENGTHS = 10_000.0

_erf = np.frompyfunc(math.erf, 1, 1)


def _mish(values: Values) -> Values:
    return values * np.tanh(np.logaddexp(values, np.zeros((), values.dtype)))


def _gelu(values: Values) -> Values:
    return values * (1 + np.asarray(_erf(values / math.sqrt(2)), values.dtype)) / 2


_ACTIVATIONS: Mapping[str, Callable[[Values], Values]] = {
    "relu": lambda values: np.maximum(values, 0),
    "elu": lambda values: np.where(values > 0, values, np.expm1(np.minimum(values, 0))),
    "gelu": _gelu,
    "tanh": np.tanh,
    "mish": _mish,
}


class Rebuilt:
    """Called with raw observations, (batch, observation), and random numbers where the policy asks for some.

    Args:
        recipe: the content of policy.json.
        arrays: that of policy.safetensors.
    """

    def __init__(self, recipe: Mapping[str, Any], arrays: Mapping[str, Values]) -> None:
        self._recipe, self._arrays = recipe, arrays

    @classmethod
    def load(cls, directory: Path) -> "Rebuilt":
        """The policy of an exported directory."""
        recipe = json.loads((directory / "policy.json").read_text(encoding="utf-8"))
        return cls(recipe, safetensors.numpy.load_file(directory / "policy.safetensors"))

    def __call__(self, observations: Values, *noise: Values) -> list[Values]:
        """The outputs that policy.json names, in its order."""
        values = self._run(self._recipe["layers"], np.asarray(observations, np.float32))
        if "diffusion" in self._recipe:
            return self._diffusion(values, *noise)
        if self._recipe["layers"][-1]["kind"] == "argmax":
            return [values.argmax(axis=1).astype(np.int32), values]
        return [values]

    def _run(self, layers: Sequence[Mapping[str, Any]], values: Values) -> Values:
        for layer in layers:
            values = self._apply(layer, values)
        return values

    def _apply(self, layer: Mapping[str, Any], values: Values) -> Values:
        kind, array = layer["kind"], lambda name: self._arrays[layer[name]]
        epsilon = np.float32(layer.get("epsilon", 0))
        match kind:
            case "standardise":
                return (values - array("shift")) / array("scale")
            case "linear":
                return values @ array("weight") + array("bias")
            case "layer_norm":
                centred = values - values.mean(axis=-1, keepdims=True)
                spread = np.sqrt((centred**2).mean(axis=-1, keepdims=True) + epsilon)
                return centred / spread * array("scale") + array("shift")
            case "rms_norm":
                return values / np.sqrt((values**2).mean(axis=-1, keepdims=True) + epsilon) * array("scale")
            case "batch_norm":
                standardised = (values - array("mean")) / np.sqrt(array("variance") + epsilon)
                return standardised * array("scale") + array("shift")
            case "unit_ball":
                return values / np.maximum(np.sqrt((values**2).sum(axis=-1, keepdims=True)), epsilon)
            case "residual":
                return values + self._run(layer["layers"], values)
            case "box":
                low, high = array("low"), array("high")
                return np.clip(low + (high - low) * (values + 1) / 2, low, high)
            case "argmax":
                return values  # the number of the largest is taken at the end
            case _:
                return _ACTIVATIONS[kind](values)

    def _diffusion(self, observations: Values, noise: Values, gumbel: Values) -> list[Values]:
        """From (batch, candidates, draws, action) and (batch, candidates) to the chosen actions and all scores."""
        told, (batch, candidates) = self._recipe["diffusion"], gumbel.shape
        repeated = np.repeat(observations, candidates, axis=0)
        drawn = noise.reshape(batch * candidates, *noise.shape[2:])
        noisy, before = drawn[:, 0], np.zeros((), np.float32)
        for number, step in enumerate(told["steps"]):
            denoised = self._denoised(told, noisy, int(step["level"]), repeated)
            noisy = np.float32(step["of_noisy"]) * noisy + np.float32(step["of_denoised"]) * denoised
            noisy = noisy + np.float32(step["of_denoised_before"]) * before
            if step["deviation"]:
                noisy = noisy + np.float32(step["deviation"]) * drawn[:, number + 1]
            before = denoised
        actions = self._apply(told["box"], noisy)
        values = [self._run(head, np.concatenate([repeated, actions], axis=1)) for head in told["critics"]]
        scores = np.float32(told["value_scale"]) * np.min(values, axis=0).reshape(batch, candidates) + gumbel
        each, best = actions.reshape(batch, candidates, -1), np.argsort(-scores, axis=1)[:, : told["averaged"]]
        return [np.take_along_axis(each, best[:, :, None], axis=1).mean(axis=1), scores]

    def _denoised(self, told: Mapping[str, Any], noisy: Values, level: int, observations: Values) -> Values:
        """The action that the predictor sees behind a noisy one, in [-1, 1]."""
        half = self._arrays[told["embedding"][0]["weight"]].shape[0] // 2
        angles = (level - 1) * _WAVELENGTHS ** -(np.arange(half) / (half - 1))
        waves = np.concatenate([np.sin(angles), np.cos(angles)]).astype(np.float32)
        time = np.broadcast_to(self._run(told["embedding"], waves[None]), (len(noisy), half * 2))
        noise = self._run(told["predictor"], np.concatenate([noisy, time, observations], axis=1))
        alpha = np.float32(told["signal_scale"][level])
        return np.clip((noisy - np.sqrt(1 - alpha**2) * noise) / alpha, -1, 1)
