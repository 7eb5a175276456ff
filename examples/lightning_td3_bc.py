"""TD3+BC as a LightningModule, read by a callback that finds its parts by their names.

python examples/lightning_td3_bc.py --steps 2000
python examples/lightning_td3_bc.py --steps 2000 --bc-weight 0 --tau 1 --learning-rate 1e-4 --on-diverging stop
"""

# pyright: reportMissingImports=false, reportUntypedBaseClass=false

import argparse
import copy
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer, seed_everything
from torch import nn
from torch.utils.data import DataLoader, RandomSampler, TensorDataset

import seemrl
from seemrl.data.embedded import load_embedded_hopper
from seemrl.integrations.lightning import MonitorCallback

POLICY_NOISE, NOISE_CLIP, POLICY_FREQUENCY = 0.2, 0.5, 2


def mlp(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    """Two hidden layers."""
    return nn.Sequential(
        nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, outputs)
    )


class Critic(nn.Module):
    """Twin Q-functions."""

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.heads = nn.ModuleList([mlp(inputs, hidden, 1), mlp(inputs, hidden, 1)])

    def forward(self, observations: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        """Values (2, rows)."""
        inputs = torch.cat([observations, actions], dim=1)
        return torch.stack([head(inputs)[:, 0] for head in self.heads])


class TD3BC(LightningModule):
    """Fujimoto and Gu (2021), arXiv 2106.06860."""

    def __init__(
        self,
        observation_size: int,
        action_size: int,
        hidden: int = 256,
        discount: float = 0.99,
        target_rate: float = 0.005,
        alpha: float = 2.5,
        bc_weight: float = 1.0,
        learning_rate: float = 3e-4,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.automatic_optimization = False
        self.critic = Critic(observation_size + action_size, hidden)
        self.actor = nn.Sequential(mlp(observation_size, hidden, action_size), nn.Tanh())
        self.critic_target, self.actor_target = copy.deepcopy(self.critic), copy.deepcopy(self.actor)

    def target_actions(self, next_observations: torch.Tensor) -> torch.Tensor:
        """The policy as the target uses it: target actor, smoothing noise, clipping."""
        actions = self.actor_target(next_observations)
        noise = (torch.randn_like(actions) * POLICY_NOISE).clamp(-NOISE_CLIP, NOISE_CLIP)
        return (actions + noise).clamp(-1, 1)

    def configure_optimizers(self) -> Any:
        """The critic's, the actor's."""
        rate = self.hparams["learning_rate"]
        return [torch.optim.Adam(part.parameters(), lr=rate) for part in (self.critic, self.actor)]

    def training_step(self, batch: Any, batch_idx: int) -> None:
        """One critic update; every second time an actor update and target averaging."""
        observations, actions, rewards, next_observations, terminals = batch
        critic_optimizer, actor_optimizer = self.optimizers()
        with torch.no_grad():
            following = self.critic_target(next_observations, self.target_actions(next_observations)).min(dim=0).values
            targets = rewards + self.hparams["discount"] * (1 - terminals) * following
        critic_optimizer.zero_grad()
        self.manual_backward(((self.critic(observations, actions) - targets) ** 2).mean(dim=1).sum())
        critic_optimizer.step()
        if batch_idx % POLICY_FREQUENCY:
            chosen = self.actor(observations)
            values = self.critic(observations, chosen)[0]
            cloning = self.hparams["bc_weight"] * nn.functional.mse_loss(chosen, actions)
            actor_optimizer.zero_grad()
            self.manual_backward(cloning - self.hparams["alpha"] * values.mean() / values.abs().mean().detach())
            actor_optimizer.step()
            with torch.no_grad():
                for live, target in ((self.critic, self.critic_target), (self.actor, self.actor_target)):
                    for new, old in zip(live.parameters(), target.parameters(), strict=True):
                        old.lerp_(new, self.hparams["target_rate"])


def transitions() -> TensorDataset:
    """The embedded Hopper transitions, standardised: observations, actions, rewards, next observations, terminals."""
    data = load_embedded_hopper()
    mean, deviation = data.observation_statistics()
    observations, following = ((part - mean) / deviation for part in (data.observations, data.next_observations))
    columns = (observations, data.actions, data.rewards, following, data.terminals)
    return TensorDataset(*(torch.as_tensor(column, dtype=torch.float32) for column in columns))


def main() -> None:
    """Train."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--bc-weight", type=float, default=1.0, help="weight of behaviour cloning; 0: plain TD3")
    parser.add_argument("--tau", type=float, default=0.005, help="rate of target averaging; 1: none")
    parser.add_argument("--learning-rate", type=float, default=3e-4)
    parser.add_argument("--hidden", type=int, default=64)
    parser.add_argument("--read-every", type=int, default=100)
    parser.add_argument("--rows", type=int, default=96)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--on-diverging", choices=("warn", "stop", "rollback"), default="warn")
    options = parser.parse_args()
    seed_everything(options.seed)
    data = transitions()
    module = TD3BC(
        data.tensors[0].shape[1],
        data.tensors[1].shape[1],
        hidden=options.hidden,
        target_rate=options.tau,
        bc_weight=options.bc_weight,
        learning_rate=options.learning_rate,
    )
    watch = MonitorCallback(
        rows=options.rows,
        every=options.read_every,
        time_share=None,
        target_period=POLICY_FREQUENCY,
        on_diverging=options.on_diverging,
    )
    loader = DataLoader(data, 256, sampler=RandomSampler(data, replacement=True, num_samples=256 * options.steps))
    trainer = Trainer(
        max_epochs=1,
        accelerator="cpu",
        callbacks=[watch],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
    )
    try:
        trainer.fit(module, loader)
    except seemrl.DivergingError as alarm:
        print(alarm)
    assert watch.monitor is not None
    for reading in watch.monitor.history:
        print(f"step {reading.step}  |Q| {reading.q_mean:.3g}  normalized {reading.normalized:+.4f}")
    outlook = watch.monitor.forecast()
    if outlook is not None:
        print(outlook.verdict, *outlook.reasons, sep="\n  ")


if __name__ == "__main__":
    main()
