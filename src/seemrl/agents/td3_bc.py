"""TD3+BC: twin delayed deterministic policy gradient with behaviour cloning (Fujimoto & Gu, 2021).

With ``bc_weight=0`` it is TD3 (Fujimoto et al., 2018) on logged data; with ``target_rate=1`` the target networks are
copies of the live ones, taken at every actor update: the setting of the NeurIPS 2023 paper's divergence figures.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from seemrl.agents.config import OptimizerName, TD3BCConfig
from seemrl.networks.mlp import DeterministicActor, TwinCritic

Info = dict[str, Float[Array, ""]]


class Transitions(NamedTuple):
    """A batch, or a whole data set, on the device; ``terminals`` is 1.0 where the episode ended in a terminal state."""

    observations: Float[Array, "batch observation"]
    actions: Float[Array, "batch action"]
    rewards: Float[Array, " batch"]
    next_observations: Float[Array, "batch observation"]
    terminals: Float[Array, " batch"]


class Scalars(NamedTuple):
    """The hyperparameters that enter the update as numbers: runs that differ in them share one compiled program."""

    discount: Float[Array, ""]
    target_rate: Float[Array, ""]
    policy_noise: Float[Array, ""]
    noise_clip: Float[Array, ""]
    q_weight: Float[Array, ""]
    bc_weight: Float[Array, ""]


class TD3BC(eqx.Module):
    """The whole learner as one frozen pytree: networks, targets, optimizer states, random key and step count."""

    critic: TwinCritic
    target_critic: TwinCritic
    actor: DeterministicActor
    target_actor: DeterministicActor
    critic_optimizer_state: PyTree
    actor_optimizer_state: PyTree
    scalars: Scalars
    key: PRNGKeyArray
    step: Array
    optimizer: OptimizerName = eqx.field(static=True)
    policy_frequency: int = eqx.field(static=True)

    @classmethod
    def create(
        cls, config: TD3BCConfig, observation_size: int, low: tuple[float, ...], high: tuple[float, ...], seed: int
    ):
        """A fresh learner; everything random in its life derives from ``seed``."""
        critic_key, actor_key, key = jax.random.split(jax.random.key(seed), 3)
        critic = TwinCritic(
            observation_size,
            len(low),
            config.hidden_sizes,
            norm=config.critic_norm,
            placement=config.critic_norm_placement,
            norm_layers=config.critic_norm_layers,
            key=critic_key,
        )
        actor = DeterministicActor(observation_size, low, high, config.hidden_sizes, key=actor_key)
        make = _optimizer(config.optimizer)
        return cls(
            critic=critic,
            target_critic=critic,  # arrays never change in place: sharing them is safe
            actor=actor,
            target_actor=actor,
            critic_optimizer_state=make(learning_rate=jnp.asarray(config.critic_learning_rate)).init(critic),
            actor_optimizer_state=make(learning_rate=jnp.asarray(config.actor_learning_rate)).init(actor),
            scalars=Scalars(*(jnp.asarray(getattr(config, name), jnp.float32) for name in Scalars._fields)),
            key=key,
            step=jnp.zeros((), jnp.int32),
            optimizer=config.optimizer,
            policy_frequency=config.policy_frequency,
        )

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
        next_q = jnp.min(self.target_critic(batch.next_observations, next_actions), axis=0)
        targets = batch.rewards + self.scalars.discount * (1 - batch.terminals) * next_q
        q = critic(batch.observations, batch.actions)
        loss = jnp.sum(jnp.mean((q - jax.lax.stop_gradient(targets)) ** 2, axis=1))
        return loss, {"critic_loss": loss, "q_mean": jnp.mean(q), "target_mean": jnp.mean(targets)}

    def actor_loss(self, actor: DeterministicActor, batch: Transitions) -> tuple[Array, Info]:
        """- q_weight Q / mean|Q| + bc_weight (pi(s) - a)^2, with the first head of the live critic."""
        actions = actor(batch.observations)
        q = self.critic(batch.observations, actions)[0]
        q_term = self.scalars.q_weight * jnp.mean(q) / jax.lax.stop_gradient(jnp.mean(jnp.abs(q)))
        bc_mse = jnp.mean((actions - batch.actions) ** 2)
        loss = self.scalars.bc_weight * bc_mse - q_term
        return loss, {"actor_loss": loss, "bc_mse": bc_mse, "policy_q_mean": jnp.mean(q)}

    def update(self, data: Transitions, batch_size: int) -> tuple["TD3BC", Info]:
        """One cycle: ``policy_frequency`` critic updates, then one actor update and one move of the targets."""
        agent, batch, info = self._sample_and_update_critic(data, batch_size)
        for _ in range(self.policy_frequency - 1):
            agent, batch, info = agent._sample_and_update_critic(data, batch_size)
        agent, actor_info = agent._update_actor(batch)
        return agent, info | actor_info

    def _sample_and_update_critic(self, data: Transitions, batch_size: int) -> tuple["TD3BC", Transitions, Info]:
        sample_key, noise_key = jax.random.split(jax.random.fold_in(self.key, self.step))
        rows = jax.random.randint(sample_key, (batch_size,), 0, data.rewards.shape[0])
        batch = Transitions(*(column[rows] for column in data))
        agent, info = self._update_critic(batch, noise_key)
        return agent, batch, info

    def _update_critic(self, batch: Transitions, key: PRNGKeyArray) -> tuple["TD3BC", Info]:
        gradients, info = jax.grad(self.critic_loss, has_aux=True)(self.critic, batch, key)
        critic, state = self._descend(self.critic, gradients, self.critic_optimizer_state)
        return self._replace(critic=critic, critic_optimizer_state=state, step=self.step + 1), info

    def _update_actor(self, batch: Transitions) -> tuple["TD3BC", Info]:
        gradients, info = jax.grad(self.actor_loss, has_aux=True)(self.actor, batch)
        actor, state = self._descend(self.actor, gradients, self.actor_optimizer_state)
        rate = self.scalars.target_rate
        follow = lambda target, live: (1 - rate) * target + rate * live  # noqa: E731 - a copy, bit by bit, at rate 1
        return self._replace(
            actor=actor,
            actor_optimizer_state=state,
            target_actor=jax.tree.map(follow, self.target_actor, actor),
            target_critic=jax.tree.map(follow, self.target_critic, self.critic),
        ), info

    def _descend(self, network: PyTree, gradients: PyTree, state: PyTree) -> tuple[PyTree, PyTree]:
        rate = state.hyperparams["learning_rate"]
        updates, state = _optimizer(self.optimizer)(learning_rate=rate).update(gradients, state)
        return optax.apply_updates(network, updates), state

    def _replace(self, **changes: PyTree) -> "TD3BC":
        names = tuple(changes)
        return eqx.tree_at(lambda agent: tuple(getattr(agent, name) for name in names), self, tuple(changes.values()))


def _optimizer(name: OptimizerName):
    """The optimizer with its learning rate kept in its state, where the update and the instrument both read it."""
    return optax.inject_hyperparams({"adam": optax.adam, "sgd": optax.sgd}[name])


def train_updates(data: Transitions, agent: TD3BC, updates: int, batch_size: int) -> tuple[TD3BC, Info]:
    """Run some critic updates in one compiled call; returns the agent and the mean of every metric over them.

    Args:
        data: the whole data set, on the device.
        agent: the learner.
        updates: critic updates, a multiple of the agent's ``policy_frequency``. One program serves any number.
        batch_size: transitions per update.
    """
    cycles, rest = divmod(updates, agent.policy_frequency)
    if rest or cycles < 1:
        raise ValueError(f"{updates} updates are not a positive multiple of policy_frequency {agent.policy_frequency}")
    return _train_cycles(data, agent, jnp.asarray(cycles), batch_size)


@eqx.filter_jit
def _train_cycles(data: Transitions, agent: TD3BC, cycles: Array, batch_size: int) -> tuple[TD3BC, Info]:
    arrays, static = eqx.partition(agent, eqx.is_array)
    shapes = jax.eval_shape(lambda: eqx.combine(arrays, static).update(data, batch_size)[1])
    nothing = jax.tree.map(lambda shape: jnp.zeros(shape.shape, shape.dtype), shapes)

    def cycle(_: Array, carry: tuple[PyTree, Info]) -> tuple[PyTree, Info]:
        arrays, total = carry
        agent, info = eqx.combine(arrays, static).update(data, batch_size)
        return eqx.filter(agent, eqx.is_array), jax.tree.map(jnp.add, total, info)

    arrays, total = jax.lax.fori_loop(0, cycles, cycle, (arrays, nothing))
    return eqx.combine(arrays, static), jax.tree.map(lambda value: value / cycles, total)
