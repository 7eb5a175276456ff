"""TD3: twin delayed deterministic policy gradient (Fujimoto et al., 2018, arXiv 1802.09477)."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from seemrl.agents.agent import Info, Transitions
from seemrl.agents.config import TD3BCConfig
from seemrl.agents.td3_bc import TD3BC
from seemrl.agents.td3_config import TD3Config
from seemrl.networks.mlp import DeterministicActor


class TD3(TD3BC):
    """TD3+BC without cloning and without the division by mean |Q|; it can collect its own data."""

    exploration_noise: Float[Array, ""]

    @classmethod
    def create(
        cls,
        config: TD3BCConfig | TD3Config,
        observation_size: int,
        low: tuple[float, ...],
        high: tuple[float, ...],
        seed: int,
    ) -> "TD3":
        """A fresh learner; everything random in its life derives from ``seed``."""
        assert isinstance(config, TD3Config)
        settings = {name: value for name, value in vars(config).items() if name != "exploration_noise"}
        plain = TD3BCConfig(**settings, q_weight=1.0, bc_weight=0.0)
        parts = cls._parts(plain, observation_size, low, high, seed)
        return cls(**parts, exploration_noise=jnp.asarray(config.exploration_noise, jnp.float32))

    def explore(self, observations: Float[Array, "batch observation"], key: PRNGKeyArray) -> Array:
        """The actor's actions with Gaussian noise, inside the box."""
        actions = self.actor(observations)
        half_width = (jnp.asarray(self.actor.high) - jnp.asarray(self.actor.low)) / 2
        noise = self.exploration_noise * jax.random.normal(key, actions.shape)
        return self.actor.clip(actions + half_width * noise)

    def actor_loss(self, actor: DeterministicActor, batch: Transitions) -> tuple[Array, Info]:
        """- Q of the first head of the live critic, at the actor's actions."""
        q = jnp.mean(self.critic(batch.observations, actor(batch.observations))[0])
        return -q, {"actor_loss": -q, "policy_q_mean": q}
