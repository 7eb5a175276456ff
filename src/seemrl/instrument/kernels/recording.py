"""How a layer tells the instrument what the layerwise kernel formulas need, at no cost when nobody listens.

A layer of ours passes each output through `record`. Normally that is the identity. While a kernel is being computed,
a `Recording` is active: it keeps the layer's input and adds a zero perturbation to its output, so that one
backward pass with respect to the perturbations yields every layer's backpropagated gradient at once.
"""

import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

LayerKind = Literal["linear", "weight_norm", "spectral_norm", "scale_shift", "scale"]
"""``linear``: z = x W + b, or x W.  ``weight_norm``: the same with the columns size_j v_j / |v_j| for W.

``spectral_norm``: with W / sigma for W; it takes x, the unit vectors left and right, and sigma = left W right, the
vectors constant to gradients.  ``scale_shift``: z = x * scale + shift (LayerNorm after its standardisation).
``scale``: z = x * scale (RMSNorm after its division).
"""


@dataclass
class Recording:
    """One traced forward pass: the layers met, in order.

    Attributes:
        perturbations: what to add to each layer's output, in order; ``None`` while shapes are being discovered.
        kinds: the formula each layer follows.
        parameters: each layer's own parameters, (weight, bias), (direction, size, bias), (scale, shift) and so on, as
            the objects it holds.
        inputs: each layer's input.
        outputs: each layer's output before the perturbation.
    """

    perturbations: Sequence[Any] | None = None
    kinds: list[LayerKind] = field(default_factory=list)
    parameters: list[tuple[Any, ...]] = field(default_factory=list)
    inputs: list[Any] = field(default_factory=list)
    outputs: list[Any] = field(default_factory=list)


class _Active(threading.local):
    recording: Recording | None = None


_active = _Active()


@contextmanager
def recording(perturbations: Sequence[Any] | None = None) -> Generator[Recording]:
    """Record the layers called inside the ``with`` block, in this thread."""
    previous, _active.recording = _active.recording, Recording(perturbations)
    try:
        yield _active.recording
    finally:
        _active.recording = previous


def record(kind: LayerKind, parameters: tuple[Any, ...], inputs: Any, outputs: Any) -> Any:
    """Pass a layer's output through, noting it when a recording is active."""
    active = _active.recording
    if active is None:
        return outputs
    position = len(active.outputs)
    active.kinds.append(kind)
    active.parameters.append(parameters)
    active.inputs.append(inputs)
    active.outputs.append(outputs)
    return outputs if active.perturbations is None else outputs + active.perturbations[position]
