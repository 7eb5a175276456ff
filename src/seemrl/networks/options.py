"""The words that choose a network; imports nothing, so that a command line can list them at once."""

from typing import Literal

Norm = Literal["none", "layer", "rms"]
"""Normaliser of hidden layers: LayerNorm or RMSNorm."""

Placement = Literal["pre", "post"]
"""Normalise before or after the activation."""

Activation = Literal["relu", "elu", "gelu", "tanh", "mish"]
"""What stands after each hidden layer."""
