"""From recorded calls to layer traces: uses of one parameter brought together, biases joined to their weights."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from seemrl.instrument.kernels.torch_parts import Call, Direct, Factored, Slot
from seemrl.instrument.kernels.traces import LayerTrace

Deltas = Sequence[torch.Tensor | None]
"""Gradient of each head with respect to one call's output; None where the head does not depend on it."""


@dataclass
class _Uses:
    """All uses of parameters: as a matrix, as a matrix's bias, and directly."""

    matrices: dict[Slot, list[tuple[Factored, Deltas]]] = field(default_factory=lambda: defaultdict(list))
    biases: dict[Slot, list[tuple[Factored, Deltas]]] = field(default_factory=lambda: defaultdict(list))
    direct: dict[Slot, list[tuple[Direct, Deltas]]] = field(default_factory=lambda: defaultdict(list))

    @classmethod
    def of(cls, calls: Sequence[Call], deltas: Sequence[Sequence[torch.Tensor | None]], excluded: set[str]) -> "_Uses":
        uses = cls()
        for number, call in enumerate(calls):
            own = [row[number] for row in deltas]
            for part in call.parts:
                if isinstance(part, Direct):
                    uses.direct[part.slot].append((part, own))
                    continue
                uses.matrices[part.weight].append((part, own))
                if part.bias is not None:
                    uses.biases[part.bias].append((part, own))
        for kind in (uses.matrices, uses.biases, uses.direct):
            for slot in [slot for slot in kind if slot.name in excluded]:
                del kind[slot]
        return uses


def ambiguous(calls: Sequence[Call]) -> set[str]:
    """Parameters used in ways whose traces would not add up: as a matrix and otherwise, or both ways round."""
    uses = _Uses.of(calls, [], set())
    found: set[str] = set()
    kinds = [{slot.name for slot in kind} for kind in (uses.matrices, uses.biases, uses.direct)]
    found |= kinds[0] & kinds[1] | kinds[0] & kinds[2] | kinds[1] & kinds[2]
    for slots in (uses.matrices, uses.biases, uses.direct):
        divided = Counter(name for name, _ in {(slot.name, slot.members) for slot in slots})
        found |= {name for name, ways in divided.items() if ways > 1}
    found |= {slot.name for slot, parts in uses.matrices.items() if len({part.transposed for part, _ in parts}) > 1}
    return found


def layer_traces(
    calls: Sequence[Call],
    deltas: Sequence[Sequence[torch.Tensor | None]],
    numbers: Mapping[str, int],
    excluded: set[str],
) -> list[LayerTrace]:
    """Traces of every parameter the calls took, apart from those excluded.

    Args:
        calls: in any order.
        deltas: for each head, its gradient with respect to each call's output.
        numbers: of each parameter among the leaves.
        excluded: names to leave out.
    """
    uses = _Uses.of(calls, deltas, excluded)
    joined = dict(_joined_biases(uses))
    found: list[LayerTrace | None] = []
    for slot, parts in uses.matrices.items():
        found.append(_matrix_trace(slot, joined.get(slot), parts, numbers))
    for slot, parts in uses.biases.items():
        if slot not in joined.values():
            found.append(_direct_trace(slot, [(_summed(part), own) for part, own in parts], numbers))
    for slot, direct in uses.direct.items():
        found.append(_direct_trace(slot, [(part.gradient, own) for part, own in direct], numbers))
    return [trace.multiplied_out() for trace in found if trace is not None]


def _summed(part: Factored) -> Callable[[torch.Tensor], torch.Tensor]:
    return lambda delta: part.arranged(delta).sum(dim=1)


def _joined_biases(uses: _Uses) -> Iterator[tuple[Slot, Slot]]:
    """Weights and biases that are only ever used together."""
    for bias, parts in uses.biases.items():
        weights = {part.weight for part, _ in parts}
        weight = weights.pop()
        alone = weight in uses.matrices and all(part.bias == bias for part, _ in uses.matrices[weight])
        if alone and not weights:
            yield weight, bias


def _matrix_trace(
    slot: Slot, bias: Slot | None, parts: list[tuple[Factored, Deltas]], numbers: Mapping[str, int]
) -> LayerTrace | None:
    parts = [(part, own) for part, own in parts if any(delta is not None for delta in own)]
    if not parts:
        return None
    inputs = torch.cat([part.inputs.detach() for part, _ in parts], dim=1)
    if bias is not None:
        inputs = torch.cat([inputs, torch.ones_like(inputs[..., :1])], dim=-1)
    heads, deltas = _stacked(
        {head: torch.cat([part.arranged(_of_head(own, head)) for part, own in parts], dim=1) for head in _moved(parts)}
    )
    outputs, transposed = deltas.shape[-1], parts[0][0].transposed

    def pick(leaves: Sequence[np.ndarray]) -> np.ndarray:
        leaf = leaves[numbers[slot.name]]
        shape = (slot.members, outputs, -1) if transposed else (slot.members, -1, outputs)
        weights = leaf.reshape(shape)[slot.member]
        weights = weights.T if transposed else weights
        return weights if bias is None else np.vstack([weights, _of_member(leaves, bias, numbers)])

    names = (slot.name,) if bias is None else (slot.name, bias.name)
    return LayerTrace(names, heads, _numpy(inputs), _numpy(deltas), pick)


def _direct_trace(
    slot: Slot, parts: list[tuple[Callable[[torch.Tensor], torch.Tensor], Deltas]], numbers: Mapping[str, int]
) -> LayerTrace | None:
    parts = [(gradient, own) for gradient, own in parts if any(delta is not None for delta in own)]
    if not parts:
        return None
    heads, deltas = _stacked(
        {
            head: torch.stack([gradient(_of_head(own, head)) for gradient, own in parts]).sum(dim=0)
            for head in _moved(parts)
        }
    )
    deltas = _numpy(deltas[:, :, None])
    return LayerTrace((slot.name,), heads, None, deltas, lambda leaves: _of_member(leaves, slot, numbers))


def _of_member(leaves: Sequence[np.ndarray], slot: Slot, numbers: Mapping[str, int]) -> np.ndarray:
    return leaves[numbers[slot.name]].reshape(slot.members, -1)[slot.member]


def _moved(parts: Sequence[tuple[object, Deltas]]) -> tuple[int, ...]:
    """The heads that depend on any of the calls."""
    heads = range(len(parts[0][1]))
    return tuple(head for head in heads if any(own[head] is not None for _, own in parts))


def _stacked(by_head: dict[int, torch.Tensor]) -> tuple[tuple[int, ...], torch.Tensor]:
    """Without the heads that do not move: each member of an ensemble moves one head of all that the call is for."""
    moving = {head: deltas for head, deltas in by_head.items() if bool(deltas.any())}
    if len(moving) <= 1:
        return tuple(moving), next(iter((moving or by_head).values()))[None][: len(moving)]
    return tuple(moving), torch.stack(list(moving.values()))


def _of_head(own: Deltas, head: int) -> torch.Tensor:
    """A head's gradient with respect to a call's output; zero where it does not depend on it."""
    found = own[head]
    return torch.zeros_like(next(delta for delta in own if delta is not None)) if found is None else found


def _numpy(values: torch.Tensor) -> np.ndarray:
    return values.detach().cpu().numpy()
