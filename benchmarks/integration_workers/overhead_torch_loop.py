"""The learner of examples/torch_loop.py, timed with a monitor and without."""

import argparse
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import torch

import seemrl
from benchmarks.integration_workers.clock import report, watched
from seemrl.data.embedded import load_embedded_hopper

_FILE = Path(__file__).parents[2] / "examples" / "torch_loop.py"
_SPEC = spec_from_file_location("torch_loop", _FILE)
assert _SPEC is not None and _SPEC.loader is not None
example: Any = module_from_spec(_SPEC)
_SPEC.loader.exec_module(example)

torch.manual_seed(0)
data = load_embedded_hopper()
published = argparse.Namespace(
    alpha=2.5, device="cpu", bc_weight=1.0, tau=0.005, hidden=256, layer_norm=False, learning_rate=3e-4
)
buffer, agent = example.ReplayBuffer(data, "cpu"), example.TD3BC(data, published)
monitor: seemrl.Monitor | None = None
if watched():
    rows = data.batch_rows(128, seed=0)
    batch = seemrl.Batch(*(array[rows] for array in buffer.arrays))
    monitor = seemrl.Monitor(agent.critic, batch, agent.target_actions, **agent.update(), every=1)


def train(updates: int) -> None:
    for _ in range(updates):
        agent.train(buffer.sample(256))
        if monitor is not None:
            monitor.update(agent.total_it)


report(train, lambda: monitor)
