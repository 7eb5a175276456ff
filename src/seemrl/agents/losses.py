"""Losses and targets that several agents have in common."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from seemrl.agents.agent import Info, Transitions
from seemrl.networks.mlp import TwinCritic
from seemrl.networks.state import has_batch_statistics, in_training, noting


def joint_values(
    critic: TwinCritic, target_critic: TwinCritic | None, batch: Transitions, next_actions: Float[Array, "batch action"]
) -> tuple[Float[Array, "heads batch"], Float[Array, "heads batch"]]:
    """Values of the critic at (s, a), and of its target at (s', a').

    Where the critic has batch statistics, each of the two networks takes (s, a) and (s', a') in one pass, so that both
    are normalised by the statistics of their union (CrossQ: Bhatt et al., 2024, section 4); otherwise each takes what
    is asked of it.

    Args:
        critic: as a loss sees it.
        target_critic: None where the critic is its own target, as in CrossQ: one pass gives both.
        batch: transitions.
        next_actions: a' of the target.
    """
    if not has_batch_statistics(critic):
        target = critic if target_critic is None else target_critic
        next_values = target(batch.next_observations, next_actions)
        return critic(batch.observations, batch.actions), next_values
    both = (
        jnp.concatenate([batch.observations, batch.next_observations]),
        jnp.concatenate([batch.actions, next_actions]),
    )
    values, next_values = jnp.split(critic(*both), 2, axis=1)
    if target_critic is not None:
        with noting():  # the target's statistics follow the critic's, as its weights do
            next_values = jnp.split(in_training(target_critic)(*both), 2, axis=1)[1]
    return values, next_values


def bootstrapped(
    batch: Transitions, discount: Float[Array, ""], next_values: Float[Array, "*heads batch"]
) -> Float[Array, "*heads batch"]:
    """R + discount (1 - d) V(s'), which no gradient passes."""
    return jax.lax.stop_gradient(batch.rewards + discount * (1 - batch.terminals) * next_values)


def td_loss(values: Float[Array, "heads batch"], targets: Float[Array, "*own batch"]) -> tuple[Float[Array, ""], Info]:
    """Sum over heads of the mean squared TD error, and the metrics of a critic; targets may be each head's own."""
    loss = jnp.sum(jnp.mean((values - targets) ** 2, axis=1))
    return loss, {"critic_loss": loss, "q_mean": jnp.mean(values), "target_mean": jnp.mean(targets)}


def expectile_loss(differences: Float[Array, " batch"], expectile: Float[Array, ""]) -> Float[Array, ""]:
    """Mean of |expectile - 1(u < 0)| u^2 (Kostrikov et al., 2021, section 4.1): 1/2 is half the squared error."""
    weights = jnp.where(differences < 0, 1 - expectile, expectile)
    return jnp.mean(weights * differences**2)


def advantage_weights(
    advantages: Float[Array, " batch"], inverse_temperature: Float[Array, ""], largest: Float[Array, ""]
) -> Float[Array, " batch"]:
    """min(exp(inverse_temperature A), largest), which no gradient passes; no overflow however large A is."""
    return jax.lax.stop_gradient(jnp.exp(jnp.minimum(inverse_temperature * advantages, jnp.log(largest))))
