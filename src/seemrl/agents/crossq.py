"""CrossQ: SAC without target networks, with BatchNorm over (s, a) and (s', a') in one pass (Bhatt et al., 2024).

arXiv 1902.05605, section 4.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from seemrl.agents.agent import Data, Info, Measured, Transitions, against_smallest_target, improve
from seemrl.agents.crossq_config import CrossQConfig
from seemrl.agents.soft_actor_critic import SoftActorCritic
from seemrl.networks.mlp import TwinCritic


class CrossQ(SoftActorCritic):
    """A critic that is its own target, a random actor that moves less often, the entropy's temperature.

    Attributes:
        actor_metrics: those of the actor's last update.
        policy_frequency: critic updates per actor update.
    """

    actor_metrics: Info
    policy_frequency: int = eqx.field(static=True)

    @classmethod
    def create(
        cls, config: CrossQConfig, observation_size: int, low: tuple[float, ...], high: tuple[float, ...], seed: int
    ) -> "CrossQ":
        """A fresh learner; everything random in its life derives from ``seed``."""
        parts = cls._parts(config, observation_size, low, high, seed, config.first_moment_decay)
        none_yet = {name: jnp.zeros(()) for name in ("actor_loss", "policy_q_mean", "entropy", "temperature")}
        return cls(**parts, actor_metrics=none_yet, policy_frequency=config.policy_frequency)

    @property
    def target_critic(self) -> TwinCritic:
        """The critic itself."""
        return self.critic

    def measured(self) -> Measured:
        """All heads against the smallest one, without averaging; the target's entropy is no function of the critic."""
        return against_smallest_target(self)

    def critic_loss(self, critic: TwinCritic, batch: Transitions, key: PRNGKeyArray) -> tuple[Array, Info]:
        """The soft TD error, both sides of it from one pass of the critic (section 4.2)."""
        return self.soft_td_loss(critic, None, batch, key)

    def update(self, data: Data, batch_size: int) -> tuple["CrossQ", Info]:
        """One update of the critic; of actor and temperature at the first and every ``policy_frequency``th after it."""
        batch, key = self.draw(data, batch_size)
        critic_key, actor_key = jax.random.split(key)
        agent, info = improve(self, "critic", self.critic_loss, batch, critic_key)

        def with_the_actor() -> Any:
            moved, metrics = agent.improve_actor(self.draw_for_actor(data, batch), actor_key)
            return moved.replace(actor_metrics=metrics)

        agent = jax.lax.cond(self.step % self.policy_frequency == 0, with_the_actor, lambda: agent)
        return agent.replace(step=self.step + 1), info | agent.actor_metrics
