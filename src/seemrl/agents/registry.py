"""Every agent by name. Imports nothing heavy: an agent's code is loaded when one is made."""

from importlib import import_module
from typing import Any

from seemrl.agents.awac_config import AWACConfig
from seemrl.agents.bc_config import BCConfig
from seemrl.agents.config import AgentConfig, AgentName, TD3BCConfig
from seemrl.agents.cql_config import CQLConfig
from seemrl.agents.crossq_config import CrossQConfig
from seemrl.agents.diffusion_ql_config import DiffusionQLConfig
from seemrl.agents.dqn_config import DQNConfig
from seemrl.agents.iql_config import IQLConfig
from seemrl.agents.msg_config import MSGConfig
from seemrl.agents.pqn_config import PQNConfig
from seemrl.agents.rebrac_config import ReBRACConfig
from seemrl.agents.sac_config import EDACConfig, SACConfig
from seemrl.agents.sfbc_config import SfBCConfig
from seemrl.agents.td3_config import TD3Config

_TYPES = (
    *(TD3BCConfig, IQLConfig, CQLConfig, ReBRACConfig, AWACConfig, BCConfig, DiffusionQLConfig, SfBCConfig),
    *(SACConfig, CrossQConfig, EDACConfig, MSGConfig, TD3Config, DQNConfig, PQNConfig),
)

CONFIGS: dict[AgentName, type[AgentConfig]] = {config.agent: config for config in _TYPES}
"""The hyperparameters' type of each agent."""

_CLASSES = {
    "td3_bc": "TD3BC",
    "iql": "IQL",
    "cql": "CQL",
    "bc": "BC",
    "diffusion_ql": "DiffusionQL",
    "sfbc": "SfBC",
    "rebrac": "ReBRAC",
    "awac": "AWAC",
    "sac": "SAC",
    "crossq": "CrossQ",
    "edac": "EDAC",
    "msg": "MSG",
    "td3": "TD3",
    "dqn": "DQN",
    "pqn": "PQN",
}
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
