"""What the tests of agents share: transitions, comparisons, and the sizes of the learners."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from cases import ACTION, OBSERVATION
from seemrl.agents.agent import Transitions

ROWS, BATCH = 64, 16
LOW, HIGH = (-1.0, -0.5), (1.0, 2.0)
CONFIG: dict[str, Any] = {"hidden_sizes": (16,), "discount": 0.97}
KEY = jax.random.key(11)


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


def in_torch(batch: Transitions) -> list[torch.Tensor]:
    return [torch.tensor(np.asarray(column, np.float64)) for column in batch]


def leaves(tree: Any) -> list[np.ndarray]:
    """Every array of a tree, random keys as numbers."""
    arrays = jax.tree.leaves(eqx.filter(tree, eqx.is_array))
    keys = [jnp.issubdtype(array.dtype, jax.dtypes.prng_key) for array in arrays]
    return [np.asarray(jax.random.key_data(a) if key else a) for a, key in zip(arrays, keys, strict=True)]


def same(one: Any, other: Any) -> bool:
    return all(np.array_equal(*pair) for pair in zip(leaves(one), leaves(other), strict=True))


def assert_same_loss(found: tuple[Any, Any], wanted: torch.Tensor, parameters: list[torch.Tensor]) -> None:
    (loss, _), gradient = found
    assert float(loss) == pytest.approx(wanted.item(), rel=1e-5)
    expected = torch.autograd.grad(wanted, parameters)
    size = float(torch.sqrt(sum((part**2).sum() for part in expected)))  # type: ignore[arg-type]
    for ours, theirs in zip(jax.tree.leaves(gradient), expected, strict=True):
        np.testing.assert_allclose(ours, theirs.numpy(), atol=1e-5 * size)
