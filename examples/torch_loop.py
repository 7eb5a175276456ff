"""TD3+BC in plain PyTorch, as people write it, with the three lines that switch the instrument on (marked [1] to [3]).

A fourth, [4], asks for advice once the critic is found to diverge; with --on-diverging stabilize it is taken.

python examples/torch_loop.py --steps 20000
python examples/torch_loop.py --bc-weight 0 --tau 1 --learning-rate 5e-5 --read-every 100 --steps 3000
python examples/torch_loop.py --data hopper-medium-v2.hdf5 --device cuda --layer-norm
"""

import argparse
import copy
import time
from typing import Any

import numpy as np
import torch
from torch import nn

import seemrl
from seemrl.data.embedded import load_embedded_hopper

DISCOUNT, POLICY_NOISE, NOISE_CLIP, POLICY_FREQUENCY = 0.99, 0.2, 0.5, 2


def mlp(inputs: int, hidden: int, outputs: int, layer_norm: bool = False) -> nn.Sequential:
    """Two hidden layers."""

    def block(size: int) -> list[nn.Module]:
        return [nn.Linear(size, hidden), *([nn.LayerNorm(hidden)] if layer_norm else []), nn.ReLU()]

    return nn.Sequential(*block(inputs), *block(hidden), nn.Linear(hidden, outputs))


class Actor(nn.Module):
    """A deterministic policy."""

    def __init__(self, state_dim: int, action_dim: int, max_action: float, hidden: int = 256) -> None:
        super().__init__()
        self.net, self.max_action = mlp(state_dim, hidden, action_dim), max_action

    def forward(self, state: torch.Tensor) -> torch.Tensor:
        """States (rows, state) -> actions (rows, action)."""
        return self.max_action * torch.tanh(self.net(state))


class Critic(nn.Module):
    """Twin Q-functions."""

    def __init__(self, state_dim: int, action_dim: int, hidden: int = 256, layer_norm: bool = False) -> None:
        super().__init__()
        self.q1 = mlp(state_dim + action_dim, hidden, 1, layer_norm)
        self.q2 = mlp(state_dim + action_dim, hidden, 1, layer_norm)

    def forward(self, state: torch.Tensor, action: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """States (rows, state), actions (rows, action) -> two times Q (rows, 1)."""
        inputs = torch.cat([state, action], dim=1)
        return self.q1(inputs), self.q2(inputs)


class ReplayBuffer:
    """All transitions, on the device, states standardised."""

    def __init__(self, data: seemrl.Dataset, device: str) -> None:
        mean, std = data.observation_statistics()
        self.arrays = (
            (data.observations - mean) / std,
            data.actions,
            data.rewards[:, None],
            (data.next_observations - mean) / std,
            data.terminals[:, None].astype(np.float32),
        )
        self.tensors = [torch.as_tensor(array, device=device) for array in self.arrays]

    def sample(self, size: int) -> list[torch.Tensor]:
        """States, actions, rewards (size, 1), next states, terminals (size, 1)."""
        rows = torch.randint(len(self.arrays[0]), (size,)).to(self.tensors[0].device)
        return [tensor[rows] for tensor in self.tensors]


class TD3BC:
    """Fujimoto and Gu (2021), arXiv 2106.06860."""

    def __init__(self, data: seemrl.Dataset, options: argparse.Namespace) -> None:
        self.max_action, self.alpha, self.device = 1.0, options.alpha, options.device
        self.bc_weight, self.tau = options.bc_weight, options.tau
        sizes = data.observation_size, data.action_size
        self.actor = Actor(*sizes, self.max_action, options.hidden).to(self.device)
        self.critic = Critic(*sizes, options.hidden, options.layer_norm).to(self.device)
        self.actor_target, self.critic_target = copy.deepcopy(self.actor), copy.deepcopy(self.critic)
        self.actor_optimizer = torch.optim.Adam(self.actor.parameters(), lr=options.learning_rate)
        self.critic_optimizer = torch.optim.Adam(self.critic.parameters(), lr=options.learning_rate)
        self.total_it = 0

    @torch.no_grad()
    def target_actions(self, next_state: np.ndarray | torch.Tensor) -> torch.Tensor:
        """The policy as the target uses it: target actor, smoothing noise, clipping. The instrument passes NumPy."""
        actions = self.actor_target(torch.as_tensor(next_state, dtype=torch.float32, device=self.device))
        noise = (torch.randn_like(actions) * POLICY_NOISE).clamp(-NOISE_CLIP, NOISE_CLIP)
        return (actions + noise).clamp(-self.max_action, self.max_action)

    def train(self, batch: list[torch.Tensor]) -> None:
        """One critic update; every second time an actor update and target averaging."""
        self.total_it += 1
        state, action, reward, next_state, done = batch
        with torch.no_grad():
            next_q = torch.min(*self.critic_target(next_state, self.target_actions(next_state)))
            target_q = reward + (1 - done) * DISCOUNT * next_q
        q1, q2 = self.critic(state, action)
        critic_loss = nn.functional.mse_loss(q1, target_q) + nn.functional.mse_loss(q2, target_q)
        self.critic_optimizer.zero_grad()
        critic_loss.backward()
        self.critic_optimizer.step()
        if self.total_it % POLICY_FREQUENCY == 0:
            pi = self.actor(state)
            q = self.critic(state, pi)[0]
            bc_loss = nn.functional.mse_loss(pi, action)
            actor_loss = self.bc_weight * bc_loss - self.alpha * q.mean() / q.abs().mean().detach()
            self.actor_optimizer.zero_grad()
            actor_loss.backward()
            self.actor_optimizer.step()
            for live, target in ((self.critic, self.critic_target), (self.actor, self.actor_target)):
                for new, old in zip(live.parameters(), target.parameters(), strict=True):
                    old.data.lerp_(new.data, self.tau)

    def update(self) -> dict[str, Any]:
        """What the instrument has to know of a critic update."""
        return {
            "discount": DISCOUNT,
            "optimizer": self.critic_optimizer,  # learning rate and Adam's second moments are read from it
            "target_critic": self.critic_target,  # decides which head is the smaller one
            "target_rate": self.tau,
            "target_period": POLICY_FREQUENCY,
        }

    def state_dict(self) -> dict[str, dict[str, object]]:
        """Everything that `seemrl measure` can read, and what training could go on from."""
        names = ("actor", "actor_target", "critic", "critic_target", "actor_optimizer", "critic_optimizer")
        return {name: getattr(self, name).state_dict() for name in names}


def parse() -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="HDF5 file in D4RL's layout; default: the embedded Hopper transitions")
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--layer-norm", action="store_true", help="LayerNorm in the critic")
    parser.add_argument("--alpha", type=float, default=2.5, help="weight of Q beside behaviour cloning")
    parser.add_argument("--bc-weight", type=float, default=1.0, help="weight of behaviour cloning; 0: plain TD3")
    parser.add_argument("--tau", type=float, default=0.005, help="rate of target averaging; 1: none")
    parser.add_argument("--learning-rate", type=float, default=3e-4)
    parser.add_argument("--hidden", type=int, default=256, help="units of each hidden layer")
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--read-every", type=int, default=5000, help="updates between readings; 0: none")
    parser.add_argument("--rows", type=int, default=96, help="transitions to read on")
    parser.add_argument("--time-share", type=float, help="of the time that readings may take; default: no limit")
    parser.add_argument("--log", help="directory for the readings, for `seemrl watch` and `seemrl report`")
    parser.add_argument(
        "--on-diverging",
        choices=("advise", "stabilize"),
        default="advise",
        help="print the advice, or also put LayerNorm into the critic and its target, there and then",
    )
    parser.add_argument("--checkpoint", help="file to save networks and optimizers in at the end")
    return parser.parse_args()


def watch(agent: TD3BC, buffer: ReplayBuffer, data: seemrl.Dataset, options: argparse.Namespace) -> seemrl.Monitor:
    """A monitor of the critic as it is now, always on the same rows."""
    rows = data.batch_rows(options.rows, seed=0)
    batch = seemrl.Batch(*(array[rows] for array in buffer.arrays))
    return seemrl.Monitor(
        agent.critic,
        batch,
        agent.target_actions,
        **agent.update(),
        every=options.read_every,
        time_share=options.time_share,
        reward_bound=data.reward_bound(DISCOUNT),
        directory=options.log,
    )


def told(reading: seemrl.Reading, outlook: seemrl.Forecast | None) -> str:
    """A reading and its verdict in one line."""
    assert outlook is not None  # there is one after a reading
    crash = "" if outlook.crash_step is None else f", crash at step {outlook.crash_step:,.0f}"
    return (
        f"step {reading.step}  |Q| {reading.q_mean:.3g}  normalized {reading.normalized:+.4f}  "
        f"rate {reading.rate:+.1e}  {outlook.verdict}{crash}"
    )


def main() -> None:
    """Train, reading the critic on the way."""
    options = parse()
    torch.manual_seed(options.seed)
    data = seemrl.load_d4rl(options.data) if options.data else load_embedded_hopper()
    buffer, agent = ReplayBuffer(data, options.device), TD3BC(data, options)
    monitor = watch(agent, buffer, data, options) if options.read_every else None  # [1]
    advised = False
    started, in_readings, readings = time.perf_counter(), 0.0, 0
    for step in range(1, options.steps + 1):
        agent.train(buffer.sample(options.batch_size))
        before = time.perf_counter()
        if monitor is None or (reading := monitor.update(step)) is None:  # [2]
            continue
        in_readings, readings = in_readings + time.perf_counter() - before, readings + 1
        print(told(reading, monitor.forecast()), flush=True)  # [3]
        if monitor.verdict == "diverging" and not advised:
            advised = True
            print(*(f"  {remedy.standing}: {remedy.in_short}" for remedy in monitor.advise()), sep="\n")  # [4]
            if options.on_diverging == "stabilize":
                seemrl.stabilize(agent.critic, in_place=True, optimizer=agent.critic_optimizer)
                seemrl.stabilize(agent.critic_target, in_place=True)
                options.log = options.log and f"{options.log}-stabilized"  # another function from here on
                monitor = watch(agent, buffer, data, options)
    seconds = time.perf_counter() - started
    print(f"{options.steps / max(seconds - in_readings, 1e-9):.0f} updates/s without readings")
    print(f"{in_readings:.1f} s in {readings} readings, {in_readings / max(seconds, 1e-9):.1%} of the time")
    if options.checkpoint:
        torch.save(agent.state_dict(), options.checkpoint)


if __name__ == "__main__":
    main()
