"""A d3rlpy encoder with LayerNorm before each activation, so that learners save and load as ever.

``TD3PlusBCConfig(critic_encoder_factory=LayerNormEncoderFactory())``. d3rlpy's own ``use_layer_norm=True`` puts it
behind the activation. Normalisers put into a built learner are lost when d3rlpy builds it anew from its config.
"""

# pyright: reportMissingImports=false, reportUntypedBaseClass=false, reportUnknownVariableType=false

from dataclasses import dataclass
from typing import Any

import torch

from seemrl.integrations.library import load

load("d3rlpy", "d3rlpy")

from d3rlpy.models.encoders import VectorEncoderFactory, register_encoder_factory  # noqa: E402


@dataclass()
class LayerNormEncoderFactory(VectorEncoderFactory):
    """d3rlpy's encoder of vectors, all its options included, with LayerNorm behind every linear layer."""

    def create(self, observation_shape: Any) -> Any:
        """An encoder of observations: critics of discrete actions, and actors."""
        return _normalised(super().create(observation_shape))

    def create_with_action(self, observation_shape: Any, action_size: int, discrete_action: bool = False) -> Any:
        """An encoder of observations and actions: critics of continuous actions."""
        return _normalised(super().create_with_action(observation_shape, action_size, discrete_action))

    @staticmethod
    def get_type() -> str:
        """The name in a saved config; import this module before such a config is loaded."""
        return "seemrl_layer_norm"


def _normalised(encoder: Any) -> Any:
    layers: list[torch.nn.Module] = []
    for layer in encoder._layers:
        layers.append(layer)
        if isinstance(layer, torch.nn.Linear):
            layers.append(torch.nn.LayerNorm(layer.out_features))
    encoder._layers = torch.nn.Sequential(*layers)
    return encoder


register_encoder_factory(LayerNormEncoderFactory)
