"""The words that choose a network; imports nothing, so that a command line can list them at once."""

from typing import Literal

Norm = Literal["none", "layer", "rms", "batch", "weight", "spectral", "sphere", "unit-ball"]
"""Normaliser of hidden layers: of their features, or of their weights (weight, spectral, sphere)."""

WITH_A_PLACE_OF_THEIR_OWN: tuple[Norm, ...] = ("weight", "spectral", "sphere", "unit-ball")
"""Normalisers that stand neither before nor after the activation at will: in the weights, or behind the features that
the last layer takes."""

Placement = Literal["pre", "post"]
"""Normalise before or after the activation."""

Activation = Literal["relu", "elu", "gelu", "tanh", "mish"]
"""What stands after each hidden layer."""

Network = Literal["mlp", "simba", "bro"]
"""Kind of network: plain layers, or residual blocks with LayerNorm of their own."""
