"""Small TorchRL loss modules over the embedded transitions, and a plain loop that trains them."""

# pyright: reportMissingImports=false

from typing import Any, NamedTuple

import numpy as np
import torch
from tensordict import TensorDict
from tensordict.nn import TensorDictModule, TensorDictSequential
from torch import nn
from torchrl import modules, objectives
from torchrl.data import LazyTensorStorage, TensorDictReplayBuffer
from torchrl.envs.utils import ExplorationType, set_exploration_type

from seemrl.data.embedded import load_embedded_hopper

NAMES = ("DDPG", "TD3", "TD3BC", "SAC", "CQL", "DQN", "DoubleDQN", "DiscreteCQL")
DISCRETE = ("DQN", "DoubleDQN", "DiscreteCQL")
OBSERVATION, ACTION, CHOICES = 11, 3, 4


class Learner(NamedTuple):
    """A loss module with all that a loop needs beside it."""

    loss_module: Any
    updater: Any
    optimizer: torch.optim.Optimizer
    data: Any

    def losses(self, batch: Any) -> torch.Tensor:
        """The sum of all terms, as a trainer takes it."""
        with set_exploration_type(ExplorationType.DETERMINISTIC):
            terms = self.loss_module(batch)
        return torch.stack([value for key, value in terms.items() if key.startswith("loss")]).sum()

    def update(self) -> None:
        """One step of all networks, and of the target."""
        loss = self.losses(self.data.sample())
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        if self.updater is not None:
            self.updater.step()


def transitions(name: str, rows: int = 500) -> TensorDict:
    data = load_embedded_hopper()
    columns = [np.asarray(column[:rows]) for column in (data.observations, data.actions, data.rewards, data.terminals)]
    observations, actions, rewards, terminals = (torch.as_tensor(column, dtype=torch.float32) for column in columns)
    if name in DISCRETE:
        chosen = (actions[:, 0] > 0).long() + 2 * (actions[:, 1] > 0).long()
        actions = nn.functional.one_hot(chosen, CHOICES) if name != "DiscreteCQL" else chosen
    terminated = terminals[:, None].bool()
    following = {
        "observation": torch.as_tensor(np.asarray(data.next_observations[:rows]), dtype=torch.float32),
        "reward": 0.02 * rewards[:, None],  # TD errors within 1, where smooth L1 is a square
        "done": terminated | (torch.arange(rows) % 50 == 49)[:, None],
        "terminated": terminated,
    }
    return TensorDict({"observation": observations, "action": actions, "next": following}, batch_size=[rows])


def buffer(name: str) -> TensorDictReplayBuffer:
    held = TensorDictReplayBuffer(storage=LazyTensorStorage(500), batch_size=32)
    held.extend(transitions(name))
    return held


def critic(norm: type[nn.Module] | None = None) -> TensorDictModule:
    network = modules.MLP(
        in_features=OBSERVATION + ACTION,
        out_features=1,
        num_cells=[16, 16],
        activation_class=nn.ReLU,
        norm_class=norm,
        norm_kwargs={"normalized_shape": 16} if norm else None,
    )
    return modules.ValueOperator(network, in_keys=["observation", "action"])


def actor() -> TensorDictModule:
    network = modules.MLP(in_features=OBSERVATION, out_features=ACTION, num_cells=[16])
    return TensorDictModule(nn.Sequential(network, nn.Tanh()), in_keys=["observation"], out_keys=["action"])


def random_actor() -> Any:
    network = modules.MLP(in_features=OBSERVATION, out_features=2 * ACTION, num_cells=[16])
    moments = nn.Sequential(network, modules.NormalParamExtractor())
    return modules.ProbabilisticActor(
        TensorDictModule(moments, in_keys=["observation"], out_keys=["loc", "scale"]),
        in_keys=["loc", "scale"],
        out_keys=["action"],
        distribution_class=modules.TanhNormal,
        return_log_prob=True,
    )


def loss_of(name: str, **settings: Any) -> Any:
    norm = settings.pop("norm", None)
    if name in DISCRETE:
        network = modules.MLP(in_features=OBSERVATION, out_features=CHOICES, num_cells=[16, 16])
        space = "categorical" if name == "DiscreteCQL" else "one-hot"
        valued = modules.QValueActor(network, in_keys=["observation"], action_space=space)
        if name == "DoubleDQN":
            settings["double_dqn"] = True
        kind = objectives.DiscreteCQLLoss if name == "DiscreteCQL" else objectives.DQNLoss
        return kind(valued, action_space=space, **settings)
    kind = getattr(objectives, f"{name}Loss")
    if name in ("TD3", "TD3BC"):
        return kind(actor(), critic(norm), bounds=(-1.0, 1.0), **settings)
    if name == "DDPG":
        return kind(actor(), critic(norm), **settings)
    return kind(random_actor(), critic(norm), target_entropy=-ACTION, **{"alpha_init": 0.05} | settings)


def learner(name: str, steps: int = 0, seed: int = 0, optimizer: Any = torch.optim.Adam, **settings: Any) -> Learner:
    torch.manual_seed(seed)
    discount, hard = settings.pop("discount", 0.99), settings.pop("hard", None)
    rate = settings.pop("target_rate", 0.05)
    loss_module = loss_of(name, **settings)
    loss_module.make_value_estimator(gamma=discount)
    updater = None
    if getattr(loss_module, "delay_qvalue", getattr(loss_module, "delay_value", False)):
        updater = objectives.SoftUpdate(loss_module, tau=rate)
        if hard is not None:
            updater = objectives.HardUpdate(loss_module, value_network_update_interval=hard)
    made = Learner(loss_module, updater, optimizer(loss_module.parameters(), lr=3e-3), buffer(name))
    for _ in range(steps):
        made.update()
    return made


def several_inputs() -> Any:
    """A loss whose critic sees two entries."""
    network = modules.MLP(in_features=OBSERVATION + 2 * ACTION, out_features=1, num_cells=[16])
    seen = modules.ValueOperator(network, in_keys=["observation", "goal", "action"])
    return objectives.TD3Loss(actor(), TensorDictSequential(seen), bounds=(-1.0, 1.0))
