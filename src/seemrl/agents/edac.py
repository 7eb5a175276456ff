"""EDAC: SAC with an ensemble of critics kept diverse (An et al., 2021, arXiv 2110.01548).

With ``diversity_weight=0`` it is SAC-N of the same paper.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from seemrl.agents.agent import Info, Transitions
from seemrl.agents.sac import SAC
from seemrl.agents.sac_config import EDACConfig, SACConfig
from seemrl.networks.mlp import TwinCritic

_SHORTEST = 1e-10  # added to a gradient's length before dividing by it


class EDAC(SAC):
    """SAC whose heads may not agree on where a better action lies."""

    diversity_weight: Float[Array, ""]
    diverse: bool = eqx.field(static=True)

    @classmethod
    def create(
        cls, config: SACConfig, observation_size: int, low: tuple[float, ...], high: tuple[float, ...], seed: int
    ) -> "EDAC":
        """A fresh learner; everything random in its life derives from ``seed``."""
        assert isinstance(config, EDACConfig)
        parts = cls._parts(config, observation_size, low, high, seed)
        weight = jnp.asarray(config.diversity_weight, jnp.float32)
        return cls(**parts, diversity_weight=weight, diverse=config.diversity_weight > 0)

    def critic_loss(self, critic: TwinCritic, batch: Transitions, key: PRNGKeyArray) -> tuple[Array, Info]:
        """SAC's loss, and the weighted similarity of the heads where it is wanted."""
        loss, info = super().critic_loss(critic, batch, key)
        if not self.diverse:
            return loss, info
        similarity = gradient_similarity(critic, batch)
        loss = loss + self.diversity_weight * similarity
        return loss, info | {"critic_loss": loss, "gradient_similarity": similarity}


def gradient_similarity(critic: TwinCritic, batch: Transitions) -> Float[Array, ""]:
    """1/(N-1) sum over i != j of the cosine of the heads' gradients with respect to the actions, meaned (eq. 5)."""

    def gradients(head: int) -> Float[Array, "batch action"]:
        one = eqx.tree_at(lambda critic: critic.heads, critic, (critic.heads[head],))
        return jax.grad(lambda actions: jnp.sum(one(batch.observations, actions)))(batch.actions)

    found = jnp.stack([gradients(head) for head in range(len(critic.heads))])
    lengths = jnp.sqrt(jnp.maximum(jnp.sum(found**2, axis=-1, keepdims=True), _SHORTEST**2))
    directions = found / (lengths + _SHORTEST)
    whole = jnp.sum(jnp.sum(directions, axis=0) ** 2, axis=-1)  # of all pairs, each head with itself among them
    own = jnp.sum(directions**2, axis=(0, 2))
    return jnp.mean(whole - own) / (len(critic.heads) - 1)
