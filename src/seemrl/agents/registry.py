"""Every agent by name. Imports nothing heavy: an agent's code is loaded when one is made."""

from importlib import import_module
from typing import Any

from seemrl.agents.config import AgentConfig, AgentName, TD3BCConfig
from seemrl.agents.diffusion_ql_config import DiffusionQLConfig

CONFIGS: dict[AgentName, type[AgentConfig]] = {config.agent: config for config in (TD3BCConfig, DiffusionQLConfig)}
"""The hyperparameters' type of each agent."""

_CLASSES = {"td3_bc": "TD3BC", "diffusion_ql": "DiffusionQL"}
"""The class of each agent; it lives in the module of the agent's name."""


def create_agent(
    config: AgentConfig, observation_size: int, low: tuple[float, ...], high: tuple[float, ...], seed: int
) -> Any:
    """A fresh `seemrl.agents.agent.Agent` of the config's kind; everything random in its life derives from ``seed``.

    Args:
        config: its hyperparameters, which say what agent it is.
        observation_size: numbers in an observation.
        low: lower bound of each action dimension; of discrete actions, 0 for each of them.
        high: upper bound of each action dimension; of discrete actions, 1 for each of them.
        seed: from 0 to 2^32 - 1.
    """
    agent = getattr(import_module(f"seemrl.agents.{config.agent}"), _CLASSES[config.agent])
    return agent.create(config, observation_size, low, high, seed)
