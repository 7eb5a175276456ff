"""Functions of JAX, translated, beside what JAX makes of them."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import onnxruntime
import pytest
from jax import export

from seemrl.exporting.graph import Graph, UntranslatableError, walk
from seemrl.exporting.primitives import TRANSLATORS

ROWS, COLUMNS = 6, 4
CONSTANT = np.random.default_rng(1).normal(size=(3, COLUMNS)).astype(np.float32)

FUNCTIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "comparisons": lambda x: jnp.where((x > 0) & ~(x >= 1) | (x <= -1) | (x != x), x, -x),
    "less": lambda x: jnp.where(x < 0.5, x == x, x == 2).astype(jnp.float32),
    "powers": lambda x: x**3 + jnp.abs(x) ** 1.5 + 1 / (1 + x**2) + jnp.square(x),
    "inverse power": lambda x: (jnp.abs(x) + 1) ** -2,
    "rounding": lambda x: jnp.floor(x) + 2 * jnp.ceil(x) + 3 * jnp.sign(x),
    "activations": lambda x: jax.nn.sigmoid(x) + jax.nn.silu(x) + jax.nn.softplus(x) + jax.nn.gelu(x),
    "exact gelu": lambda x: jax.nn.gelu(x, approximate=False) + jax.scipy.special.erf(x),
    "clipping": lambda x: jax.lax.clamp(-0.5, x, 0.25),
    "softmax": lambda x: jax.nn.softmax(x, axis=-1) + jax.nn.logsumexp(x, axis=1, keepdims=True),
    "statistics": lambda x: jnp.stack([x.mean(1), x.std(1), x.max(1), x.min(1), x.prod(1)], axis=1),
    "numbers": lambda x: jnp.stack([jnp.argmax(x, axis=1), jnp.argmin(x, axis=1)], axis=1),
    "one hot": lambda x: jax.nn.one_hot(jnp.argmax(x, axis=1), COLUMNS) * x,
    "product from the right": lambda x: jax.lax.dot_general(x, CONSTANT, (((1,), (1,)), ((), ()))),
    "product from the left": lambda x: jax.lax.dot_general(CONSTANT, x, (((1,), (1,)), ((), ()))).T,
    "pieces": lambda x: jnp.concatenate([part * k for k, part in enumerate(jnp.split(x, 2, axis=1))], axis=1),
    "every other": lambda x: x[:, 1::2] + x[:, ::2] * x[:, 3:],
    "one column": lambda x: x[:, 2] * x[:, -1],
    "a known place": lambda x: x[:, jnp.asarray(1)] + x[:, 1],
    "shapes": lambda x: x.reshape(-1, 2, 2).transpose(0, 2, 1).reshape(-1, 4)[:, :, None].squeeze(2),
    "twice the batch": lambda x: jnp.repeat(x, 2, axis=0).reshape(-1, 2 * COLUMNS),
    "a full batch": lambda x: x + jnp.full(x.shape[0], 2.5)[:, None],
    "the mean of a batch": lambda x: x - x.mean(axis=0) * x.shape[0],
    "finite": lambda x: jnp.isfinite(1 / jnp.maximum(x, 0)).astype(jnp.float32),
    "columns by number": lambda x: x[:, jnp.asarray([3, 0, -2])],
    "a loop": lambda x: jax.lax.scan(lambda c, k: (c * 0.5 + k, None), x, jnp.arange(3.0))[0],
    "a loop backwards": lambda x: jax.lax.scan(lambda c, k: (c * k, None), x, jnp.arange(1.0, 4), reverse=True)[0],
    "a loop over columns": lambda x: jax.lax.scan(lambda c, k: (c + jnp.tanh(c * k), None), x[:, 0], x.T)[0],
    "parts of their own": lambda x: jax.checkpoint(jax.jit(jnp.tanh))(x) + jax.lax.stop_gradient(x),
    "no input": lambda x: jnp.broadcast_to(jnp.cos(jnp.arange(4.0)), x.shape),
}

REFUSED: dict[str, tuple[Callable[[jax.Array], jax.Array], str]] = {
    "sorting": (lambda x: jnp.sort(x, axis=1), "primitive sort"),
    "random numbers": (lambda x: x + jax.random.normal(jax.random.key(jnp.argmax(x[0])), (COLUMNS,)), "primitive"),
    "a loop without end": (lambda x: jax.lax.while_loop(lambda c: c.sum() < 9, lambda c: c + 1, x), "primitive while"),
    "a computed place": (lambda x: jnp.take_along_axis(x, jnp.argmax(x, 1)[:, None], axis=1), "gather at places"),
    "stacked outputs": (lambda x: jax.lax.scan(lambda c, k: (c + k, c), x[:, 0], x.T)[1].T, "scan with stacked"),
    "a choice of three": (lambda x: jax.lax.select_n(x.astype(jnp.int32), x, -x, 2 * x), "select_n of 3 cases"),
    "a batch of products": (lambda x: jnp.einsum("bi,bj->bij", x, x), "primitive dot_general of arrays"),
}


def translated(function: Callable[[jax.Array], jax.Array]) -> onnxruntime.InferenceSession:
    (batch,) = export.symbolic_shape("batch")
    like = jax.ShapeDtypeStruct((batch, COLUMNS), jnp.float32)
    closed = jax.make_jaxpr(function)(like)
    graph = Graph()
    (result,) = walk(graph, closed, [graph.input("x", like.shape, like.dtype)], TRANSLATORS)
    (output,) = closed.out_avals
    graph.output(result, "y", output.shape[1:], output.dtype)
    return onnxruntime.InferenceSession(graph.model({}).SerializeToString(), providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_translation_gives_what_jax_does_for_any_batch(name):
    session = translated(FUNCTIONS[name])
    for rows in (ROWS, 1):
        inputs: Any = np.random.default_rng(0).normal(size=(rows, COLUMNS)).astype(np.float32)
        wanted = np.asarray(jax.jit(FUNCTIONS[name])(inputs))
        (found,) = session.run(None, {"x": inputs})
        assert (found.shape, found.dtype) == (wanted.shape, wanted.dtype)
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_translation_is_named(name):
    function, words = REFUSED[name]
    with pytest.raises(UntranslatableError, match=words):
        translated(function)
