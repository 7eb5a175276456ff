"""What SAC, its ensembles and CrossQ share: a random actor whose entropy a temperature holds at a target.

Haarnoja et al. (2018), arXiv 1812.05905; equations are numbered as there.
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from seemrl.agents.agent import Agent, Info, Transitions, descend, improve, start_optimizer
from seemrl.agents.config import OptimizerName
from seemrl.agents.losses import bootstrapped, joint_values, td_loss
from seemrl.agents.sac_config import SoftActorCriticConfig
from seemrl.networks.gaussian import SquashedGaussianActor
from seemrl.networks.mlp import TwinCritic

_LOG_DEVIATIONS = (-5.0, 2.0)
"""What the policy's log standard deviation is clipped to, as in EDAC's reference implementation."""


class Scalars(NamedTuple):
    """The hyperparameters that enter the update as numbers: runs that differ in them share one compiled program."""

    discount: Float[Array, ""]
    target_rate: Float[Array, ""]
    target_entropy: Float[Array, ""]


class SoftActorCritic(Agent):
    """A critic of several heads, a random actor, the entropy's temperature."""

    critic: TwinCritic
    actor: SquashedGaussianActor
    log_temperature: Float[Array, ""]
    critic_optimizer_state: PyTree
    actor_optimizer_state: PyTree
    temperature_optimizer_state: PyTree
    scalars: Scalars
    optimizer: OptimizerName = eqx.field(static=True)

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
        """All that is here, fresh; the decay is that of Adam's first moments of critic and actor."""
        critic_key, actor_key, key = jax.random.split(jax.random.key(seed), 3)
        sizes, layout = config.sizes_of("critic"), config.critic_layout
        critic = TwinCritic(observation_size, len(low), sizes, heads=config.heads, **layout, key=critic_key)
        sizes, layout = config.sizes_of("actor"), config.actor_layout
        actor = SquashedGaussianActor(
            observation_size, low, high, sizes, log_deviations=_LOG_DEVIATIONS, **layout, key=actor_key
        )
        log_temperature = jnp.log(jnp.asarray(config.initial_temperature, jnp.float32))
        entropy = -float(len(low)) if config.target_entropy is None else config.target_entropy
        target_rate = getattr(config, "target_rate", 1.0)
        scalars = Scalars(*(jnp.asarray(value) for value in (config.discount, target_rate, float(entropy))))
        decay = first_moment_decay
        return {
            "key": key,
            "step": jnp.zeros((), jnp.int32),
            "critic": critic,
            "actor": actor,
            "log_temperature": log_temperature,
            "critic_optimizer_state": start_optimizer(config.optimizer, config.critic_learning_rate, critic, decay),
            "actor_optimizer_state": start_optimizer(config.optimizer, config.actor_learning_rate, actor, decay),
            "temperature_optimizer_state": start_optimizer(
                config.optimizer, config.temperature_learning_rate, log_temperature
            ),
            "scalars": scalars,
            "optimizer": config.optimizer,
        }

    def act(self, observations: Float[Array, "batch observation"]) -> Float[Array, "batch action"]:
        """The actions at the policy's mean."""
        return self.actor(observations)

    def explore(self, observations: Float[Array, "batch observation"], key: PRNGKeyArray) -> Array:
        """Draws from the policy."""
        return self.actor.sample(observations, key)[0]

    def target_actions(self, next_observations: Float[Array, "batch observation"], key: PRNGKeyArray) -> Array:
        """Draws from the live policy, which the target uses."""
        return self.actor.sample(next_observations, key)[0]

    def soft_td_loss(
        self, critic: TwinCritic, target_critic: TwinCritic | None, batch: Transitions, key: PRNGKeyArray
    ) -> tuple[Array, Info]:
        """Sum over heads of the mean squared error against r + discount (min_i Q_i' - alpha log pi) (eq. 3, 5).

        ``target_critic`` is None where the critic is its own target.
        """
        next_actions, log_density = self.actor.sample(batch.next_observations, key)
        q, next_q = joint_values(critic, target_critic, batch, next_actions)
        soft_q = jnp.min(next_q, axis=0) - jnp.exp(self.log_temperature) * log_density
        loss, info = td_loss(q, bootstrapped(batch, self.scalars.discount, soft_q))
        return loss, info | {"q_std": jnp.mean(jnp.std(q, axis=0))}

    def actor_loss(self, actor: SquashedGaussianActor, batch: Transitions, key: PRNGKeyArray) -> tuple[Array, Info]:
        """Alpha log pi - min_i Q_i at draws from the policy (eq. 7)."""
        actions, log_density = actor.sample(batch.observations, key)
        q = jnp.min(self.critic(batch.observations, actions), axis=0)
        loss = jnp.mean(jax.lax.stop_gradient(jnp.exp(self.log_temperature)) * log_density - q)
        return loss, {"actor_loss": loss, "policy_q_mean": jnp.mean(q), "entropy": -jnp.mean(log_density)}

    def temperature_loss(self, log_temperature: Float[Array, ""], entropy: Float[Array, ""]) -> Float[Array, ""]:
        """Alpha (entropy - target entropy) (eq. 18): it falls while the policy is more random than wanted."""
        return jnp.exp(log_temperature) * jax.lax.stop_gradient(entropy - self.scalars.target_entropy)

    def improve_actor(self, batch: Transitions, key: PRNGKeyArray) -> tuple[Any, Info]:
        """One step of the actor, then one of the temperature."""
        agent, info = improve(self, "actor", self.actor_loss, batch, key)
        gradient = jax.grad(self.temperature_loss)(self.log_temperature, info["entropy"])
        log_temperature, state = descend(
            self.optimizer, self.log_temperature, gradient, self.temperature_optimizer_state
        )
        agent = agent.replace(log_temperature=log_temperature, temperature_optimizer_state=state)
        return agent, info | {"temperature": jnp.exp(log_temperature)}
