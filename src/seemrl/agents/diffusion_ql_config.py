"""Hyperparameters of Diffusion-QL; imports nothing heavy."""

from dataclasses import dataclass
from typing import ClassVar

from seemrl.agents.config import AgentName
from seemrl.agents.diffusion_config import DiffusionConfig
from seemrl.errors import require_option


@dataclass(frozen=True, kw_only=True)
class DiffusionQLConfig(DiffusionConfig):
    """Hyperparameters of Diffusion-QL; the defaults are the published ones that tasks share."""

    agent: ClassVar[AgentName] = "diffusion_ql"

    hidden_sizes: tuple[int, ...] = (256, 256, 256)
    """Units of each hidden layer, critic and policy alike."""
    actor_learning_rate: float = 3e-4
    """Step size of the policy."""
    diffusion_weight: float = 1.0
    """Weight of the denoising loss, which clones the behaviour; 0: the policy follows the critic alone."""
    q_weight: float = 1.0
    """Weight of the value term, divided by mean |Q| (eta in Diffusion-QL)."""
    backup_actions: int = 1
    """Actions drawn at each next observation; above 1, each target head takes its best (max-Q backup, published with
    10)."""
    evaluation_actions: int = 50
    """Actions drawn at each observation in evaluation; one is played, at random by the softmax of its
    target value."""
    critic_gradient_norm: float | None = None
    """Longest gradient of the critic's loss; longer ones are shortened to it. None: no bound."""
    actor_gradient_norm: float | None = None
    """Longest gradient of the policy's loss; longer ones are shortened to it. None: no bound."""
    target_policy_rate: float = 0.005
    """How far the target policy moves to the live one at each move."""
    target_policy_period: int = 5
    """Updates between moves of the target policy."""
    target_policy_start: int = 1000
    """Updates before the target policy first moves; until then it is the policy of the start."""

    def check(self) -> None:
        """Refuse settings that Diffusion-QL cannot have."""
        super().check()
        self._positive("actor_learning_rate")
        self._not_negative("diffusion_weight", "q_weight", "target_policy_start")
        self._at_least_one("backup_actions", "evaluation_actions", "target_policy_period")
        require_option(0 < self.target_policy_rate <= 1, "target_policy_rate", self.target_policy_rate, "in (0, 1]")
        for name in ("critic_gradient_norm", "actor_gradient_norm"):
            if getattr(self, name) is not None:
                self._positive(name)
