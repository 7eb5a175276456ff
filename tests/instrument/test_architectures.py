from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from architectures import ARCHITECTURES, Apply, Critic, hidden, mlp
from cases import CASES, gradients, policy, seeded, transitions
from seemrl.errors import InputError
from seemrl.instrument import measure as measuring
from seemrl.instrument.spectrum import spectrum

DISCOUNT = 0.95


def test_an_architecture_is_the_same_at_each_call():
    for name in ARCHITECTURES:
        first, second = (CASES[f"torch: {name}"].make().state_dict() for _ in range(2))
        assert first.keys() == second.keys()
        assert all(torch.equal(tensor, second[key]) for key, tensor in first.items()), name


# ------------------------------------------------------------------------------------------------ parameters' side


@pytest.fixture
def matrices(monkeypatch) -> list[np.ndarray]:
    """Every matrix of which a reading asks the spectrum."""
    found: list[np.ndarray] = []

    def kept(matrix: np.ndarray, *options: Any) -> Any:
        found.append(matrix.copy())
        return spectrum(matrix, *options)

    monkeypatch.setattr(measuring, "spectrum", kept)
    return found


def largest(eigenvalues: np.ndarray, count: int) -> np.ndarray:
    """The so many largest by modulus, in the order of the complex numbers."""
    return np.sort_complex(eigenvalues[np.argsort(-np.abs(eigenvalues))[:count]])


@pytest.mark.parametrize(
    "name",
    ["one layer", "width 1", "two layers, Tanh", "LayerNorm before the activation", "Conv1d", "the same Linear twice"],
)
def test_the_spectrum_is_that_of_the_parameters_side(name, matrices):
    """A = (diag(b) J* - J) J^T is N x N, J^T (diag(b) J* - J) is P x P; their non-zero eigenvalues are the same."""
    at_rows, (at_targets,) = gradients(f"torch: {name}")
    bootstrap = DISCOUNT * ~transitions().terminals
    J, J_target = at_rows.jacobian[0], at_targets.jacobian[0]
    change = bootstrap[:, None] * J_target - J
    measuring.measure(CASES[f"torch: {name}"].make(), transitions(), policy, discount=DISCOUNT)
    of_rows, of_parameters = np.linalg.eigvals(matrices[0]), np.linalg.eigvals(J.T @ change)
    assert (len(of_rows), len(of_parameters)) == J.shape
    rank = min(np.linalg.matrix_rank(J), np.linalg.matrix_rank(change))
    size = np.abs(of_rows).max()
    np.testing.assert_allclose(largest(of_rows, rank), largest(of_parameters, rank), rtol=0, atol=1e-8 * size)
    for eigenvalues in (of_rows, of_parameters):
        assert np.sum(np.abs(eigenvalues) > 1e-8 * size) <= rank


# ------------------------------------------------------------------------------------------------ samples that interact


INTERACTIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "centred": lambda x: x - x.mean(0),
    "standardised": lambda x: (x - x.mean(0)) / (x.std(0) + 1e-3),
    "attention among the points": lambda x: torch.softmax(x @ x.T, dim=1) @ x,
    "scaled by the largest": lambda x: x / x.abs().max(),
    "shifted by one point": lambda x: torch.tanh(x) + 0.1 * x.roll(1, 0),
}


@pytest.mark.parametrize("name", INTERACTIONS)
@pytest.mark.parametrize("place", ["after a layer", "of the inputs", "of the values"])
def test_a_critic_whose_samples_interact_is_refused(name, place):
    layer = Apply(INTERACTIONS[name])
    critics: dict[str, Callable[[], torch.nn.Module]] = {
        "after a layer": lambda: hidden(layer),
        "of the inputs": lambda: Critic(layer, mlp(4)),
        "of the values": lambda: Critic(mlp(4), layer),
    }
    critic = seeded(critics[place])()
    with pytest.raises(InputError, match=r"^critic: .*interact"):
        measuring.measure(critic, transitions(), policy, discount=DISCOUNT)


# ------------------------------------------------------------------------------------------------ left as found


def hooks(module: torch.nn.Module) -> dict[str, Any]:
    """Every hook of every part, and those of all modules."""
    found = {
        f"{name}.{key}": list(value.items())
        for name, part in module.named_modules()
        for key, value in vars(part).items()
        if "hooks" in key and isinstance(value, OrderedDict)
    }
    everywhere = vars(torch.nn.modules.module)
    return found | {key: list(value) for key, value in everywhere.items() if key.startswith("_global") and value}


def of_tensor(tensor: torch.Tensor | None) -> Any:
    """All that may change of a tensor: which object, where and in what version, of what type, and its bytes."""
    if tensor is None:
        return None
    flags = tensor.requires_grad, tensor.is_leaf, tensor.dtype, tensor.data_ptr(), tensor._version, tensor.grad_fn
    content = tensor.detach().contiguous().flatten().view(torch.uint8).tolist()
    return id(tensor), *flags, tensor._backward_hooks, content


def described(module: torch.nn.Module) -> dict[str, Any]:
    """All that a reading must leave alone."""
    return {
        "parameters": {name: of_tensor(value) for name, value in module.named_parameters()},
        "gradients": {name: of_tensor(value.grad) for name, value in module.named_parameters()},
        "buffers": {name: of_tensor(value) for name, value in module.named_buffers()},
        "training": {name: part.training for name, part in module.named_modules()},
        "attributes": {name: sorted(vars(part)) for name, part in module.named_modules()},
        "modules": {name: (id(part), type(part)) for name, part in module.named_modules()},
        "hooks": hooks(module),
        "random numbers": torch.get_rng_state().tolist(),
        "settings": (
            torch.is_grad_enabled(),
            torch.get_default_dtype(),
            torch.get_num_threads(),
            torch.backends.mha.get_fastpath_enabled(),
            torch.are_deterministic_algorithms_enabled(),
        ),
    }


def assert_is_as(module: torch.nn.Module, before: dict[str, Any]) -> None:
    for key, value in described(module).items():
        assert value == before[key], key


def prepared(name: str) -> torch.nn.Module:
    """With gradients on every second parameter, some parts in train mode, and hooks of each kind."""
    module = CASES[f"torch: {name}"].make()
    alike_in_both_modes = Critic, torch.nn.Linear, torch.nn.Conv2d, torch.nn.Embedding, torch.nn.ReLU
    for number, part in enumerate(module.modules()):
        part.training = isinstance(part, alike_in_both_modes) and number % 3 != 1
    for parameter in list(module.parameters())[::2]:
        parameter.grad = torch.full_like(parameter, 0.5)
    last = list(module.modules())[-1]
    last.register_forward_hook(lambda *_: None)
    last.register_forward_pre_hook(lambda *_: None)
    last.register_full_backward_hook(lambda *_: None)
    return module


@pytest.mark.parametrize(
    "name",
    [
        "in-place ReLU",
        "the same Linear twice",
        "ensemble of 10, @",
        "BatchNorm1d evaluated",
        "spectral_norm evaluated",
        "Dropout evaluated",
        "frozen layer",
        "two modules with one weight",
        "an unused layer",
        "Embedding with padding",
        "MultiheadAttention",
        "Conv2d",
        "ensemble of 10, vmap",
        "bfloat16, inputs cast to the weight's",
    ],
)
def test_a_module_is_left_exactly_as_it_was_found(name):
    module = prepared(name)
    before = described(module)
    measuring.measure(module, transitions(), policy, discount=DISCOUNT, learning_rate=1e-3, target_critic=module)
    assert_is_as(module, before)


def test_a_module_is_left_as_it_was_found_when_it_is_refused():
    module = seeded(lambda: hidden(Apply(INTERACTIONS["centred"])))()
    before = described(module)
    with pytest.raises(InputError):
        measuring.measure(module, transitions(), policy, discount=DISCOUNT)
    assert_is_as(module, before)
