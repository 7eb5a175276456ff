"""`stabilize`: the same torch network with normalisers at its hidden layers, and `unstabilize`, the way back."""

import copy
from collections.abc import Iterator, Sequence
from typing import Any, Literal, get_args

import torch
from torch.nn.utils.parametrize import is_parametrized

from seemrl.errors import InputError
from seemrl.stabilizing.normalisers import (
    FeatureNorm,
    UnitBall,
    make_normaliser,
    normalise_input,
    normalise_output,
    remove,
    untouched,
)
from seemrl.stabilizing.parametrising import (
    WeightNorm,
    normalise_weight,
    parametrised,
    restorable,
    restore_weight,
)
from seemrl.stabilizing.tracing import FoundLayer, find_layers, hidden_layers

Norm = FeatureNorm | WeightNorm | Literal["unit-ball"]
Placement = Literal["pre", "post"]
_NORMS = (*get_args(FeatureNorm), "unit-ball", *get_args(WeightNorm))
_WITH_A_PLACE_OF_THEIR_OWN = ("unit-ball", *get_args(WeightNorm))
_NAME = "normaliser"


def stabilize(
    module: torch.nn.Module,
    norm: Norm = "layer",
    placement: Placement = "pre",
    layers: Literal["all"] | Sequence[int | str] = "all",
    *,
    in_place: bool = False,
    optimizer: torch.optim.Optimizer | None = None,
    example: Sequence[Any] | None = None,
) -> torch.nn.Module:
    """The same network with a normaliser at each hidden linear layer (Yue et al. 2023, section 5).

    Hidden is a layer whose output reaches another one; which these are is found by running a copy of the module once.
    Nothing else is changed: every parameter and every class stays, and a normaliser of the layer ``fc1`` appears in the
    state dict as ``fc1.normaliser.weight``. It begins with scale 1 and shift 0. A target network needs the same; a copy
    of the stabilised one has it. "weight" and "spectral" are torch's own parametrizations of the layers' weights, with
    the names that torch gives them.

    Args:
        module: any network that calls its layers: `nn.Sequential`, a forward method written by hand, twin critics,
            linear layers of shape heads x in x out, whose heads get a scale and shift each.
        norm: "layer" for LayerNorm, "rms" for RMSNorm, "batch" for BatchNorm (whose samples interact in training mode;
            readings want ``eval()``), "unit-ball" for features of length 1 at the output layers, "weight" and
            "spectral" for weight and spectral normalisation of the hidden layers.
        placement: "pre" normalises what the layer returns, before the activation; "post" what the activation returns,
            where the next layer takes it. The last three norms have a place of their own.
        layers: "all", or some of them: names of modules, or numbers of hidden layers, 0 for the first of every head.
        in_place: change this very module; otherwise a copy is changed and returned.
        optimizer: with ``in_place``, that of the module: the new parameters join the parameter group of their layer.
        example: a few rows of the module's inputs, such as (observations, actions); needed only where sizes that fit
            are not found by trying.

    Raises:
        InputError: a hidden layer cannot be recognised or is normalised already, or there is none; the message names
            it. Nothing has been changed then.
    """
    _check(module, norm, placement, layers, in_place, optimizer)
    found = find_layers(module, example)
    if norm == "unit-ball":
        outputs = _output_layers(found, module)
        changed = module if in_place else copy.deepcopy(module)
        for name in outputs:
            _put_before(changed.get_submodule(name), UnitBall())
        return changed
    chosen = _chosen(found, layers)
    for layer in chosen:
        _check_layer(layer, module, norm, placement)
    changed = module if in_place else copy.deepcopy(module)
    parts = dict(changed.named_modules())
    groups = [None if optimizer is None else _group(optimizer, parts[layer.name], changed) for layer in chosen]
    for layer, group in zip(chosen, groups, strict=True):
        part = parts[layer.name]
        if norm == "weight" or norm == "spectral":
            assert isinstance(part, torch.nn.Linear)
            normalise_weight(part, norm, group)
            continue
        normaliser = make_normaliser(norm, layer.features, layer.heads).to(next(part.parameters()))
        normaliser.train(part.training)
        if placement == "pre":
            part.add_module(_NAME, normaliser)
            part.register_forward_hook(normalise_output)
        else:
            for user in dict.fromkeys(use.by for use in layer.uses):
                _put_before(parts[user], normaliser)
        if group is not None:
            group["params"].extend(normaliser.parameters())
    return changed


def _put_before(part: torch.nn.Module, normaliser: torch.nn.Module) -> None:
    """A normaliser of what a layer takes."""
    part.add_module(_NAME, normaliser)
    part.register_forward_pre_hook(normalise_input)


def unstabilize(module: torch.nn.Module, optimizer: torch.optim.Optimizer | None = None) -> torch.nn.Module:
    """Take the normalisers of `stabilize` out again, in place: the network computes what it did before.

    Weight normalisation comes out of a trained network too, since size and direction are a weight again. Whether layers
    have adapted to features in the unit ball, nothing tells: that is for the caller to know.

    Args:
        module: a network that was stabilised, and not trained since.
        optimizer: the one that the normalisers' parameters joined.

    Raises:
        InputError: there are none, or they have been trained: the other layers have adapted to them, and without them
            the network would be another function altogether.
    """
    parts = list(_stabilised(module))
    if not parts:
        raise InputError(f"unstabilize: {type(module).__name__} has no normalisers that stabilize put there")
    for name, part in parts:
        if not (restorable(part) if parametrised(part) else untouched(part.get_submodule(_NAME))):
            what = f"{name}.weight" if parametrised(part) else f"{name}.{_NAME}"
            raise InputError(
                f"unstabilize: {what} has been trained, and the layers around it with it; "
                "load the weights of before instead"
            )
    hooked = [part for _, part in parts if not parametrised(part)]
    gone = {id(value) for part in hooked for value in part.get_submodule(_NAME).parameters()}
    for _, part in parts:
        if parametrised(part):
            restore_weight(part, optimizer)
    for part in hooked:
        remove(part, _NAME)
    for group in [] if optimizer is None else optimizer.param_groups:
        for value in [value for value in group["params"] if id(value) in gone]:
            optimizer.state.pop(value, None)  # pyright: ignore[reportOptionalMemberAccess]
        group["params"][:] = [value for value in group["params"] if id(value) not in gone]
    return module


def _check(
    module: object,
    norm: str,
    placement: str,
    layers: object,
    in_place: bool,
    optimizer: torch.optim.Optimizer | None,
) -> None:
    if not isinstance(module, torch.nn.Module):
        raise InputError(f"stabilize: a {type(module).__name__} is no torch.nn.Module; pass the critic's module")
    if isinstance(module, torch.jit.ScriptModule) or hasattr(module, "_orig_mod"):
        raise InputError(
            f"stabilize: {type(module).__name__} is compiled already; stabilize the module first, then compile it"
        )
    if norm == "sphere":
        raise InputError(
            "stabilize: norm 'sphere' projects weights after each update, which a module cannot do by itself; do so "
            "after optimizer.step(), or take norm='weight'"
        )
    for name, value, known in (("norm", norm, _NORMS), ("placement", placement, get_args(Placement))):
        if value not in known:
            raise InputError(f"stabilize: {name} {value!r} is none of {', '.join(known)}")
    if norm == "unit-ball" and layers != "all":
        raise InputError("stabilize: norm 'unit-ball' stands at the output layers; leave layers out")
    if norm in _WITH_A_PLACE_OF_THEIR_OWN and placement == "post":
        raise InputError(f"stabilize: norm {norm!r} has a place of its own; leave placement out")
    if optimizer is not None and not in_place:
        raise InputError(
            "stabilize: a copy has parameters of its own, which this optimizer does not have; make a new one for it, "
            "or pass in_place=True"
        )
    if any(True for _ in _stabilised(module)):
        raise InputError(
            f"stabilize: {type(module).__name__} has been stabilised already; see unstabilize for the way back"
        )


def _chosen(found: dict[str, FoundLayer], layers: Literal["all"] | Sequence[int | str]) -> list[FoundLayer]:
    """The layers that are to be normalised, in order."""
    hidden = list(hidden_layers(found))
    strange = next((layer for layer in hidden if not layer.known), None)
    if layers == "all" and strange is not None:
        raise InputError(
            f"stabilize: {strange.name} takes part in a hidden layer that is not recognised as linear; normalise it in "
            "the forward method by hand, or name the other layers with layers=[...]"
        )
    linear = [layer for layer in hidden if layer.linear]
    names = ", ".join(layer.name for layer in linear)
    if not linear:
        raise InputError("stabilize: no hidden linear layer is found; a network of one layer has nothing to normalise")
    if layers == "all":
        left = [layer for layer in linear if not layer.normalised]
        if not left:
            raise InputError(f"stabilize: every hidden layer is normalised already ({names})")
        return left
    if isinstance(layers, str):
        raise InputError(
            f"stabilize: layers {layers!r} is neither 'all' nor a list of layers; the hidden ones: {names}"
        )
    numbers = {depth: number for number, depth in enumerate(sorted({layer.depth for layer in linear}))}
    for wanted in layers:
        if not any(wanted in (layer.name, numbers[layer.depth]) for layer in linear):
            raise InputError(
                f"stabilize: {wanted!r} is no hidden linear layer; they are {names}, or 0 to {len(numbers) - 1}"
            )
    return [layer for layer in linear if layer.name in layers or numbers[layer.depth] in layers]


def _output_layers(found: dict[str, FoundLayer], module: torch.nn.Module) -> list[str]:
    """The layers that take a hidden layer's output and whose own no other layer takes."""
    users = dict.fromkeys(use.by for layer in hidden_layers(found) for use in layer.uses)
    outputs = [name for name in users if not found[name].uses]
    if not outputs:
        raise InputError("stabilize: no hidden layer is found; a network of one layer has no features to divide")
    parts = dict(module.named_modules())
    strange = next((name for name in outputs if name not in parts or not found[name].linear), None)
    if strange is not None:
        raise InputError(
            f"stabilize: {strange} is an output layer that is not recognised as linear; divide what it takes in the "
            "forward method by hand"
        )
    return outputs


def _check_layer(layer: FoundLayer, module: torch.nn.Module, norm: Norm, placement: Placement) -> None:
    part = module.get_submodule(layer.name)
    if layer.normalised or is_parametrized(part, "weight"):
        raise InputError(f"stabilize: {layer.name} is normalised already; leave it out of layers")
    if norm in get_args(WeightNorm) and not isinstance(part, torch.nn.Linear):
        raise InputError(
            f"stabilize: norm {norm!r} is for torch.nn.Linear, and {layer.name} is a {type(part).__name__}; "
            "leave it out of layers, or take norm='layer'"
        )
    if norm in get_args(WeightNorm):
        every = [value for _, value in module.named_parameters(remove_duplicate=False)]
        if sum(value is part.weight for value in every) > 1:
            raise InputError(
                f"stabilize: {layer.name}.weight is another layer's too, and norm {norm!r} would part them; leave it "
                "out of layers, or take norm='layer'"
            )
    if norm == "batch" and layer.heads is not None:
        raise InputError(
            f"stabilize: {layer.name} is a stack of {layer.heads} heads, which BatchNorm would take for a batch; take "
            "norm='layer'"
        )
    if layer.features < 2:
        raise InputError(
            f"stabilize: {layer.name} has a single feature, which a normaliser would make constant; leave it out of "
            "layers"
        )
    if placement == "pre":
        return
    for use in layer.uses:
        if use.state != "activated" or use.layers != frozenset({layer.name}) or use.features != layer.features:
            raise InputError(
                f"stabilize: between {layer.name} and {use.by} lies something else than an activation, so there is no "
                "place behind it; take placement='pre', or normalise in the forward method by hand"
            )


def _group(optimizer: torch.optim.Optimizer, part: torch.nn.Module, module: torch.nn.Module) -> dict[str, Any]:
    """The parameter group that a layer belongs to; that of the module where the layer itself is frozen."""
    for owner in (part, module):
        own = {id(value) for value in owner.parameters()}
        for group in optimizer.param_groups:
            if any(id(value) in own for value in group["params"]):
                return group
    raise InputError("stabilize: the optimizer owns none of the module's parameters; pass the critic's own optimizer")


def _stabilised(module: torch.nn.Module) -> Iterator[tuple[str, torch.nn.Module]]:
    """The parts that carry one of our normalisers."""
    for name, part in module.named_modules():
        if parametrised(part) or any(hook in (normalise_output, normalise_input) for hook in _hooks(part)):
            yield name, part


def _hooks(part: torch.nn.Module) -> list[Any]:
    return [*getattr(part, "_forward_hooks").values(), *getattr(part, "_forward_pre_hooks").values()]  # noqa: B009
