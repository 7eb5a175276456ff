"""The words that choose a network; imports nothing, so that a command line can list them at once."""

from typing import Literal

Norm = Literal["none", "layer"]
"""Normaliser of hidden layers."""

Placement = Literal["pre", "post"]
"""Normalise before or after the activation."""
