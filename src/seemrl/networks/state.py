"""How a network moves beside its gradients: running statistics while it is trained, a hook after each step.

Networks are pytrees that never change in place. What a layer notes during a training pass is gathered by `noting` and
put into a new network by `moved`; what it does after an optimizer's step is its `AfterStep.after_step`.
"""

import threading
from abc import abstractmethod
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, TypeVar

import equinox as eqx
import jax
from jaxtyping import Array, PyTree

from seemrl.instrument.kernels.buffers import Buffer

Tree = TypeVar("Tree", bound=PyTree)
Notes = dict[int, Array]
"""New values of buffers, by the identity of the arrays they replace."""


class AfterStep(eqx.Module):
    """A layer that does something after each step of the optimizer, outside of any gradient."""

    @abstractmethod
    def after_step(self) -> "AfterStep":
        """The layer after the step."""


def after_step(network: Tree) -> Tree:
    """A network that the optimizer has just moved, with every layer's hook run."""
    return _each(AfterStep, lambda layer: layer.after_step(), network)


class Trained(eqx.Module):
    """A layer that computes something else while it is trained."""

    @abstractmethod
    def in_training(self) -> "Trained":
        """The layer as a loss is to see it."""


def in_training(network: Tree) -> Tree:
    """A network as a loss is to see it: batch statistics in the place of running ones."""
    return _each(Trained, lambda layer: layer.in_training(), network)


def has_batch_statistics(network: PyTree) -> bool:
    """Whether samples of a batch interact while it is trained."""

    def trained(node: object) -> bool:
        return isinstance(node, Trained)

    return any(map(trained, jax.tree.leaves(network, is_leaf=trained)))


class _Active(threading.local):
    notes: Notes | None = None


_active = _Active()


@contextmanager
def noting() -> Generator[Notes]:
    """Gather what layers note inside the ``with`` block, in this thread."""
    previous, _active.notes = _active.notes, {}
    try:
        yield _active.notes
    finally:
        _active.notes = previous


def note(buffer: Buffer, value: Array) -> None:
    """Note a buffer's new value; the last one counts."""
    if _active.notes is not None:
        _active.notes[id(buffer.value)] = value


def moved(network: Tree, notes: Notes) -> Tree:
    """The network with its buffers at their noted values."""

    def at_note(buffer: Buffer) -> Buffer:
        return Buffer(notes.get(id(buffer.value), buffer.value))

    return _each(Buffer, at_note, network)


def _each(kind: type[eqx.Module], change: Callable[[Any], Any], network: Tree) -> Tree:
    """The network with every part of a kind exchanged."""

    def found(node: object) -> bool:
        return isinstance(node, kind)

    return jax.tree.map(lambda node: change(node) if found(node) else node, network, is_leaf=found)
