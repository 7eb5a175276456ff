"""TD3+BC in Tianshou's offline trainer, watched by a `seemrl.Monitor`, with advice once the critic diverges.

python examples/tianshou_td3_bc.py --steps 2000                                                # healthy
python examples/tianshou_td3_bc.py --alpha 1e6 --tau 1 --learning-rate 1e-4                    # diverges
python examples/tianshou_td3_bc.py --alpha 1e6 --tau 1 --learning-rate 1e-4 --layer-norm       # and does not
"""

# pyright: reportMissingImports=false

import argparse

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

import seemrl
from seemrl.data.embedded import load_embedded_hopper
from seemrl.integrations.tianshou import MonitorCallback


def replay_buffer() -> ReplayBuffer:
    """The embedded random Hopper transitions, observations standardised."""
    data = load_embedded_hopper()
    mean, scale = data.observations.mean(axis=0), data.observations.std(axis=0) + 1e-3
    terminated, truncated = np.asarray(data.terminals, bool), np.asarray(data.timeouts, bool)
    return ReplayBuffer.from_data(
        obs=np.asarray((data.observations - mean) / scale, np.float32),
        act=np.asarray(data.actions, np.float32),
        rew=np.asarray(data.rewards),
        terminated=terminated,
        truncated=truncated,
        done=terminated | truncated,
        obs_next=np.asarray((data.next_observations - mean) / scale, np.float32),
    )


class Told:
    """Prints each reading, and asks for advice at the first alarm."""

    def __init__(self) -> None:
        self.watch: MonitorCallback | None = None

    def log(self, step: int, numbers: dict[str, float]) -> None:
        """As a logger of the monitor."""
        magnitude, normalized = numbers["critic/q_mean"], numbers["critic/normalized"]
        print(f"step {step}  |Q| {magnitude:.3g}  normalized {normalized:+.4f}", flush=True)

    def verdict(self, outlook: seemrl.Forecast) -> None:
        """As the monitor's ``on_verdict``."""
        print(f"  {outlook.verdict}")
        if outlook.verdict == "diverging" and self.watch is not None and self.watch.monitor is not None:
            print(*(f"  {remedy.standing}: {remedy.in_short}" for remedy in self.watch.monitor.advise()), sep="\n")


def main() -> None:
    """Train."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--alpha", type=float, default=2.5, help="weight of Q beside behaviour cloning")
    parser.add_argument("--tau", type=float, default=0.005, help="rate of target averaging; 1: none")
    parser.add_argument("--learning-rate", type=float, default=3e-4)
    parser.add_argument("--layer-norm", action="store_true", help="LayerNorm in the critics")
    parser.add_argument("--hidden", type=int, default=64)
    parser.add_argument("--read-every", type=int, default=100)
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    held = replay_buffer()
    observation, action = held.obs.shape[1], held.act.shape[1]
    sizes = (options.hidden, options.hidden)
    norm = torch.nn.LayerNorm if options.layer_norm else None

    def critic() -> ContinuousCritic:
        joined = Net(state_shape=observation, action_shape=action, hidden_sizes=sizes, concat=True, norm_layer=norm)
        return ContinuousCritic(preprocess_net=joined)

    actor = ContinuousActorDeterministic(
        preprocess_net=Net(state_shape=observation, hidden_sizes=sizes), action_shape=(action,)
    )
    adam = AdamOptimizerFactory(lr=options.learning_rate)
    algorithm = TD3BC(
        policy=ContinuousDeterministicPolicy(actor=actor, action_space=gymnasium.spaces.Box(-1, 1, (action,))),
        policy_optim=adam,
        critic=critic(),
        critic_optim=adam,
        critic2=critic(),
        tau=options.tau,
        alpha=options.alpha,
    )
    params = OfflineTrainerParams(
        buffer=held,
        max_epochs=1,
        epoch_num_steps=options.steps,
        batch_size=256,
        show_progress=False,
        verbose=False,
    )
    told = Told()
    with MonitorCallback(
        algorithm,
        held,
        rows=options.rows,
        every=options.read_every,
        time_share=None,
        loggers=[told],
        on_verdict=told.verdict,
    ) as watch:
        told.watch = watch
        algorithm.run_training(params)


if __name__ == "__main__":
    main()
