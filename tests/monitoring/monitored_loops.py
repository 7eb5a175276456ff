"""A small torch Q-learning loop that diverges or does not, for tests of the monitor."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

import seemrl

DISCOUNT = 0.99


def transitions(rows: int = 64) -> seemrl.Batch:
    random = np.random.default_rng(0)
    observations = random.normal(size=(rows, 3))
    return seemrl.Batch(
        observations=observations,
        actions=random.uniform(-1, 1, (rows, 2)),
        rewards=random.normal(size=rows),
        next_observations=observations + 0.1 * random.normal(size=(rows, 3)),
        terminals=np.zeros(rows, bool),
    )


class Critic(nn.Module):
    def __init__(self, hidden: int = 32) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(5, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, 1)
        )

    def forward(self, observations: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        return self.net(torch.cat([observations, actions], dim=1))


class Loop:
    """TD learning of a critic whose policy always takes a corner that the data do not hold."""

    def __init__(self, learning_rate: float = 1e-3, corner: float = 3.0, noise: float = 0.0) -> None:
        torch.manual_seed(0)
        self.batch, self.corner, self.noise = transitions(), corner, noise
        self.critic = Critic()
        self.target = copy.deepcopy(self.critic)
        self.optimizer = torch.optim.Adam(self.critic.parameters(), lr=learning_rate)
        columns = [getattr(self.batch, name) for name in ("observations", "actions", "rewards", "next_observations")]
        self.columns = [torch.as_tensor(column, dtype=torch.float32) for column in columns]

    def policy(self, next_observations: Any) -> torch.Tensor:
        actions = torch.full((len(next_observations), 2), self.corner)
        return actions + self.noise * torch.randn_like(actions)

    def monitor(self, **options: Any) -> seemrl.Monitor:
        usual: dict[str, Any] = {"every": 20, "time_share": None, "optimizer": self.optimizer}
        usual |= {"target_critic": self.target, "target_rate": 1.0, "discount": DISCOUNT}
        return seemrl.Monitor(self.critic, self.batch, self.policy, **(usual | options))

    def train(self, steps: int, after: Callable[[int], object] = lambda step: None, first: int = 1) -> None:
        observations, actions, rewards, following = self.columns
        for step in range(first, first + steps):
            rows = torch.randint(len(rewards), (32,))
            with torch.no_grad():
                target = rewards[rows] + DISCOUNT * self.target(following[rows], self.policy(following[rows]))[:, 0]
            loss = nn.functional.mse_loss(self.critic(observations[rows], actions[rows])[:, 0], target)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            self.target.load_state_dict(self.critic.state_dict())
            after(step)

    def parameters(self) -> torch.Tensor:
        return torch.cat([value.detach().ravel() for value in self.critic.parameters()])
