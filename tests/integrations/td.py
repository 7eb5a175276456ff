"""A TD loss written out from parts alone, to set beside the library's own."""

from typing import Any

import numpy as np
import torch

from seemrl.instrument.batch import Batch
from seemrl.integrations.parts import Parts


def td_loss(parts: Parts, batch: Batch, bonus: torch.Tensor | float = 0.0) -> torch.Tensor:
    """Half the loss scale times the mean squared TD error of each head, summed; the smaller head makes the target."""
    own = next(parts.critic.parameters())
    observations, actions, rewards, following, terminals = (
        torch.as_tensor(np.asarray(column, np.float64)).to(own.dtype)
        for column in (batch.observations, batch.actions, batch.rewards, batch.next_observations, batch.terminals)
    )
    with torch.no_grad():
        chosen = torch.as_tensor(parts.policy(batch.next_observations))  # type: ignore[operator]
        smaller = values(parts.target_critic, following, chosen, batch).min(dim=0).values
        targets = rewards + parts.discount * (1 - terminals) * (smaller + bonus)
    errors = values(parts.critic, observations, actions, batch) - targets
    return parts.loss_scale / 2 * (errors**2).mean(dim=1).sum()


def values(critic: Any, observations: torch.Tensor, actions: torch.Tensor, batch: Batch) -> torch.Tensor:
    """(heads, rows)."""
    answer = critic(observations) if batch.discrete else critic(observations, actions.to(observations.dtype))
    heads = torch.stack(answer) if isinstance(answer, tuple) else answer[None]
    if batch.discrete:
        return heads.gather(2, actions.reshape(1, -1, 1).long().expand(len(heads), -1, 1))[..., 0]
    return heads[..., 0]


def gradients(critic: Any) -> list[torch.Tensor]:
    return [value.grad.clone() for value in critic.parameters()]
