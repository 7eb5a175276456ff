"""Exports of runs of every agent, beside the policy that they were made of."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from untrained_runs import config_of, saved_run, transitions

from seemrl.agents.registry import CONFIGS
from seemrl.exporting import formats
from seemrl.exporting.config import FORMATS, ExportConfig
from seemrl.exporting.export import export_policy
from seemrl.exporting.policy import policy_of
from seemrl.training.online import OnlineRun
from seemrl.training.online_config import OnlineConfig

TOLERANCE = 2e-5
"""Ten times what was seen, in half-widths of the box."""


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> dict[bool, Path]:
    place = tmp_path_factory.mktemp("data")
    return {discrete: transitions(place / f"{discrete}.hdf5", discrete=discrete) for discrete in (False, True)}


@pytest.fixture(scope="module")
def exports(data, tmp_path_factory) -> dict[str, Path]:
    """One of every agent, each beside a file of inputs and of what evaluation makes of them."""
    place = tmp_path_factory.mktemp("runs")
    for name, config in CONFIGS.items():
        run = saved_run(config_of(data[config.discrete], place / name, name))
        export_policy(ExportConfig(run=str(run.directory)))
        policy = policy_of(run.directory, "last").policy
        inputs, wanted = policy.evaluated(run.data.observations[::9])
        np.testing.assert_array_equal(wanted[0], run.act(run.data.observations[::9]))
        cases: dict[str, Any] = {port.name: array for port, array in zip(policy.inputs, inputs, strict=True)}
        cases |= {f"wanted{k}": array for k, array in enumerate(wanted)}
        np.savez(run.directory / "cases", **cases)
    return {name: place / name / "export" for name in CONFIGS}


@pytest.mark.parametrize("name", CONFIGS)
def test_every_agent_is_exported_in_every_format(name, exports):
    told = json.loads((exports[name] / "policy.json").read_text())
    assert set(told["files"]) == {f"policy.{kind}" for kind in FORMATS}
    assert all(file["largest_difference"] < TOLERANCE for file in told["files"].values())
    assert (told["agent"], told["checkpoint"]["step"]) == (name, 64)
    assert sorted(path.name for path in exports[name].iterdir()) == sorted([*told["files"], "policy.json"])


def test_exports_run_where_there_is_no_jax(exports):
    script = Path(__file__).with_name("without_jax.py")
    arguments = [str(path) for export in exports.values() for path in (export, export.parent / "cases.npz")]
    ended = subprocess.run([sys.executable, str(script), *arguments], capture_output=True, text=True, check=True)
    rows = [line.split() for line in ended.stdout.splitlines()]
    assert {(row[0], row[1]) for row in rows} == {(name, kind) for name in CONFIGS for kind in ("onnx", "safetensors")}
    assert all(float(number) < 1e-4 for row in rows for number in row[2:]), ended.stdout


def test_an_online_run_is_exported_as_it_is_evaluated(tmp_path):
    config = OnlineConfig(
        environment="Pendulum-v1",
        steps=80,
        environments=2,
        random_steps=80,
        evaluate_every=80,
        evaluation_episodes=1,
        hyperparameters=CONFIGS["sac"](hidden_sizes=(12,)),
    )
    run = OnlineRun(config, tmp_path / "run", lambda line: None)
    for _ in run.train():
        pass
    written = export_policy(ExportConfig(run=str(tmp_path / "run")))
    assert written.told["actions"] == {"kind": "continuous", "low": (-2.0,), "high": (2.0,)}
    called = formats.read_onnx(written.directory / "policy.onnx")
    observations = np.random.default_rng(0).normal(size=(9, 3)).astype(np.float32)
    np.testing.assert_allclose(called(observations)[0], run.act(observations), atol=1e-5)


def test_the_best_checkpoint_is_another_policy(data, tmp_path):
    run = saved_run(config_of(data[False], tmp_path / "run", "bc"), best=True)
    digests = []
    for which in ("last", "best"):
        config = ExportConfig(run=str(run.directory), out=str(tmp_path / which), format="onnx", checkpoint=which)
        written = export_policy(config)
        assert [path.name for path in sorted(written.directory.iterdir())] == ["policy.json", "policy.onnx"]
        digests.append((written.told["checkpoint"]["step"], written.told["checkpoint"]["sha256"]))
    assert [step for step, _ in digests] == [64, 32]
    assert digests[0][1] != digests[1][1]


def test_observations_are_taken_as_they_are_where_the_run_did(data, tmp_path):
    config = replace(config_of(data[False], tmp_path / "run", "bc"), normalize_observations=False)
    run = saved_run(config)
    written = export_policy(ExportConfig(run=str(run.directory), format="onnx"))
    assert written.told["observations"] == {"shift": [0.0] * 5, "scale": [1.0] * 5}
    called = formats.read_onnx(written.directory / "policy.onnx")
    observations = run.data.observations[:7]
    np.testing.assert_allclose(called(observations)[0], run.act(observations), atol=1e-5)


def test_the_graph_is_small_and_keeps_the_names_of_weights(exports):
    model = onnx.load(exports["iql"] / "policy.onnx")
    names = {constant.name for constant in model.graph.initializer}
    assert "actor.mean.network.linears[0].weight" in names
    assert not any(name.startswith(("critic", "value", "target")) for name in names)
    assert {entry.key: entry.value for entry in model.metadata_props}["agent"] == "iql"
