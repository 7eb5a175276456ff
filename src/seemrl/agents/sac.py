"""SAC: soft actor-critic with an automatic temperature (Haarnoja et al., 2018, arXiv 1812.05905).

With more than two heads it is SAC-N (An et al., 2021), which needs nothing else to learn from logged data.
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from seemrl.agents.agent import (
    Agent,
    Data,
    Info,
    Measured,
    Transitions,
    against_smallest_target,
    descend,
    follow,
    improve,
    start_optimizer,
)
from seemrl.agents.config import OptimizerName
from seemrl.agents.losses import bootstrapped, joint_values, td_loss
from seemrl.agents.sac_config import SACConfig
from seemrl.networks.gaussian import SquashedGaussianActor
from seemrl.networks.mlp import TwinCritic

_LOG_DEVIATIONS = (-5.0, 2.0)
"""What the policy's log standard deviation is clipped to, as in EDAC's reference implementation."""


class Scalars(NamedTuple):
    """The hyperparameters that enter the update as numbers: runs that differ in them share one compiled program."""

    discount: Float[Array, ""]
    target_rate: Float[Array, ""]
    target_entropy: Float[Array, ""]


class SAC(Agent):
    """Critics that share the smallest head's target, a random actor, the entropy's temperature."""

    critic: TwinCritic
    target_critic: TwinCritic
    actor: SquashedGaussianActor
    log_temperature: Float[Array, ""]
    critic_optimizer_state: PyTree
    actor_optimizer_state: PyTree
    temperature_optimizer_state: PyTree
    scalars: Scalars
    optimizer: OptimizerName = eqx.field(static=True)

    @classmethod
    def create(
        cls, config: SACConfig, observation_size: int, low: tuple[float, ...], high: tuple[float, ...], seed: int
    ) -> "SAC":
        """A fresh learner; everything random in its life derives from ``seed``."""
        return cls(**cls._parts(config, observation_size, low, high, seed))

    @classmethod
    def _parts(
        cls, config: SACConfig, observation_size: int, low: tuple[float, ...], high: tuple[float, ...], seed: int
    ) -> dict[str, Any]:
        critic_key, actor_key, key = jax.random.split(jax.random.key(seed), 3)
        sizes = config.hidden_sizes
        layout = config.critic_layout
        critic = TwinCritic(observation_size, len(low), sizes, heads=config.heads, **layout, key=critic_key)
        actor = SquashedGaussianActor(
            observation_size, low, high, sizes, log_deviations=_LOG_DEVIATIONS, **config.actor_layout, key=actor_key
        )
        log_temperature = jnp.log(jnp.asarray(config.initial_temperature, jnp.float32))
        entropy = -float(len(low)) if config.target_entropy is None else config.target_entropy
        scalars = Scalars(*(jnp.asarray(value) for value in (config.discount, config.target_rate, float(entropy))))
        return {
            "key": key,
            "step": jnp.zeros((), jnp.int32),
            "critic": critic,
            "target_critic": critic,  # arrays never change in place: sharing them is safe
            "actor": actor,
            "log_temperature": log_temperature,
            "critic_optimizer_state": start_optimizer(config.optimizer, config.critic_learning_rate, critic),
            "actor_optimizer_state": start_optimizer(config.optimizer, config.actor_learning_rate, actor),
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

    def measured(self) -> Measured:
        """All heads against the smallest target head; the entropy in the target is no function of the critic."""
        return against_smallest_target(self)

    def target_actions(self, next_observations: Float[Array, "batch observation"], key: PRNGKeyArray) -> Array:
        """Draws from the live policy, which the target uses."""
        return self.actor.sample(next_observations, key)[0]

    def critic_loss(self, critic: TwinCritic, batch: Transitions, key: PRNGKeyArray) -> tuple[Array, Info]:
        """Sum over heads of the mean squared error against r + discount (min_i Q_i' - alpha log pi) (eq. 3, 5)."""
        next_actions, log_density = self.actor.sample(batch.next_observations, key)
        q, next_q = joint_values(critic, self.target_critic, batch, next_actions)
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

    def update(self, data: Data, batch_size: int) -> tuple["SAC", Info]:
        """One update of the temperature, the actor and the critic, in this order, and one move of the target."""
        batch, key = self.draw(data, batch_size)
        actor_key, critic_key = jax.random.split(key)
        agent, actor_info = self._update_actor(self.draw_for_actor(data, batch), actor_key)
        agent, info = agent._update_critic(batch, critic_key)
        return agent, info | actor_info

    def _update_actor(self, batch: Transitions, key: PRNGKeyArray) -> tuple["SAC", Info]:
        agent, info = improve(self, "actor", self.actor_loss, batch, key)
        gradient = jax.grad(self.temperature_loss)(self.log_temperature, info["entropy"])
        log_temperature, state = descend(
            self.optimizer, self.log_temperature, gradient, self.temperature_optimizer_state
        )
        agent = agent.replace(log_temperature=log_temperature, temperature_optimizer_state=state)
        return agent, info | {"temperature": jnp.exp(log_temperature)}

    def _update_critic(self, batch: Transitions, key: PRNGKeyArray) -> tuple["SAC", Info]:
        agent, info = improve(self, "critic", self.critic_loss, batch, key)
        target = follow(agent.target_critic, agent.critic, agent.scalars.target_rate)
        return agent.replace(target_critic=target, step=agent.step + 1), info
