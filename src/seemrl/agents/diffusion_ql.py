"""Diffusion-QL: a diffusion policy that clones the behaviour and climbs the critic (Wang, Hunt & Zhou, 2023).

With ``diffusion_weight=0`` nothing holds the policy to the data: the "diff-TD3" of the NeurIPS 2023 paper.
"""

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
    descend,
    differentiate,
    follow,
    shortened,
    start_optimizer,
)
from seemrl.agents.candidates import chosen, key_of_observations
from seemrl.agents.config import OptimizerName
from seemrl.agents.diffusion_ql_config import DiffusionQLConfig
from seemrl.agents.losses import bootstrapped, td_loss
from seemrl.networks.diffusion import DiffusionPolicy
from seemrl.networks.mlp import TwinCritic


class Scalars(NamedTuple):
    """The hyperparameters that enter the update as numbers: runs that differ in them share one compiled program.

    A bound on a gradient's norm that is not wanted is infinite.
    """

    discount: Float[Array, ""]
    target_rate: Float[Array, ""]
    diffusion_weight: Float[Array, ""]
    q_weight: Float[Array, ""]
    critic_gradient_norm: Float[Array, ""]
    actor_gradient_norm: Float[Array, ""]
    target_policy_rate: Float[Array, ""]
    target_policy_period: Float[Array, ""]
    target_policy_start: Float[Array, ""]


class DiffusionQL(Agent):
    """Twin critics, a diffusion policy, targets of both."""

    critic: TwinCritic
    target_critic: TwinCritic
    policy: DiffusionPolicy
    target_policy: DiffusionPolicy
    critic_optimizer_state: PyTree
    actor_optimizer_state: PyTree
    scalars: Scalars
    optimizer: OptimizerName = eqx.field(static=True)
    backup_actions: int = eqx.field(static=True)
    evaluation_actions: int = eqx.field(static=True)

    @classmethod
    def create(
        cls,
        config: DiffusionQLConfig,
        observation_size: int,
        low: tuple[float, ...],
        high: tuple[float, ...],
        seed: int,
    ) -> "DiffusionQL":
        """A fresh learner; everything random in its life derives from ``seed``."""
        critic_key, policy_key, key = jax.random.split(jax.random.key(seed), 3)
        critic = TwinCritic(observation_size, len(low), config.hidden_sizes, **config.critic_layout, key=critic_key)
        policy = DiffusionPolicy(
            observation_size, low, high, config.hidden_sizes, **config.diffusion_layout, key=policy_key
        )
        numbers = (getattr(config, name) for name in Scalars._fields)
        return cls(
            key=key,
            step=jnp.zeros((), jnp.int32),
            critic=critic,
            target_critic=critic,  # arrays never change in place: sharing them is safe
            policy=policy,
            target_policy=policy,
            critic_optimizer_state=start_optimizer(config.optimizer, config.critic_learning_rate, critic),
            actor_optimizer_state=start_optimizer(config.optimizer, config.actor_learning_rate, policy),
            scalars=Scalars(*(jnp.asarray(jnp.inf if value is None else value, jnp.float32) for value in numbers)),
            optimizer=config.optimizer,
            backup_actions=config.backup_actions,
            evaluation_actions=config.evaluation_actions,
        )

    def act(self, observations: Float[Array, "batch observation"]) -> Float[Array, "batch action"]:
        """Of some actions of the policy, one by the softmax of the smaller target head (Diffusion-QL, section 4).

        Noise and choice derive from the observations' bits: other observations, other noise; the same ones, the same
        actions.
        """
        sample_key, choice_key = jax.random.split(key_of_observations(self.key, observations))
        repeated, actions = self.policy.several(observations, self.evaluation_actions, sample_key)
        q = jnp.min(self.target_critic(repeated, actions), axis=0).reshape(-1, self.evaluation_actions)
        return chosen(actions, jax.random.categorical(choice_key, q))

    @property
    def averaged_actions(self) -> int:
        """Candidates that are played."""
        return 1

    @property
    def value_scale(self) -> Float[Array, ""]:
        """What values are multiplied by in the scores of candidates."""
        return jnp.ones(())

    @property
    def deciding_critic(self) -> TwinCritic:
        """Whose values the scores are of."""
        return self.target_critic

    @property
    def proposals(self) -> DiffusionPolicy:
        """What candidates are drawn from."""
        return self.policy

    def measured(self) -> Measured:
        """Both heads against the smaller target head."""
        return against_smallest_target(self)

    def target_actions(self, next_observations: Float[Array, "batch observation"], key: PRNGKeyArray) -> Array:
        """The target policy's actions; in max-Q backup, the best to the head that decides the target."""
        return self._backup(next_observations, key)[0]

    def _backup(
        self, next_observations: Float[Array, "batch observation"], key: PRNGKeyArray
    ) -> tuple[Float[Array, "batch action"], Float[Array, " batch"]]:
        """Next actions, and min over heads of max over actions of the target critic (Diffusion-QL, appendix)."""
        repeated, actions = self.target_policy.several(next_observations, self.backup_actions, key)
        q = self.target_critic(repeated, actions).reshape(-1, len(next_observations), self.backup_actions)
        best = jnp.max(q, axis=2)
        deciding = jnp.argmin(best, axis=0)
        choice = jnp.take_along_axis(jnp.argmax(q, axis=2), deciding[None], axis=0)[0]
        return chosen(actions, choice), jnp.min(best, axis=0)

    def critic_loss(self, critic: TwinCritic, batch: Transitions, key: PRNGKeyArray) -> tuple[Array, Info]:
        """Sum over heads of the mean squared TD error (Diffusion-QL, equation 4)."""
        _, next_q = self._backup(batch.next_observations, key)
        return td_loss(critic(batch.observations, batch.actions), bootstrapped(batch, self.scalars.discount, next_q))

    def actor_loss(self, policy: DiffusionPolicy, batch: Transitions, key: PRNGKeyArray) -> tuple[Array, Info]:
        """diffusion_weight * denoising - q_weight Q / mean|Q'|, Q one head and Q' the other (Diffusion-QL, equation 3).

        A coin decides which head is which. The gradient runs through all steps from noise to action.
        """
        denoising_key, sample_key, coin_key = jax.random.split(key, 3)
        denoising = policy.denoising_loss(batch.observations, batch.actions, denoising_key)
        q = self.critic(batch.observations, policy.sample(batch.observations, sample_key))
        one, other = jnp.where(jax.random.bernoulli(coin_key), q, q[::-1])
        q_term = jnp.mean(one) / jax.lax.stop_gradient(jnp.mean(jnp.abs(other)))
        loss = self.scalars.diffusion_weight * denoising - self.scalars.q_weight * q_term
        return loss, {"actor_loss": loss, "denoising_loss": denoising, "policy_q_mean": jnp.mean(q)}

    def update(self, data: Data, batch_size: int) -> tuple["DiffusionQL", Info]:
        """One update of the critic, then of the policy on the same batch, then moves of the targets."""
        batch, key = self.draw(data, batch_size)
        critic_key, actor_key = jax.random.split(key)
        agent, critic_info = self._update_critic(batch, critic_key)
        agent, actor_info = agent._update_policy(self.draw_for_actor(data, batch), actor_key)
        return agent._move_targets(), critic_info | actor_info

    def _update_critic(self, batch: Transitions, key: PRNGKeyArray) -> tuple["DiffusionQL", Info]:
        gradients, critic, info = differentiate(self.critic, self.critic_loss, batch, key)
        gradients, norm = shortened(gradients, self.scalars.critic_gradient_norm)
        critic, state = descend(self.optimizer, critic, gradients, self.critic_optimizer_state)
        return self.replace(critic=critic, critic_optimizer_state=state), info | {"critic_gradient_norm": norm}

    def _update_policy(self, batch: Transitions, key: PRNGKeyArray) -> tuple["DiffusionQL", Info]:
        gradients, policy, info = differentiate(self.policy, self.actor_loss, batch, key)
        gradients, norm = shortened(gradients, self.scalars.actor_gradient_norm)
        policy, state = descend(self.optimizer, policy, gradients, self.actor_optimizer_state)
        return self.replace(policy=policy, actor_optimizer_state=state), info | {"actor_gradient_norm": norm}

    def _move_targets(self) -> "DiffusionQL":
        scalars = self.scalars
        due = (self.step >= scalars.target_policy_start) & (self.step % scalars.target_policy_period == 0)
        target_policy = jax.lax.cond(
            due,
            lambda: follow(self.target_policy, self.policy, scalars.target_policy_rate),
            lambda: self.target_policy,
        )
        target_critic = follow(self.target_critic, self.critic, scalars.target_rate)
        return self.replace(target_policy=target_policy, target_critic=target_critic, step=self.step + 1)
