"""Policies of Stable-Baselines3 with LayerNorm in the critic from the start, so that models save and load as ever.

``SAC(LayerNormSACPolicy, env)``, ``TD3(LayerNormTD3Policy, env)``, ``DQN(LayerNormDQNPolicy, env)``.
"""

# pyright: reportMissingImports=false, reportUntypedBaseClass=false, reportUnknownVariableType=false

from typing import Any

from seemrl.integrations.library import load
from seemrl.stabilizing.stabilize import stabilize

load("stable-baselines3", "stable_baselines3")

from stable_baselines3.dqn.policies import DQNPolicy  # noqa: E402
from stable_baselines3.sac.policies import SACPolicy  # noqa: E402
from stable_baselines3.td3.policies import TD3Policy  # noqa: E402


class LayerNormSACPolicy(SACPolicy):
    """SAC's, with LayerNorm before each hidden activation of the critic (Yue et al. 2023, section 5)."""

    def make_critic(self, features_extractor: Any = None) -> Any:
        """The critic, and likewise its target; the optimizer is made after it and owns all of it."""
        return _normalised(super().make_critic(features_extractor))


class LayerNormTD3Policy(TD3Policy):
    """TD3's, with LayerNorm before each hidden activation of the critic (Yue et al. 2023, section 5)."""

    def make_critic(self, features_extractor: Any = None) -> Any:
        """The critic, and likewise its target; the optimizer is made after it and owns all of it."""
        return _normalised(super().make_critic(features_extractor))


class LayerNormDQNPolicy(DQNPolicy):
    """DQN's, with LayerNorm before each hidden activation of the Q network (Yue et al. 2023, section 5)."""

    def make_q_net(self) -> Any:
        """The Q network, and likewise its target; the optimizer is made after it and owns all of it."""
        made = super().make_q_net()
        stabilize(made.q_net, in_place=True)
        return made


def _normalised(critic: Any) -> Any:
    for network in critic.q_networks:
        stabilize(network, in_place=True)
    return critic
