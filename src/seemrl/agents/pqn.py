"""PQN's critic on logged data: LayerNorm and a regularised last layer in the place of a target network.

Gallici et al. (2024), *Simplifying Deep Temporal Difference Learning*, arXiv 2407.04811.
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
    descend,
    differentiate,
    shortened,
    start_optimizer,
)
from seemrl.agents.config import OptimizerName
from seemrl.agents.greedy import GreedyAgent
from seemrl.agents.losses import bootstrapped, td_loss
from seemrl.agents.pqn_config import PQNConfig
from seemrl.networks.discrete import DiscreteCritic


class Scalars(NamedTuple):
    """The numbers that enter the update: runs that differ in them share one compiled program."""

    discount: Float[Array, ""]
    target_rate: Float[Array, ""]
    l2_weight: Float[Array, ""]
    critic_gradient_norm: Float[Array, ""]


class PQN(GreedyAgent):
    """A critic over numbered actions that is its own target."""

    scalars: Scalars
    optimizer: OptimizerName = eqx.field(static=True)

    @classmethod
    def create(
        cls, config: PQNConfig, observation_size: int, low: tuple[float, ...], high: tuple[float, ...], seed: int
    ) -> "PQN":
        """A fresh learner, with as many actions as the box has dimensions; everything random derives from ``seed``."""
        critic_key, key = jax.random.split(jax.random.key(seed))
        critic = DiscreteCritic(observation_size, len(low), config.hidden_sizes, **config.critic_layout, key=critic_key)
        numbers = (config.discount, 1.0, config.l2_weight, config.critic_gradient_norm)
        return cls(
            key=key,
            step=jnp.zeros((), jnp.int32),
            critic=critic,
            critic_optimizer_state=start_optimizer(config.optimizer, config.critic_learning_rate, critic),
            scalars=Scalars(*(jnp.asarray(number, jnp.float32) for number in numbers)),
            optimizer=config.optimizer,
        )

    @property
    def target_critic(self) -> DiscreteCritic:
        """The critic itself."""
        return self.critic

    def target_actions(
        self, next_observations: Float[Array, "batch observation"], key: PRNGKeyArray
    ) -> Float[Array, "batch action"]:
        """Number of the action of largest value, (batch, 1)."""
        return jnp.argmax(self.critic(next_observations), axis=1, keepdims=True).astype(jnp.float32)

    def measured(self) -> Measured:
        """The critic against itself, greedily, without averaging: the TD term of the loss.

        The last layer's squares are not in it: they pull the values down whatever the error is.
        """
        return against_smallest_target(self)._replace(policy="greedy")

    def critic_loss(self, critic: DiscreteCritic, batch: Transitions) -> tuple[Array, Info]:
        """Mean squared error towards r + discount max_a Q(s', a), and l2_weight |W|^2 of the last layer's weights."""
        next_values = jnp.max(critic(batch.next_observations), axis=1)
        every = critic(batch.observations)
        values = jnp.sum(every * batch.actions, axis=1)
        loss, info = td_loss(values[None], bootstrapped(batch, self.scalars.discount, next_values))
        squares = jnp.sum(critic.last.weight**2)
        total = loss + self.scalars.l2_weight * squares
        agreement = jnp.mean(jnp.argmax(every, axis=1) == jnp.argmax(batch.actions, axis=1))
        return total, info | {
            "critic_loss": total,
            "td_loss": loss,
            "last_layer_squares": squares,
            "agreement": agreement,
        }

    def update(self, data: Data, batch_size: int) -> tuple["PQN", Info]:
        """One step of the critic."""
        batch, _ = self.draw(data, batch_size)
        gradients, critic, info = differentiate(self.critic, self.critic_loss, batch)
        gradients, norm = shortened(gradients, self.scalars.critic_gradient_norm)
        critic, state = descend(self.optimizer, critic, gradients, self.critic_optimizer_state)
        agent = self.replace(critic=critic, critic_optimizer_state=state, step=self.step + 1)
        return agent, info | {"critic_gradient_norm": norm}
