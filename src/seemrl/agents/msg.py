"""MSG: an ensemble of critics with independent targets (Ghasemipour et al., 2022, arXiv 2205.13703)."""

from typing import TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from seemrl.agents.agent import Info, Measured, Transitions
from seemrl.agents.losses import bootstrapped, td_loss
from seemrl.agents.msg_config import MSGConfig
from seemrl.agents.sac import SAC
from seemrl.agents.sac_config import SACConfig
from seemrl.networks.gaussian import SquashedGaussianActor
from seemrl.networks.mlp import TwinCritic

Tree = TypeVar("Tree", bound=PyTree)


class MSG(SAC):
    """Critics that never see each other's targets; an actor that climbs their lower confidence bound."""

    pessimism: Float[Array, ""]
    support_weight: Float[Array, ""]

    @classmethod
    def create(
        cls, config: SACConfig, observation_size: int, low: tuple[float, ...], high: tuple[float, ...], seed: int
    ) -> "MSG":
        """A fresh learner; everything random in its life derives from ``seed``."""
        assert isinstance(config, MSGConfig)
        parts = cls._parts(config, observation_size, low, high, seed)
        pessimism, support = (jnp.asarray(value, jnp.float32) for value in (config.pessimism, config.support_weight))
        return cls(**parts, pessimism=pessimism, support_weight=support)

    def measured(self) -> Measured:
        """The first head against its own target.

        No head's error moves another's, so the operator is one block a head, and the others are alike in law. What the
        support term does is no function of the TD error and not part of it.
        """
        options = super().measured().options | {
            "optimizer": _first_head(self.critic_optimizer_state),
            "heads": "first",
        }
        return Measured(_first_head(self.critic), _first_head(self.target_critic), options)

    def critic_loss(self, critic: TwinCritic, batch: Transitions, key: PRNGKeyArray) -> tuple[Array, Info]:
        """Sum over heads of the mean squared error against the head's own target, and of the support term (sec. 4)."""
        target_key, support_key = jax.random.split(key)
        next_actions = self.target_actions(batch.next_observations, target_key)
        next_q = self.target_critic(batch.next_observations, next_actions)
        q = critic(batch.observations, batch.actions)
        policy_q = critic(batch.observations, jax.lax.stop_gradient(self.explore(batch.observations, support_key)))
        support = jnp.sum(jnp.mean(policy_q - q, axis=1))
        td_error, info = td_loss(q, bootstrapped(batch, self.scalars.discount, next_q))
        loss = td_error + self.support_weight * support
        own = {"critic_loss": loss, "q_std": jnp.mean(jnp.std(q, axis=0)), "support_gap": support / len(critic.heads)}
        return loss, info | own

    def actor_loss(self, actor: SquashedGaussianActor, batch: Transitions, key: PRNGKeyArray) -> tuple[Array, Info]:
        """Alpha log pi - (mean - pessimism * deviation of the heads)."""
        actions, log_density = actor.sample(batch.observations, key)
        q = self.critic(batch.observations, actions)
        bound = jnp.mean(q, axis=0) - self.pessimism * jnp.std(q, axis=0)
        loss = jnp.mean(jax.lax.stop_gradient(jnp.exp(self.log_temperature)) * log_density - bound)
        return loss, {"actor_loss": loss, "policy_q_mean": jnp.mean(bound), "entropy": -jnp.mean(log_density)}


def _first_head(tree: Tree) -> Tree:
    """A critic, or the optimizer's state of one, with its first head alone."""

    def is_critic(node: object) -> bool:
        return isinstance(node, TwinCritic)

    def first(node: PyTree) -> PyTree:
        return eqx.tree_at(lambda critic: critic.heads, node, node.heads[:1]) if is_critic(node) else node

    return jax.tree.map(first, tree, is_leaf=is_critic)
