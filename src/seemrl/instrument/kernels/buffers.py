"""Arrays of a network that are no parameters: gradients and kernels leave them out."""

from typing import Any, TypeVar

import equinox as eqx
import jax
from jaxtyping import Array, PyTree

Tree = TypeVar("Tree", bound=PyTree)


class Buffer(eqx.Module):
    """An array that training moves by other means than gradients, such as a running mean.

    It is part of the learner all the same: copied with its network, averaged into targets, saved in checkpoints.
    """

    value: Array

    def constant(self, precision: Any) -> Array:
        """The value in the precision of what it is used with; no gradient passes."""
        return jax.lax.stop_gradient(self.value.astype(precision))


def is_buffer(node: object) -> bool:
    """Whether a node of a pytree is one."""
    return isinstance(node, Buffer)


def split(network: Tree) -> tuple[Tree, Tree]:
    """Parameters, and everything else; each has None where the other has something, and `eqx.combine` joins them."""
    kinds = jax.tree.map(lambda node: not is_buffer(node) and eqx.is_inexact_array(node), network, is_leaf=is_buffer)
    return eqx.partition(network, kinds)
