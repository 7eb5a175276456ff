"""A monitor's log of a small torch critic that nobody trains."""

from pathlib import Path

import numpy as np
import torch

import seemrl


class Critic(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.ReLU(), torch.nn.Linear(8, 1))

    def forward(self, observations: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        return self.layers(torch.cat([observations, actions], dim=1))


def logged(directory: Path, readings: int) -> None:
    """Read at steps 10, 20, ...; a log that is there already is continued."""
    torch.manual_seed(0)
    random = np.random.default_rng(0)
    observations, actions, rewards = random.normal(size=(8, 2)), random.normal(size=(8, 1)), random.normal(size=8)
    batch = seemrl.Batch(observations, actions, rewards, observations + 0.1, np.zeros(8))
    critic = Critic()
    monitor = seemrl.Monitor(
        critic,
        batch,
        lambda states: np.zeros((len(states), 1)),
        discount=0.9,
        every=10,
        time_share=None,
        directory=directory,
    )
    for step in range(10, 10 * readings + 1, 10):
        monitor.update(step)
    del monitor
