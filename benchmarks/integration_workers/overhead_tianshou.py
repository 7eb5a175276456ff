"""TD3BC of Tianshou in its offline trainer, timed with its callback and without."""

# pyright: reportMissingImports=false

from contextlib import nullcontext

import gymnasium
import numpy as np
import torch
from tianshou.algorithm import TD3BC
from tianshou.algorithm.modelfree.ddpg import ContinuousDeterministicPolicy
from tianshou.algorithm.optim import AdamOptimizerFactory
from tianshou.data import ReplayBuffer
from tianshou.trainer import OfflineTrainerParams
from tianshou.utils.net.common import Net
from tianshou.utils.net.continuous import ContinuousActorDeterministic, ContinuousCritic

from benchmarks.integration_workers.clock import report, watched
from seemrl.data.embedded import load_embedded_hopper
from seemrl.integrations.tianshou import MonitorCallback

torch.manual_seed(0)
torch.set_num_threads(1)
data, sizes = load_embedded_hopper(), (256, 256)
buffer = ReplayBuffer.from_data(
    obs=np.asarray(data.observations, np.float32),
    act=np.asarray(data.actions, np.float32),
    rew=np.asarray(data.rewards),
    terminated=np.asarray(data.terminals, bool),
    truncated=np.asarray(data.timeouts, bool),
    done=np.asarray(data.terminals | data.timeouts, bool),
    obs_next=np.asarray(data.next_observations, np.float32),
)
observation, action = data.observation_size, data.action_size


def critic() -> ContinuousCritic:
    return ContinuousCritic(
        preprocess_net=Net(state_shape=observation, action_shape=action, hidden_sizes=sizes, concat=True)
    )


actor = ContinuousActorDeterministic(
    preprocess_net=Net(state_shape=observation, hidden_sizes=sizes), action_shape=(action,)
)
algorithm = TD3BC(
    policy=ContinuousDeterministicPolicy(actor=actor, action_space=gymnasium.spaces.Box(-1, 1, (action,))),
    policy_optim=AdamOptimizerFactory(lr=3e-4),
    critic=critic(),
    critic_optim=AdamOptimizerFactory(lr=3e-4),
    critic2=critic(),
)
watch = MonitorCallback(algorithm, buffer, every=1) if watched() else None


def train(updates: int) -> None:
    algorithm.run_training(
        OfflineTrainerParams(
            buffer=buffer,
            max_epochs=1,
            epoch_num_steps=updates,
            batch_size=256,
            show_progress=False,
            verbose=False,
        )
    )


with nullcontext() if watch is None else watch:
    report(train, lambda: None if watch is None else watch.monitor)
