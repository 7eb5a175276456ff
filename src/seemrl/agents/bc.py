"""BC: behaviour cloning, a deterministic policy regressed on the data's actions (Pomerleau, 1991)."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from seemrl.agents.agent import Agent, Data, Info, Transitions, improve, start_optimizer
from seemrl.agents.bc_config import BCConfig
from seemrl.agents.config import OptimizerName
from seemrl.networks.mlp import DeterministicActor


class BC(Agent):
    """A deterministic actor; its steps are what other agents count critic updates by."""

    actor: DeterministicActor
    actor_optimizer_state: PyTree
    optimizer: OptimizerName = eqx.field(static=True)

    @classmethod
    def create(
        cls, config: BCConfig, observation_size: int, low: tuple[float, ...], high: tuple[float, ...], seed: int
    ) -> "BC":
        """A fresh learner; everything random in its life derives from ``seed``."""
        actor_key, key = jax.random.split(jax.random.key(seed))
        actor = DeterministicActor(
            observation_size, low, high, config.hidden_sizes, **config.actor_layout, key=actor_key
        )
        return cls(
            key=key,
            step=jnp.zeros((), jnp.int32),
            actor=actor,
            actor_optimizer_state=start_optimizer(config.optimizer, config.actor_learning_rate, actor),
            optimizer=config.optimizer,
        )

    def act(self, observations: Float[Array, "batch observation"]) -> Float[Array, "batch action"]:
        """The actor's actions."""
        return self.actor(observations)

    def target_actions(self, next_observations: Float[Array, "batch observation"], key: PRNGKeyArray) -> Array:
        """The actor's actions; no critic asks for them."""
        return self.actor(next_observations)

    def measured(self) -> None:
        """None: there is no critic."""

    def actor_loss(self, actor: DeterministicActor, batch: Transitions) -> tuple[Array, Info]:
        """Mean squared difference from the data's actions."""
        loss = jnp.mean((actor(batch.observations) - batch.actions) ** 2)
        return loss, {"actor_loss": loss}

    def update(self, data: Data, batch_size: int) -> tuple["BC", Info]:
        """One step of the actor."""
        batch = self.draw_for_actor(data, self.draw(data, batch_size)[0])
        agent, info = improve(self, "actor", self.actor_loss, batch)
        return agent.replace(step=agent.step + 1), info
