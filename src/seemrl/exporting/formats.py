"""The files of an export: how each is written, and how each is read back as somebody else would read it."""

from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

from seemrl.errors import InputError, MissingPartError
from seemrl.exporting.policy import Policy
from seemrl.exporting.rebuilt import Rebuilt
from seemrl.exporting.recipe import Arrays

PLATFORMS = ("cpu", "cuda", "tpu")
"""What the StableHLO file runs on."""

_NEEDS = {"stablehlo": ("flatbuffers",), "onnx": ("onnx", "onnxruntime"), "safetensors": ()}

Called = Callable[..., Sequence[NDArray[Any]]]
"""An export as it is used: from the inputs to the outputs, arrays of NumPy."""


def check_installed(formats: Sequence[str]) -> None:
    """Check that what the formats are written and verified with is there.

    Raises:
        MissingPartError: something is not.
    """
    for name in formats:
        for part in _NEEDS[name]:
            if find_spec(part) is None:
                raise MissingPartError(part, "export", f"export to {name}")


def write_weights(path: Path, arrays: Arrays) -> None:
    """Write policy.safetensors."""
    path.write_bytes(safetensors.numpy.save(arrays))


def read_weights(path: Path, recipe: Mapping[str, Any]) -> Called:
    """The policy from its recipe and policy.safetensors, in NumPy."""
    return Rebuilt(recipe, safetensors.numpy.load_file(path))


def write_stablehlo(path: Path, policy: Policy) -> None:
    """Write policy.stablehlo: `jax.export`'s serialisation, weights inside, for any batch and all of `PLATFORMS`."""
    from jax import export

    with jax.default_matmul_precision("highest"):  # accelerators would round what they multiply
        exported = export.export(jax.jit(policy), platforms=PLATFORMS)(*_symbolic_inputs(policy))
    path.write_bytes(exported.serialize())


def read_stablehlo(path: Path) -> Called:
    """The policy of policy.stablehlo, as `jax.export` brings it back."""
    from jax import export

    exported = export.deserialize(bytearray(path.read_bytes()))
    return lambda *inputs: [np.asarray(output) for output in exported.call(*map(jnp.asarray, inputs))]


def write_onnx(path: Path, policy: Policy, told: Mapping[str, str]) -> None:
    """Write policy.onnx from the traced equations of the policy; the batch may have any size.

    Raises:
        InputError: a primitive of the policy cannot be translated; it is named.
    """
    from seemrl.exporting.graph import Graph, UntranslatableError, walk
    from seemrl.exporting.primitives import TRANSLATORS

    inputs = _symbolic_inputs(policy)
    closed = jax.make_jaxpr(policy)(*inputs)
    graph = Graph(_names(policy))
    try:
        given = [
            graph.input(port.name, like.shape, like.dtype) for port, like in zip(policy.inputs, inputs, strict=True)
        ]
        results = walk(graph, closed, given, TRANSLATORS)
    except UntranslatableError as error:
        raise InputError(f"{path.name}: {error} has no translation to ONNX; leave onnx out of --format") from error
    for port, result in zip(policy.outputs, results, strict=True):
        graph.output(result, port.name, port.shape, port.kind)
    path.write_bytes(graph.model(told).SerializeToString())


def read_onnx(path: Path) -> Called:
    """The policy of policy.onnx, as ONNX Runtime runs it."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
    names = [given.name for given in session.get_inputs()]
    return lambda *inputs: session.run(None, dict(zip(names, inputs, strict=True)))


def _symbolic_inputs(policy: Policy) -> list[jax.ShapeDtypeStruct]:
    from jax import export

    (batch,) = export.symbolic_shape("batch")
    return [jax.ShapeDtypeStruct((batch, *port.shape), jnp.dtype(port.kind)) for port in policy.inputs]


def _names(policy: Policy) -> dict[int, str]:
    """The learner's arrays under their paths, by identity."""
    named = jax.tree_util.tree_leaves_with_path(policy.agent)
    return {id(leaf): jax.tree_util.keystr(path).lstrip(".") for path, leaf in reversed(named)}
