"""TD3+BC of this package, in the compiled loop that `seemrl train` runs."""

from seemrl.training.backend import prepare_jax

prepare_jax()

import jax  # noqa: E402 - JAX's settings come first
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402

from benchmarks.training_workers.clock import report  # noqa: E402
from seemrl.agents.agent import Transitions  # noqa: E402
from seemrl.agents.config import TD3BCConfig  # noqa: E402
from seemrl.agents.td3_bc import TD3BC  # noqa: E402
from seemrl.agents.updates import train_updates  # noqa: E402
from seemrl.data.embedded import load_embedded_hopper  # noqa: E402

data = load_embedded_hopper()
mean, deviation = data.observation_statistics()
columns = (
    ((data.observations - mean) / deviation).astype(np.float32),
    data.actions,
    data.rewards,
    ((data.next_observations - mean) / deviation).astype(np.float32),
    data.terminals.astype(np.float32),
)
transitions = Transitions(*map(jnp.asarray, columns))
ends = (-1.0,) * data.action_size, (1.0,) * data.action_size
state = {"agent": TD3BC.create(TD3BCConfig(), data.observation_size, *ends, seed=0)}


def train(updates: int) -> None:
    state["agent"], info = train_updates(transitions, state["agent"], updates, 256)
    jax.block_until_ready(info)


report(train)
