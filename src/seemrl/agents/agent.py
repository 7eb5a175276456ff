"""The skeleton of every agent: the learner as one frozen pytree; the loop that turns it is `seemrl.agents.updates`.

An agent's own file says what it consists of, how one cycle of updates goes and what its losses are. What they share is
here: drawing transitions, stepping an optimizer, moving a target, and what the instrument is told.
"""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, Literal, NamedTuple, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

from seemrl.agents.config import AgentConfig, OptimizerName
from seemrl.agents.weighted import Weighted, draw_by_priority
from seemrl.instrument.kernels.buffers import split
from seemrl.networks.state import after_step, in_training, moved, noting

Info = dict[str, Float[Array, ""]]
Learner = TypeVar("Learner", bound="Agent")


class Transitions(NamedTuple):
    """A batch, or a whole data set, on the device; ``terminals`` is 1.0 where the episode ended in a terminal state.

    Discrete actions come one-hot. Agents that ask for it (`AgentConfig.uses_next_actions`) also get the action taken
    at the next observation, and 1.0 where the data know it.
    """

    observations: Float[Array, "batch observation"]
    actions: Float[Array, "batch action"]
    rewards: Float[Array, " batch"]
    next_observations: Float[Array, "batch observation"]
    terminals: Float[Array, " batch"]
    next_actions: Float[Array, "batch action"] | None = None
    next_actions_known: Float[Array, " batch"] | None = None


COLUMNS: tuple[str, ...] = ("observations", "actions", "rewards", "next_observations", "terminals")
"""What every data set has of `Transitions`, and every `Batch` takes, in this order."""


class Replay(NamedTuple):
    """Transitions that grow: arrays of a fixed size, of which the first ``filled`` rows count.

    Attributes:
        transitions: as many rows as fit.
        filled: rows in use.
        written: rows ever written; the next one goes to ``written`` modulo the size.
    """

    transitions: Transitions
    filled: Int[Array, ""]
    written: Int[Array, ""]


Data = Transitions | Replay | Weighted
"""What an agent learns from."""

_FOR_THE_ACTOR = 0x5EED  # folded into an update's key; no number that a split of it uses


class Measured(NamedTuple):
    """An agent as the instrument takes it.

    Attributes:
        critic, target_critic: called with observations and actions; with observations alone where ``policy`` is
            "greedy".
        options: everything else that `seemrl.measure` wants to know, by its name there.
        policy: "sampled" asks `Agent.target_actions`; "greedy" takes the critic's best action.
    """

    critic: Any
    target_critic: Any
    options: dict[str, Any]
    policy: Literal["sampled", "greedy"] = "sampled"


class Agent(eqx.Module):
    """A learner: networks, targets, optimizer states, random key and step count, all of them arrays of one pytree.

    One that explores (`AgentConfig.explores`) also has ``explore(observations, key)``: its actions, with the noise for
    that.

    Attributes:
        key: everything random derives from it and the step.
        step: critic updates done.
        priorities: what `draw` goes by, a tree of `priority_tree`, where transitions are prioritised by TD error.
    """

    draws: ClassVar[int] = 2
    """Draws of a random target policy that a reading averages over."""

    key: PRNGKeyArray
    step: Array
    priorities: Float[Array, " nodes"] | None = eqx.field(default=None, kw_only=True)

    @property
    def updates_per_cycle(self) -> int:
        """Critic updates in one `update`."""
        return 1

    @abstractmethod
    def update(self, data: Data, batch_size: int) -> tuple["Agent", Info]:
        """One cycle: critic updates, what else the agent trains, a move of its targets; and the metrics of the last."""

    @abstractmethod
    def act(self, observations: Float[Array, "batch observation"]) -> Float[Array, "batch action"]:
        """The policy's actions in evaluation, without noise; discrete ones one-hot."""

    @abstractmethod
    def target_actions(
        self, next_observations: Float[Array, "batch observation"], key: PRNGKeyArray
    ) -> Float[Array, "batch action"]:
        """Actions as the critic's target uses them, noise included."""

    @abstractmethod
    def measured(self) -> Measured | None:
        """The critic and how it is trained; None where the agent has none that bootstraps."""

    def draw(self, data: Data, batch_size: int) -> tuple[Transitions, PRNGKeyArray]:
        """The critic's transitions for this step, drawn with replacement, and a key for what else is random in it."""
        sample_key, key = jax.random.split(jax.random.fold_in(self.key, self.step))
        return rows_of(data, self.drawn(data, sample_key, batch_size)), key

    def draw_for_actor(self, data: Data, batch: Transitions) -> Transitions:
        """The actor's transitions: the critic's batch, or as many of its own where weights are for the actor alone."""
        if not isinstance(data, Weighted) or data.everywhere:
            return batch
        key = jax.random.fold_in(jax.random.fold_in(self.key, self.step), _FOR_THE_ACTOR)
        return rows_of(data, data.draw(key, len(batch.rewards)))

    def drawn(self, data: Data, key: PRNGKeyArray, count: int) -> Int[Array, " count"]:
        """Numbers of rows for the critic."""
        if self.priorities is not None:
            return draw_by_priority(self.priorities, key, count)
        if isinstance(data, Weighted) and data.everywhere:
            return data.draw(key, count)
        filled = data.filled if isinstance(data, Replay) else len(columns_of(data).rewards)
        return jax.random.randint(key, (count,), 0, filled)

    def values(
        self, critic: Any, observations: Float[Array, "batch observation"], actions: Float[Array, "batch action"]
    ) -> Float[Array, "heads batch"]:
        """Values of every head at actions as the data and `target_actions` have them."""
        return critic(observations, actions)

    def replace(self: Learner, **changes: PyTree) -> Learner:
        """The same learner with some of its parts exchanged."""
        names = tuple(changes)
        return eqx.tree_at(lambda agent: tuple(getattr(agent, name) for name in names), self, tuple(changes.values()))


def columns_of(data: Data) -> Transitions:
    """All transitions of the data."""
    return data if isinstance(data, Transitions) else data.transitions


def rows_of(data: Data, rows: Int[Array, " count"]) -> Transitions:
    """Some of them, by their numbers."""
    return jax.tree.map(lambda column: column[rows], columns_of(data))


def against_smallest_target(agent: Any, target_period: int = 1) -> Measured:
    """All heads of an agent's critic against the smallest target head, as most agents train theirs.

    Args:
        agent: has ``critic``, ``target_critic``, ``critic_optimizer_state`` and, in its ``scalars``, ``discount`` and
            ``target_rate``.
        target_period: critic updates per move of the target.
    """
    options = {
        "discount": float(agent.scalars.discount),
        "optimizer": agent.critic_optimizer_state,
        "target_rate": float(agent.scalars.target_rate),
        "target_period": target_period,
    }
    return Measured(agent.critic, agent.target_critic, options)


def numbers_of(kind: Any, config: AgentConfig) -> Any:
    """The hyperparameters that enter an update as numbers: a named tuple of that kind, with the config's names."""
    return kind(*(jnp.asarray(getattr(config, name), jnp.float32) for name in kind._fields))


def start_optimizer(
    name: OptimizerName, learning_rate: float, network: PyTree, first_moment_decay: float = 0.9
) -> PyTree:
    """A fresh optimizer state; its settings are kept in it, where the update and the instrument both read them.

    Args:
        name: of the optimizer.
        learning_rate: its step size.
        network: whose parameters it is to move.
        first_moment_decay: beta_1 of Adam; SGD has none.
    """
    settings = {"b1": first_moment_decay} if name == "adam" else {}
    return _optimizer(name)(learning_rate=jnp.asarray(learning_rate), **settings).init(split(network)[0])


def descend(name: OptimizerName, network: PyTree, gradients: PyTree, state: PyTree) -> tuple[PyTree, PyTree]:
    """One step of the optimizer, and what layers do after one: the network moved, and the new state."""
    rate = state.hyperparams["learning_rate"]
    updates, state = _optimizer(name)(learning_rate=rate).update(gradients, state)
    parameters, rest = split(network)
    return after_step(eqx.combine(optax.apply_updates(parameters, updates), rest)), state


def differentiate(
    network: PyTree, loss: Callable[..., tuple[Array, Info]], *arguments: Any
) -> tuple[PyTree, PyTree, Info]:
    """Gradient of a loss, the network with the running statistics that the loss's passes leave, the loss's metrics.

    The loss sees the network in training: layers that have batch statistics use them.

    Args:
        network: whose parameters the gradient is of.
        loss: called with the network and the arguments; returns the loss and its metrics.
        *arguments: a batch, and a key where the loss is random.
    """
    parameters, rest = split(network)

    def of_parameters(parameters: PyTree) -> tuple[Array, tuple[PyTree, Info]]:
        with noting() as notes:
            value, info = loss(in_training(eqx.combine(parameters, rest)), *arguments)
        return value, (moved(rest, notes), info)

    gradients, (rest, info) = jax.grad(of_parameters, has_aux=True)(parameters)
    return gradients, eqx.combine(parameters, rest), info


def shortened(gradients: PyTree, longest: Float[Array, ""]) -> tuple[PyTree, Float[Array, ""]]:
    """Gradients scaled to the norm ``longest`` where theirs is larger; and their norm before."""
    norm = optax.tree.norm(gradients)
    scale = jnp.minimum(1.0, longest / (norm + 1e-6))
    return jax.tree.map(lambda part: scale * part, gradients), norm


def improve(agent: Any, name: str, loss: Callable[..., tuple[Array, Info]], *arguments: Any) -> tuple[Any, Info]:
    """One optimizer step on one of an agent's networks; returns the agent with it, and the loss's metrics.

    Args:
        agent: has the network ``name``, its ``<name>_optimizer_state`` and the name of the ``optimizer``.
        name: which network.
        loss: called with the network and the arguments; returns the loss and its metrics.
        *arguments: a batch, and a key where the loss is random.
    """
    gradients, network, info = differentiate(getattr(agent, name), loss, *arguments)
    state = f"{name}_optimizer_state"
    network, stepped = descend(agent.optimizer, network, gradients, getattr(agent, state))
    return agent.replace(**{name: network, state: stepped}), info


def follow(target: PyTree, live: PyTree, rate: Float[Array, ""]) -> PyTree:
    """The target network moved to the live one by ``rate``, running statistics too; at rate 1 a copy, bit by bit."""
    return jax.tree.map(lambda old, new: (1 - rate) * old + rate * new, target, live)


def _optimizer(name: OptimizerName):
    return optax.inject_hyperparams({"adam": optax.adam, "sgd": optax.sgd}[name])
