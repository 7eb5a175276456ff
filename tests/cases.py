"""Small critics of every kind the instrument reads, on shared transitions."""

import functools
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import torch

from architectures import ACTION, ARCHITECTURES, OBSERVATION, ROWS
from oracles import Gradients, differentiate_jax, differentiate_mlps, differentiate_module
from seemrl.instrument.batch import Batch
from seemrl.networks.mlp import MLP, TwinCritic

Critic = TypeVar("Critic")
Options = ParamSpec("Options")


def transitions(rows: int = ROWS, seed: int = 0) -> Batch:
    """Random transitions; every fifth ends its episode."""
    random = np.random.default_rng(seed)
    return Batch(
        observations=random.normal(size=(rows, OBSERVATION)),
        actions=random.uniform(-1, 1, size=(rows, ACTION)),
        rewards=random.normal(size=rows),
        next_observations=random.normal(size=(rows, OBSERVATION)),
        terminals=np.arange(rows) % 5 == 3,
    )


def policy(next_observations: np.ndarray) -> np.ndarray:
    """A fixed policy inside the box [-1, 1]."""
    return np.tanh(next_observations @ np.linspace(-1, 2, OBSERVATION * ACTION).reshape(OBSERVATION, ACTION))


def noisy_policy(seed: int) -> Callable[[np.ndarray], np.ndarray]:
    """The same policy with noise that differs from call to call and repeats with the seed."""
    random = np.random.default_rng(seed)

    def act(next_observations: np.ndarray) -> np.ndarray:
        actions = policy(next_observations)
        return np.clip(actions + random.normal(scale=0.3, size=actions.shape), -1, 1)

    return act


@dataclass(frozen=True)
class Case:
    """A kind of critic.

    Attributes:
        make: the same critic at each call.
        differentiate: (critic, observations, actions) -> `Gradients`.
        heads: how many it has.
    """

    make: Callable[[], Any]
    differentiate: Callable[[Any, np.ndarray, np.ndarray], Gradients]
    heads: int = 1


# ------------------------------------------------------------------------------------------------ critics in JAX


def shaken(critic: Critic, seed: int = 0) -> Critic:
    """The critic with noise on every parameter: LayerNorm's scales and shifts leave 1 and 0."""
    random = np.random.default_rng(seed)
    return jax.tree.map(
        lambda leaf: (
            leaf + jnp.asarray(random.normal(scale=0.3, size=leaf.shape), leaf.dtype)
            if eqx.is_inexact_array(leaf)
            else leaf
        ),
        critic,
    )


def twin(hidden_sizes: Sequence[int] = (6,), seed: int = 0, **options: Any) -> TwinCritic:
    """A critic of this package."""
    return shaken(TwinCritic(OBSERVATION, ACTION, hidden_sizes, key=jax.random.key(seed), **options), seed)


class Reshaped(eqx.Module):
    """One head, returned in another shape."""

    critic: TwinCritic
    shape: str = eqx.field(static=True)

    def __call__(self, observations: jax.Array, actions: jax.Array) -> Any:
        values = self.critic(observations, actions)
        return {"(rows,)": values[0], "(rows, 1)": values.T, "tuple": (*values,)}[self.shape]


class PlainEquinox(eqx.Module):
    """Equinox's own MLP, which knows nothing of recording."""

    network: eqx.nn.MLP

    def __call__(self, observations: jax.Array, actions: jax.Array) -> jax.Array:
        return jax.vmap(self.network)(jnp.concatenate([observations, actions], axis=-1))


class Scaled(eqx.Module):
    """Layers that record themselves beside a parameter that does not."""

    network: MLP
    scale: jax.Array

    def __call__(self, observations: jax.Array, actions: jax.Array) -> jax.Array:
        return self.scale * self.network(jnp.concatenate([observations, actions], axis=-1))[:, 0]


class SampleBySample(eqx.Module):
    """Layers that record themselves, but see one sample at a time."""

    network: MLP

    def __call__(self, observations: jax.Array, actions: jax.Array) -> jax.Array:
        inputs = jnp.concatenate([observations, actions], axis=-1)
        return jax.vmap(lambda sample: self.network(sample[None])[0, 0])(inputs)


def bias_free(parameters: dict[str, Any], observations: jax.Array, actions: jax.Array) -> jax.Array:
    """ReLU layers without biases, from a dictionary of weights."""
    hidden = jnp.concatenate([observations, actions], axis=-1)
    *hidden_weights, last = [parameters[name] for name in sorted(parameters)]
    for weight in hidden_weights:
        hidden = jax.nn.relu(hidden @ weight)
    return (hidden @ last)[:, 0]


def bias_free_weights(hidden_sizes: Sequence[int], seed: int = 0) -> dict[str, jax.Array]:
    """Weights for `bias_free`."""
    random = np.random.default_rng(seed)
    sizes = [OBSERVATION + ACTION, *hidden_sizes, 1]
    pairs = enumerate(itertools.pairwise(sizes))
    return {f"layer{number}": jnp.asarray(random.normal(size=pair), jnp.float32) for number, pair in pairs}


def _mlp(*hidden_sizes: int) -> MLP:
    return shaken(MLP(OBSERVATION + ACTION, hidden_sizes, 1, key=jax.random.key(3)))


def _jax_cases() -> dict[str, Case]:
    def written_out(heads: int = 2, **options: Any) -> Case:
        return Case(functools.partial(twin, heads=heads, **options), differentiate_mlps, heads)

    def reshaped(shape: str, heads: int = 1) -> Case:
        return Case(lambda: Reshaped(twin((6,), heads=heads), shape), differentiate_mlps, heads)

    def own(make: Callable[[], Any]) -> Case:
        return Case(make, differentiate_jax)

    return {
        "one layer": written_out(hidden_sizes=()),
        "two layers": written_out(hidden_sizes=(6,)),
        "three layers": written_out(hidden_sizes=(6, 5)),
        "four layers": written_out(hidden_sizes=(5, 4, 4)),
        "LayerNorm before ReLU": written_out(hidden_sizes=(6, 5), norm="layer", placement="pre"),
        "LayerNorm after ReLU": written_out(hidden_sizes=(6, 5), norm="layer", placement="post"),
        "LayerNorm before the last ReLU": written_out(hidden_sizes=(6, 5), norm="layer", norm_layers=(1,)),
        "LayerNorm after the first ReLU": written_out(
            hidden_sizes=(6, 5), norm="layer", placement="post", norm_layers=(0,)
        ),
        "RMSNorm before ReLU": written_out(hidden_sizes=(6, 5), norm="rms", placement="pre"),
        "RMSNorm after ELU": written_out(hidden_sizes=(6, 5), norm="rms", placement="post", activation="elu"),
        "BatchNorm before ReLU": written_out(hidden_sizes=(6, 5), norm="batch"),
        "BatchNorm of inputs and after ReLU": written_out(
            hidden_sizes=(6, 5), norm="batch", placement="post", norm_inputs=True
        ),
        "WeightNorm": written_out(hidden_sizes=(6, 5), norm="weight"),
        "spectral norm": written_out(hidden_sizes=(6, 5), norm="spectral", activation="elu"),
        "weights on the sphere": written_out(hidden_sizes=(6, 5), norm="sphere"),
        "features in the unit ball": written_out(hidden_sizes=(6, 5), norm="unit-ball", activation="elu"),
        "SimBa": written_out(hidden_sizes=(4, 4), network="simba"),
        "BroNet": written_out(hidden_sizes=(4, 4), network="bro", activation="elu"),
        "ELU": written_out(hidden_sizes=(6, 5), activation="elu"),
        "GELU": written_out(hidden_sizes=(6, 5), activation="gelu"),
        "one head": written_out(heads=1),
        "three heads": written_out(heads=3),
        "(rows,)": reshaped("(rows,)"),
        "(rows, 1)": reshaped("(rows, 1)"),
        "tuple of heads": reshaped("tuple", heads=2),
        "eqx.nn.MLP": own(
            lambda: PlainEquinox(eqx.nn.MLP(OBSERVATION + ACTION, 1, 4, 1, activation=jnp.tanh, key=jax.random.key(1)))
        ),
        "functools.partial": own(lambda: functools.partial(bias_free, bias_free_weights((5,)))),
        "jax.tree_util.Partial": own(lambda: jax.tree_util.Partial(bias_free, bias_free_weights((5,)))),
        "beside a free parameter": own(lambda: Scaled(_mlp(4), jnp.asarray(1.5))),
        "sample by sample": own(lambda: SampleBySample(_mlp(4))),
    }


# ------------------------------------------------------------------------------------------------ critics in PyTorch


class TorchTwin(torch.nn.Module):
    """Two networks over (observation, action), as the official TD3 has them: a tuple of (rows, 1)."""

    def __init__(self, *layers: Callable[[], torch.nn.Sequential]) -> None:
        super().__init__()
        self.networks = torch.nn.ModuleList([make() for make in layers])

    def forward(self, observations: torch.Tensor, actions: torch.Tensor) -> tuple[torch.Tensor, ...]:
        inputs = torch.cat([observations, actions], dim=1)
        return tuple(network(inputs) for network in self.networks)


class TorchTrunk(torch.nn.Module):
    """Two heads, (heads, rows), on one trunk: a step on one head moves the other."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = torch.nn.Linear(OBSERVATION + ACTION, 6)
        self.heads = torch.nn.Linear(6, 2)

    def forward(self, observations: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        return self.heads(torch.relu(self.trunk(torch.cat([observations, actions], dim=1)))).T


def torch_layers(*hidden_sizes: int, norm: bool = False, bias: bool = True) -> torch.nn.Sequential:
    """Linear layers with ReLU between them."""
    layers: list[torch.nn.Module] = []
    size = OBSERVATION + ACTION
    for hidden in hidden_sizes:
        layers += [torch.nn.Linear(size, hidden, bias=bias), *([torch.nn.LayerNorm(hidden)] if norm else [])]
        layers.append(torch.nn.ReLU())
        size = hidden
    return torch.nn.Sequential(*layers, torch.nn.Linear(size, 1, bias=bias))


def seeded(make: Callable[Options, torch.nn.Module]) -> Callable[Options, torch.nn.Module]:
    """The same module at each call, with noise on every parameter."""

    @functools.wraps(make)
    def again(*args: Options.args, **options: Options.kwargs) -> torch.nn.Module:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            module = make(*args, **options)
            with torch.no_grad():
                for parameter in module.parameters():
                    parameter.add_(0.2 * torch.randn_like(parameter))
        return module

    return again


@seeded
def torch_twin(*hidden_sizes: int, norm: bool = False, bias: bool = True) -> torch.nn.Module:
    """Twin networks."""
    return TorchTwin(*[functools.partial(torch_layers, *hidden_sizes, norm=norm, bias=bias)] * 2)


@seeded
def torch_single(*hidden_sizes: int, norm: bool = False, bias: bool = True) -> torch.nn.Module:
    """One network."""
    return TorchTwin(functools.partial(torch_layers, *hidden_sizes, norm=norm, bias=bias))


def _torch_cases() -> dict[str, Case]:
    return {
        "torch": Case(functools.partial(torch_single, 6), differentiate_module),
        "torch twin": Case(functools.partial(torch_twin, 6, 5), differentiate_module, 2),
        "torch heads on one trunk": Case(seeded(TorchTrunk), differentiate_module, 2),
    } | {
        f"torch: {name}": Case(seeded(make), differentiate_module, heads)
        for name, (make, heads) in ARCHITECTURES.items()
    }


def adam_of(critic: Any) -> Any:
    """A critic's torch optimizer or optax state after a step by gradients of different sizes."""
    random = np.random.default_rng(0)
    if isinstance(critic, torch.nn.Module):
        optimizer = torch.optim.Adam(critic.parameters(), lr=0.0)  # the critic stays where it is
        for parameter in critic.parameters():
            parameter.grad = torch.as_tensor(np.exp(random.normal(size=tuple(parameter.shape)))).to(parameter.dtype)
        optimizer.step()
        optimizer.param_groups[0]["lr"] = 1e-3
        return optimizer
    arrays = eqx.filter(critic, eqx.is_inexact_array)
    rule = optax.inject_hyperparams(optax.adam)(learning_rate=1e-3)
    gradient = jax.tree.map(lambda leaf: jnp.asarray(np.exp(random.normal(size=leaf.shape)), leaf.dtype), arrays)
    return rule.update(gradient, rule.init(arrays), arrays)[1]


CASES = _jax_cases() | _torch_cases()
"""Every kind of critic, by name."""


# ------------------------------------------------------------------------------------------------ at the transitions

DRAWS = 3


def target_actions(random: bool) -> list[np.ndarray]:
    """The actions of the shared targets: one array, or one for each draw of the noisy policy."""
    act = noisy_policy(seed=1)
    next_observations = transitions().next_observations
    return [act(next_observations) for _ in range(DRAWS)] if random else [policy(next_observations)]


@functools.cache
def gradients(name: str, random: bool = False) -> tuple[Gradients, list[Gradients]]:
    """Of the named critic: at the rows' own points, and at the target's points of each draw."""
    case, batch = CASES[name], transitions()
    critic = case.make()
    return (
        case.differentiate(critic, batch.observations, batch.actions),
        [case.differentiate(critic, batch.next_observations, actions) for actions in target_actions(random)],
    )
