"""CQL: conservative Q-learning, the variant CQL(H) on top of SAC (Kumar et al., 2020)."""

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
from seemrl.agents.config import OptimizerName
from seemrl.agents.cql_config import CQLConfig
from seemrl.agents.losses import bootstrapped, td_loss
from seemrl.networks.gaussian import SquashedGaussianActor
from seemrl.networks.mlp import TwinCritic

_LOG_DEVIATIONS = (-20.0, 2.0)
"""What the policy's log standard deviation is clipped to, as in the reference implementation."""


class Scalars(NamedTuple):
    """The hyperparameters that enter the update as numbers: runs that differ in them share one compiled program."""

    discount: Float[Array, ""]
    target_rate: Float[Array, ""]
    conservative_weight: Float[Array, ""]
    conservative_temperature: Float[Array, ""]


class CQL(Agent):
    """Twin critics and their targets, a squashed Gaussian policy and the weight of its entropy."""

    critic: TwinCritic
    target_critic: TwinCritic
    actor: SquashedGaussianActor
    log_entropy_weight: Float[Array, ""]
    critic_optimizer_state: PyTree
    actor_optimizer_state: PyTree
    log_entropy_weight_optimizer_state: PyTree
    scalars: Scalars
    optimizer: OptimizerName = eqx.field(static=True)
    sampled_actions: int = eqx.field(static=True)

    @classmethod
    def create(
        cls, config: CQLConfig, observation_size: int, low: tuple[float, ...], high: tuple[float, ...], seed: int
    ) -> "CQL":
        """A fresh learner; everything random in its life derives from ``seed``."""
        critic_key, actor_key, key = jax.random.split(jax.random.key(seed), 3)
        critic = TwinCritic(observation_size, len(low), config.hidden_sizes, **config.critic_layout, key=critic_key)
        actor = SquashedGaussianActor(
            observation_size,
            low,
            high,
            config.hidden_sizes,
            log_deviations=_LOG_DEVIATIONS,
            **config.actor_layout,
            key=actor_key,
        )
        log_entropy_weight = jnp.log(jnp.asarray(config.entropy_weight, jnp.float32))
        return cls(
            key=key,
            step=jnp.zeros((), jnp.int32),
            critic=critic,
            target_critic=critic,
            actor=actor,
            log_entropy_weight=log_entropy_weight,
            critic_optimizer_state=start_optimizer(config.optimizer, config.critic_learning_rate, critic),
            actor_optimizer_state=start_optimizer(config.optimizer, config.actor_learning_rate, actor),
            log_entropy_weight_optimizer_state=start_optimizer(
                config.optimizer, config.actor_learning_rate, log_entropy_weight
            ),
            scalars=numbers_of(Scalars, config),
            optimizer=config.optimizer,
            sampled_actions=config.sampled_actions,
        )

    def act(self, observations: Float[Array, "batch observation"]) -> Float[Array, "batch action"]:
        """The image of the policy's mean."""
        return self.actor(observations)

    def target_actions(self, next_observations: Float[Array, "batch observation"], key: PRNGKeyArray) -> Array:
        """One draw of the policy for each observation."""
        return self.actor.sample(next_observations, key)[0]

    def measured(self) -> Measured:
        """Both heads against the smaller target head: the TD term of the critic's loss.

        The conservative term is not in it. Its gradient lowers values of sampled actions and raises those of the data
        whatever the error is, so it enters the errors' dynamics as a drive that the reading does not know, and growth
        foretold from the flow is that of the TD term alone.
        """
        return against_smallest_target(self)

    def critic_loss(self, critic: TwinCritic, batch: Transitions, key: PRNGKeyArray) -> tuple[Array, Info]:
        """The TD loss, and conservative_weight times the conservative term of each head (equation 4)."""
        target_key, conservative_key = jax.random.split(key)
        next_actions = self.target_actions(batch.next_observations, target_key)
        next_q = jnp.min(self.target_critic(batch.next_observations, next_actions), axis=0)
        values = critic(batch.observations, batch.actions)
        loss, info = td_loss(values, bootstrapped(batch, self.scalars.discount, next_q))
        gap = self._soft_maximum(critic, batch, conservative_key) - values
        conservative = self.scalars.conservative_weight * jnp.sum(jnp.mean(gap, axis=1))
        return loss + conservative, info | {"conservative_loss": conservative, "conservative_gap": jnp.mean(gap)}

    def actor_loss(self, actor: SquashedGaussianActor, batch: Transitions, key: PRNGKeyArray) -> tuple[Array, Info]:
        """SAC's: entropy_weight log pi - min Q, at one draw."""
        actions, log_probability = actor.sample(batch.observations, key)
        q = jnp.min(self.critic(batch.observations, actions), axis=0)
        loss = jnp.mean(jnp.exp(self.log_entropy_weight) * log_probability - q)
        return loss, {"actor_loss": loss, "policy_q_mean": jnp.mean(q), "entropy": -jnp.mean(log_probability)}

    def log_entropy_weight_loss(self, log_weight: Array, batch: Transitions, key: PRNGKeyArray) -> tuple[Array, Info]:
        """Raises the weight where the entropy is below -1 per action dimension, lowers it above."""
        _, log_probability = self.actor.sample(batch.observations, key)
        loss = -jnp.mean(log_weight * (log_probability - len(self.actor.low)))
        return loss, {"entropy_weight": jnp.exp(log_weight)}

    def update(self, data: Data, batch_size: int) -> tuple["CQL", Info]:
        """Entropy weight, policy and critic, each by what the others were before; then the target moves."""
        batch, key = self.draw(data, batch_size)
        critic_key, actor_key = jax.random.split(key)
        agent, weight_info = improve(self, "log_entropy_weight", self.log_entropy_weight_loss, batch, actor_key)
        for_actor = self.draw_for_actor(data, batch)
        agent, actor_info = improve(agent, "actor", self.actor_loss, for_actor, actor_key)
        agent, critic_info = improve(agent, "critic", self.critic_loss, batch, critic_key)
        target = follow(self.target_critic, agent.critic, self.scalars.target_rate)
        return agent.replace(target_critic=target, step=agent.step + 1), critic_info | actor_info | weight_info

    def _soft_maximum(self, critic: TwinCritic, batch: Transitions, key: PRNGKeyArray) -> Float[Array, "heads batch"]:
        """Temperature log sum exp over sampled actions of (Q / temperature - log density) (appendix F)."""
        count, temperature = self.sampled_actions, self.scalars.conservative_temperature
        uniform_key, *policy_keys = jax.random.split(key, 3)
        observations = jnp.tile(batch.observations, (count, 1))
        low, high = jnp.asarray(self.actor.low), jnp.asarray(self.actor.high)
        uniform = jax.random.uniform(uniform_key, (len(observations), len(low)), minval=low, maxval=high)
        kinds = [(uniform, -len(low) * jnp.log(2.0))]  # densities are of actions in half-widths of the box
        for seen, policy_key in zip((batch.observations, batch.next_observations), policy_keys, strict=True):
            kinds.append(jax.lax.stop_gradient(self.actor.sample(jnp.tile(seen, (count, 1)), policy_key)))
        terms = [critic(observations, actions) / temperature - density for actions, density in kinds]
        each = [term.reshape(len(term), count, -1) for term in terms]
        return temperature * jax.nn.logsumexp(jnp.concatenate(each, axis=1), axis=1)
