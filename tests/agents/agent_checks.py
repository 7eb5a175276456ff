"""Transitions for small learners, and comparisons of a learner with one written plainly in PyTorch and float64."""

from collections.abc import Callable
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from cases import ACTION, OBSERVATION, shaken
from oracles import InTorch
from seemrl.agents.agent import Data, Transitions
from seemrl.agents.config import AgentConfig
from seemrl.agents.registry import create_agent
from seemrl.agents.updates import train_updates

ROWS, BATCH = 64, 16
LOW, HIGH = (-1.0, -0.5), (1.0, 2.0)
KEY = jax.random.key(11)

Learner = TypeVar("Learner")


def fresh(config: AgentConfig, seed: int = 0) -> Any:
    """An agent for `transitions`."""
    return create_agent(config, OBSERVATION, LOW, HIGH, seed)


def transitions() -> Transitions:
    random = np.random.default_rng(0)
    columns = (
        random.normal(size=(ROWS, OBSERVATION)),
        random.uniform(LOW, HIGH, size=(ROWS, ACTION)),
        random.normal(size=ROWS),
        random.normal(size=(ROWS, OBSERVATION)),
        np.arange(ROWS) % 5 == 3,
    )
    return Transitions(*(jnp.asarray(column, jnp.float32) for column in columns))


def with_a_policy() -> Transitions:
    """The same with actions that are a function of the observations, inside the box."""
    data = transitions()
    return data._replace(actions=jnp.tanh(data.observations[:, :ACTION]) / 2)


def one_transition() -> Transitions:
    """The first transition, repeated, so that it does not matter which rows are drawn."""
    return jax.tree.map(lambda column: jnp.repeat(column[:1], ROWS, axis=0), transitions())


def in_torch(batch: Transitions) -> list[torch.Tensor]:
    return [tensor(column) for column in batch if column is not None]


def tensor(array: Any) -> torch.Tensor:
    return torch.tensor(np.asarray(array, np.float64))


def apart(agent: Learner, *names: str) -> Learner:
    """The same learner with noise on the named networks: targets that are not copies, scales that are not 1."""
    for seed, name in enumerate(names, start=1):
        network = shaken(getattr(agent, name), seed)
        agent = eqx.tree_at(lambda agent, name=name: getattr(agent, name), agent, network)
    return agent


def leaves(tree: Any) -> list[np.ndarray]:
    """Every array of a tree, random keys as numbers."""
    arrays = jax.tree.leaves(eqx.filter(tree, eqx.is_array))
    keys = [jnp.issubdtype(array.dtype, jax.dtypes.prng_key) for array in arrays]
    return [np.asarray(jax.random.key_data(a) if key else a) for a, key in zip(arrays, keys, strict=True)]


def same(one: Any, other: Any) -> bool:
    return all(np.array_equal(*pair) for pair in zip(leaves(one), leaves(other), strict=True))


@eqx.filter_jit
def gradient(agent: Any, name: str, batch: Transitions, *key: jax.Array) -> Any:
    """Value and gradient of the loss of the agent's network ``name``, with the loss's metrics."""
    return jax.value_and_grad(getattr(agent, f"{name}_loss"), has_aux=True)(getattr(agent, name), batch, *key)


def assert_same_loss(found: tuple[Any, Any], wanted: torch.Tensor, parameters: list[torch.Tensor]) -> None:
    """Value and gradient to 1e-5, the gradient in units of its whole length."""
    (loss, _), ours = found
    assert float(loss) == pytest.approx(wanted.item(), rel=1e-5)
    expected = torch.autograd.grad(wanted, parameters)
    size = float(torch.sqrt(sum((part**2).sum() for part in expected)))  # type: ignore[arg-type]
    assert size > 0
    for one, other in zip(jax.tree.leaves(ours), expected, strict=True):
        np.testing.assert_allclose(one, other.numpy(), atol=1e-5 * size)


def trained(agent: Any, updates: int, data: Data | None = None) -> tuple[Any, dict[str, float]]:
    agent, info = train_updates(transitions() if data is None else data, agent, updates, BATCH)
    return agent, {name: float(value) for name, value in info.items()}


OPTIMIZERS: dict[str, Callable[[Any], torch.optim.Optimizer]] = {
    "adam": lambda parameters: torch.optim.Adam(parameters, lr=3e-3),
    "sgd": lambda parameters: torch.optim.SGD(parameters, lr=3e-3),
}


def descend(optimizer: torch.optim.Optimizer, loss: torch.Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def follow(target: InTorch, live: InTorch, rate: float) -> None:
    with torch.no_grad():
        for old, new in zip(target.leaves, live.leaves, strict=True):
            old.mul_(1 - rate).add_(new, alpha=rate)


def assert_same_networks(agent: Any, plain: Any, *names: str) -> None:
    """After training: float32 against float64."""
    for name in names:
        for ours, theirs in zip(jax.tree.leaves(getattr(agent, name)), getattr(plain, name).leaves, strict=True):
            np.testing.assert_allclose(ours, theirs.detach(), rtol=1e-4, atol=1e-5, err_msg=name)


def in_box(points: torch.Tensor) -> torch.Tensor:
    """tanh of the points, stretched to the box."""
    low, high = tensor(LOW), tensor(HIGH)
    return (high + low) / 2 + (high - low) / 2 * torch.tanh(points)


def clipped(actions: torch.Tensor) -> torch.Tensor:
    return torch.maximum(torch.minimum(actions, tensor(HIGH)), tensor(LOW))


class PlainGaussian(InTorch):
    """A Gaussian policy with a mean inside the box."""

    def __init__(self, actor: Any, log_deviations: tuple[float, float]) -> None:
        super().__init__(actor)
        self.log_deviations = log_deviations

    def mean(self, observations: torch.Tensor) -> torch.Tensor:
        return in_box(self.mlp(self.networks[0], observations))

    def distribution(self, observations: torch.Tensor) -> torch.distributions.Normal:
        deviation = self.leaves[-1].clamp(*self.log_deviations).exp() * (tensor(HIGH) - tensor(LOW)) / 2
        return torch.distributions.Normal(self.mean(observations), deviation)
