"""Small algorithms of Tianshou, and a buffer of the embedded transitions."""

# pyright: reportMissingImports=false

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import torch
from tianshou import algorithm as algorithms
from tianshou.algorithm.modelfree.ddpg import ContinuousDeterministicPolicy
from tianshou.algorithm.modelfree.dqn import DiscreteQLearningPolicy
from tianshou.algorithm.modelfree.sac import SACPolicy
from tianshou.algorithm.optim import AdamOptimizerFactory, TorchOptimizerFactory
from tianshou.data import Batch, ReplayBuffer
from tianshou.utils.net.common import Net
from tianshou.utils.net.continuous import ContinuousActorDeterministic, ContinuousActorProbabilistic, ContinuousCritic
from tianshou.utils.torch_utils import policy_within_training_step

from seemrl.data.embedded import load_embedded_hopper

NAMES = ("DDPG", "TD3", "TD3BC", "SAC", "CQL", "DQN")
ACTIONS, CHOICES = 3, 4


def buffer(name: str, rows: int = 400) -> ReplayBuffer:
    data = load_embedded_hopper()
    held = ReplayBuffer(size=rows, random_seed=0)
    for row in range(rows):
        action = data.actions[row]
        terminal = bool(data.terminals[row])
        held.add(
            Batch(
                obs=np.asarray(data.observations[row], np.float32),
                act=int(action[0] > 0) + 2 * int(action[1] > 0) if name == "DQN" else np.asarray(action, np.float32),
                rew=0.02 * float(data.rewards[row]),  # TD errors below 1, where Huber's loss is a square
                terminated=terminal,
                truncated=not terminal and row % 50 == 49,
                obs_next=np.asarray(data.next_observations[row], np.float32),
                info={},
            )
        )
    return held


def adam(rate: float = 3e-3) -> AdamOptimizerFactory:
    return AdamOptimizerFactory(lr=rate)


def sgd(rate: float) -> TorchOptimizerFactory:
    return TorchOptimizerFactory(torch.optim.SGD, lr=rate)


def made(
    name: str,
    observation: int = 11,
    actions: int = ACTIONS,
    critic_optim: Callable[[], Any] = adam,
    policy_optim: Callable[[], Any] = adam,
    kind: Any = None,
    **settings: Any,
) -> Any:
    """An algorithm that has made no update."""
    torch.manual_seed(0)
    kind = kind or getattr(algorithms, name)
    if name == "DQN":
        model = Net(state_shape=(observation,), action_shape=(CHOICES,), hidden_sizes=(16, 16))
        policy = DiscreteQLearningPolicy(model=model, action_space=gymnasium.spaces.Discrete(CHOICES))
        return kind(policy=policy, optim=critic_optim(), **{"target_update_freq": 7} | settings)
    space = gymnasium.spaces.Box(-1.0, 1.0, (actions,))
    features = Net(state_shape=(observation,), hidden_sizes=(16,))
    if name in ("SAC", "CQL"):
        actor = ContinuousActorProbabilistic(
            preprocess_net=features, action_shape=(actions,), unbounded=True, conditioned_sigma=True
        )
        policy = SACPolicy(actor=actor, action_space=space)
    else:
        actor = ContinuousActorDeterministic(preprocess_net=features, action_shape=(actions,))
        policy = ContinuousDeterministicPolicy(actor=actor, action_space=space)

    def critic() -> ContinuousCritic:
        joined = Net(state_shape=(observation,), action_shape=(actions,), hidden_sizes=(16, 16), concat=True)
        return ContinuousCritic(preprocess_net=joined)

    twins = {} if name == "DDPG" else {"critic2": critic()}
    return kind(
        policy=policy,
        policy_optim=policy_optim(),
        critic=critic(),
        critic_optim=critic_optim(),
        **twins,
        **{"tau": 0.05} | settings,
    )


def update(algorithm: Any, held: ReplayBuffer, times: int = 1, after: Callable[[], object] | None = None) -> None:
    """As a trainer makes them."""
    with policy_within_training_step(algorithm.policy):
        for _ in range(times):
            algorithm.update(buffer=held, sample_size=32)
            if after is not None:
                after()


def trained(name: str, times: int = 20, **settings: Any) -> tuple[Any, ReplayBuffer]:
    algorithm, held = made(name, **settings), buffer(name)
    if name == "CQL":
        algorithm.process_buffer(held)
    torch.manual_seed(0)
    update(algorithm, held, times)
    return algorithm, held
