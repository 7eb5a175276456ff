"""Hyperparameters that agents with a diffusion model share; imports nothing heavy."""

from dataclasses import dataclass
from typing import Any, Literal

from seemrl.agents.config import CriticConfig
from seemrl.errors import require_option
from seemrl.networks.diffusion_options import Sampler


@dataclass(frozen=True, kw_only=True)
class DiffusionConfig(CriticConfig):
    """What agents with a critic and a diffusion model of actions have."""

    diffusion_steps: int = 5
    """Noise levels of the diffusion model (T in Diffusion-QL)."""
    sampler: Sampler = "ancestral"
    """From noise to action: at random through every level, or along the probability flow in few steps."""
    solver_steps: int = 3
    """Evaluations of the diffusion model's network by dpm_solver, at most --diffusion-steps."""
    solver_order: Literal[1, 2] = 2
    """Order of dpm_solver; 1 is DDIM."""

    @property
    def diffusion_layout(self) -> dict[str, Any]:
        """Levels and sampler, as `DiffusionPolicy` takes them."""
        return {
            "levels": self.diffusion_steps,
            "sampler": self.sampler,
            "solver_steps": self.solver_steps,
            "solver_order": self.solver_order,
        }

    def check(self) -> None:
        """Refuse settings that no diffusion model can have."""
        super().check()
        self._at_least_one("diffusion_steps")
        steps_fit = 1 <= self.solver_steps <= self.diffusion_steps
        require_option(
            steps_fit or self.sampler == "ancestral",
            "solver_steps",
            self.solver_steps,
            f"from 1 to the {self.diffusion_steps} of --diffusion-steps",
        )
