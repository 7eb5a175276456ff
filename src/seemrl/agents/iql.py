"""IQL: implicit Q-learning (Kostrikov, Nair & Levine, 2021).

Nothing is ever valued that is not in the data: a state's value is an expectile of the critic's values of the actions
taken there, the critic bootstraps from it, and the policy clones actions by their advantage.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from seemrl.agents.agent import Agent, Data, Info, Transitions, follow, improve, numbers_of, start_optimizer
from seemrl.agents.config import OptimizerName
from seemrl.agents.iql_config import IQLConfig
from seemrl.agents.losses import advantage_weights, bootstrapped, expectile_loss, td_loss
from seemrl.networks.gaussian import GaussianActor, StateValue
from seemrl.networks.mlp import TwinCritic

_LOG_DEVIATIONS = (-5.0, 2.0)  # of the policy, as in the reference implementation


class Scalars(NamedTuple):
    """The hyperparameters that enter the update as numbers: runs that differ in them share one compiled program."""

    discount: Float[Array, ""]
    target_rate: Float[Array, ""]
    expectile: Float[Array, ""]
    inverse_temperature: Float[Array, ""]
    largest_weight: Float[Array, ""]


class IQL(Agent):
    """Twin critics and their targets, a state value, a Gaussian policy."""

    critic: TwinCritic
    target_critic: TwinCritic
    value: StateValue
    actor: GaussianActor
    critic_optimizer_state: PyTree
    value_optimizer_state: PyTree
    actor_optimizer_state: PyTree
    scalars: Scalars
    optimizer: OptimizerName = eqx.field(static=True)

    @classmethod
    def create(
        cls, config: IQLConfig, observation_size: int, low: tuple[float, ...], high: tuple[float, ...], seed: int
    ) -> "IQL":
        """A fresh learner; everything random in its life derives from ``seed``."""
        critic_key, value_key, actor_key, key = jax.random.split(jax.random.key(seed), 4)
        critic = TwinCritic(observation_size, len(low), config.hidden_sizes, **config.critic_layout, key=critic_key)
        value = StateValue(observation_size, config.hidden_sizes, **config.critic_layout, key=value_key)
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
            value=value,
            actor=actor,
            critic_optimizer_state=start_optimizer(config.optimizer, config.critic_learning_rate, critic),
            value_optimizer_state=start_optimizer(config.optimizer, config.value_learning_rate, value),
            actor_optimizer_state=start_optimizer(config.optimizer, config.actor_learning_rate, actor),
            scalars=numbers_of(Scalars, config),
            optimizer=config.optimizer,
        )

    def act(self, observations: Float[Array, "batch observation"]) -> Float[Array, "batch action"]:
        """The policy's mean."""
        return self.actor.mean(observations)

    def target_actions(self, next_observations: Float[Array, "batch observation"], key: PRNGKeyArray) -> Array:
        """One draw of the policy; the critic's target asks for none, since it bootstraps from the state value."""
        return self.actor.sample(next_observations, key)

    def measured(self) -> None:
        """None: what the instrument measures is one network that bootstraps from itself.

        Here errors go round through two, critic to value to critic, with a step size each, an average on one side
        only and the expectile's weights on the other. The critic's own operator, -J J^T, never feeds itself, and the
        value network as a critic over states is another algorithm, regressed on r + discount V(s') alone.
        """

    def value_loss(self, value: StateValue, batch: Transitions) -> tuple[Array, Info]:
        """The expectile loss of V(s) towards the smaller target head at the action taken (equation 5)."""
        values = value(batch.observations)
        loss = expectile_loss(self._target_values(batch) - values, self.scalars.expectile)
        return loss, {"value_loss": loss, "value_mean": jnp.mean(values)}

    def critic_loss(self, critic: TwinCritic, batch: Transitions) -> tuple[Array, Info]:
        """Sum over heads of the mean squared error towards r + discount V(s') (equation 6)."""
        targets = bootstrapped(batch, self.scalars.discount, self.value(batch.next_observations))
        return td_loss(critic(batch.observations, batch.actions), targets)

    def actor_loss(self, actor: GaussianActor, batch: Transitions) -> tuple[Array, Info]:
        """Minus the log density of the data's actions, weighted by exp(beta advantage) (equation 7)."""
        advantages = self._target_values(batch) - self.value(batch.observations)
        weights = advantage_weights(advantages, self.scalars.inverse_temperature, self.scalars.largest_weight)
        loss = -jnp.mean(weights * actor.log_probability(batch.observations, batch.actions))
        bc_mse = jnp.mean((actor.mean(batch.observations) - batch.actions) ** 2)
        info = {"actor_loss": loss, "bc_mse": bc_mse, "weight_mean": jnp.mean(weights)}
        return loss, info | {"advantage_mean": jnp.mean(advantages)}

    def update(self, data: Data, batch_size: int) -> tuple["IQL", Info]:
        """State value, then policy, then critic, each by what those before it have become; then the target moves."""
        batch, _ = self.draw(data, batch_size)
        agent, value_info = improve(self, "value", self.value_loss, batch)
        agent, actor_info = improve(agent, "actor", agent.actor_loss, self.draw_for_actor(data, batch))
        agent, critic_info = improve(agent, "critic", agent.critic_loss, batch)
        target = follow(agent.target_critic, agent.critic, agent.scalars.target_rate)
        return agent.replace(target_critic=target, step=agent.step + 1), critic_info | value_info | actor_info

    def _target_values(self, batch: Transitions) -> Float[Array, " batch"]:
        return jnp.min(self.target_critic(batch.observations, batch.actions), axis=0)
