"""TD3+BC of TorchRL with a `seemrl.Monitor` in its loop, and advice once the critic diverges.

python examples/torchrl_td3_bc.py --steps 2000                                                 # healthy
python examples/torchrl_td3_bc.py --alpha 1e6 --tau 1 --learning-rate 1e-4                     # diverges
python examples/torchrl_td3_bc.py --alpha 1e6 --tau 1 --learning-rate 1e-4 --layer-norm        # and does not

In a `torchrl.trainers.Trainer`, `watch.register(trainer)` takes the place of the call `watch()`.
"""

# pyright: reportMissingImports=false

import argparse
import warnings
from typing import Any

import numpy as np
import torch
from tensordict import TensorDict
from tensordict.nn import TensorDictModule
from torch import nn
from torchrl.data import LazyTensorStorage, TensorDictReplayBuffer
from torchrl.modules import MLP, ValueOperator
from torchrl.objectives import SoftUpdate, TD3BCLoss

from seemrl.data.embedded import load_embedded_hopper
from seemrl.integrations.torchrl import MonitorHook


def replay_buffer() -> TensorDictReplayBuffer:
    """The embedded random Hopper transitions, observations standardised."""
    data = load_embedded_hopper()
    mean, scale = data.observations.mean(axis=0), data.observations.std(axis=0) + 1e-3

    def tensor(column: Any) -> torch.Tensor:
        return torch.as_tensor(np.asarray(column), dtype=torch.float32)

    terminated = torch.as_tensor(data.terminals)[:, None]
    following = {
        "observation": tensor((data.next_observations - mean) / scale),
        "reward": tensor(data.rewards)[:, None],
        "done": terminated | torch.as_tensor(data.timeouts)[:, None],
        "terminated": terminated,
    }
    columns = {"observation": tensor((data.observations - mean) / scale), "action": tensor(data.actions)}
    held = TensorDictReplayBuffer(storage=LazyTensorStorage(len(terminated)), batch_size=256)
    held.extend(TensorDict({**columns, "next": following}, batch_size=[len(terminated)]))
    return held


def main() -> None:
    """Train."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--alpha", type=float, default=2.5, help="weight of Q beside behaviour cloning")
    parser.add_argument("--tau", type=float, default=0.005, help="rate of target averaging; 1: none")
    parser.add_argument("--learning-rate", type=float, default=3e-4)
    parser.add_argument("--layer-norm", action="store_true", help="LayerNorm in the critic")
    parser.add_argument("--hidden", type=int, default=64)
    parser.add_argument("--read-every", type=int, default=100)
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    held = replay_buffer()
    observation, action = (held[:1][name].shape[1] for name in ("observation", "action"))
    cells = [options.hidden, options.hidden]
    norm: dict[str, Any] = {}
    if options.layer_norm:
        norm = {"norm_class": nn.LayerNorm, "norm_kwargs": {"normalized_shape": options.hidden}}
    mlp = MLP(in_features=observation, out_features=action, num_cells=cells, activation_class=nn.ReLU)
    actor = TensorDictModule(nn.Sequential(mlp, nn.Tanh()), in_keys=["observation"], out_keys=["action"])
    critic = ValueOperator(
        MLP(in_features=observation + action, out_features=1, num_cells=cells, activation_class=nn.ReLU, **norm),
        in_keys=["observation", "action"],
    )
    loss = TD3BCLoss(actor, critic, bounds=(-1.0, 1.0), alpha=options.alpha, loss_function="l2")
    loss.make_value_estimator(gamma=0.99)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of a rate above one half
        updater = SoftUpdate(loss, tau=options.tau)
    of_critic = torch.optim.Adam(loss.qvalue_network_params.parameters(), lr=options.learning_rate)
    of_actor = torch.optim.Adam(loss.actor_network_params.parameters(), lr=options.learning_rate)

    watch = MonitorHook(
        loss,
        held,
        optimizer=of_critic,
        target_updater=updater,
        target_period=2,
        rows=options.rows,
        every=options.read_every,
        time_share=None,
    )
    advised = False
    for step in range(1, options.steps + 1):
        batch = held.sample()
        value, _ = loss.qvalue_loss(batch)
        value.backward()
        of_critic.step()
        of_critic.zero_grad()
        if step % 2 == 0:
            acting, _ = loss.actor_loss(batch)
            acting.backward()
            of_actor.step()
            of_actor.zero_grad()
            of_critic.zero_grad()
            updater.step()
        watch()
        monitor = watch.monitor
        if monitor is None or step % options.read_every:
            continue
        last = monitor.history[-1]
        print(f"step {step}  |Q| {last.q_mean:.3g}  normalized {last.normalized:+.4f}  {monitor.verdict}", flush=True)
        if monitor.verdict == "diverging" and not advised:
            advised = True
            print(*(f"  {remedy.standing}: {remedy.in_short}" for remedy in monitor.advise()), sep="\n")


if __name__ == "__main__":
    main()
