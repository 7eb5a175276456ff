"""A loop of TorchRL's TD3BCLoss, timed with its hook and without."""

# pyright: reportMissingImports=false

import numpy as np
import torch
from tensordict import TensorDict
from tensordict.nn import TensorDictModule
from torchrl.data import LazyTensorStorage, TensorDictReplayBuffer
from torchrl.modules import MLP, ValueOperator
from torchrl.objectives import SoftUpdate, TD3BCLoss

from benchmarks.integration_workers.clock import report, watched
from seemrl.data.embedded import load_embedded_hopper
from seemrl.integrations.torchrl import MonitorHook

torch.manual_seed(0)
torch.set_num_threads(1)
data, cells = load_embedded_hopper(), [256, 256]
observation, action = data.observation_size, data.action_size
columns = [
    torch.as_tensor(np.asarray(column), dtype=torch.float32)
    for column in (data.observations, data.actions, data.next_observations, data.rewards, data.terminals)
]
ended = columns[4][:, None].bool()
following = {"observation": columns[2], "reward": columns[3][:, None], "done": ended, "terminated": ended}
transitions = TensorDict({"observation": columns[0], "action": columns[1], "next": following}, batch_size=[len(ended)])
buffer = TensorDictReplayBuffer(storage=LazyTensorStorage(len(ended)), batch_size=256)
buffer.extend(transitions)
acting = MLP(in_features=observation, out_features=action, num_cells=cells, activation_class=torch.nn.ReLU)
valuing = MLP(in_features=observation + action, out_features=1, num_cells=cells, activation_class=torch.nn.ReLU)
loss = TD3BCLoss(
    TensorDictModule(torch.nn.Sequential(acting, torch.nn.Tanh()), in_keys=["observation"], out_keys=["action"]),
    ValueOperator(valuing, in_keys=["observation", "action"]),
    bounds=(-1.0, 1.0),
    loss_function="l2",
)
loss.make_value_estimator(gamma=0.99)
updater = SoftUpdate(loss, tau=0.005)
of_critic = torch.optim.Adam(loss.qvalue_network_params.parameters(), lr=3e-4)
of_actor = torch.optim.Adam(loss.actor_network_params.parameters(), lr=3e-4)
watch = None
if watched():
    watch = MonitorHook(loss, buffer, optimizer=of_critic, target_updater=updater, target_period=2, every=1)
step = 0


def train(updates: int) -> None:
    global step
    for _ in range(updates):
        step += 1
        batch = buffer.sample()
        loss.qvalue_loss(batch)[0].backward()
        of_critic.step()
        of_critic.zero_grad()
        if step % 2 == 0:
            loss.actor_loss(batch)[0].backward()
            of_actor.step()
            of_actor.zero_grad()
            of_critic.zero_grad()
            updater.step()
        if watch is not None:
            watch()


report(train, lambda: None if watch is None else watch.monitor)
