"""DQN (Mnih et al., 2015), double DQN (van Hasselt et al., 2016) and discrete CQL (Kumar et al., 2020).

One critic over observations values every action; the policy takes the best one. Nothing else is trained.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from seemrl.agents.agent import (
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
from seemrl.agents.dqn_config import DQNConfig
from seemrl.agents.greedy import GreedyAgent
from seemrl.agents.losses import bootstrapped, td_loss
from seemrl.networks.discrete import DiscreteCritic


class Scalars(NamedTuple):
    """The hyperparameters that enter the update as numbers: runs that differ in them share one compiled program."""

    discount: Float[Array, ""]
    target_rate: Float[Array, ""]
    cql_weight: Float[Array, ""]


class DQN(GreedyAgent):
    """A critic over numbered actions and its target."""

    target_critic: DiscreteCritic
    scalars: Scalars
    double: bool = eqx.field(static=True)
    optimizer: OptimizerName = eqx.field(static=True)

    @classmethod
    def create(
        cls, config: DQNConfig, observation_size: int, low: tuple[float, ...], high: tuple[float, ...], seed: int
    ) -> "DQN":
        """A fresh learner, with as many actions as the box has dimensions; everything random derives from ``seed``."""
        critic_key, key = jax.random.split(jax.random.key(seed))
        critic = DiscreteCritic(observation_size, len(low), config.hidden_sizes, **config.critic_layout, key=critic_key)
        return cls(
            key=key,
            step=jnp.zeros((), jnp.int32),
            critic=critic,
            target_critic=critic,
            critic_optimizer_state=start_optimizer(config.optimizer, config.critic_learning_rate, critic),
            scalars=numbers_of(Scalars, config),
            double=config.double,
            optimizer=config.optimizer,
        )

    def target_actions(
        self, next_observations: Float[Array, "batch observation"], key: PRNGKeyArray
    ) -> Float[Array, "batch action"]:
        """Number of the action that the target bootstraps from, (batch, 1): as the instrument takes it, not one-hot."""
        chooser = self.critic if self.double else self.target_critic
        return jnp.argmax(chooser(next_observations), axis=1, keepdims=True).astype(jnp.float32)

    def measured(self) -> Measured:
        """The critic against its target: the TD term of the loss.

        The conservative term is not in it: it moves values whatever the error is, a drive that the reading does not
        know.
        """
        return against_smallest_target(self)._replace(policy="sampled" if self.double else "greedy")

    def critic_loss(self, critic: DiscreteCritic, batch: Transitions) -> tuple[Array, Info]:
        """Mean squared TD error, and cql_weight times the mean of logsumexp_a Q(s, a) - Q(s, a of the data).

        The target is r + discount max_a Q_target(s', a); if double, Q_target at the action that is best to the critic
        (van Hasselt et al., 2016, equation 4). The conservative term is CQL(H)'s (Kumar et al., 2020, equation 4).
        """
        next_actions = self.target_actions(batch.next_observations, self.key).astype(jnp.int32)
        next_values = jnp.take_along_axis(self.target_critic(batch.next_observations), next_actions, axis=1)[:, 0]
        every = critic(batch.observations)
        values = jnp.sum(every * batch.actions, axis=1)
        loss, info = td_loss(values[None], bootstrapped(batch, self.scalars.discount, next_values))
        gap = jnp.mean(jax.nn.logsumexp(every, axis=1) - values)
        total = loss + self.scalars.cql_weight * gap
        agreement = jnp.mean(jnp.argmax(every, axis=1) == jnp.argmax(batch.actions, axis=1))
        return total, info | {"critic_loss": total, "td_loss": loss, "conservative_gap": gap, "agreement": agreement}

    def update(self, data: Data, batch_size: int) -> tuple["DQN", Info]:
        """One step of the critic, then one move of its target."""
        batch, _ = self.draw(data, batch_size)
        agent, info = improve(self, "critic", self.critic_loss, batch)
        target = follow(agent.target_critic, agent.critic, agent.scalars.target_rate)
        return agent.replace(target_critic=target, step=agent.step + 1), info
