"""SfBC: actions selected among those of a diffusion model of the behaviour (Chen et al., 2023, arXiv 2209.14548).

The behaviour model and the critic are trained together, the critic towards softmax-weighted values of candidates.
"""

from typing import ClassVar, NamedTuple

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
from seemrl.agents.candidates import chosen, key_of_observations
from seemrl.agents.config import OptimizerName
from seemrl.agents.losses import bootstrapped, td_loss
from seemrl.agents.sfbc_config import SfBCConfig
from seemrl.networks.diffusion import DiffusionPolicy
from seemrl.networks.mlp import TwinCritic

_LEAST_DEVIATION = 0.1
"""What Q is divided by at least, as in the reference implementation."""


class Scalars(NamedTuple):
    """The hyperparameters that enter the update as numbers: runs that differ in them share one compiled program."""

    discount: Float[Array, ""]
    target_rate: Float[Array, ""]
    inverse_temperature: Float[Array, ""]
    evaluation_inverse_temperature: Float[Array, ""]


class SfBC(Agent):
    """A critic and its target, a diffusion model of the behaviour.

    Attributes:
        deviation: of the critic's targets, averaged over updates at the rate of the target.
    """

    draws: ClassVar[int] = 4

    critic: TwinCritic
    target_critic: TwinCritic
    behaviour: DiffusionPolicy
    critic_optimizer_state: PyTree
    behaviour_optimizer_state: PyTree
    deviation: Float[Array, ""]
    scalars: Scalars
    optimizer: OptimizerName = eqx.field(static=True)
    backup_actions: int = eqx.field(static=True)
    evaluation_actions: int = eqx.field(static=True)
    averaged_actions: int = eqx.field(static=True)

    @classmethod
    def create(
        cls, config: SfBCConfig, observation_size: int, low: tuple[float, ...], high: tuple[float, ...], seed: int
    ) -> "SfBC":
        """A fresh learner; everything random in its life derives from ``seed``."""
        critic_key, behaviour_key, key = jax.random.split(jax.random.key(seed), 3)
        critic = TwinCritic(
            observation_size, len(low), config.hidden_sizes, heads=config.heads, **config.critic_layout, key=critic_key
        )
        behaviour = DiffusionPolicy(
            observation_size, low, high, config.behaviour_hidden_sizes, **config.diffusion_layout, key=behaviour_key
        )
        return cls(
            key=key,
            step=jnp.zeros((), jnp.int32),
            critic=critic,
            target_critic=critic,  # arrays never change in place: sharing them is safe
            behaviour=behaviour,
            critic_optimizer_state=start_optimizer(config.optimizer, config.critic_learning_rate, critic),
            behaviour_optimizer_state=start_optimizer(config.optimizer, config.behaviour_learning_rate, behaviour),
            deviation=jnp.ones(()),
            scalars=numbers_of(Scalars, config),
            optimizer=config.optimizer,
            backup_actions=config.backup_actions,
            evaluation_actions=config.evaluation_actions,
            averaged_actions=config.averaged_actions,
        )

    def act(self, observations: Float[Array, "batch observation"]) -> Float[Array, "batch action"]:
        """The mean of a few of the behaviour's actions, drawn by exp(alpha Q) without replacement (SfBC, section 3.1).

        Noise and choice derive from the observations' bits: the same observations, the same actions.
        """
        sample_key, choice_key = jax.random.split(key_of_observations(self.key, observations))
        count = self.evaluation_actions
        actions, q = self._candidates(self.critic, observations, count, sample_key)
        logits = self._logits(q, self.scalars.evaluation_inverse_temperature)
        noise = jax.random.gumbel(choice_key, q.shape)  # the largest of both are draws without replacement
        _, picked = jax.lax.top_k(logits + noise, self.averaged_actions)
        each = actions.reshape(len(observations), count, -1)
        return jnp.mean(jnp.take_along_axis(each, picked[:, :, None], axis=1), axis=1)

    @property
    def value_scale(self) -> Float[Array, ""]:
        """What values are multiplied by in the scores of candidates."""
        return self._logits(jnp.ones(()), self.scalars.evaluation_inverse_temperature)

    @property
    def deciding_critic(self) -> TwinCritic:
        """Whose values the scores are of."""
        return self.critic

    @property
    def proposals(self) -> DiffusionPolicy:
        """What candidates are drawn from."""
        return self.behaviour

    def target_actions(self, next_observations: Float[Array, "batch observation"], key: PRNGKeyArray) -> Array:
        """One candidate of each next observation by the target's weights: its mean value is what the target takes."""
        sample_key, choice_key = jax.random.split(key)
        actions, q = self._candidates(self.target_critic, next_observations, self.backup_actions, sample_key)
        return chosen(actions, jax.random.categorical(choice_key, self._logits(q, self.scalars.inverse_temperature)))

    def measured(self) -> Measured:
        """All heads against the smallest target head, at candidates drawn by the target's weights."""
        return against_smallest_target(self)

    def critic_loss(self, critic: TwinCritic, batch: Transitions, key: PRNGKeyArray) -> tuple[Array, Info]:
        """Sum over heads of the mean squared error towards r + discount V(s'), V(s') = sum_j w_j Q'(s', a_j).

        The candidates a_j are the behaviour's, w = softmax_j(alpha Q' / deviation) (SfBC, equations 8 and 10).
        """
        _, next_q = self._candidates(self.target_critic, batch.next_observations, self.backup_actions, key)
        weights = jax.nn.softmax(self._logits(next_q, self.scalars.inverse_temperature), axis=1)
        targets = bootstrapped(batch, self.scalars.discount, jnp.sum(weights * next_q, axis=1))
        loss, info = td_loss(critic(batch.observations, batch.actions), targets)
        used = jnp.mean(1 / jnp.sum(weights**2, axis=1))
        return loss, info | {"target_std": jnp.std(targets), "effective_actions": used}

    def behaviour_loss(self, behaviour: DiffusionPolicy, batch: Transitions, key: PRNGKeyArray) -> tuple[Array, Info]:
        """Mean squared error of the predicted noise (SfBC, equation 7)."""
        loss = behaviour.denoising_loss(batch.observations, batch.actions, key)
        return loss, {"denoising_loss": loss}

    def update(self, data: Data, batch_size: int) -> tuple["SfBC", Info]:
        """One update of the behaviour model, then of the critic on the same batch, then a move of the target."""
        batch, key = self.draw(data, batch_size)
        behaviour_key, critic_key = jax.random.split(key)
        for_behaviour = self.draw_for_actor(data, batch)
        agent, behaviour_info = improve(self, "behaviour", self.behaviour_loss, for_behaviour, behaviour_key)
        agent, critic_info = improve(agent, "critic", agent.critic_loss, batch, critic_key)
        rate, now = self.scalars.target_rate, critic_info["target_std"]
        return agent.replace(
            target_critic=follow(agent.target_critic, agent.critic, rate),
            deviation=jnp.where(self.step == 0, now, (1 - rate) * self.deviation + rate * now),
            step=self.step + 1,
        ), critic_info | behaviour_info

    def _candidates(
        self, critic: TwinCritic, observations: Float[Array, "batch observation"], count: int, key: PRNGKeyArray
    ) -> tuple[Float[Array, "candidates action"], Float[Array, "batch count"]]:
        """The behaviour's actions, those of an observation together, and the smallest head's value of each."""
        repeated, actions = self.behaviour.several(observations, count, key)
        return actions, jnp.min(critic(repeated, actions), axis=0).reshape(len(observations), count)

    def _logits(self, q: Float[Array, "*values"], inverse_temperature: Float[Array, ""]) -> Float[Array, "*values"]:
        return inverse_temperature * q / jnp.maximum(self.deviation, _LEAST_DEVIATION)
