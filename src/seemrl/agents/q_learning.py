"""Q-learning over a finite set of action vectors, on fixed transitions: the learner of the theory's toy problems.

The critic values (observation, action) pairs, as an actor-critic's does, and the policy takes the best of a few given
actions, so there is no actor whose learning could be mistaken for the critic's.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from seemrl.agents.agent import Transitions
from seemrl.agents.config import QLearningConfig, StepName
from seemrl.networks.mlp import TwinCritic


class QLearning(eqx.Module):
    """The whole learner as one frozen pytree."""

    critic: TwinCritic
    target_critic: TwinCritic
    optimizer_state: PyTree
    discount: Float[Array, ""]
    target_rate: Float[Array, ""]
    key: PRNGKeyArray
    step: Array
    optimizer: StepName = eqx.field(static=True)
    batch_size: int | None = eqx.field(static=True)

    @classmethod
    def create(cls, config: QLearningConfig, observation_size: int, action_size: int, seed: int) -> "QLearning":
        """A fresh learner; everything random in its life derives from ``seed``."""
        critic_key, key = jax.random.split(jax.random.key(seed))
        critic = TwinCritic(
            observation_size,
            action_size,
            config.hidden_sizes,
            heads=config.heads,
            norm=config.critic_norm,
            key=critic_key,
        )
        return cls(
            critic=critic,
            target_critic=critic,
            optimizer_state=_rule(config.optimizer, jnp.asarray(config.learning_rate)).init(critic),
            discount=jnp.asarray(config.discount, jnp.float32),
            target_rate=jnp.asarray(config.target_rate, jnp.float32),
            key=key,
            step=jnp.zeros((), jnp.int32),
            optimizer=config.optimizer,
            batch_size=config.batch_size,
        )

    def target_actions(
        self, next_observations: Float[Array, "batch observation"], choices: Float[Array, "choices action"]
    ) -> Float[Array, "batch action"]:
        """Of the choices, the action whose smallest head is largest to the target critic."""
        each = [
            jnp.min(self.target_critic(next_observations, jnp.tile(action, (len(next_observations), 1))), axis=0)
            for action in choices
        ]
        return choices[jnp.argmax(jnp.stack(each), axis=0)]

    def critic_loss(self, critic: TwinCritic, batch: Transitions, choices: Float[Array, "choices action"]) -> Array:
        """Sum over heads of the mean squared TD error against the smallest target head."""
        next_actions = self.target_actions(batch.next_observations, choices)
        next_q = jnp.min(self.target_critic(batch.next_observations, next_actions), axis=0)
        targets = jax.lax.stop_gradient(batch.rewards + self.discount * (1 - batch.terminals) * next_q)
        return jnp.sum(jnp.mean((critic(batch.observations, batch.actions) - targets) ** 2, axis=1))

    def update(self, data: Transitions, choices: Float[Array, "choices action"]) -> "QLearning":
        """One step of the critic, then one move of its target."""
        batch = data
        if self.batch_size is not None:
            key = jax.random.fold_in(self.key, self.step)
            rows = jax.random.randint(key, (self.batch_size,), 0, data.rewards.shape[0])
            batch = jax.tree.map(lambda column: column[rows], data)
        gradients = jax.grad(self.critic_loss)(self.critic, batch, choices)
        rule = _rule(self.optimizer, self.optimizer_state.hyperparams["learning_rate"])
        moves, state = rule.update(gradients, self.optimizer_state)
        critic = optax.apply_updates(self.critic, moves)
        rate = self.target_rate
        target = jax.tree.map(lambda old, live: (1 - rate) * old + rate * live, self.target_critic, critic)
        return eqx.tree_at(
            lambda agent: (agent.critic, agent.target_critic, agent.optimizer_state, agent.step),
            self,
            (critic, target, state, self.step + 1),
        )


def _rule(name: StepName, learning_rate: Array):
    """The step rule with its settings kept in its state, where the instrument reads them."""
    if name == "adam":
        return optax.inject_hyperparams(optax.adam)(learning_rate=learning_rate)
    if name == "rmsprop":
        return optax.inject_hyperparams(optax.rmsprop)(learning_rate=learning_rate, decay=0.99)
    if name == "momentum":
        return optax.inject_hyperparams(optax.sgd)(learning_rate=learning_rate, momentum=0.9)
    return optax.inject_hyperparams(optax.sgd)(learning_rate=learning_rate)


@eqx.filter_jit
def learn(data: Transitions, choices: Float[Array, "choices action"], agent: QLearning, updates: Array) -> QLearning:
    """Run some updates in one compiled call; one program serves any number."""
    arrays, static = eqx.partition(agent, eqx.is_array)

    def once(_: Array, arrays: PyTree) -> PyTree:
        return eqx.filter(eqx.combine(arrays, static).update(data, choices), eqx.is_array)

    return eqx.combine(jax.lax.fori_loop(0, updates, once, arrays), static)
