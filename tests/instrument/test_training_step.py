"""Real updates of real learners move the TD error as the operator of a reading says."""

import copy
import functools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from cases import ACTION, OBSERVATION, torch_twin, transitions
from seemrl.agents.agent import Transitions
from seemrl.agents.config import TD3BCConfig
from seemrl.agents.td3_bc import TD3BC
from seemrl.instrument.dynamics import Dynamics, head_selection
from seemrl.instrument.kernels import open_critic
from seemrl.instrument.kernels.layerwise import kernel_blocks
from seemrl.instrument.modes import one_step
from seemrl.networks.options import Norm

DISCOUNT = 0.97
HIDDEN = (8, 8)
BATCH = transitions()
ROWS = len(BATCH)
BOOTSTRAP = DISCOUNT * (1.0 - BATCH.terminals)
ZERO_REWARD = np.zeros(ROWS)


def dynamics_of(critic: Any, next_actions: np.ndarray, preconditioner: Any = None) -> Dynamics:
    """The operator as `measure` builds it."""
    opened = open_critic(critic)
    points = (
        np.concatenate([BATCH.observations, BATCH.next_observations]),
        np.concatenate([BATCH.actions, next_actions]),
    )
    values = opened(*points)
    shares = (head_selection("coupled", values[:, ROWS:]) * BOOTSTRAP)[:, :, None]
    return Dynamics(*kernel_blocks(opened.trace(*points).layers, shares, preconditioner))


def relative(found: np.ndarray, wanted: np.ndarray) -> float:
    return float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))


# ------------------------------------------------------------------------------------------------ TD3+BC in JAX


def float64(tree: Any) -> Any:
    return jax.tree.map(lambda leaf: leaf.astype(jnp.float64) if eqx.is_inexact_array(leaf) else leaf, tree)


def learner(norm: Norm, learning_rate: float, target_rate: float) -> TD3BC:
    """TD3 by plain gradient descent; its actor stays where it is, and its target actions carry no noise."""
    config = TD3BCConfig(
        hidden_sizes=HIDDEN,
        critic_norm=norm,
        optimizer="sgd",
        critic_learning_rate=learning_rate,
        actor_learning_rate=0.0,
        discount=DISCOUNT,
        target_rate=target_rate,
        policy_noise=0.0,
        policy_frequency=1,
    )
    return float64(TD3BC.create(config, OBSERVATION, (-1.0,) * ACTION, (1.0,) * ACTION, seed=0))


@eqx.filter_jit
def cycles(agent: TD3BC, batch: Transitions, count: jax.Array) -> TD3BC:
    """Full-batch updates of critic, actor and targets."""
    arrays, static = eqx.partition(agent, eqx.is_array)

    def cycle(_: jax.Array, arrays: Any) -> Any:
        agent = eqx.combine(arrays, static)
        agent, _ = agent._update_critic(batch, jax.random.key(0))
        agent, _ = agent._update_actor(batch)
        return eqx.filter(agent, eqx.is_array)

    return eqx.combine(jax.lax.fori_loop(0, count, cycle, arrays), static)


def after_cycles(agent: TD3BC, rewards: np.ndarray, count: int) -> TD3BC:
    columns = (BATCH.observations, BATCH.actions, rewards, BATCH.next_observations, BATCH.terminals)
    return cycles(agent, Transitions(*(jnp.asarray(column, jnp.float64) for column in columns)), jnp.asarray(count))


def state_of(agent: TD3BC, chosen: np.ndarray) -> np.ndarray:
    """(q, p', p) of the block operator: values, what they add to the targets, what the averaged target adds."""
    next_actions = agent.target_actor(jnp.asarray(BATCH.next_observations))

    def contribution(critic: Any) -> np.ndarray:
        values = np.asarray(critic(jnp.asarray(BATCH.next_observations), next_actions))
        return np.tile(BOOTSTRAP * (chosen * values).sum(axis=0), len(values))

    values = agent.critic(jnp.asarray(BATCH.observations), jnp.asarray(BATCH.actions))
    return np.concatenate([np.ravel(values), contribution(agent.critic), contribution(agent.target_critic)])


def chosen_heads(agent: TD3BC) -> np.ndarray:
    points = jnp.asarray(BATCH.next_observations), agent.target_actor(jnp.asarray(BATCH.next_observations))
    return head_selection("coupled", np.asarray(agent.critic(*points)))[0]


@pytest.mark.parametrize("norm", ["none", "layer"])
def test_one_gradient_step_of_td3_moves_the_error_by_the_matrix(norm):
    rate = 1e-5
    with jax.enable_x64(True):
        agent = learner(norm, rate, target_rate=1.0)
        after = after_cycles(agent, BATCH.rewards, 1)
        errors = []
        for each in (agent, after):
            q, live, _ = np.split(state_of(each, chosen_heads(each)), 3)
            errors.append(q - np.tile(BATCH.rewards, 2) - live)
        dynamics = dynamics_of(agent.critic, np.asarray(agent.target_actor(jnp.asarray(BATCH.next_observations))))
    before, moved = errors
    assert relative(moved - before, 2 * rate / ROWS * dynamics.matrix @ before) < 1e-4


@pytest.mark.parametrize("norm", ["none", "layer"])
@pytest.mark.parametrize(("target_rate", "updates"), [(0.1, 1), (0.1, 40), (0.9, 40)])
def test_updates_with_an_averaged_target_follow_the_block_operator(norm, target_rate, updates):
    rate = 2e-5
    with jax.enable_x64(True):
        agent = learner(norm, rate, target_rate)
        chosen = chosen_heads(agent)
        before, after = state_of(agent, chosen), state_of(after_cycles(agent, ZERO_REWARD, updates), chosen)
        dynamics = dynamics_of(agent.critic, np.asarray(agent.target_actor(jnp.asarray(BATCH.next_observations))))
    step = 2 * rate / ROWS
    predicted = np.linalg.matrix_power(one_step(step * dynamics.targets, step * dynamics.gram, target_rate), updates)
    for found, wanted in zip(np.split(after - before, 3), np.split(predicted @ before - before, 3), strict=True):
        assert relative(found, wanted) < 2e-3


# ------------------------------------------------------------------------------------------------ torch


def td_error(module: torch.nn.Module, next_actions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(values, errors), each (heads, rows), against the live critic's smaller head and no reward."""
    convert = functools.partial(torch.as_tensor, dtype=torch.float64)
    values = torch.cat(module(convert(BATCH.observations), convert(BATCH.actions)), dim=1).T
    next_values = torch.cat(module(convert(BATCH.next_observations), next_actions), dim=1).T
    targets = convert(BOOTSTRAP) * next_values.min(dim=0).values
    return values, values - targets


def descend(module: torch.nn.Module, optimizer: torch.optim.Optimizer, next_actions: torch.Tensor) -> None:
    values, errors = td_error(module, next_actions)
    targets = (values - errors).detach()
    optimizer.zero_grad()
    ((values - targets) ** 2).mean(dim=1).sum().backward()
    optimizer.step()


OPTIMIZERS = {
    "SGD": lambda parameters, lr: torch.optim.SGD(parameters, lr=lr),
    "Adam": lambda parameters, lr: torch.optim.Adam(parameters, lr=lr, betas=(0.0, 0.99)),
    "AdamW": lambda parameters, lr: torch.optim.AdamW(parameters, lr=lr, betas=(0.0, 0.999), weight_decay=0.0),
    "RMSprop": lambda parameters, lr: torch.optim.RMSprop(parameters, lr=lr, alpha=0.9),
}


@pytest.mark.parametrize("norm", [False, True], ids=["plain", "LayerNorm"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_torch_step_moves_the_error_by_the_preconditioned_matrix(name, norm):
    module = torch_twin(*HIDDEN, norm=norm).double()
    next_actions = torch.tanh(torch.as_tensor(BATCH.next_observations[:, :ACTION]))
    optimizer = OPTIMIZERS[name](list(module.parameters()), 1e-3)
    for _ in range(20):
        descend(module, optimizer, next_actions)
    before = copy.deepcopy(module.state_dict())
    optimizer.param_groups[0]["lr"] = 1e-7
    with torch.no_grad():
        errors = [td_error(module, next_actions)[1].numpy().ravel()]
    descend(module, optimizer, next_actions)
    with torch.no_grad():
        errors.append(td_error(module, next_actions)[1].numpy().ravel())
    module.load_state_dict(before)  # the step was from here, with the second moments that the optimizer has now
    rule = open_critic(module).step_rule(optimizer, None)
    assert rule is not None
    dynamics = dynamics_of(module, next_actions.numpy(), rule.preconditioner)
    predicted = rule.learning_rate * 2 / ROWS * dynamics.matrix @ errors[0]
    assert relative(errors[1] - errors[0], predicted) < 1e-5
