"""Losses and targets that several agents have in common."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from seemrl.agents.agent import Info, Transitions


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
