"""A step rule, learning_rate * P * gradient, must be the step that the optimizer takes."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch

from seemrl.errors import InputError
from seemrl.instrument.optimizers import StepRule, read_optax, read_torch

LEARNING_RATE = 0.01
SHAPES = {"a": (3, 2), "b": (2,), "c": ()}  # in the order of a JAX dictionary
STEPS = 4


def gradients() -> list[dict[str, np.ndarray]]:
    random = np.random.default_rng(0)
    return [
        {name: np.asarray(random.normal(size=shape) * 10 ** random.uniform(-3, 1)) for name, shape in SHAPES.items()}
        for _ in range(STEPS)
    ]


def assert_is_the_step(rule: StepRule, steps: dict[str, np.ndarray], gradient: dict[str, np.ndarray]) -> None:
    diagonal = rule.preconditioner or [np.ones(shape) for shape in SHAPES.values()]
    for name, weights in zip(SHAPES, diagonal, strict=True):
        np.testing.assert_allclose(steps[name], -rule.learning_rate * weights * gradient[name], rtol=1e-6)


TORCH = {
    "SGD": lambda parameters: torch.optim.SGD(parameters, lr=LEARNING_RATE),
    "Adam": lambda parameters: torch.optim.Adam(parameters, lr=LEARNING_RATE, betas=(0.0, 0.9), eps=1e-3),
    "Adam with AMSGrad": lambda parameters: torch.optim.Adam(
        parameters, lr=LEARNING_RATE, betas=(0.0, 0.9), amsgrad=True
    ),
    "AdamW": lambda parameters: torch.optim.AdamW(parameters, lr=LEARNING_RATE, betas=(0.0, 0.99), weight_decay=0.0),
    "RMSprop": lambda parameters: torch.optim.RMSprop(parameters, lr=LEARNING_RATE, eps=1e-3),
    "centered RMSprop": lambda parameters: torch.optim.RMSprop(parameters, lr=LEARNING_RATE, centered=True),
}


@pytest.mark.parametrize("name", TORCH)
def test_the_rule_of_a_torch_optimizer_is_its_step(name):
    parameters = {name: torch.zeros(shape, dtype=torch.float64, requires_grad=True) for name, shape in SHAPES.items()}
    optimizer = TORCH[name](list(parameters.values()))
    steps: dict[str, np.ndarray] = {}
    for gradient in gradients():
        before = {name: parameter.detach().clone() for name, parameter in parameters.items()}
        for name, parameter in parameters.items():
            parameter.grad = torch.as_tensor(gradient[name])
        optimizer.step()
        steps = {name: (parameter.detach() - before[name]).numpy() for name, parameter in parameters.items()}
    assert_is_the_step(read_torch(optimizer, list(parameters.values()), None), steps, gradients()[-1])


@pytest.mark.parametrize("name", TORCH)
def test_optimizers_of_single_heads_together_are_that_of_all(name):
    parameters = [torch.zeros(shape, dtype=torch.float64, requires_grad=True) for shape in SHAPES.values()]
    copies = [value.detach().clone().requires_grad_() for value in parameters]
    whole, parts = TORCH[name](parameters), [TORCH[name](copies[:1]), TORCH[name](copies[1:])]
    for gradient in gradients():
        for value, copy, own in zip(parameters, copies, gradient.values(), strict=True):
            value.grad, copy.grad = torch.as_tensor(own), torch.as_tensor(own)
        for optimizer in (whole, *parts):
            optimizer.step()
    wanted, found = read_torch(whole, parameters, None), read_torch(parts, copies, None)
    assert (wanted.learning_rate, wanted.momentum) == (found.learning_rate, found.momentum)
    for one, other in zip(wanted.preconditioner or (), found.preconditioner or (), strict=True):
        assert np.array_equal(one, other)


def test_optimizers_that_do_not_make_one_step_are_refused():
    first, second = (torch.zeros(2, requires_grad=True) for _ in range(2))
    for optimizers, says in (
        ([torch.optim.SGD([first]), torch.optim.Adam([second])], "several kinds, Adam, SGD"),
        ([torch.optim.SGD([first], lr=1.0), torch.optim.SGD([second], lr=2.0)], "several learning rates"),
        ([torch.optim.SGD([first])], "does not own all"),
        ([torch.optim.SGD([first]), torch.optim.Adagrad([second])], "Adagrad is not supported"),
        ([], "does not own all"),
    ):
        with pytest.raises(InputError, match=says):
            read_torch(optimizers, [first, second], None)


OPTAX: dict[str, Callable[[], optax.GradientTransformation]] = {
    "sgd": lambda: optax.inject_hyperparams(optax.sgd)(learning_rate=LEARNING_RATE),
    "adam": lambda: optax.inject_hyperparams(optax.adam)(learning_rate=LEARNING_RATE, b1=0.0, b2=0.9, eps=1e-3),
    "adam with eps_root": lambda: optax.inject_hyperparams(optax.adam)(
        learning_rate=LEARNING_RATE, b1=0.0, b2=0.9, eps_root=1e-3
    ),
    "adamw": lambda: optax.inject_hyperparams(optax.adamw)(learning_rate=LEARNING_RATE, b1=0.0, weight_decay=0.0),
    "rmsprop": lambda: optax.inject_hyperparams(optax.rmsprop)(learning_rate=LEARNING_RATE, eps=1e-3),
    "centered rmsprop": lambda: optax.inject_hyperparams(optax.rmsprop)(
        learning_rate=LEARNING_RATE, eps=1e-3, centered=True
    ),
    "amsgrad": lambda: optax.inject_hyperparams(optax.amsgrad)(learning_rate=LEARNING_RATE, b1=0.0, b2=0.9),
    "adamw without decay of vectors": lambda: optax.inject_hyperparams(optax.adamw, static_args="mask")(
        learning_rate=LEARNING_RATE,
        b1=0.0,
        weight_decay=0.0,
        mask=lambda tree: jax.tree.map(lambda x: x.ndim > 1, tree),
    ),
    "adam where finite": lambda: optax.apply_if_finite(
        optax.inject_hyperparams(optax.adam)(learning_rate=LEARNING_RATE, b1=0.0), 3
    ),
    "clipped adam": lambda: optax.chain(
        optax.clip_by_global_norm(1e9), optax.inject_hyperparams(optax.adam)(learning_rate=LEARNING_RATE, b1=0.0)
    ),
}


@pytest.mark.parametrize("name", OPTAX)
def test_the_rule_of_an_optax_state_is_its_step(name):
    optimizer = OPTAX[name]()
    with jax.enable_x64(True):
        parameters = {name: jnp.zeros(shape) for name, shape in SHAPES.items()}
        state = optimizer.init(parameters)
        steps = parameters
        for gradient in gradients():
            steps, state = optimizer.update(
                {name: jnp.asarray(part) for name, part in gradient.items()}, state, parameters
            )
    rule = read_optax(state, [np.zeros(shape) for shape in SHAPES.values()], None)
    assert_is_the_step(rule, {name: np.asarray(step) for name, step in steps.items()}, gradients()[-1])


@pytest.mark.parametrize("make", [optax.sgd, lambda rate: optax.adam(rate, b1=0.0)], ids=["sgd", "adam"])
def test_a_learning_rate_given_goes_before_one_that_is_read(make):
    leaves = [np.zeros(shape) for shape in SHAPES.values()]
    parameters = {name: jnp.zeros(shape) for name, shape in SHAPES.items()}
    gradient = {name: jnp.ones(shape) for name, shape in SHAPES.items()}
    _, state = make(0.5).update(gradient, make(0.5).init(parameters))
    assert read_optax(state, leaves, 0.25).learning_rate == 0.25
    injected = optax.inject_hyperparams(optax.sgd)(learning_rate=0.5).init(parameters)
    assert (read_optax(injected, leaves, 0.25).learning_rate, read_optax(injected, leaves, None).learning_rate) == (
        0.25,
        0.5,
    )


# After a long constant gradient each step is lr / (1 - b) times it: what momentum amounts to while errors move slowly.
@pytest.mark.parametrize("options", [{}, {"nesterov": True}, {"dampening": 0.5}])
def test_momentum_of_torch_sgd_is_folded_into_the_learning_rate(options):
    parameter = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.SGD([parameter], lr=LEARNING_RATE, momentum=0.8, **options)
    before = parameter.detach().clone()
    for _ in range(120):
        before = parameter.detach().clone()
        parameter.grad = torch.ones(3, dtype=torch.float64)
        optimizer.step()
    rule = read_torch(optimizer, [parameter], None)
    np.testing.assert_allclose((parameter.detach() - before).numpy(), -rule.learning_rate, rtol=1e-9)


@pytest.mark.parametrize("nesterov", [False, True])
def test_momentum_of_optax_sgd_is_folded_into_the_learning_rate(nesterov):
    make = optax.inject_hyperparams(optax.sgd, static_args=("nesterov",))
    optimizer = make(learning_rate=LEARNING_RATE, momentum=0.8, nesterov=nesterov)
    with jax.enable_x64(True):
        parameter = jnp.zeros(3)
        state, step = optimizer.init(parameter), parameter
        for _ in range(120):
            step, state = optimizer.update(jnp.ones(3), state)
    np.testing.assert_allclose(np.asarray(step), -read_optax(state, [np.zeros(3)], None).learning_rate, rtol=1e-6)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (optax.lion, "ScaleByLionState"),
        (optax.adagrad, "ScaleByRssState"),
        (lambda rate: optax.MultiSteps(optax.adam(rate), 2), "MultiStepsState"),
    ],
)
def test_an_optax_rule_that_is_not_known_is_refused(make, says):
    state = make(LEARNING_RATE).init(jnp.zeros(3))
    with pytest.raises(InputError, match=f"^optimizer: {says} is not supported; SGD, Adam, AdamW and RMSprop are$"):
        read_optax(state, [np.zeros(3)], LEARNING_RATE)


def test_two_scales_are_refused():
    state = optax.chain(optax.scale_by_adam(), optax.scale_by_rms()).init(jnp.zeros(3))
    with pytest.raises(InputError, match=r"^optimizer: this optax state scales its steps twice"):
        read_optax(state, [np.zeros(3)], LEARNING_RATE)


def test_a_scale_of_some_parameters_alone_is_refused():
    rule = optax.masked(optax.scale_by_adam(), {"first": True, "second": False})
    state = rule.init({"first": jnp.zeros(3), "second": jnp.zeros(2)})
    with pytest.raises(InputError, match=r"^optimizer: its second moments do not match the critic's parameters"):
        read_optax(state, [np.zeros(3), np.zeros(2)], LEARNING_RATE)


def test_momentum_of_unknown_size_is_refused():
    state = optax.sgd(LEARNING_RATE, momentum=0.9).init(jnp.zeros(3))
    with pytest.raises(InputError, match=r"^optimizer: .*momentum.*inject_hyperparams"):
        read_optax(state, [np.zeros(3)], LEARNING_RATE)
