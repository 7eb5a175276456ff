"""From a run to the directory of its policy: every file is written, loaded back and compared before any is kept."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seemrl.errors import InputError
from seemrl.exporting import formats
from seemrl.exporting.comparison import largest_difference
from seemrl.exporting.config import ExportConfig
from seemrl.exporting.policy import Exported, Policy, Port, policy_of
from seemrl.exporting.recipe import Arrays, UnknownPartError, recipe_of
from seemrl.files import write_directory_atomically, write_json
from seemrl.training.checkpoint import arrays_digest


@dataclass(frozen=True)
class Written:
    """What an export came to.

    Attributes:
        directory: where it is.
        told: the content of policy.json.
    """

    directory: Path
    told: dict[str, Any]


def export_policy(config: ExportConfig) -> Written:
    """Write the policy of a run in the formats asked for, whole or not at all.

    Raises:
        InputError: an option, the run or the place does not fit, a part of the policy cannot be exported, or a file
            differs from the policy by more than the tolerance; nothing has been written then.
        MissingPartError: a library that a format needs is not installed.
    """
    config.check()
    formats.check_installed(config.formats)
    run = Path(config.run)
    exported = policy_of(run, config.checkpoint, config.data)
    inputs, wanted = exported.policy.evaluated(exported.observations)
    broken = sum(not np.isfinite(row).all() for part in wanted for row in part)
    if broken:
        raise InputError(f"{run}: the policy of this checkpoint gives numbers that are not finite; take another one")
    told = _told(exported, config.tolerance)
    try:
        recipe, arrays = recipe_of(exported.policy) if "safetensors" in config.formats else ({}, {})
    except UnknownPartError as error:
        raise InputError(f"policy.safetensors: no layer stands for {error}; leave safetensors out") from error
    told |= recipe

    def write(directory: Path) -> None:
        files = told.setdefault("files", {})
        for name in config.formats:
            path = directory / f"policy.{name}"
            called = _write(name, path, exported.policy, told, arrays)
            files[path.name] = _checked(path, exported.policy, called, inputs, wanted, config.tolerance)
        write_json(directory / "policy.json", told)

    try:
        config.place.parent.mkdir(parents=True, exist_ok=True)
        write_directory_atomically(config.place, write, replace=config.overwrite)
    except OSError as error:
        raise InputError(f"{config.place}: cannot be written ({error.strerror}); choose another --out") from error
    return Written(config.place, told)


def _write(name: str, path: Path, policy: Policy, told: Mapping[str, Any], arrays: Arrays) -> formats.Called:
    """Write one file; returns it as somebody else would load it."""
    if name == "safetensors":
        formats.write_weights(path, arrays)
        return formats.read_weights(path, told)
    if name == "stablehlo":
        formats.write_stablehlo(path, policy)
        return formats.read_stablehlo(path)
    few = {"agent": told["agent"], "environment": told["environment"] or "", "learner": told["checkpoint"]["sha256"]}
    formats.write_onnx(path, policy, few)
    return formats.read_onnx(path)


def _checked(
    path: Path,
    policy: Policy,
    called: formats.Called,
    inputs: Sequence[NDArray[Any]],
    wanted: Sequence[NDArray[Any]],
    tolerance: float,
) -> dict[str, Any]:
    difference = largest_difference(policy, called, inputs, wanted, tolerance)
    if not difference <= tolerance:
        raise InputError(
            f"{path.name}: differs from the policy by {difference:.2g}, more than --tolerance {tolerance:g}; "
            "nothing was written"
        )
    content = path.read_bytes()
    return {
        "largest_difference": difference,
        "observations": len(inputs[0]),
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }


def _told(exported: Exported, tolerance: float) -> dict[str, Any]:
    policy = exported.policy
    continuous = {"kind": "continuous", "low": policy.box.low, "high": policy.box.high}
    checkpoint = exported.told["checkpoint"] | {"sha256": arrays_digest(policy.agent)}
    return {
        "format": 1,
        "seemrl_version": version("seemrl"),
        **exported.told,
        "checkpoint": checkpoint,
        "observations": {"shift": policy.mean.tolist(), "scale": policy.deviation.tolist()},
        "actions": {"kind": "discrete", "count": len(policy.box.low)} if policy.discrete else continuous,
        "inputs": [_port(port) for port in policy.inputs],
        "outputs": [_port(port) for port in policy.outputs],
        "tolerance": tolerance,
    }


def _port(port: Port) -> dict[str, Any]:
    return {"name": port.name, "type": port.kind, "shape": ["batch", *port.shape], "meaning": port.meaning}
