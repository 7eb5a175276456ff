"""Small models of Stable-Baselines3 on small environments."""

# pyright: reportMissingImports=false, reportUntypedBaseClass=false

from typing import Any

import gymnasium
import stable_baselines3
import torch
from stable_baselines3.common.env_util import make_vec_env

SETTINGS = {"SAC": {"ent_coef": 0.1}, "TD3": {}, "DQN": {}}
NAMES = tuple(SETTINGS)


class SmallRewards(gymnasium.RewardWrapper):
    """TD errors below 1, where Huber's loss is a square."""

    def reward(self, reward):
        return 0.01 * float(reward)


def environment(name):
    return make_vec_env("CartPole-v1" if name == "DQN" else "Pendulum-v1", n_envs=2, seed=0, wrapper_class=SmallRewards)


def model(name, policy="MlpPolicy", optimizer: Any = torch.optim.Adam, env=None, **settings):
    options = {"net_arch": [16, 16], "optimizer_class": optimizer, "optimizer_kwargs": {}}
    settings = SETTINGS[name] | {"learning_rate": 1e-3, "learning_starts": 40} | settings
    return getattr(stable_baselines3, name)(
        policy, env or environment(name), seed=0, buffer_size=400, policy_kwargs=options, **settings
    )


def collected(name, env=None):
    """A model that has gathered 120 transitions and made no update, whose steps are its gradients."""
    made = model(name, optimizer=torch.optim.SGD, env=env, learning_rate=1.0, learning_starts=10_000)
    return made.learn(120)


def trained(name, policy="MlpPolicy"):
    return model(name, policy).learn(120)
