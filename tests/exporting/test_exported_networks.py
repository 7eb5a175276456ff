"""Every network that a policy may have, in ONNX and in its recipe, beside the policy itself."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from untrained_runs import moved

from seemrl.agents.registry import CONFIGS, create_agent
from seemrl.exporting import formats
from seemrl.exporting.comparison import largest_difference
from seemrl.exporting.policy import Policy
from seemrl.exporting.recipe import recipe_of
from seemrl.training.evaluation import ActionBox

LOW, HIGH = (-1.0, -2.0, 0.5), (1.0, 3.0, 0.75)
TOLERANCE = 2e-5
"""Ten times what was seen, in half-widths of the box."""

NORMS = ["none", "layer", "rms", "batch", "weight", "spectral", "sphere", "unit-ball"]
ACTIVATIONS = ["relu", "elu", "gelu", "tanh", "mish"]
NETWORKS = [
    *({"actor_norm": norm, "actor_activation": ACTIVATIONS[k % 5]} for k, norm in enumerate(NORMS)),
    *({"actor_norm": norm, "actor_norm_placement": "post"} for norm in ("layer", "rms", "batch")),
    *({"actor_activation": activation} for activation in ACTIVATIONS),
    *({"actor_network": network, "actor_activation": "gelu"} for network in ("simba", "bro")),
    {"actor_norm": "layer", "actor_norm_layers": (1,)},
]


@pytest.mark.parametrize("options", NETWORKS, ids=lambda options: "-".join(map(str, options.values())))
def test_every_network_is_exported(options, tmp_path):
    assert_alike(policy_with("bc", **options), tmp_path)


@pytest.mark.parametrize(
    "options",
    [
        {"sampler": "dpm_solver"},
        {"sampler": "dpm_solver", "solver_order": 1, "solver_steps": 5},
        {"diffusion_steps": 1, "evaluation_actions": 1},
        {"critic_network": "bro", "evaluation_actions": 7},
    ],
    ids=str,
)
def test_every_sampler_of_a_diffusion_policy_is_exported(options, tmp_path):
    assert_alike(policy_with("diffusion_ql", **options), tmp_path)


def policy_with(name, **options) -> Policy:
    """A policy in a box that is not symmetric, standardised by numbers that are not round."""
    chosen: dict[str, Any] = {"hidden_sizes": (12, 12)} | options
    config = CONFIGS[name](**chosen)
    agent = moved(create_agent(config, 5, LOW, HIGH, 0))
    mean, deviation = np.linspace(-1, 2, 5, dtype=np.float32), np.linspace(0.3, 4, 5, dtype=np.float32)
    return Policy(agent, mean, deviation, ActionBox(LOW, HIGH), False, hasattr(agent, "proposals"))


def assert_alike(policy: Policy, place: Path) -> None:
    observations = np.random.default_rng(2).normal(size=(50, 5)).astype(np.float32) * 3
    inputs, wanted = policy.evaluated(observations)
    assert np.ptp(wanted[0], axis=0).min() > 0.01, "the policy does the same everywhere"
    recipe, arrays = recipe_of(policy)
    formats.write_weights(place / "weights", arrays)
    formats.write_onnx(place / "onnx", policy, {})
    for called in (
        formats.read_weights(place / "weights", json.loads(json.dumps(recipe))),
        formats.read_onnx(place / "onnx"),
    ):
        assert largest_difference(policy, called, inputs, wanted, TOLERANCE) < TOLERANCE


def test_loops_of_known_length_are_written_out(tmp_path):
    policy = policy_with("diffusion_ql")
    formats.write_onnx(tmp_path / "policy.onnx", policy, {})
    operators = {node.op_type for node in onnx.load(tmp_path / "policy.onnx").graph.node}
    assert not operators & {"Loop", "Scan", "If", "RandomNormal"}
