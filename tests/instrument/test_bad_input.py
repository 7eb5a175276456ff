import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import optax
import pytest
import torch

from cases import ACTION, OBSERVATION, ROWS, policy, torch_single, torch_twin, transitions, twin
from seemrl.errors import InputError
from seemrl.instrument.batch import Batch
from seemrl.instrument.measure import measure


def assert_refused(says: str, call: Callable[[], Any]) -> None:
    """In one line that begins with what was wrong and contains ``says``."""
    with pytest.raises(InputError) as caught:
        call()
    message = str(caught.value)
    assert says in message
    assert "\n" not in message and len(message) < 250


# ------------------------------------------------------------------------------------------------ batches


def columns(**changes: Any) -> dict[str, Any]:
    batch = transitions()
    names = ("observations", "actions", "rewards", "next_observations", "terminals")
    return {name: getattr(batch, name) for name in names} | changes


def test_a_batch_takes_whatever_numpy_can_read():
    batch = transitions()
    converters: list[Any] = [np.ndarray.tolist, torch.as_tensor, jnp.asarray]
    others = [Batch(**{name: convert(value) for name, value in columns().items()}) for convert in converters]
    column = Batch(**columns(rewards=batch.rewards[:, None], terminals=batch.terminals[:, None].astype(np.float32)))
    for other in (*others, column):
        assert len(other) == ROWS
        assert other.rewards.dtype == other.observations.dtype == np.float64 and other.terminals.dtype == bool
        np.testing.assert_allclose(other.rewards, batch.rewards, rtol=1e-6)
        np.testing.assert_array_equal(other.terminals, batch.terminals)


def with_bad_row(name: str, row: int, value: float) -> np.ndarray:
    array = columns()[name].astype(float)
    array[row] = value
    return array


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"actions": np.zeros((ROWS - 1, ACTION))}, f"actions has {ROWS - 1} rows but rewards has {ROWS}"),
        ({"terminals": np.zeros(ROWS + 1)}, f"terminals has {ROWS + 1} rows"),
        ({"next_observations": np.zeros((ROWS, OBSERVATION + 1))}, "must have the same shape"),
        ({"observations": np.zeros(ROWS)}, f"observations has shape ({ROWS},); give (rows, size)"),
        ({"rewards": np.zeros((ROWS, 2))}, f"rewards has shape ({ROWS}, 2); give (rows,)"),
        ({"rewards": np.array(["high"] * ROWS)}, "rewards has dtype <U4; give numbers"),
        ({"observations": np.zeros((ROWS, OBSERVATION), complex)}, "dtype complex128"),
        ({"rewards": with_bad_row("rewards", 4, math.nan)}, "rewards has a NaN or infinity in row 4"),
        ({"observations": with_bad_row("observations", 7, math.inf)}, "observations has a NaN or infinity in row 7"),
        ({"terminals": with_bad_row("terminals", 2, math.nan)}, "terminals has a NaN or infinity in row 2"),
        ({name: value[:0] for name, value in columns().items()}, "it has no rows"),
    ],
)
def test_a_batch_that_does_not_fit_is_refused(changes, says):
    assert_refused(says, lambda: Batch(**columns(**changes)))


# ------------------------------------------------------------------------------------------------ readings


def read(critic: Any = None, act: Any = policy, **options: Any) -> Any:
    critic = torch_twin(4) if critic is None else critic
    settings: dict[str, Any] = {"discount": 0.9, **options}
    return measure(critic, transitions(), act, **settings)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"discount": -0.1}, "discount: -0.1 is outside [0, 1]"),
        ({"discount": 1.01}, "discount: 1.01 is outside [0, 1]"),
        ({"discount": math.nan}, "discount: nan"),
        ({"target_rate": 0.0}, "target_rate: 0.0 is outside (0, 1]"),
        ({"target_rate": 1.5}, "target_rate: 1.5"),
        ({"target_period": 0}, "target_period: 0 is below 1"),
        ({"target_period": -2}, "target_period: -2 is below 1"),
        ({"leading": -1}, "leading: -1 is below 0"),
        ({"memory": -1}, "memory: -1 is below 1"),
        ({"memory": 0}, "memory: 0 is below 1"),
        ({"population": ROWS - 1}, f"population: {ROWS - 1} is below the batch's {ROWS} rows"),
        ({"population": 0}, "population: 0 is below 1"),
        ({"step": -1}, "step: -1 is below 0"),
        ({"loss_scale": 0.0}, "loss_scale: 0.0 is outside (0, inf)"),
        ({"loss_scale": math.nan}, "loss_scale: nan"),
        ({"learning_rate": -1e-3}, "learning_rate: -0.001 is outside [0, inf)"),
        ({"learning_rate": math.nan}, "learning_rate: nan"),
        ({"learning_rate": math.inf}, "learning_rate: inf"),
        ({"policy_draws": 0}, "policy_draws: 0 is below 1"),
        ({"accuracy": -1e-3}, "accuracy: -0.001 is not 0 or more"),
        ({"accuracy": math.nan}, "accuracy: nan"),
    ],
)
def test_a_setting_outside_its_range_is_refused(options, says):
    assert_refused(says, lambda: read(**options))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"target_period": 1.5}, "target_period: 1.5 is no whole number"),
        ({"policy_draws": 2.5}, "policy_draws: 2.5 is no whole number"),
        ({"leading": "all"}, "leading: 'all' is no whole number"),
        ({"memory": math.nan}, "memory: nan is no whole number"),
        ({"memory": math.inf}, "memory: inf is no whole number"),
        ({"population": ROWS + 0.5}, f"population: {ROWS + 0.5} is no whole number"),
        ({"discount": "0.99"}, "discount: '0.99' is no number"),
        ({"discount": None}, "discount: None is no number"),
        ({"loss_scale": True}, "loss_scale: True is no number"),
    ],
)
def test_a_setting_of_another_kind_is_refused(monkeypatch, options, says):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # as outside the tests
    assert_refused(says, lambda: read(**options))


def test_a_batch_that_is_none_is_refused(monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # as outside the tests
    batch: Any = columns()
    assert_refused("batch: a dict is no Batch", lambda: measure(torch_twin(4), batch, policy, discount=0.9))


def test_numbers_of_numpy_are_taken(monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # as outside the tests
    reading = read(discount=np.float32(0.5), target_period=np.int64(2), population=np.int64(ROWS), step=np.int64(3))
    assert reading.finite and reading.step == 3


def test_an_unknown_word_is_refused(monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # as outside the tests
    assert_refused("heads: 'smallest' is none of coupled, first, mean", lambda: read(heads="smallest"))


@pytest.mark.parametrize("shape", [(ROWS,), (ROWS, ACTION + 1), (ROWS - 1, ACTION), (1, ROWS, ACTION)])
def test_a_policy_of_another_shape_is_refused(shape):
    assert_refused(f"policy: it returned actions of shape {shape}", lambda: read(act=lambda _: np.zeros(shape)))


def test_a_policy_that_is_none_is_refused():
    assert_refused("policy: it returned a tuple that is no array", lambda: read(act=lambda s: (s[:, :ACTION], None)))


def test_a_policy_that_cannot_be_called_is_refused(monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # as outside the tests
    assert_refused("policy: a str cannot be called", lambda: read(act="random"))


def test_a_target_critic_with_other_heads_is_refused():
    assert_refused(
        "target_critic: it has 2 heads but the critic has 1", lambda: read(torch_single(4), target_critic=torch_twin(4))
    )


class Shaped(torch.nn.Module):
    """Returns a wrong shape, of either framework."""

    def __init__(self, answer: Callable[[Any], Any]) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(OBSERVATION))
        self.answer = answer

    def forward(self, observations: torch.Tensor, actions: torch.Tensor) -> Any:
        return self.answer(observations @ self.weight)


SHAPES = {
    "one number": (lambda q: q.sum(), "()"),
    "rows by heads": (lambda q: q[:, None] + q[None, :3], f"({2 * ROWS}, 3)"),
    "three axes": (lambda q: q[None, None], f"(1, 1, {2 * ROWS})"),
    "missing rows": (lambda q: q[1:], f"({2 * ROWS - 1},)"),
    "a tuple with a bad head": (lambda q: (q, q[1:]), f"({2 * ROWS - 1},)"),
}


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("framework", ["jax", "torch"])
def test_a_critic_of_another_shape_is_refused(name, framework):
    answer, shape = SHAPES[name]
    critic: Any = Shaped(answer)
    if framework == "jax":
        critic = jax.tree_util.Partial(lambda weight, s, a: answer(s @ weight), jnp.ones(OBSERVATION))
    assert_refused(f"critic: its output has shape {shape} for {2 * ROWS} rows", lambda: read(critic))


@pytest.mark.parametrize("framework", ["jax", "torch"])
def test_heads_in_columns_are_told_to_be_rows(framework):
    answer, _ = SHAPES["rows by heads"]
    critic: Any = Shaped(answer)
    if framework == "jax":
        critic = jax.tree_util.Partial(lambda weight, s, a: answer(s @ weight), jnp.ones(OBSERVATION))
    assert_refused("; transpose heads, or give batch.actions as integers", lambda: read(critic))


class Failing(torch.nn.Module):
    """Built for other sizes than it is asked at."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(OBSERVATION + 1, 1)

    def forward(self, observations: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        return self.layer(torch.cat([observations, actions], dim=1))


def test_a_critic_that_fails_is_told_with_what_it_was_given():
    says = f"it fails at float64 observations ({2 * ROWS}, {OBSERVATION}) and actions ({2 * ROWS}, {ACTION})"
    assert_refused(f"critic: {says} (RuntimeError: mat1", lambda: read(Failing()))
    assert_refused(f"target_critic: {says} (RuntimeError: mat1", lambda: read(torch_twin(4), target_critic=Failing()))
    broken = jax.tree_util.Partial(lambda weight, s, a: s @ weight, jnp.ones(OBSERVATION + 1))
    assert_refused(f"critic: {says} (TypeError: ", lambda: read(broken))
    assert_refused("critic: it fails", lambda: read(torch.nn.Linear(OBSERVATION, 1)))


def test_a_policy_that_fails_is_told_with_what_it_was_given():
    says = f"policy: it fails at next observations ({ROWS}, {OBSERVATION}), a float64 NumPy array (TypeError: tanh"
    assert_refused(says, lambda: read(act=lambda states: torch.tanh(states[:, :ACTION])))


def frozen() -> torch.nn.Module:
    return torch_twin(4).requires_grad_(False)


def with_layer(layer: torch.nn.Module) -> torch.nn.Module:
    module = torch_twin(4)
    for network in module.networks:  # type: ignore[union-attr]
        network.insert(1, layer)
    return module


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (frozen, "critic: it has no trainable parameter"),
        (lambda: lambda observations, actions: observations[:, 0], "critic: it holds no floating-point array"),
        (lambda: {"weights": jnp.ones(3)}, "critic: a dict cannot be called"),
        (lambda: with_layer(torch.nn.BatchNorm1d(4)), "is a BatchNorm1d in train mode"),
        (lambda: with_layer(torch.nn.Dropout(0.1)), "is a Dropout in train mode"),
        (
            lambda: with_layer(torch.nn.BatchNorm1d(4, track_running_stats=False)).eval(),
            "is a BatchNorm1d without running statistics",
        ),
    ],
    ids=["frozen", "no parameters", "not callable", "BatchNorm", "Dropout", "BatchNorm of the batch alone"],
)
def test_a_critic_without_a_kernel_is_refused(make, says):
    assert_refused(says, lambda: read(make()))


@pytest.mark.parametrize("layer", [torch.nn.BatchNorm1d(4), torch.nn.Dropout(0.5)], ids=["BatchNorm", "Dropout"])
def test_in_evaluation_mode_it_is_read(layer):
    assert read(with_layer(layer).eval()).finite


# ------------------------------------------------------------------------------------------------ optimizers


def stepped(make: Callable[[Any], torch.optim.Optimizer], module: torch.nn.Module) -> torch.optim.Optimizer:
    optimizer = make(list(module.parameters()))
    for parameter in module.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    return optimizer


def torch_optimizers(module: torch.nn.Module) -> dict[str, tuple[Any, str]]:
    first, *others = module.parameters()
    return {
        "another critic's": (stepped(torch.optim.Adam, torch_twin(4)), "does not own all of the critic's parameters"),
        "a part of the critic": (torch.optim.SGD([first], lr=0.1), "does not own all of the critic's parameters"),
        "without a step": (torch.optim.Adam(module.parameters()), "it has taken no step yet"),
        "RMSprop without a step": (torch.optim.RMSprop(module.parameters()), "it has taken no step yet"),
        "unsupported": (stepped(torch.optim.Adagrad, module), "Adagrad is not supported; SGD, Adam, AdamW and RMSprop"),
        "several rates": (
            torch.optim.SGD([{"params": [first], "lr": 0.1}, {"params": others, "lr": 0.2}]),
            "several learning rates [0.1, 0.2]",
        ),
        "an optax state": (optax.adam(1e-3).init(jnp.ones(3)), "a tuple is no torch optimizer"),
        "its state": (torch.optim.Adam(module.parameters()).state_dict(), "a dict is no torch optimizer; pass the obj"),
    }


@pytest.mark.parametrize("name", torch_optimizers(torch_twin(4)))
def test_a_torch_optimizer_that_does_not_fit_is_refused(name):
    module = torch_twin(4)
    optimizer, says = torch_optimizers(module)[name]
    assert_refused(says, lambda: read(module, optimizer=optimizer))


def optax_states(critic: Any) -> dict[str, tuple[Any, str]]:
    injected = optax.inject_hyperparams(optax.adam)(learning_rate=1e-3)
    plain = optax.adam(1e-3)
    return {
        "without learning rate": (plain.init(critic), "does not hold its learning rate; pass learning_rate="),
        "without a step": (injected.init(critic), "it has taken no step yet"),
        "another critic's": (injected.init(twin((5,))), "second moments do not match the critic's parameters"),
        "unsupported": (optax.inject_hyperparams(optax.lion)(learning_rate=1e-3).init(critic), "ScaleByLionState"),
        "not a state": ({"count": 3}, "dict is not supported"),
        "the optimizer itself": (plain, "AdamW and RMSprop are; pass the optax state"),
        "a torch optimizer": (torch.optim.Adam(torch_twin(4).parameters()), "RMSprop are; pass the optax state"),
    }


@pytest.mark.parametrize("name", optax_states(twin((4,))))
def test_an_optax_state_that_does_not_fit_is_refused(name):
    critic = twin((4,))
    state, says = optax_states(critic)[name]
    assert_refused(says, lambda: read(critic, optimizer=state))
