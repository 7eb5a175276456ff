"""The ways to SEEM that `benchmarks.kernels` compares, each from the critic and its transitions to the number."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Literal

import numpy as np
import torch
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigs
from torch.func import functional_call, grad, vmap

from benchmarks.kernel_critics import DISCOUNT, CriticName, Problem, inner_sizes
from seemrl import measure

MethodName = Literal[
    "paper",
    "vmap-float64",
    "vmap-float32",
    "curvlinops",
    "ours-torch",
    "ours-jax",
    "products-float64-full",
    "products-float64-half",
    "products-float32-full",
    "products-float32-half",
]

_STORED_BYTES = 4 * 2**30  # per-sample gradients that "vmap" keeps; the others are computed again where they are needed
_CHUNK_BYTES = 2**28  # per-sample gradients that "vmap" computes at a time...
_CHUNK_ROWS = 32  # ...or this many, which a matrix product needs to be quick
_RESTARTS = 100  # of Arnoldi, a dozen or so products each
_ACCURACY = 1e-4  # of Arnoldi, relative to the eigenvalue


@dataclass(frozen=True)
class Found:
    """What a method came to.

    Attributes:
        seem: the largest real part; NaN where the method finds none.
        norm: Frobenius norm of the matrix, where the method has it.
        note: what there is to know of this run.
        converged: False where iterations ended before the eigenvalue settled.
    """

    seem: float = math.nan
    norm: float = math.nan
    note: str = ""
    converged: bool = True


# ------------------------------------------------------------------------------------------------ per-sample gradients


def paper(problem: Problem) -> Found:
    """The paper's procedure: one backward pass per point, all gradients stacked, dense eigenvalues; float32."""
    critic, rows = problem.critic, problem.rows
    jacobian = torch.empty(2 * rows, problem.parameters)
    for number, (observation, action) in enumerate(zip(*problem.points(torch.float32), strict=True)):
        jacobian[number] = _backward(critic, observation, action)
    here, target = jacobian[:rows], jacobian[rows:]
    return _dense(DISCOUNT * (target @ here.T) - here @ here.T)


def with_vmap(problem: Problem, dtype: torch.dtype) -> Found:
    """Per-sample gradients of many points in one call, in pieces that bound the memory; dense eigenvalues."""
    rows = problem.rows
    critic, points = problem.critic.to(dtype), problem.points(dtype)
    stored, chunk = stored_rows(rows, problem.parameters, dtype), _chunk_rows(problem, dtype)
    kernel = torch.empty(2 * rows, rows, dtype=dtype)
    for start in range(0, rows, stored):
        columns = slice(start, min(start + stored, rows))
        kept = torch.empty(columns.stop - start, problem.parameters, dtype=dtype)
        for part in _parts(start, columns.stop, chunk):
            _gradients_into(kept[part.start - start : part.stop - start], critic, points, part)
        kernel[columns, columns] = kept @ kept.T
        for part in [*_parts(0, start, chunk), *_parts(columns.stop, 2 * rows, chunk)]:
            other = torch.empty(part.stop - part.start, problem.parameters, dtype=dtype)
            _gradients_into(other, critic, points, part)
            kernel[part, columns] = other @ kept.T
    return _dense(DISCOUNT * kernel[rows:] - kernel[:rows])


def stacked_bytes(method: MethodName, rows: int, parameters: int) -> int:
    """Of the gradients that the paper's procedure keeps; the other methods bound theirs."""
    return 2 * rows * parameters * 4 if method == "paper" else 0


def _backward(critic: torch.nn.Module, observation: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
    critic.zero_grad()
    critic(observation[None], action[None]).sum().backward()
    return torch.cat([parameter.grad.ravel() for parameter in critic.parameters() if parameter.grad is not None])


def _gradients_into(
    out: torch.Tensor, critic: torch.nn.Module, points: tuple[torch.Tensor, torch.Tensor], part: slice
) -> None:
    def value(parameters: dict[str, torch.Tensor], observation: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
        return functional_call(critic, parameters, (observation[None], action[None])).sum()

    parameters = {name: parameter.detach() for name, parameter in critic.named_parameters()}
    gradients: dict[str, torch.Tensor] = vmap(grad(value), in_dims=(None, 0, 0))(
        parameters, points[0][part], points[1][part]
    )
    torch.cat([gradient.flatten(1) for gradient in gradients.values()], dim=1, out=out)


def _dense(matrix: torch.Tensor) -> Found:
    return Found(float(torch.linalg.eigvals(matrix).real.max()), float(torch.linalg.matrix_norm(matrix)))


def _parts(start: int, stop: int, size: int) -> list[slice]:
    return [slice(first, min(first + size, stop)) for first in range(start, stop, size)]


def stored_rows(rows: int, parameters: int, dtype: torch.dtype) -> int:
    """How many rows' gradients `with_vmap` keeps at a time."""
    return max(1, min(rows, _STORED_BYTES // (parameters * dtype.itemsize)))


def _chunk_rows(problem: Problem, dtype: torch.dtype) -> int:
    return min(problem.rows, max(_CHUNK_ROWS, _CHUNK_BYTES // (problem.parameters * dtype.itemsize)))


# ------------------------------------------------------------------------------------------------ matrix-free


class _OneArgument(torch.nn.Module):
    """The critic as curvlinops calls it, with a single tensor."""

    def __init__(self, critic: torch.nn.Module, observation_size: int) -> None:
        super().__init__()
        self.critic = critic
        self.size = observation_size

    def forward(self, points: torch.Tensor) -> torch.Tensor:
        return self.critic(points[:, : self.size], points[:, self.size :])


def with_curvlinops(problem: Problem, time_limit: float) -> Found:
    """Products with the Jacobian and its transpose, under ARPACK; float64."""
    from curvlinops import JacobianLinearOperator, TransposedJacobianLinearOperator

    rows, deadline = problem.rows, perf_counter() + time_limit
    inputs = torch.cat(problem.points(torch.float64), dim=1)
    model = _OneArgument(problem.critic.double(), problem.batch.observations.shape[1])
    parameters, labels = list(model.parameters()), torch.zeros(rows, 1)
    here, target = (inputs[:rows], labels), (inputs[rows:], labels)
    known: dict[str, Any] = {"check_deterministic": False}
    pull = TransposedJacobianLinearOperator(model, parameters, [here], num_data=rows, **known)
    push = JacobianLinearOperator(model, parameters, [here, target], num_data=2 * rows, **known)
    products = 0

    def product(vector: np.ndarray) -> np.ndarray:
        nonlocal products
        if perf_counter() > deadline:
            raise TimeoutError
        products += 1
        moved = push @ (pull @ torch.from_numpy(vector.ravel().copy()))
        return (DISCOUNT * moved[rows:] - moved[:rows]).numpy()

    operator = LinearOperator((rows, rows), matvec=product, dtype=np.float64)  # pyright: ignore[reportCallIssue]
    start = np.random.default_rng(0).standard_normal(rows)
    try:
        values = eigs(operator, 1, which="LR", v0=start, maxiter=_RESTARTS, tol=_ACCURACY, return_eigenvectors=False)
    except ArpackNoConvergence:
        return Found(note=f"after {products} products, {_RESTARTS} restarts", converged=False)
    except TimeoutError:
        return Found(note=f"after {products} products, {time_limit:.0f} s", converged=False)
    return Found(float(np.real(values).max()), note=f"{products} products")


# ------------------------------------------------------------------------------------------------ ours


def ours(problem: Problem, critic: Any) -> Found:
    """A whole reading, with everything else that it says."""
    reading = measure(critic, problem.batch, problem.policy, discount=DISCOUNT, heads="first")
    norm = reading.seem / reading.normalized if reading.normalized else math.nan
    return Found(reading.seem, norm, f"residual {reading.residual:.0e}")


def bare_products(problem: Problem, dtype: str, half: bool) -> Callable[[], Found]:
    """The matrix products alone that no layerwise way can do without, on random matrices of the right shapes.

    G(X*, X) in full, and G(X, X) in full or, as it is symmetric, half: NumPy then multiplies a matrix with its own
    transpose by BLAS's syrk.
    """
    random = np.random.default_rng(0)
    rows, sizes = problem.rows, inner_sizes(problem.critic)
    here = [random.standard_normal((rows, size)).astype(dtype) for size in sizes]
    target = [random.standard_normal((rows, size)).astype(dtype) for size in sizes]
    also_here = here if half else [matrix.copy() for matrix in here]
    out = np.empty((rows, rows), dtype)

    def multiply() -> Found:
        for x, y, z in zip(here, target, also_here, strict=True):
            np.matmul(y, x.T, out=out)
            np.matmul(x, z.T, out=out)
        return Found(note=f"{2 * rows**2 * sum(sizes) * (1.5 if half else 2) / 1e9:.1f} GFLOP")

    return multiply


def fits(method: MethodName, critic: CriticName) -> bool:
    """Whether the method can read the critic: in JAX there are the networks of this package, plain MLPs."""
    return method != "ours-jax" or critic in ("2x256", "3x512")


def prepare(method: MethodName, problem: Problem, time_limit: float) -> Callable[[], Found]:
    """What to call, and to time."""
    if method.startswith("products-"):
        _, dtype, part = method.split("-")
        return bare_products(problem, dtype, part == "half")
    if method == "ours-jax":
        critic = problem.in_jax
        return lambda: ours(problem, critic)
    calls: dict[str, Callable[[], Found]] = {
        "paper": lambda: paper(problem),
        "vmap-float64": lambda: with_vmap(problem, torch.float64),
        "vmap-float32": lambda: with_vmap(problem, torch.float32),
        "curvlinops": lambda: with_curvlinops(problem, time_limit),
        "ours-torch": lambda: ours(problem, problem.critic),
    }
    return calls[method]


def timed(call: Callable[[], object]) -> float:
    """Seconds it takes."""
    started = perf_counter()
    call()
    return perf_counter() - started
