"""AWAC: advantage-weighted actor-critic (Nair et al., 2020), on logged data."""

from typing import NamedTuple

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
    follow,
    improve,
    numbers_of,
    start_optimizer,
)
from seemrl.agents.awac_config import AWACConfig
from seemrl.agents.config import OptimizerName
from seemrl.agents.losses import advantage_weights, bootstrapped, joint_values, td_loss
from seemrl.networks.gaussian import GaussianActor
from seemrl.networks.mlp import TwinCritic

_LOG_DEVIATIONS = (-6.0, 0.0)  # of the policy, as in the reference implementation


class Scalars(NamedTuple):
    """The hyperparameters that enter the update as numbers: runs that differ in them share one compiled program."""

    discount: Float[Array, ""]
    target_rate: Float[Array, ""]
    temperature: Float[Array, ""]
    largest_weight: Float[Array, ""]


class AWAC(Agent):
    """Twin critics and their targets, a Gaussian policy."""

    critic: TwinCritic
    target_critic: TwinCritic
    actor: GaussianActor
    critic_optimizer_state: PyTree
    actor_optimizer_state: PyTree
    scalars: Scalars
    optimizer: OptimizerName = eqx.field(static=True)

    @classmethod
    def create(
        cls, config: AWACConfig, observation_size: int, low: tuple[float, ...], high: tuple[float, ...], seed: int
    ) -> "AWAC":
        """A fresh learner; everything random in its life derives from ``seed``."""
        critic_key, actor_key, key = jax.random.split(jax.random.key(seed), 3)
        critic = TwinCritic(observation_size, len(low), config.hidden_sizes, **config.critic_layout, key=critic_key)
        actor = GaussianActor(
            observation_size,
            low,
            high,
            config.hidden_sizes,
            **config.actor_layout,
            log_deviations=_LOG_DEVIATIONS,
            key=actor_key,
        )
        return cls(
            key=key,
            step=jnp.zeros((), jnp.int32),
            critic=critic,
            target_critic=critic,
            actor=actor,
            critic_optimizer_state=start_optimizer(config.optimizer, config.critic_learning_rate, critic),
            actor_optimizer_state=start_optimizer(config.optimizer, config.actor_learning_rate, actor),
            scalars=numbers_of(Scalars, config),
            optimizer=config.optimizer,
        )

    def act(self, observations: Float[Array, "batch observation"]) -> Float[Array, "batch action"]:
        """The policy's mean."""
        return self.actor.mean(observations)

    def target_actions(self, next_observations: Float[Array, "batch observation"], key: PRNGKeyArray) -> Array:
        """One draw of the policy for each observation, inside the box."""
        return self.actor.sample(next_observations, key)

    def measured(self) -> Measured:
        """Both heads against the smaller target head: the critic's whole loss."""
        return against_smallest_target(self)

    def critic_loss(self, critic: TwinCritic, batch: Transitions, key: PRNGKeyArray) -> tuple[Array, Info]:
        """Sum over heads of the mean squared TD error against the smaller target head (Algorithm 1)."""
        next_actions = self.target_actions(batch.next_observations, key)
        values, next_q = joint_values(critic, self.target_critic, batch, next_actions)
        return td_loss(values, bootstrapped(batch, self.scalars.discount, jnp.min(next_q, axis=0)))

    def actor_loss(self, actor: GaussianActor, batch: Transitions, key: PRNGKeyArray) -> tuple[Array, Info]:
        """Minus the log density of the data's actions, weighted by exp(A / temperature) (Algorithm 1).

        The advantage is min Q(s, a) - min Q(s, a'), with a' one draw of the policy.
        """
        drawn = self.actor.sample(batch.observations, key)
        q, policy_q = (jnp.min(self.critic(batch.observations, a), axis=0) for a in (batch.actions, drawn))
        weights = advantage_weights(q - policy_q, 1 / self.scalars.temperature, self.scalars.largest_weight)
        loss = -jnp.mean(weights * actor.log_probability(batch.observations, batch.actions))
        bc_mse = jnp.mean((actor.mean(batch.observations) - batch.actions) ** 2)
        info = {"actor_loss": loss, "bc_mse": bc_mse, "weight_mean": jnp.mean(weights)}
        return loss, info | {"advantage_mean": jnp.mean(q - policy_q), "policy_q_mean": jnp.mean(policy_q)}

    def update(self, data: Data, batch_size: int) -> tuple["AWAC", Info]:
        """Critic, then policy by the critic as it has become; then the target moves."""
        batch, key = self.draw(data, batch_size)
        critic_key, actor_key = jax.random.split(key)
        agent, critic_info = improve(self, "critic", self.critic_loss, batch, critic_key)
        for_actor = self.draw_for_actor(data, batch)
        agent, actor_info = improve(agent, "actor", agent.actor_loss, for_actor, actor_key)
        target = follow(agent.target_critic, agent.critic, agent.scalars.target_rate)
        return agent.replace(target_critic=target, step=agent.step + 1), critic_info | actor_info
