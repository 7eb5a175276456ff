"""SAC: soft actor-critic with an automatic temperature (Haarnoja et al., 2018, arXiv 1812.05905).

With more than two heads it is SAC-N (An et al., 2021), which needs nothing else to learn from logged data.
"""

from typing import Any

import jax
from jaxtyping import Array, PRNGKeyArray

from seemrl.agents.agent import Data, Info, Measured, Transitions, against_smallest_target, follow, improve
from seemrl.agents.sac_config import SACConfig, SoftActorCriticConfig
from seemrl.agents.soft_actor_critic import SoftActorCritic
from seemrl.networks.mlp import TwinCritic


class SAC(SoftActorCritic):
    """Critics that share the smallest head's target, a random actor, the entropy's temperature."""

    target_critic: TwinCritic

    @classmethod
    def create(
        cls, config: SACConfig, observation_size: int, low: tuple[float, ...], high: tuple[float, ...], seed: int
    ) -> "SAC":
        """A fresh learner; everything random in its life derives from ``seed``."""
        return cls(**cls._parts(config, observation_size, low, high, seed))

    @classmethod
    def _parts(
        cls,
        config: SoftActorCriticConfig,
        observation_size: int,
        low: tuple[float, ...],
        high: tuple[float, ...],
        seed: int,
        first_moment_decay: float = 0.9,
    ) -> dict[str, Any]:
        parts = super()._parts(config, observation_size, low, high, seed, first_moment_decay)
        return parts | {"target_critic": parts["critic"]}  # arrays never change in place: sharing them is safe

    def measured(self) -> Measured:
        """All heads against the smallest target head; the entropy in the target is no function of the critic."""
        return against_smallest_target(self)

    def critic_loss(self, critic: TwinCritic, batch: Transitions, key: PRNGKeyArray) -> tuple[Array, Info]:
        """The soft TD error against the target critic."""
        return self.soft_td_loss(critic, self.target_critic, batch, key)

    def update(self, data: Data, batch_size: int) -> tuple["SAC", Info]:
        """One update of the temperature, the actor and the critic, in this order, and one move of the target."""
        batch, key = self.draw(data, batch_size)
        actor_key, critic_key = jax.random.split(key)
        agent, actor_info = self.improve_actor(self.draw_for_actor(data, batch), actor_key)
        agent, info = agent._update_critic(batch, critic_key)
        return agent, info | actor_info

    def _update_critic(self, batch: Transitions, key: PRNGKeyArray) -> tuple["SAC", Info]:
        agent, info = improve(self, "critic", self.critic_loss, batch, key)
        target = follow(agent.target_critic, agent.critic, agent.scalars.target_rate)
        return agent.replace(target_critic=target, step=agent.step + 1), info
