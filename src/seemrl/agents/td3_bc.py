"""TD3+BC: twin delayed deterministic policy gradient with behaviour cloning (Fujimoto & Gu, 2021).

With ``bc_weight=0`` it is TD3 (Fujimoto et al., 2018) on logged data; with ``target_rate=1`` the target networks are
copies of the live ones, taken at every actor update: the setting of the NeurIPS 2023 paper's divergence figures.
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
    follow,
    improve,
    numbers_of,
    start_optimizer,
)
from seemrl.agents.config import OptimizerName, TD3BCConfig
from seemrl.agents.losses import bootstrapped, joint_values, td_loss
from seemrl.networks.mlp import DeterministicActor, TwinCritic


class Scalars(NamedTuple):
    """The hyperparameters that enter the update as numbers: runs that differ in them share one compiled program."""

    discount: Float[Array, ""]
    target_rate: Float[Array, ""]
    policy_noise: Float[Array, ""]
    noise_clip: Float[Array, ""]
    q_weight: Float[Array, ""]
    bc_weight: Float[Array, ""]


class TD3BC(Agent):
    """Twin critics, a deterministic actor, targets of both."""

    critic: TwinCritic
    target_critic: TwinCritic
    actor: DeterministicActor
    target_actor: DeterministicActor
    critic_optimizer_state: PyTree
    actor_optimizer_state: PyTree
    scalars: Scalars
    optimizer: OptimizerName = eqx.field(static=True)
    policy_frequency: int = eqx.field(static=True)

    @classmethod
    def create(
        cls, config: TD3BCConfig, observation_size: int, low: tuple[float, ...], high: tuple[float, ...], seed: int
    ) -> "TD3BC":
        """A fresh learner; everything random in its life derives from ``seed``."""
        return cls(**cls._parts(config, observation_size, low, high, seed))

    @classmethod
    def _parts(
        cls, config: TD3BCConfig, observation_size: int, low: tuple[float, ...], high: tuple[float, ...], seed: int
    ) -> dict[str, Any]:
        critic_key, actor_key, key = jax.random.split(jax.random.key(seed), 3)
        critic = TwinCritic(observation_size, len(low), config.hidden_sizes, **config.critic_layout, key=critic_key)
        actor = DeterministicActor(
            observation_size, low, high, config.hidden_sizes, **config.actor_layout, key=actor_key
        )
        return {
            "key": key,
            "step": jnp.zeros((), jnp.int32),
            "critic": critic,
            "target_critic": critic,  # arrays never change in place: sharing them is safe
            "actor": actor,
            "target_actor": actor,
            "critic_optimizer_state": start_optimizer(config.optimizer, config.critic_learning_rate, critic),
            "actor_optimizer_state": start_optimizer(config.optimizer, config.actor_learning_rate, actor),
            "scalars": numbers_of(Scalars, config),
            "optimizer": config.optimizer,
            "policy_frequency": config.policy_frequency,
        }

    @property
    def updates_per_cycle(self) -> int:
        """Critic updates per actor update."""
        return self.policy_frequency

    def act(self, observations: Float[Array, "batch observation"]) -> Float[Array, "batch action"]:
        """The actor's actions."""
        return self.actor(observations)

    def measured(self) -> Measured:
        """Both heads against the smaller target head."""
        return against_smallest_target(self, self.policy_frequency)

    def target_actions(self, next_observations: Float[Array, "batch observation"], key: PRNGKeyArray) -> Array:
        """The policy as the target uses it: target actor plus clipped smoothing noise, inside the action box."""
        actions = self.target_actor(next_observations)
        low, high = jnp.asarray(self.target_actor.low), jnp.asarray(self.target_actor.high)
        noise = jax.random.normal(key, actions.shape) * self.scalars.policy_noise
        noise = jnp.clip(noise, -self.scalars.noise_clip, self.scalars.noise_clip) * (high - low) / 2
        return self.target_actor.clip(actions + noise)

    def critic_loss(self, critic: TwinCritic, batch: Transitions, key: PRNGKeyArray) -> tuple[Array, Info]:
        """Sum over heads of the mean squared TD error against the smaller target head."""
        next_actions = self.target_actions(batch.next_observations, key)
        values, next_q = joint_values(critic, self.target_critic, batch, next_actions)
        next_values, info = self.next_values(jnp.min(next_q, axis=0), batch, next_actions)
        loss, td_info = td_loss(values, bootstrapped(batch, self.scalars.discount, next_values))
        return loss, td_info | info

    def next_values(
        self, next_q: Float[Array, " batch"], batch: Transitions, next_actions: Float[Array, "batch action"]
    ) -> tuple[Float[Array, " batch"], Info]:
        """What the target bootstraps from, the smaller target head as it is; and further metrics, of which none."""
        return next_q, {}

    def actor_loss(self, actor: DeterministicActor, batch: Transitions) -> tuple[Array, Info]:
        """- q_weight Q / mean|Q| + bc_weight (pi(s) - a)^2, with the first head of the live critic."""
        actions = actor(batch.observations)
        q = self.critic(batch.observations, actions)[0]
        q_term = self.scalars.q_weight * jnp.mean(q) / jax.lax.stop_gradient(jnp.mean(jnp.abs(q)))
        bc_mse = jnp.mean((actions - batch.actions) ** 2)
        loss = self.scalars.bc_weight * bc_mse - q_term
        return loss, {"actor_loss": loss, "bc_mse": bc_mse, "policy_q_mean": jnp.mean(q)}

    def update(self, data: Data, batch_size: int) -> tuple["TD3BC", Info]:
        """One cycle: ``policy_frequency`` critic updates, then one actor update and one move of the targets."""
        batch, key = self.draw(data, batch_size)
        agent, info = self._update_critic(batch, key)
        for _ in range(self.policy_frequency - 1):
            batch, key = agent.draw(data, batch_size)
            agent, info = agent._update_critic(batch, key)
        agent, actor_info = agent._update_actor(agent.draw_for_actor(data, batch))
        return agent, info | actor_info

    def _update_critic(self, batch: Transitions, key: PRNGKeyArray) -> tuple["TD3BC", Info]:
        agent, info = improve(self, "critic", self.critic_loss, batch, key)
        return agent.replace(step=agent.step + 1), info

    def _update_actor(self, batch: Transitions) -> tuple["TD3BC", Info]:
        agent, info = improve(self, "actor", self.actor_loss, batch)
        return agent.replace(
            target_actor=follow(self.target_actor, agent.actor, self.scalars.target_rate),
            target_critic=follow(self.target_critic, self.critic, self.scalars.target_rate),
        ), info
