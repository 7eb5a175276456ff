"""What agents over numbered actions share: one critic values every action, the policy takes the best one."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from seemrl.agents.agent import Agent
from seemrl.networks.discrete import DiscreteCritic


class GreedyAgent(Agent):
    """A critic over observations and its optimizer's state."""

    critic: DiscreteCritic
    critic_optimizer_state: PyTree

    def act(self, observations: Float[Array, "batch observation"]) -> Float[Array, "batch action"]:
        """The action of largest value, one-hot."""
        values = self.critic(observations)
        return jax.nn.one_hot(jnp.argmax(values, axis=1), values.shape[1])

    def values(
        self, critic: DiscreteCritic, observations: Float[Array, "batch observation"], actions: Float[Array, "batch _"]
    ) -> Float[Array, "1 batch"]:
        """Values of actions, one-hot or as numbers, (batch, 1)."""
        every = critic(observations)
        if actions.shape[1] == 1:
            return jnp.take_along_axis(every, actions.astype(jnp.int32), axis=1).T
        return jnp.sum(every * actions, axis=1)[None]
