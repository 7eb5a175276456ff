"""Hyperparameters of SfBC; imports nothing heavy."""

from dataclasses import dataclass
from typing import ClassVar

from seemrl.agents.config import AgentName
from seemrl.agents.diffusion_config import DiffusionConfig
from seemrl.errors import require_option
from seemrl.networks.diffusion_options import Sampler


@dataclass(frozen=True, kw_only=True)
class SfBCConfig(DiffusionConfig):
    """Hyperparameters of SfBC; the defaults are the published ones for locomotion, with fewer steps of the solver."""

    agent: ClassVar[AgentName] = "sfbc"

    heads: int = 1
    """Critics; targets and the choice of actions take the smallest. Published: 1."""
    critic_learning_rate: float = 1e-3
    """Step size of the critic."""
    behaviour_hidden_sizes: tuple[int, ...] = (256, 256, 256)
    """Units of each hidden layer of the behaviour model; those of the critic are --hidden-sizes."""
    behaviour_learning_rate: float = 1e-4
    """Step size of the behaviour model."""
    inverse_temperature: float = 20.0
    """Targets weigh candidate actions by exp(this times Q), Q in deviations of the targets (alpha in SfBC)."""
    backup_actions: int = 16
    """Candidate actions drawn from the behaviour model at each next observation."""
    evaluation_actions: int = 32
    """Candidate actions drawn at each observation in evaluation."""
    evaluation_inverse_temperature: float = 100.0
    """The inverse temperature by which candidates are chosen in evaluation; published as all but greedy."""
    averaged_actions: int = 4
    """Candidates chosen in evaluation, of which the mean is played. Published: 4 on locomotion, 1 elsewhere."""
    diffusion_steps: int = 15
    """Noise levels of the behaviour model."""
    sampler: Sampler = "dpm_solver"
    """From noise to action: at random through every level, or along the probability flow in few steps."""
    solver_steps: int = 5
    """Evaluations of the behaviour model's network by dpm_solver, at most --diffusion-steps. Published: 15."""

    def check(self) -> None:
        """Refuse settings that SfBC cannot have."""
        super().check()
        self._positive("behaviour_learning_rate")
        self._not_negative("inverse_temperature", "evaluation_inverse_temperature")
        self._at_least_one("heads", "backup_actions", "evaluation_actions", "averaged_actions")
        self._sizes_fit("behaviour_hidden_sizes")
        enough = self.averaged_actions <= self.evaluation_actions
        wanted = f"at most the {self.evaluation_actions} of --evaluation-actions"
        require_option(enough, "averaged_actions", self.averaged_actions, wanted)
