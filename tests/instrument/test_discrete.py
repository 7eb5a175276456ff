"""Critics that value every action at once: read at the action taken, and at the one the target takes."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from cases import OBSERVATION, ROWS, seeded, transitions
from oracles import Gradients, differentiate_jax, differentiate_module, two_parts
from seemrl.errors import InputError
from seemrl.instrument.batch import Batch
from seemrl.instrument.measure import measure
from seemrl.instrument.reading import Reading

ACTIONS, DISCOUNT = 4, 0.9
RANDOM = np.random.default_rng(11)
TAKEN, GIVEN = RANDOM.integers(ACTIONS, size=(2, ROWS))


def batch() -> Batch:
    whole = transitions()
    return Batch(whole.observations, TAKEN, whole.rewards, whole.next_observations, whole.terminals)


# ------------------------------------------------------------------------------------------------ critics


def layers(outputs: int = ACTIONS, inputs: int = OBSERVATION) -> torch.nn.Sequential:
    return torch.nn.Sequential(torch.nn.Linear(inputs, 6), torch.nn.Tanh(), torch.nn.Linear(6, outputs))


class OfNetworks(torch.nn.Module):
    """Networks over the observation, brought together by a formula."""

    def __init__(self, formula: Callable[..., Any], *networks: torch.nn.Module) -> None:
        super().__init__()
        self.formula, self.networks = formula, torch.nn.ModuleList(networks)

    def forward(self, observations: torch.Tensor) -> Any:
        return self.formula(*[network(observations) for network in self.networks])


class AtAction(torch.nn.Module):
    """The same critic as a function of observation and action, heads first: what the oracle differentiates."""

    def __init__(self, critic: torch.nn.Module) -> None:
        super().__init__()
        self.critic = critic

    def forward(self, observations: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        return torch.stack([q.gather(1, actions.long())[:, 0] for q in heads_of(self.critic(observations))])


def heads_of(values: Any) -> list[Any]:
    if isinstance(values, tuple):
        return list(values)
    return [values] if values.ndim == 2 else list(values)


TORCH: dict[str, Callable[[], torch.nn.Module]] = {
    "(rows, actions)": lambda: OfNetworks(lambda q: q, layers()),
    "(heads, rows, actions)": lambda: OfNetworks(lambda *q: torch.stack(q), layers(), layers()),
    "tuple of heads": lambda: OfNetworks(lambda *q: q, layers(), layers()),
    "dueling": lambda: OfNetworks(lambda v, a: v + a - a.mean(dim=1, keepdim=True), layers(1), layers()),
    "as many actions as rows": lambda: OfNetworks(lambda q: q, layers(2 * ROWS)),
}


def weights(seed: int) -> tuple[jax.Array, jax.Array]:
    random = np.random.default_rng(seed)
    first, second = (random.normal(size=shape) for shape in ((OBSERVATION, 6), (6, ACTIONS)))
    return jnp.asarray(first), jnp.asarray(second)


def one_network(network: tuple[jax.Array, jax.Array], observations: jax.Array) -> jax.Array:
    return jnp.tanh(observations @ network[0]) @ network[1]


def jax_critic(form: Callable[[list[jax.Array]], Any], heads: int) -> Any:
    def value(networks: list[Any], observations: jax.Array) -> Any:
        return form([one_network(network, observations) for network in networks])

    return jax.tree_util.Partial(value, [weights(seed) for seed in range(heads)])


JAX: dict[str, Callable[[], Any]] = {
    "jax (rows, actions)": lambda: jax_critic(lambda q: q[0], 1),
    "jax (heads, rows, actions)": lambda: jax_critic(jnp.stack, 2),
    "jax tuple of heads": lambda: jax_critic(tuple, 2),
}


def made(name: str) -> Any:
    return seeded(TORCH[name])() if name in TORCH else JAX[name]()


def differentiate(critic: Any, observations: np.ndarray, actions: np.ndarray) -> Gradients:
    """At the given actions, by the oracle for critics of observation and action."""
    if isinstance(critic, torch.nn.Module):
        return differentiate_module(AtAction(critic), observations, actions[:, None])

    def head_at(number: int) -> Any:
        def value(inner: Any, observations: jax.Array, actions: jax.Array) -> jax.Array:
            return heads_of(inner(observations))[number][jnp.arange(len(observations)), actions[:, 0].astype(int)]

        return jax.tree_util.Partial(value, critic)

    heads = len(heads_of(critic(jnp.asarray(observations))))
    each = [differentiate_jax(head_at(number), observations, actions[:, None].astype(float)) for number in range(heads)]
    return Gradients(np.concatenate([e.values for e in each]), np.concatenate([e.jacobian for e in each]))


def values(critic: Any, observations: np.ndarray) -> np.ndarray:
    """Of every action, (heads, rows, actions)."""
    if isinstance(critic, torch.nn.Module):
        with torch.no_grad():
            return torch.stack(heads_of(critic.double()(torch.as_tensor(observations)))).numpy()
    return np.stack([np.asarray(head) for head in heads_of(critic(jnp.asarray(observations)))])


# ------------------------------------------------------------------------------------------------ readings


def assert_reads(reading: Reading, critic: Any, next_actions: np.ndarray, heads: str = "coupled") -> None:
    given = batch()
    at_rows = differentiate(critic, given.observations, TAKEN)
    at_targets = differentiate(critic, given.next_observations, next_actions)
    cross, gram = two_parts(at_rows, [at_targets], DISCOUNT * ~given.terminals, heads)
    norm = float(np.linalg.norm(cross - gram))
    seem = np.linalg.eigvals(cross - gram).real.max()
    assert reading.seem == pytest.approx(seem, rel=1e-9, abs=1e-11 * norm)
    assert reading.normalized == pytest.approx(seem / norm, rel=1e-9, abs=1e-11)
    used = at_rows.values[: 1 if heads == "first" else None]
    assert reading.q_mean == pytest.approx(np.abs(used).mean(), rel=1e-9)


@pytest.mark.parametrize("name", [*TORCH, *JAX])
def test_indices_are_the_actions_that_the_target_takes(name):
    critic = made(name)
    reading = measure(critic, batch(), lambda _: GIVEN, discount=DISCOUNT)
    assert_reads(reading, critic, GIVEN)
    column = measure(critic, batch(), lambda _: GIVEN[:, None].astype(float), discount=DISCOUNT)
    assert column.seem == reading.seem


@pytest.mark.parametrize("name", [*TORCH, *JAX])
@pytest.mark.parametrize("heads", ["coupled", "first", "mean"])
def test_greedy_takes_the_action_of_largest_value(name, heads):
    critic = made(name)
    every = values(critic, batch().next_observations)
    reduced = {"coupled": every.min(axis=0), "first": every[0], "mean": every.mean(axis=0)}[heads]
    reading = measure(critic, batch(), "greedy", discount=DISCOUNT, heads=heads)
    assert_reads(reading, critic, reduced.argmax(axis=1), heads)


@pytest.mark.parametrize("name", ["(rows, actions)", "dueling", "jax (rows, actions)"])
def test_greedy_asks_the_target_critic(name):
    critic = made(name)
    other = torch_other() if name in TORCH else jax.tree_util.Partial(one_network, weights(9))
    chosen = values(other, batch().next_observations)[0].argmax(axis=1)
    assert (chosen != values(critic, batch().next_observations)[0].argmax(axis=1)).any()
    reading = measure(critic, batch(), "greedy", discount=DISCOUNT, target_critic=other)
    assert_reads(reading, critic, chosen)


def torch_other() -> torch.nn.Module:
    torch.manual_seed(5)
    return OfNetworks(lambda q: q, layers())


def test_double_q_learning_takes_the_action_of_the_online_critic():
    critic, target = made("(rows, actions)"), torch_other()

    def online(next_observations: np.ndarray) -> np.ndarray:
        return values(critic, next_observations)[0].argmax(axis=1)

    reading = measure(critic, batch(), online, discount=DISCOUNT, target_critic=target)
    assert_reads(reading, critic, online(batch().next_observations))


def test_products_alone_read_the_same():
    critic = made("tuple of heads")
    dense, free = (measure(critic, batch(), "greedy", discount=DISCOUNT, memory=memory) for memory in (2**31, 1))
    assert free.method.startswith("matrix-free")
    assert free.seem == pytest.approx(dense.seem, rel=1e-8)


# ------------------------------------------------------------------------------------------------ refusals


def refused(critic: Any, given: Batch, policy: Any) -> str:
    with pytest.raises(InputError) as caught:
        measure(critic, given, policy, discount=DISCOUNT)
    message = str(caught.value)
    assert "\n" not in message and len(message) < 250
    return message


def test_greedy_needs_integer_actions():
    assert "policy: greedy needs a discrete critic; give batch.actions as integers" in refused(
        made("(rows, actions)"), transitions(), "greedy"
    )


@pytest.mark.parametrize("answer", [GIVEN[1:], np.stack([GIVEN, GIVEN], axis=1), np.zeros((1, ROWS))])
def test_a_policy_of_another_shape_is_refused(answer):
    message = refused(made("(rows, actions)"), batch(), lambda _: answer)
    assert message.startswith("policy: it returned actions of shape") and f"({ROWS},)" in message


def test_a_policy_of_other_than_whole_numbers_is_refused():
    message = refused(made("(rows, actions)"), batch(), lambda _: GIVEN + 0.5)
    assert message.startswith("policy: it returned actions that are not whole numbers") and "indices" in message


@pytest.mark.parametrize("name", ["(rows, actions)", "jax (rows, actions)"])
@pytest.mark.parametrize("bad", [ACTIONS, -1])
@pytest.mark.parametrize("whose", ["policy", "batch"])
def test_an_action_that_does_not_exist_is_refused(name, bad, whose):
    whole, wrong = transitions(), np.where(np.arange(ROWS) == 2, bad, GIVEN)
    taken, given = (wrong, GIVEN) if whose == "batch" else (TAKEN, wrong)
    columns = Batch(whole.observations, taken, whole.rewards, whole.next_observations, whole.terminals)
    message = refused(made(name), columns, lambda _: given)
    assert str(bad) in message and str(ACTIONS) in message


SHAPES: dict[str, tuple[Callable[[Any], Any], str]] = {
    "one value a row": (lambda q: q[:, 0], f"({ROWS},)"),
    "actions first": (lambda q: q.T, f"({ACTIONS}, {ROWS})"),
    "four axes": (lambda q: q[None, None], f"(1, 1, {ROWS}, {ACTIONS})"),
    "a tuple with a bad head": (lambda q: (q, q[1:]), f"({ROWS - 1}, {ACTIONS})"),
}


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("framework", ["jax", "torch"])
def test_a_critic_of_another_shape_is_refused(name, framework):
    answer, shape = SHAPES[name]
    critic: Any = OfNetworks(answer, layers())
    if framework == "jax":
        critic = jax.tree_util.Partial(lambda network, s: answer(one_network(network, s)), weights(0))
    message = refused(critic, batch(), lambda _: GIVEN)
    assert f"critic: its output has shape {shape} for {ROWS} rows" in message
    assert "(rows, actions), (heads, rows, actions) or a tuple" in message
