"""SAC of Stable-Baselines3 on Pendulum, timed with its callback and without."""

# pyright: reportMissingImports=false, reportAttributeAccessIssue=false

import torch
from stable_baselines3 import SAC

from benchmarks.integration_workers.clock import report, watched
from seemrl.integrations.stable_baselines3 import MonitorCallback

torch.set_num_threads(1)
model = SAC("MlpPolicy", "Pendulum-v1", seed=0, learning_starts=100)
model.learn(1400)  # a replay that holds enough, before anything is timed
watch = MonitorCallback(every=1) if watched() else None


def train(updates: int) -> None:
    model.learn(updates, callback=watch, reset_num_timesteps=False)  # one update a step


report(train, lambda: None if watch is None else watch.monitor)
