"""ReBRAC: TD3+BC with decoupled penalties for actor and critic (Tarasov et al., 2023)."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from seemrl.agents.agent import Info, Transitions
from seemrl.agents.config import TD3BCConfig
from seemrl.agents.rebrac_config import ReBRACConfig
from seemrl.agents.td3_bc import TD3BC
from seemrl.networks.mlp import DeterministicActor


class ReBRAC(TD3BC):
    """TD3+BC whose target pays for distance from the action that was taken next.

    A reading is `TD3BC`'s. The penalty does not depend on the critic, so the kernels, SEEM and the rate are exact; the
    TD error and the flow are those of the rewards without it.
    """

    critic_bc_weight: Float[Array, ""]

    @classmethod
    def create(
        cls, config: TD3BCConfig, observation_size: int, low: tuple[float, ...], high: tuple[float, ...], seed: int
    ) -> "ReBRAC":
        """A fresh learner; everything random in its life derives from ``seed``."""
        assert isinstance(config, ReBRACConfig)
        parts = cls._parts(config, observation_size, low, high, seed)
        return cls(**parts, critic_bc_weight=jnp.asarray(config.critic_bc_weight, jnp.float32))

    def next_values(
        self, next_q: Float[Array, " batch"], batch: Transitions, next_actions: Float[Array, "batch action"]
    ) -> tuple[Float[Array, " batch"], Info]:
        """The smaller target head, less beta_2 |a' - the action taken next|^2 where that is known (section 3)."""
        assert batch.next_actions is not None and batch.next_actions_known is not None
        penalty = batch.next_actions_known * jnp.sum((next_actions - batch.next_actions) ** 2, axis=1)
        return next_q - self.critic_bc_weight * penalty, {"next_bc_mse": jnp.mean(penalty)}

    def actor_loss(self, actor: DeterministicActor, batch: Transitions) -> tuple[Array, Info]:
        """beta_1 |pi(s) - a|^2 - q_weight min Q / mean |min Q| (section 3)."""
        actions = actor(batch.observations)
        q = jnp.min(self.critic(batch.observations, actions), axis=0)
        q_term = self.scalars.q_weight * jnp.mean(q) / jax.lax.stop_gradient(jnp.mean(jnp.abs(q)))
        squares = (actions - batch.actions) ** 2
        loss = self.scalars.bc_weight * jnp.mean(jnp.sum(squares, axis=1)) - q_term
        return loss, {"actor_loss": loss, "bc_mse": jnp.mean(squares), "policy_q_mean": jnp.mean(q)}
