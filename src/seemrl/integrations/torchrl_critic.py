"""The critic inside a TorchRL loss module: its network with the loss's parameters in place, as a torch module.

A loss module keeps a network apart from its parameters (`TensorDictParams`), those of an ensemble stacked along their
first axis, and joins the two only while it runs.
"""

import copy
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import torch

from seemrl.integrations.library import unsupported

LIBRARY = "torchrl"


class Heads(torch.nn.Module):
    """A network of a loss module as a critic of one head or several, in the precision of its inputs.

    It owns the very parameters of the loss, stacked as they are there; the network itself is copied without them.

    Args:
        network: of the loss module, with the names of its entries.
        parameters: of the loss module for this network.
        targets: the target's for this network; they are what runs, where they are given.
        stacked: whether they belong to several heads.
        inputs: entries for observations and actions; without one for actions, all actions' values are returned.
        output: entry of the values.
    """

    def __init__(
        self, network: torch.nn.Module, parameters: Any, targets: Any, stacked: bool, inputs: list[Any], output: Any
    ) -> None:
        super().__init__()
        shared = {id(value): value for value in [*network.parameters(), *network.buffers()]}
        self.network = copy.deepcopy(network, shared)
        self._stacked: set[str] = set()
        for name, own in parameters.items(True, True):
            value = own if targets is None else _as_own(targets.get(name), own)
            *path, last = (name,) if isinstance(name, str) else name
            module = self.network.get_submodule(".".join(path))
            store: dict[str, Any] = module._parameters if last in module._parameters else module._buffers
            store[last] = value
            self._stacked |= {".".join([*path, last])} if stacked else set()
        self.heads = next(iter(parameters.values(True, True))).shape[0] if stacked else None
        self.inputs, self.output = inputs, output

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Observations and actions -> (rows, 1) of each head; observations alone -> (rows, actions) of each."""
        return tuple(self._values(inputs))

    def _values(self, inputs: tuple[torch.Tensor, ...]) -> Iterator[torch.Tensor]:
        tensordict = import_module("tensordict")
        held = {**dict(self.network.named_parameters()), **dict(self.network.named_buffers())}
        stacked = {name: held[name] for name in held.keys() & self._stacked}  # what was inserted since, all heads share
        for head in range(self.heads or 1):
            given = tensordict.TensorDict(dict(zip(self.inputs, inputs, strict=True)), batch_size=[len(inputs[0])])
            own = {name: value[head] for name, value in stacked.items()}
            yield torch.func.functional_call(self.network, own, (given,)).get(self.output)


def _as_own(target: torch.Tensor, own: torch.Tensor) -> torch.Tensor:
    """The target's value, in the very place where the loss module keeps it; trainable where the critic's is."""
    if not isinstance(own, torch.nn.Parameter):
        return target
    return torch.nn.Parameter(target.data, requires_grad=own.requires_grad)


def critic_of(loss_module: Any, targets: Any = None) -> Heads:
    """The critic of a loss module, or its target, whose parameters are given.

    Raises:
        InputError: it takes more than one entry for the observation.
    """
    name, keys = network_name(loss_module), loss_module.tensor_keys
    observation, action = entries(loss_module)
    return Heads(
        getattr(loss_module, name),
        getattr(loss_module, f"{name}_params"),
        targets,
        stacked=name == "qvalue_network",
        inputs=[observation] if discrete(loss_module) else [observation, action],
        output=keys.action_value if discrete(loss_module) else keys.state_action_value,
    )


def discrete(loss_module: Any) -> bool:
    """Whether its critic values every action."""
    return hasattr(loss_module, "action_space")


def network_name(loss_module: Any) -> str:
    """What its critic is called in it."""
    return "qvalue_network" if hasattr(loss_module, "qvalue_network_params") else "value_network"


def entries(loss_module: Any) -> tuple[Any, Any]:
    """The entries of observation and action in its data.

    Raises:
        InputError: there are several, or critic and actor see different ones.
    """
    seen = list(getattr(loss_module, network_name(loss_module)).in_keys)
    if discrete(loss_module):
        observations, actions = seen, [loss_module.tensor_keys.action]
    else:
        actor = loss_module.actor_network
        actions = [entry for entry in seen if entry in actor.out_keys]
        observations = [entry for entry in seen if entry not in actions]
        observations += [entry for entry in actor.in_keys if entry not in observations]
    if len(observations) != 1 or len(actions) != 1:
        found = f"a loss that sees the observations {observations} and the actions {actions}"
        raise unsupported(LIBRARY, found, "one vector of each, the same for critic and actor,")
    return observations[0], actions[0]
