"""Run directories of any agent without the time to train one: begun, moved away from the start at random, saved."""

from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from seemrl.agents.registry import CONFIGS
from seemrl.data.dataset import Dataset
from seemrl.training.checkpoint import save_best, save_checkpoint
from seemrl.training.config import TrainConfig
from seemrl.training.loop import Run
from seemrl.training.setup import open_run

ROWS = 300


def transitions(path: Path, *, discrete: bool) -> Path:
    """A file of random ones, whose observations are far from standardised."""
    random = np.random.default_rng(0)
    seen = (random.normal(size=(ROWS + 1, 5)) * [0.1, 1, 3, 10, 0.5] + [3, 0, -5, 20, 0]).astype(np.float32)
    actions = random.integers(4, size=ROWS) if discrete else random.uniform(-1, 1, (ROWS, 3)).astype(np.float32)
    data = Dataset(
        observations=seen[:-1],
        actions=actions,
        rewards=random.normal(size=ROWS).astype(np.float32),
        next_observations=seen[1:],
        terminals=np.arange(ROWS) % 50 == 49,
        timeouts=np.zeros(ROWS, bool),
        environment=None,
        source=str(path),
        attributes={"action_count": 4} if discrete else {},
    )
    data.save(path)
    return path


def config_of(data: Path, out: Path, name: Any, **hyperparameters: Any) -> TrainConfig:
    options: dict[str, Any] = {"hidden_sizes": (12, 12)} | hyperparameters
    chosen = CONFIGS[name](**options)
    return TrainConfig(data=str(data), out=str(out), agent=name, hyperparameters=chosen, env="none", steps=64)


def moved(tree: Any, seed: int = 7) -> Any:
    """Every number a little elsewhere, at random: nothing stays at its start, and running variances are positive."""
    leaves, structure = jax.tree.flatten(tree)
    random = np.random.default_rng(seed)

    def beside(leaf: Any) -> Any:
        if not eqx.is_inexact_array(leaf):
            return leaf
        return leaf + jnp.asarray(0.1 * random.normal(size=leaf.shape), leaf.dtype)

    return jax.tree.unflatten(structure, [beside(leaf) for leaf in leaves])


def saved_run(config: TrainConfig, *, step: int = 64, best: bool = False) -> Run:
    """The run as it is on the disk after ``step`` updates, or so it seems."""
    run = open_run(config, lambda line: None)
    run.agent = moved(run.agent)
    save_checkpoint(run.directory / "checkpoints", run.agent, step)
    if best:
        save_best(run.directory / "checkpoints", moved(run.agent, seed=8), step // 2, 1.0)
    return run
