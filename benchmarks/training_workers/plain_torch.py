"""TD3+BC as people write it in PyTorch: the loop of examples/torch_loop.py, without readings."""

import argparse
import os
import sys

import torch

from benchmarks.training_workers.clock import report
from seemrl.data.embedded import load_embedded_hopper

sys.path.insert(0, "examples")
from torch_loop import TD3BC, ReplayBuffer  # pyright: ignore[reportMissingImports] - the example is not a package

torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
options = argparse.Namespace(
    device="cpu", alpha=2.5, bc_weight=1.0, tau=0.005, hidden=256, layer_norm=False, learning_rate=3e-4
)
data = load_embedded_hopper()
buffer, agent = ReplayBuffer(data, "cpu"), TD3BC(data, options)


def train(updates: int) -> None:
    for _ in range(updates):
        agent.train(buffer.sample(256))


report(train)
