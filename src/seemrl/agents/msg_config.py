"""Hyperparameters of MSG; imports nothing heavy."""

import math
from dataclasses import dataclass
from typing import ClassVar

from seemrl.agents.config import AgentName
from seemrl.agents.sac_config import SACConfig
from seemrl.errors import require_option


@dataclass(frozen=True, kw_only=True)
class MSGConfig(SACConfig):
    """Hyperparameters of MSG."""

    agent: ClassVar[AgentName] = "msg"
    joint_passes: ClassVar[bool] = False

    hidden_sizes: tuple[int, ...] = (256, 256, 256)
    """Units of each hidden layer, critic and actor alike."""
    heads: int = 10
    """Critics, each with a target of its own. The paper has 64."""
    pessimism: float = 4.0
    """The actor climbs mean - pessimism * deviation of the heads (minus beta in the paper, which has 4 and 8)."""
    support_weight: float = 0.5
    """Weight of Q at the policy's actions less Q at the data's in the critic's loss (alpha: 0, 0.1, 0.5 or 1)."""

    def check(self) -> None:
        """Refuse settings that MSG cannot have."""
        super().check()
        require_option(self.heads >= 2, "heads", self.heads, "at least 2: the deviation is theirs")
        require_option(math.isfinite(self.pessimism), "pessimism", self.pessimism, "finite")
        self._not_negative("support_weight")
