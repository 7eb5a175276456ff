"""Networks as somebody else wrote them, in a file of theirs, trained a little and saved in every usual way."""

import importlib
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from seemrl.cli import main
from seemrl.data.d4rl import load_d4rl, save_d4rl
from seemrl.data.dataset import Dataset
from seemrl.instrument.batch import Batch
from seemrl_process import EMBEDDED

SOURCE = """
import torch
from torch import nn

print("this module talks")


def net(inputs, hidden, outputs):
    return nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, outputs))


class Critic(nn.Module):
    def __init__(self, state_dim: int, action_dim: int, hidden: int = 8):
        super().__init__()
        self.q1, self.q2 = net(state_dim + action_dim, hidden, 1), net(state_dim + action_dim, hidden, 1)
        self.dropout = nn.Dropout(0.5)

    def forward(self, state, action):
        inputs = self.dropout(torch.cat([state, action], dim=1))
        return self.q1(inputs), self.q2(inputs)


class Actor(nn.Module):
    def __init__(self, obs_dim, act_dim, max_action):
        super().__init__()
        self.net, self.max_action = net(obs_dim, 8, act_dim), max_action

    def forward(self, observations):
        return self.max_action * torch.tanh(self.net(observations))


class Gaussian(Actor):
    def forward(self, observations):
        return super().forward(observations), torch.zeros(3)


class Distribution(Actor):
    def forward(self, observations):
        return torch.distributions.Normal(super().forward(observations), 1.0)


class Broken(Actor):
    def forward(self, observations):
        raise ValueError("no\\nsuch thing")


class Wide(Critic):
    def forward(self, state, action):
        return torch.cat([state, action], dim=1)


class StatesOnly(Critic):
    def forward(self, state):
        return state


class Choosy(Critic):
    def forward(self, state, action):
        if torch.is_grad_enabled():
            raise ValueError("for evaluation only")
        return super().forward(state, action)


class Refusing(Critic):
    def __init__(self, state_dim, action_dim):
        raise RuntimeError("not today")


class Deep(Critic):
    def __init__(self, depth, *, state_dim, action_dim, width):
        super().__init__(state_dim, action_dim, width)


def small_critic(hidden=8):
    return Critic(11, 3, hidden)


def a_number(**_):
    return 3


some_number = 3
"""

ROWS = 10

CRITIC = ("--critic", "networks.py:Critic", "--weights", "all.pt#critic")
ACTOR = ("--policy", "networks.py:Actor", "--policy-weights", "all.pt#actor")
DATA = ("--data", str(EMBEDDED), "--rows", ROWS)


def write_networks(directory: Path) -> ModuleType:
    """Write the file ``networks.py``, and import it as a test may."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "networks.py").write_text(SOURCE)
    sys.modules.pop("networks", None)
    importlib.invalidate_caches()
    sys.path.insert(0, str(directory))
    try:
        return importlib.import_module("networks")
    finally:
        sys.path.remove(str(directory))
        del sys.modules["networks"]


def trained(networks: Any, optimizer: str = "Adam", **settings: Any) -> dict[str, Any]:
    """Critic, actor, target critic and the critic's optimizer after a few updates."""
    torch.manual_seed(0)
    critic, actor, target = networks.Critic(11, 3).eval(), networks.Actor(11, 3, 1.0), networks.Critic(11, 3).eval()
    rule = getattr(torch.optim, optimizer)(critic.parameters(), **{"lr": 1e-3, **settings})
    for _ in range(3):
        rule.zero_grad()
        first, second = critic(torch.randn(16, 11), torch.rand(16, 3))
        (first**2 + second**2).mean().backward()
        rule.step()
    return {"critic": critic, "actor": actor, "critic_target": target, "critic_optimizer": rule}


def save(parts: dict[str, Any], directory: Path) -> None:
    """One .pt with everything in it, and files of one state dict each."""
    states = {name: part.state_dict() for name, part in parts.items()}
    torch.save(states | {"step": 3}, directory / "all.pt")
    for name in ("critic", "actor"):
        torch.save(states[name], directory / f"{name}.pth")
        save_file(states[name], directory / f"{name}.safetensors")


def ordered_data(source: Path, path: Path, rows: int = 60) -> Dataset:
    """The first transitions of a file, with a timeout at row 20."""
    whole = load_d4rl(source)
    arrays: dict[str, Any] = {key: array[:rows].copy() for key, array in whole.arrays().items()}
    arrays["timeouts"][20] = True
    save_d4rl(replace(whole, **arrays), path)
    return load_d4rl(path)


def batch_of(data: Dataset, rows: np.ndarray, normalize: bool = False) -> Batch:
    """These rows, standardised or not."""
    mean, deviation = data.observation_statistics() if normalize else (np.float32(0), np.float32(1))
    return Batch(
        (data.observations[rows] - mean) / deviation,
        data.actions[rows],
        data.rewards[rows],
        (data.next_observations[rows] - mean) / deviation,
        data.terminals[rows],
    )


def refusal(capsys: Any, *arguments: object) -> str:
    """The one line that the command ends in."""
    assert main(["measure", *map(str, arguments)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    *before, line = said.err.splitlines()
    assert set(before) <= {"this module talks"}
    assert line.isprintable() and line.startswith("seemrl: error: ")
    return line.removeprefix("seemrl: error: ")
