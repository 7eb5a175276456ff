"""What one forward and one backward pass leave behind: the gradients of every layer, as factors."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

Pick = Callable[[Sequence[np.ndarray]], np.ndarray]
"""One array per parameter leaf of a critic -> the entries of one trace, in the layout of its gradients."""


@dataclass(frozen=True)
class LayerTrace:
    """Gradients of a critic's heads with respect to some of its parameters, as factors.

    The gradient of head ``heads[h]`` at point p is the matrix

        sum over positions t of the outer products inputs[p, t] (x) deltas[h, p, t]

    A linear layer has one position, a convolution one per patch, a layer that is used twice one per use. Parameters
    without such a structure have ``inputs`` None and their gradients in ``deltas``, at one position.

    Attributes:
        names: the parameters' names.
        heads: the heads that these parameters move at all.
        inputs: the layer's input at each point; a last column of ones stands for its bias.
        deltas: d head / d output of the layer.
        pick: these parameters' entries, (inputs, outputs), or (outputs,) where ``inputs`` is None.
    """

    names: tuple[str, ...]
    heads: tuple[int, ...]
    inputs: Float[np.ndarray, "points positions inputs"] | None
    deltas: Float[np.ndarray, "heads points positions outputs"]
    pick: Pick

    @property
    def points(self) -> int:
        """How many points were traced."""
        return self.deltas.shape[1]

    @property
    def parameters(self) -> int:
        """How many parameters."""
        return self.deltas.shape[-1] * (1 if self.inputs is None else self.inputs.shape[-1])

    @property
    def work(self) -> int:
        """Multiplications for one entry of the kernel."""
        if self.inputs is None:
            return self.deltas.shape[-1]
        return self.deltas.shape[2] ** 2 * (self.inputs.shape[-1] + self.deltas.shape[-1])

    @property
    def nbytes(self) -> int:
        """Held in memory."""
        return self.deltas.nbytes + (0 if self.inputs is None else self.inputs.nbytes)

    def gradients(self, inputs: slice = slice(None)) -> Float[np.ndarray, "heads points parameters"]:
        """The gradients themselves, written out; or those with respect to some of the inputs' weights only."""
        if self.inputs is None:
            return self.deltas[:, :, 0]
        part = self.inputs[:, :, inputs]
        if self.deltas.shape[2] == 1:
            product = part[:, 0, :, None] * self.deltas[:, :, 0, None, :]
        else:
            product = np.matmul(part.transpose(0, 2, 1), self.deltas)
        return product.reshape(*product.shape[:2], part.shape[-1] * self.deltas.shape[-1])

    def at(self, points: slice | np.ndarray) -> "LayerTrace":
        """At some of the points alone."""
        return replace(self, inputs=None if self.inputs is None else self.inputs[points], deltas=self.deltas[:, points])

    def multiplied_out(self) -> "LayerTrace":
        """The same with gradients for factors, where products of gradients are cheaper than products of factors."""
        if self.inputs is None or self.parameters > self.work:
            return self
        pick = self.pick
        gradients = self.gradients()[:, :, None]
        return replace(self, inputs=None, deltas=gradients, pick=lambda leaves: pick(leaves).ravel())

    def scaled(self, factor: float, precision: type) -> "LayerTrace":
        """Gradients times ``factor``, in another precision; inputs become about one, so that their squares fit it."""
        if self.inputs is None:
            return replace(self, deltas=(self.deltas * factor).astype(precision))
        size = self.input_size()
        inputs, deltas = (self.inputs / size).astype(precision), (self.deltas * (factor * size)).astype(precision)
        return replace(self, inputs=inputs, deltas=deltas)

    def input_size(self) -> float:
        """A power of two, about as large as the largest input."""
        return 1.0 if self.inputs is None else power_of_two(_largest(self.inputs))

    def largest(self) -> float:
        """A bound on the entries of the gradients."""
        inputs = 1.0 if self.inputs is None else _largest(self.inputs) * self.inputs.shape[1]
        return inputs * _largest(self.deltas)


def power_of_two(value: float) -> float:
    """The one above a positive number; 1 for zero and for what is not finite."""
    return float(2.0 ** np.frexp(value)[1]) if 0.0 < value < np.inf else 1.0


def _largest(values: np.ndarray) -> float:
    return float(np.abs(values).max(initial=0.0))


class Traced(NamedTuple):
    """A critic at some points: values (heads, points), and its layers' traces, which can be gone through repeatedly."""

    values: Float[np.ndarray, "heads points"]
    layers: Iterable[LayerTrace]
