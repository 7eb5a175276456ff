"""Processor seconds until an agent of this package has made its first update; its name is on the command line."""

import sys
import time

from seemrl.training.backend import prepare_jax

prepare_jax()

import jax  # noqa: E402 - JAX's settings come first
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402

from seemrl.agents.agent import Transitions  # noqa: E402
from seemrl.agents.registry import CONFIGS, create_agent  # noqa: E402
from seemrl.agents.updates import train_updates  # noqa: E402
from seemrl.data.embedded import load_embedded_hopper  # noqa: E402

config = next(config for name, config in CONFIGS.items() if name == sys.argv[1])()
data = load_embedded_hopper()
columns = (data.observations, data.actions, data.rewards, data.next_observations, data.terminals.astype(np.float32))
transitions = Transitions(*map(jnp.asarray, columns))
ends = (-1.0,) * data.action_size, (1.0,) * data.action_size
agent = jax.block_until_ready(create_agent(config, data.observation_size, *ends, seed=0))
started = time.process_time()
jax.block_until_ready(train_updates(transitions, agent, agent.updates_per_cycle, 256)[1])
print(time.process_time() - started)
