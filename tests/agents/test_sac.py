"""SAC, SAC-N, EDAC and MSG against their papers, written plainly in PyTorch and float64."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from agent_checks import BATCH, HIGH, KEY, LOW, ROWS, assert_same_loss, in_torch, same, transitions

from cases import ACTION, OBSERVATION, shaken
from oracles import InTorch
from seemrl.agents.agent import COLUMNS, Transitions
from seemrl.agents.config import AgentConfig
from seemrl.agents.msg_config import MSGConfig
from seemrl.agents.registry import create_agent
from seemrl.agents.sac import SAC
from seemrl.agents.sac_config import EDACConfig, SACConfig
from seemrl.agents.updates import train_updates
from seemrl.errors import InputError
from seemrl.instrument.batch import Batch
from seemrl.training.reading import read_learner

SMALL: dict[str, Any] = {"hidden_sizes": (16,), "discount": 0.97, "heads": 3, "initial_temperature": 0.4}
TWO_HEADS: dict[str, Any] = {**SMALL, "heads": 2}
CONFIGS: dict[str, SACConfig] = {
    "sac": SACConfig(**TWO_HEADS),
    "sac-n with layer norms": SACConfig(**SMALL, critic_norm="layer", actor_norm="layer"),
    "edac": EDACConfig(**SMALL, diversity_weight=2.0),
    "edac without diversity": EDACConfig(**SMALL, diversity_weight=0.0),
    "msg": MSGConfig(**SMALL),
    "msg without support": MSGConfig(**SMALL, support_weight=0.0, pessimism=1.0),
}
EVERY = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())


def learner(config: AgentConfig, seed: int = 0) -> SAC:
    """A learner whose target is no copy."""
    agent = create_agent(config, OBSERVATION, LOW, HIGH, seed)
    return eqx.tree_at(lambda agent: agent.target_critic, agent, shaken(agent.target_critic, 1))


@eqx.filter_jit
def critic_gradient(agent: SAC, batch: Transitions) -> Any:
    return jax.value_and_grad(agent.critic_loss, has_aux=True)(agent.critic, batch, KEY)


@eqx.filter_jit
def actor_gradient(agent: SAC, batch: Transitions) -> Any:
    return jax.value_and_grad(agent.actor_loss, has_aux=True)(agent.actor, batch, KEY)


class PlainEntropyAgent:
    """The four algorithms as their papers write them; it begins where a learner stands."""

    def __init__(self, agent: SAC, config: SACConfig) -> None:
        self.config, self.temperature = (
            config,
            torch.exp(torch.tensor(float(agent.log_temperature), dtype=torch.float64)),
        )
        self.critic, self.target_critic, self.actor = map(InTorch, (agent.critic, agent.target_critic, agent.actor))
        self.low, self.high = torch.tensor(LOW, dtype=torch.float64), torch.tensor(HIGH, dtype=torch.float64)

    def sample(self, observations: torch.Tensor, key: Any) -> tuple[torch.Tensor, torch.Tensor]:
        mean, log_std = self.actor.mlp(self.actor.networks[0], observations).chunk(2, dim=1)
        normal = torch.distributions.Normal(mean, log_std.clamp(-5, 2).exp())
        noise = torch.tensor(np.asarray(jax.random.normal(key, mean.shape), np.float64))
        unsquashed = mean + normal.stddev * noise
        squashed = torch.tanh(unsquashed)
        log_density = (normal.log_prob(unsquashed) - torch.log(1 - squashed**2)).sum(dim=1)
        return (self.high + self.low) / 2 + (self.high - self.low) / 2 * squashed, log_density

    def critic_loss(self, batch: list[torch.Tensor], key: Any) -> torch.Tensor:
        observations, actions, rewards, next_observations, terminals = batch
        independent = isinstance(self.config, MSGConfig)
        target_key, support_key = jax.random.split(key) if independent else (key, None)
        with torch.no_grad():
            next_actions, log_density = self.sample(next_observations, target_key)
            next_values = self.target_critic.critic(next_observations, next_actions)
            if not independent:
                next_values = (next_values.min(dim=0).values - self.temperature * log_density).expand_as(next_values)
            targets = rewards + self.config.discount * (1 - terminals) * next_values
        values = self.critic.critic(observations, actions)
        loss = sum(torch.nn.functional.mse_loss(*pair) for pair in zip(values, targets, strict=True))
        if isinstance(self.config, EDACConfig) and self.config.diversity_weight:
            loss = loss + self.config.diversity_weight * self.similarity(observations, actions)
        if isinstance(self.config, MSGConfig):
            policy_actions = self.sample(observations, support_key)[0].detach()
            gap = self.critic.critic(observations, policy_actions).mean(dim=1) - values.mean(dim=1)
            loss = loss + self.config.support_weight * gap.sum()
        assert isinstance(loss, torch.Tensor)
        return loss

    def similarity(self, observations: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        """Pair by pair."""
        actions = actions.clone().requires_grad_()
        values = self.critic.critic(observations, actions)
        gradients = [torch.autograd.grad(head.sum(), actions, create_graph=True)[0] for head in values]
        pairs = [(i, j) for i in range(len(values)) for j in range(len(values)) if i != j]
        cosines = [torch.nn.functional.cosine_similarity(gradients[i], gradients[j], eps=1e-30) for i, j in pairs]
        return sum(cosine.mean() for cosine in cosines) / (len(values) - 1)  # type: ignore[return-value]

    def actor_loss(self, batch: list[torch.Tensor], key: Any) -> torch.Tensor:
        actions, log_density = self.sample(batch[0], key)
        values = self.critic.critic(batch[0], actions)
        if isinstance(self.config, MSGConfig):
            aim = values.mean(dim=0) - self.config.pessimism * values.std(dim=0, correction=0)
        else:
            aim = values.min(dim=0).values
        return (self.temperature * log_density - aim).mean()


@EVERY
def test_the_critic_loss_is_that_of_the_paper(config):
    agent, batch = learner(config), transitions()
    found = critic_gradient(agent, batch)
    reference = PlainEntropyAgent(agent, config)
    assert_same_loss(found, reference.critic_loss(in_torch(batch), KEY), reference.critic.leaves)


@EVERY
def test_the_actor_loss_is_that_of_the_paper(config):
    agent, batch = learner(config), transitions()
    found = actor_gradient(agent, batch)
    reference = PlainEntropyAgent(agent, config)
    assert_same_loss(found, reference.actor_loss(in_torch(batch), KEY), reference.actor.leaves)


def test_the_temperature_loss_is_that_of_the_paper():
    agent = learner(SACConfig(**SMALL, target_entropy=-1.5))
    log_temperature = torch.tensor(float(agent.log_temperature), dtype=torch.float64, requires_grad=True)
    wanted = log_temperature.exp() * (0.3 + 1.5)
    value, gradient = jax.value_and_grad(agent.temperature_loss)(agent.log_temperature, jnp.asarray(0.3))
    assert float(value) == pytest.approx(wanted.item(), rel=1e-5)
    assert float(gradient) == pytest.approx(torch.autograd.grad(wanted, log_temperature)[0].item(), rel=1e-5)


def trained(agent: SAC, updates: int, data: Transitions | None = None) -> tuple[SAC, dict[str, float]]:
    agent, info = train_updates(transitions() if data is None else data, agent, updates, BATCH)
    return agent, {name: float(value) for name, value in info.items()}


@pytest.mark.parametrize("name", ["sac", "edac", "msg"])
def test_training_in_two_parts_is_training_in_one(name):
    config = CONFIGS[name]
    whole, info = trained(learner(config), 6)
    assert same(whole, trained(trained(learner(config), 2)[0], 4)[0])
    assert int(whole.step) == 6
    assert all(np.isfinite(value) for value in info.values())


def test_the_seed_decides_everything():
    config = CONFIGS["edac"]
    assert same(trained(learner(config, seed=3), 4)[0], trained(learner(config, seed=3), 4)[0])
    assert not same(learner(config, seed=3).critic, learner(config, seed=4).critic)


def test_without_diversity_edac_is_sac_n():
    ours, theirs = (trained(learner(kind(**SMALL, **more)), 4)[0] for kind, more in WITHOUT_DIVERSITY)
    assert same(ours.critic, theirs.critic) and same(ours.actor, theirs.actor)


WITHOUT_DIVERSITY: list[tuple[type[SACConfig], dict[str, Any]]] = [
    (EDACConfig, {"diversity_weight": 0.0}),
    (SACConfig, {}),
]


@pytest.mark.parametrize(("target_entropy", "falls"), [(-20.0, True), (20.0, False)])
def test_the_temperature_falls_while_the_policy_is_more_random_than_wanted(target_entropy, falls):
    agent = learner(SACConfig(**SMALL, target_entropy=target_entropy, temperature_learning_rate=1e-2))
    after, _ = trained(agent, 10)
    assert (after.log_temperature < agent.log_temperature) == falls


def test_a_temperature_without_a_learning_rate_stays():
    agent = learner(SACConfig(**SMALL, temperature_learning_rate=0.0))
    assert float(trained(agent, 4)[0].log_temperature) == float(agent.log_temperature)


def test_diversity_turns_the_heads_away_from_each_other():
    without, much = (
        trained(learner(EDACConfig(**SMALL, diversity_weight=weight, critic_learning_rate=1e-2)), 60)[0]
        for weight in (1e-6, 30.0)
    )
    batch = transitions()
    similarities = [
        float(agent.critic_loss(agent.critic, batch, KEY)[1]["gradient_similarity"]) for agent in (without, much)
    ]
    assert similarities[1] < similarities[0] - 0.5


@EVERY
def test_actions_stay_in_the_box(config):
    agent = learner(config)
    observations = 100 * transitions().observations
    low, high = np.asarray(LOW, np.float32), np.asarray(HIGH, np.float32)
    for actions in (agent.act(observations), agent.explore(observations, KEY), agent.target_actions(observations, KEY)):
        assert np.all(actions >= low) and np.all(actions <= high)


def test_a_density_integrates_to_one():
    """In one dimension, over actions in half-widths of their box."""
    agent = create_agent(CONFIGS["sac"], OBSERVATION, (-2.0,), (4.0,), 0)
    observation = transitions().observations[:1]
    keys = jax.random.split(KEY, 20_000)
    actions, log_density = jax.vmap(lambda key: agent.actor.sample(observation, key))(keys)
    squashed, density = (np.asarray(actions)[:, 0, 0] - 1) / 3, np.exp(np.asarray(log_density)[:, 0])
    inside = np.abs(squashed) < 0.9
    assert np.mean(inside / density) == pytest.approx(1.8, rel=0.05)  # the length of what is inside


def batch_of(data: Transitions) -> Batch:
    return Batch(*(np.asarray(getattr(data, name)) for name in COLUMNS))


def test_a_reading_covers_all_heads_that_share_a_target():
    agent = trained(learner(CONFIGS["edac"]), 4)[0]
    reading = read_learner(agent, batch_of(transitions()), ROWS)
    assert reading.heads == "coupled"
    assert reading.q_mean == pytest.approx(float(np.abs(agent.critic(*transitions()[:2])).mean()), rel=1e-4)
    assert reading.rate is not None


def test_a_head_with_a_target_of_its_own_is_read_alone():
    """The same whatever the other heads are."""
    agent = trained(learner(CONFIGS["msg"]), 4)[0]
    others = eqx.tree_at(lambda agent: agent.critic.heads[1:], agent, shaken(agent.critic.heads[1:], 5))
    ours, theirs = (read_learner(one, batch_of(transitions()), ROWS).to_dict() for one in (agent, others))
    assert {**ours, "seconds": 0} == {**theirs, "seconds": 0}
    assert ours["rate"] is not None


@pytest.mark.parametrize(
    ("config", "option"),
    [
        (SACConfig(heads=0), "--heads 0"),
        (SACConfig(initial_temperature=0.0), "--initial-temperature 0.0"),
        (SACConfig(target_entropy=float("nan")), "--target-entropy nan"),
        (EDACConfig(heads=1), "--heads 1"),
        (EDACConfig(diversity_weight=-1.0), "--diversity-weight -1.0"),
        (MSGConfig(heads=1), "--heads 1"),
        (MSGConfig(pessimism=float("inf")), "--pessimism inf"),
        (MSGConfig(support_weight=-0.1), "--support-weight -0.1"),
    ],
)
def test_settings_that_no_learner_can_have_are_refused(config, option):
    with pytest.raises(InputError, match=option):
        config.check()


def test_agents_have_as_many_action_dimensions_as_the_box():
    assert learner(CONFIGS["sac"]).act(transitions().observations).shape == (ROWS, ACTION)
