import functools
import subprocess
import sys
import warnings
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from cases import (
    ACTION,
    CASES,
    OBSERVATION,
    TorchTwin,
    bias_free,
    bias_free_weights,
    policy,
    torch_single,
    torch_twin,
    transitions,
)
from seemrl.errors import InputError
from seemrl.instrument.measure import measure
from seemrl.instrument.reading import Reading


def rng_states() -> list[np.ndarray]:
    return [torch.get_rng_state().numpy(), np.random.get_state(legacy=False)["state"]["key"]]


@pytest.mark.parametrize("training", [True, False])
def test_a_torch_module_is_left_as_it_was_found(training):
    module = torch_twin(6, 5, norm=True).train(training)
    next(module.parameters()).requires_grad = False
    calls: list[int] = []
    handle = module.register_forward_hook(lambda *_: calls.append(1))
    inputs = torch.zeros(2, 3), torch.zeros(2, 2)
    torch.cat(module(*inputs)).sum().backward()
    optimizer = torch.optim.Adam(module.parameters())
    optimizer.step()
    tensors = [*module.parameters(), *(p.grad for p in module.parameters() if p.grad is not None)]
    before = [(tensor, tensor.data_ptr(), tensor.detach().clone()) for tensor in tensors]
    flags = [parameter.requires_grad for parameter in module.parameters()]
    random, default = rng_states(), torch.get_default_dtype()

    measure(module, transitions(), policy, discount=0.9, optimizer=optimizer, target_critic=module, target_rate=0.1)

    for tensor, address, value in before:
        assert tensor.data_ptr() == address and tensor.dtype == torch.float32
        assert torch.equal(tensor, value)
    assert [parameter.requires_grad for parameter in module.parameters()] == flags
    assert all(part.training is training for part in module.modules())
    assert list(module._forward_hooks) == [handle.id]
    assert all(np.array_equal(*pair) for pair in zip(random, rng_states(), strict=True))
    assert torch.is_grad_enabled() and torch.get_default_dtype() is default
    calls.clear()
    module(*inputs)
    assert calls == [1]


def without_seconds(reading: Reading) -> dict[str, Any]:
    return reading.to_dict() | {"seconds": 0}


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("name", ["torch twin", "torch: weight_norm", "torch: the same Linear twice"])
def test_a_reading_without_gradients_is_the_same(mode, name):
    module, batch = CASES[name].make(), transitions()
    with mode():
        inside = measure(module, batch, policy, discount=0.9)
        assert not torch.is_grad_enabled()
        assert torch.is_inference_mode_enabled() is (mode is torch.inference_mode)
    assert without_seconds(inside) == without_seconds(measure(module, batch, policy, discount=0.9))


def test_a_module_made_in_inference_mode_is_read():
    with torch.inference_mode():
        inside = torch_twin(6)
    found = measure(inside, transitions(), policy, discount=0.9)
    assert without_seconds(found) == without_seconds(measure(torch_twin(6), transitions(), policy, discount=0.9))


@pytest.mark.parametrize("compiled", [False, True])
def test_a_module_that_spreads_its_rows_reads_as_the_plain_one(compiled):
    module = torch_twin(6, 5)
    inner: Any = torch.compile(module) if compiled else module
    optimizer = torch.optim.SGD(module.parameters(), lr=1e-3)
    plain, spread = (
        measure(each, transitions(), policy, discount=0.9, optimizer=optimizer)
        for each in (module, torch.nn.DataParallel(inner))
    )
    assert (spread.seem, spread.rate) == (plain.seem, plain.rate)


def test_a_compiled_module_reads_as_the_plain_one():
    module = torch_twin(6, 5)
    compiled: Any = torch.compile(module, backend="eager")
    optimizer = torch.optim.SGD(compiled.parameters(), lr=1e-3)
    found = measure(compiled, transitions(), policy, discount=0.9, optimizer=optimizer, target_critic=compiled)
    wanted = measure(module, transitions(), policy, discount=0.9, learning_rate=1e-3)
    assert without_seconds(found) == without_seconds(wanted)


def test_a_module_that_compiles_itself_is_read_without_compiling_the_instrument(caplog):
    """The compiler would follow the calls into the recorder, and complain of how often it has to start anew."""
    module = torch_twin(6, 5)
    wanted = measure(module, transitions(), policy, discount=0.9)
    module.compile(backend="eager")
    module(torch.zeros(3, OBSERVATION), torch.zeros(3, ACTION))
    with caplog.at_level("WARNING"):
        found = measure(module, transitions(), policy, discount=0.9)
    assert without_seconds(found) == without_seconds(wanted)
    assert not [record for record in caplog.records if record.levelname == "WARNING"]
    compiled = torch._dynamo.utils.counters["frames"]["total"]
    measure(module, transitions(), policy, discount=0.9)
    assert torch._dynamo.utils.counters["frames"]["total"] == compiled


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_an_actor_can_be_given_as_it_is(dtype):
    actor = torch.nn.Sequential(torch.nn.Linear(OBSERVATION, ACTION), torch.nn.Tanh()).to(dtype)

    def asked(next_observations: Any) -> Any:
        with torch.no_grad():
            return actor(torch.as_tensor(next_observations, dtype=dtype)).double().numpy()

    found, wanted = (measure(torch_twin(6), transitions(), act, discount=0.9) for act in (actor, asked))
    assert without_seconds(found) == without_seconds(wanted)


@pytest.mark.parametrize("how", ["script", "trace"])
def test_a_module_in_torchscript_is_refused(how):
    module = torch_single(6)
    points = torch.zeros(2, 3), torch.zeros(2, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch would rather have it compiled otherwise
        inner: Any = torch.nn.Linear(3, 1)
        scripted: Any = torch.jit.script(inner) if how == "script" else torch.jit.trace(module, points)
    with pytest.raises(InputError, match=r"^critic: it is compiled to TorchScript[^\n]*pass the nn.Module"):
        measure(scripted, transitions(), policy, discount=0.9)


def test_a_part_in_torchscript_is_refused():
    module = torch_single(6)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network: Any = module.networks[0]  # type: ignore[index]
        network[0] = torch.jit.script(network[0])
    with pytest.raises(InputError, match=r"^critic: [^\n]*TorchScript"):
        measure(module, transitions(), policy, discount=0.9)


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("norm", [False, True])
def test_the_function_that_stored_parameters_define_is_read_in_float64(precision, norm):
    module = torch_twin(6, 5, norm=norm).to(precision)
    found = measure(module, transitions(), policy, discount=0.9, learning_rate=1e-3)
    assert {parameter.dtype for parameter in module.parameters()} == {precision}
    wanted = measure(module.double(), transitions(), policy, discount=0.9, learning_rate=1e-3)
    assert without_seconds(found) == without_seconds(wanted)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_a_layer_at_two_places_stays_one_layer(mode):
    layer = torch.nn.Linear(5, 5)
    network = torch.nn.Sequential(layer, torch.nn.ReLU(), layer, torch.nn.ReLU(), torch.nn.Linear(5, 1))
    module = TorchTwin(lambda: network)
    before = {name: (id(value), value.detach().clone()) for name, value in module.named_parameters()}
    with mode():
        measure(module, transitions(), policy, discount=0.9, target_critic=module)
    assert network[0] is network[2] is layer
    for name, value in module.named_parameters():
        assert id(value) == before[name][0] and torch.equal(value, before[name][1])
        assert value.requires_grad and value.grad is None and not value.is_inference()


@pytest.mark.parametrize("name", ["two layers", "jax.tree_util.Partial"])
@pytest.mark.parametrize("fails", [False, True])
def test_jax_keeps_its_precision(name, fails):
    critic = CASES[name].make()
    before = [np.asarray(leaf).copy() for leaf in jax.tree.leaves(critic)]
    points = jnp.ones((4, 3)), jnp.ones((4, 2))
    values = critic(*points)
    assert not jax.config.read("jax_enable_x64")
    if fails:
        with pytest.raises(InputError):
            measure(
                jax.tree_util.Partial(lambda critic, *points: critic(*points)[..., :3], critic),
                transitions(),
                policy,
                discount=0.9,
            )
    else:
        measure(critic, transitions(), policy, discount=0.9)
    assert not jax.config.read("jax_enable_x64")
    assert jnp.asarray(1.0).dtype == critic(*points).dtype == jnp.float32
    np.testing.assert_array_equal(critic(*points), values)
    for leaf, value in zip(jax.tree.leaves(critic), before, strict=True):
        assert leaf.dtype == jnp.float32
        np.testing.assert_array_equal(leaf, value)


def test_a_torch_reading_never_imports_jax():
    program = (
        "import sys, numpy as np, torch, seemrl\n"
        "layer = torch.nn.Linear(5, 1)\n"
        "class Critic(torch.nn.Module):\n"
        "    def __init__(self): super().__init__(); self.layer = layer\n"
        "    def forward(self, s, a): return self.layer(torch.cat([s, a], 1))\n"
        "rows = np.random.default_rng(0).normal(size=(4, 3))\n"
        "batch = seemrl.Batch(rows, rows[:, :2], rows[:, 0], rows, np.zeros(4))\n"
        "assert seemrl.measure(Critic(), batch, lambda s: s[:, :2], discount=0.9).finite\n"
        "assert 'jax' not in sys.modules, 'JAX was imported'\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_weights_in_a_dictionary_are_not_changed():
    weights = bias_free_weights((5,))
    before = {name: np.asarray(weight).copy() for name, weight in weights.items()}
    measure(functools.partial(bias_free, weights), transitions(), policy, discount=1.0)
    for name, weight in weights.items():
        np.testing.assert_array_equal(weight, before[name])
