"""TD3 is TD3+BC without cloning and with the plain value in the actor's loss."""

from typing import Any

import equinox as eqx
import jax
import numpy as np
import torch
from agent_checks import HIGH, KEY, LOW, assert_same_loss, in_torch, transitions

from cases import OBSERVATION, shaken
from oracles import InTorch
from seemrl.agents.agent import Transitions
from seemrl.agents.config import TD3BCConfig
from seemrl.agents.registry import create_agent
from seemrl.agents.td3 import TD3
from seemrl.agents.td3_config import TD3Config

CONFIG: dict[str, Any] = {"hidden_sizes": (16,), "discount": 0.97}


def learner(**changes: Any) -> TD3:
    agent = create_agent(TD3Config(**{**CONFIG, **changes}), OBSERVATION, LOW, HIGH, 0)
    return eqx.tree_at(lambda agent: agent.target_critic, agent, shaken(agent.target_critic, 1))


@eqx.filter_jit
def actor_gradient(agent: TD3, batch: Transitions) -> Any:
    return jax.value_and_grad(agent.actor_loss, has_aux=True)(agent.actor, batch)


def test_the_actor_loss_is_that_of_the_paper():
    agent, batch = learner(critic_norm="layer"), transitions()
    critic, actor = InTorch(agent.critic), InTorch(agent.actor)
    observations = in_torch(batch)[0]
    low, high = torch.tensor(LOW, dtype=torch.float64), torch.tensor(HIGH, dtype=torch.float64)
    squashed = torch.tanh(actor.mlp(actor.networks[0], observations))
    actions = (high + low) / 2 + (high - low) / 2 * squashed
    wanted = -critic.critic(observations, actions)[0].mean()
    assert_same_loss(actor_gradient(agent, batch), wanted, actor.leaves)


def test_the_critic_loss_is_that_of_td3_bc():
    """Which is tested against the paper."""
    agent = learner()
    other = create_agent(TD3BCConfig(**CONFIG), OBSERVATION, LOW, HIGH, 0)
    other = eqx.tree_at(lambda agent: agent.target_critic, other, agent.target_critic)
    ours, theirs = (one.critic_loss(one.critic, transitions(), KEY)[0] for one in (agent, other))
    assert float(ours) == float(theirs)


def test_exploration_has_the_noise_that_was_asked_for_and_stays_in_the_box():
    observations = transitions().observations
    half_width = (np.array(HIGH) - LOW) / 2
    agent = learner(exploration_noise=0.01)
    noise = (np.asarray(agent.explore(observations, KEY)) - np.asarray(agent.act(observations))) / half_width
    assert 0.008 < noise.std() < 0.012
    wild = np.asarray(learner(exploration_noise=9.0).explore(observations, KEY))
    assert np.all(wild >= np.asarray(LOW, np.float32)) and np.all(wild <= np.asarray(HIGH, np.float32))
