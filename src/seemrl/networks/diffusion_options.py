"""The words that choose how a diffusion policy samples; imports nothing, so a command line lists them at once."""

from typing import Literal

Sampler = Literal["ancestral", "dpm_solver"]
"""From noise to action: at random through every level, or along the probability flow in few steps."""
