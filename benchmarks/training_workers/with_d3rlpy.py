"""TD3+BC of d3rlpy with its defaults, on the same transitions; needs d3rlpy, not this package's trainers."""

import os

import d3rlpy  # pyright: ignore[reportMissingImports] - it lives in an environment of its own
import torch

from benchmarks.training_workers.clock import report
from seemrl.data.embedded import load_embedded_hopper

torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
data = load_embedded_hopper()
dataset = d3rlpy.dataset.MDPDataset(
    observations=data.observations,
    actions=data.actions,
    rewards=data.rewards,
    terminals=data.terminals.astype("float32"),
    timeouts=(data.timeouts & ~data.terminals).astype("float32"),
)
algorithm = d3rlpy.algos.TD3PlusBCConfig(
    observation_scaler=d3rlpy.preprocessing.StandardObservationScaler(), batch_size=256
).create(device="cpu:0")


def train(updates: int) -> None:
    algorithm.fit(
        dataset,
        n_steps=updates,
        n_steps_per_epoch=updates,
        show_progress=False,
        save_interval=10**9,
        logger_adapter=d3rlpy.logging.NoopAdapterFactory(),
    )


report(train)
