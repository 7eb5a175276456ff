"""What the time of a run in an environment goes into: python -m benchmarks.online [ENVIRONMENT]

In turns, on one core: steps of environments side by side, the choice of their actions, rows into the replay, and critic
updates, 8 of them compiled into one call; medians of five turns. The last column is the cost relative to one update.
"""

import os
import sys
import time
from collections.abc import Callable
from statistics import median
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
from seemrl.training.backend import prepare_jax

prepare_jax()

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
from gymnasium.vector import SyncVectorEnv  # noqa: E402

from seemrl.agents.agent import Transitions  # noqa: E402
from seemrl.agents.config import AgentConfig  # noqa: E402
from seemrl.agents.registry import create_agent  # noqa: E402
from seemrl.agents.sac_config import SACConfig  # noqa: E402
from seemrl.agents.td3_config import TD3Config  # noqa: E402
from seemrl.agents.updates import train_updates  # noqa: E402
from seemrl.training.evaluation import action_box, make_environment  # noqa: E402
from seemrl.training.online import choose, empty_replay, extend_replay  # noqa: E402

ENVIRONMENTS, UPDATES, REPEATS = 32, 8, 10
AGENTS: dict[str, AgentConfig] = {
    "TD3, 2x128": TD3Config(hidden_sizes=(128, 128), critic_norm="layer"),
    "TD3, 2x256": TD3Config(critic_norm="layer"),
    "SAC, 2x256": SACConfig(critic_norm="layer"),
}


def seconds(work: Callable[[], Any], count: int) -> float:
    """Of one of ``count`` pieces of the work, done repeatedly."""
    began = time.perf_counter()
    for _ in range(REPEATS):
        jax.block_until_ready(work())
    return (time.perf_counter() - began) / (REPEATS * count)


def measure(name: str, config: AgentConfig, environment: str) -> None:
    environments = SyncVectorEnv([lambda: make_environment(environment)] * ENVIRONMENTS)
    observations, _ = environments.reset(seed=0)
    box, size = action_box(environments.envs[0], environment), observations.shape[1]
    actions = np.zeros((ENVIRONMENTS, len(box.low)), np.float32)
    agent, replay = create_agent(config, size, box.low, box.high, 0), empty_replay(100_000, size, len(box.low))
    flat = np.zeros(ENVIRONMENTS, np.float32)
    rows = (observations.astype(np.float32), actions, flat, observations.astype(np.float32), flat)

    def step() -> None:
        environments.step(actions)

    def act() -> np.ndarray:
        return choose(agent, observations, jax.random.key(0), 1)

    def store() -> None:
        nonlocal replay
        replay = extend_replay(replay, Transitions(*map(jnp.asarray, rows)))

    def update() -> Any:
        nonlocal agent
        agent, info = train_updates(replay, agent, UPDATES, 256)
        return info

    works = {"environment step": (step, ENVIRONMENTS), "choice": (act, 1), "storing": (store, 1)}
    works["update"] = (update, UPDATES)
    for work, _ in works.values():
        work()  # compiled here
    turns = [{kind: seconds(*work) for kind, work in works.items()} for _ in range(5)]
    environments.close()
    print(f"{name}, {environment}, {ENVIRONMENTS} environments")
    for kind in works:
        relative = median(turn[kind] / turn["update"] for turn in turns)
        print(f"  {kind:<17}{1e6 * median(turn[kind] for turn in turns):9.0f} us {relative:8.3f}")


if __name__ == "__main__":
    for name, config in AGENTS.items():
        measure(name, config, sys.argv[1] if len(sys.argv) > 1 else "HalfCheetah-v5")
