"""Drawing transitions by weight inside a compiled loop: fixed weights in constant time, changing ones in log N.

Fixed weights go into an alias table (Walker, 1977; Vose, 1991): a row and a coin say which of two rows it is.
Priorities that change with every update are the leaves of a binary tree whose nodes hold sums (Schaul et al., 2016).
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray


class Weighted(eqx.Module):
    """Transitions with fixed weights.

    Attributes:
        transitions: as without weights, a named tuple of columns.
        kept: the chance that a row drawn uniformly stays.
        aliases: the row that it is exchanged for if it does not.
        everywhere: whether the critic's transitions are drawn by weight too, not the actor's alone.
    """

    transitions: Any
    kept: Float[Array, " rows"]
    aliases: Int[Array, " rows"]
    everywhere: bool = eqx.field(static=True)

    @classmethod
    def of(cls, transitions: Any, weights: Float[np.ndarray, " rows"], everywhere: bool) -> "Weighted":
        """Transitions that are drawn in proportion to weights: finite, none negative, not all of them zero."""
        kept, aliases = alias_table(weights)
        return cls(transitions, jnp.asarray(kept, jnp.float32), jnp.asarray(aliases, jnp.int32), everywhere)

    def draw(self, key: PRNGKeyArray, count: int) -> Int[Array, " count"]:
        """Numbers of rows, with replacement."""
        row_key, coin_key = jax.random.split(key)
        rows = jax.random.randint(row_key, (count,), 0, len(self.kept))
        return jnp.where(jax.random.uniform(coin_key, (count,)) < self.kept[rows], rows, self.aliases[rows])


def alias_table(
    weights: Float[np.ndarray, " rows"],
) -> tuple[Float[np.ndarray, " rows"], Int[np.ndarray, " rows"]]:
    """For each row the chance to keep it, and the row to take otherwise, so that the two follow the weights."""
    share = np.asarray(weights, np.float64) * (len(weights) / np.sum(weights, dtype=np.float64))
    kept, aliases = np.ones(len(share)), np.arange(len(share))
    small, large = list(np.flatnonzero(share < 1)), list(np.flatnonzero(share >= 1))
    while small and large:
        poor, rich = small.pop(), large[-1]
        kept[poor], aliases[poor] = share[poor], rich
        share[rich] -= 1 - share[poor]
        if share[rich] < 1:
            small.append(large.pop())
    return kept, aliases


def priority_tree(rows: int) -> Float[Array, " nodes"]:
    """A tree of equal priorities, 1 each. Node 1 is the root, 2n and 2n + 1 are below n, row i is node nodes/2 + i."""
    leaves = 1 << max(0, rows - 1).bit_length()
    levels = [np.concatenate([np.ones(rows, np.float32), np.zeros(leaves - rows, np.float32)])]
    while len(levels[-1]) > 1:
        levels.append(levels[-1].reshape(-1, 2).sum(axis=1))
    return jnp.asarray(np.concatenate([np.zeros(1, np.float32), *reversed(levels)]))


def draw_by_priority(tree: Float[Array, " nodes"], key: PRNGKeyArray, count: int) -> Int[Array, " count"]:
    """Numbers of rows, with replacement, in proportion to their priorities."""
    leaves = len(tree) // 2
    mass = jax.random.uniform(key, (count,)) * tree[1]
    node = jnp.ones(count, jnp.int32)
    for _ in range(leaves.bit_length() - 1):
        left = tree[2 * node]
        goes_right = (mass >= left) & (tree[2 * node + 1] > 0)  # rounding must not lead to a row of priority 0
        node = 2 * node + goes_right
        mass = jnp.where(goes_right, mass - left, mass)
    return node - leaves


def with_priorities(
    tree: Float[Array, " nodes"], rows: Int[Array, " count"], priorities: Float[Array, " count"]
) -> Float[Array, " nodes"]:
    """The tree with new priorities of some rows; of a row that comes twice, the larger one."""
    leaves = len(tree) // 2
    node = rows + leaves
    tree = tree.at[node].set(0).at[node].max(priorities)
    for _ in range(leaves.bit_length() - 1):
        node = node // 2
        tree = tree.at[node].set(tree[2 * node] + tree[2 * node + 1])
    return tree
