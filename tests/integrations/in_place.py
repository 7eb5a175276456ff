"""`seemrl.stabilize` in a library's own critic: in place, out again, and trained with its optimizer."""

from collections.abc import Callable, Sequence
from typing import Any

import torch

import seemrl


def check_in_place(
    networks: Sequence[Any],
    optimizers: Sequence[Any],
    targets: Sequence[Any],
    values: Callable[[], torch.Tensor],
    update: Callable[[], object],
    example: Any = None,
) -> None:
    """Put normalisers in and out, then in again, and train.

    Args:
        networks: of the critic, each with the optimizer that has its parameters in ``optimizers``.
        targets: the networks of the target.
        values: of the library's own critic, at some points.
        update: some of the library's.
        example: inputs of a network, where they are not guessed.
    """

    def held() -> list[list[int]]:
        return [[id(value) for value in group["params"]] for one in optimizers for group in one.param_groups]

    def stabilise() -> list[torch.Tensor]:
        for network, optimizer in zip([*networks, *targets], [*optimizers, *[None] * len(targets)], strict=True):
            seemrl.stabilize(network, in_place=True, optimizer=optimizer, example=example)
        named = [item for network in networks for item in network.named_parameters()]
        return [value for name, value in named if "normaliser" in name]

    plain, parameters = values(), held()
    stabilise()
    assert not torch.equal(values(), plain)
    for network, optimizer in zip(networks, optimizers, strict=True):
        seemrl.unstabilize(network, optimizer)
    for network in targets:
        seemrl.unstabilize(network)
    assert torch.equal(values(), plain) and held() == parameters
    put_in = stabilise()
    begun = [value.detach().clone() for value in put_in]
    update()
    assert put_in and not any(torch.equal(*pair) for pair in zip(begun, put_in, strict=True))
    states = [one.state[value] for one in optimizers for group in one.param_groups for value in group["params"]]
    assert all("exp_avg" in state for state in states)
