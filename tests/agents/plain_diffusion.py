"""A diffusion model of actions as its papers write it, in PyTorch and float64."""

import itertools
from typing import Any

import jax
import numpy as np
import torch
from agent_checks import HIGH, LOW, tensor

from cases import ACTION
from oracles import InTorch


class PlainDiffusion:
    """The diffusion policy as in DDPM and Diffusion-QL, in PyTorch and float64: every schedule from its betas."""

    def __init__(self, policy: Any) -> None:
        self.written = InTorch(policy)
        self.leaves = self.written.leaves
        self.predictor = policy.network
        N = self.N = policy.levels
        n = torch.arange(1, N + 1, dtype=torch.float64)
        self.alphas = torch.exp(-0.1 / N - 0.5 * (10 - 0.1) * (2 * n - 1) / N**2)
        self.cumulated = torch.cumprod(self.alphas, 0)
        self.low, self.high = tensor(LOW), tensor(HIGH)

    def linear(self, layer: Any, inputs: torch.Tensor) -> torch.Tensor:
        of_array = self.written._of_array
        return inputs @ of_array[id(layer.weight)] + of_array[id(layer.bias)]

    def noise(self, noisy: torch.Tensor, positions: torch.Tensor, observations: torch.Tensor) -> torch.Tensor:
        mish = torch.nn.functional.mish
        frequencies = torch.exp(-np.log(10000) * torch.arange(8, dtype=torch.float64) / 7)
        angles = positions.double()[:, None] * frequencies
        waves = torch.cat([angles.sin(), angles.cos()], dim=1)
        wide, narrow = self.predictor.embedding
        hidden = torch.cat([noisy, self.linear(narrow, mish(self.linear(wide, waves))), observations], dim=1)
        *hiddens, last = self.predictor.linears
        for layer in hiddens:
            hidden = mish(self.linear(layer, hidden))
        return self.linear(last, hidden)

    def denoising_loss(self, observations: torch.Tensor, actions: torch.Tensor, key: Any) -> torch.Tensor:
        level_key, noise_key = jax.random.split(key)
        positions = torch.tensor(np.asarray(jax.random.randint(level_key, (len(actions),), 1, self.N + 1))) - 1
        noise = tensor(jax.random.normal(noise_key, tuple(actions.shape)))
        units = (actions - (self.low + self.high) / 2) / ((self.high - self.low) / 2)
        left = self.cumulated[positions][:, None]
        noisy = left.sqrt() * units + (1 - left).sqrt() * noise
        return torch.nn.functional.mse_loss(self.noise(noisy, positions, observations), noise)

    def sample(self, observations: torch.Tensor, key: Any) -> torch.Tensor:
        start_key, key = jax.random.split(key)
        shape = (len(observations), ACTION)
        x = tensor(jax.random.normal(start_key, shape))
        for step_key, t in zip(jax.random.split(key, self.N), reversed(range(self.N)), strict=True):
            left, beta = self.cumulated[t], 1 - self.alphas[t]
            before = self.cumulated[t - 1] if t else torch.tensor(1.0, dtype=torch.float64)
            noise = self.noise(x, torch.full((len(x),), t), observations)
            denoised = ((x - (1 - left).sqrt() * noise) / left.sqrt()).clamp(-1, 1)
            x = beta * before.sqrt() / (1 - left) * denoised + (1 - before) * self.alphas[t].sqrt() / (1 - left) * x
            if t:
                x = x + (beta * (1 - before) / (1 - left)).sqrt() * tensor(jax.random.normal(step_key, shape))
        return (self.low + self.high) / 2 + x * (self.high - self.low) / 2

    def sample_by_ddim(self, observations: torch.Tensor, key: Any, levels: list[int]) -> torch.Tensor:
        """From level to level without noise (Song et al., 2021, equation 12), the first of them N, the last 0."""
        x = tensor(jax.random.normal(jax.random.split(key)[0], (len(observations), ACTION)))
        cumulated = torch.cat([torch.ones(1, dtype=torch.float64), self.cumulated])
        for level, lower in itertools.pairwise(levels):
            left, left_below = cumulated[level], cumulated[lower]
            noise = self.noise(x, torch.full((len(x),), level - 1), observations)
            denoised = ((x - (1 - left).sqrt() * noise) / left.sqrt()).clamp(-1, 1)
            noise = (x - left.sqrt() * denoised) / (1 - left).sqrt()
            x = left_below.sqrt() * denoised + (1 - left_below).sqrt() * noise
        return (self.low + self.high) / 2 + x * (self.high - self.low) / 2
