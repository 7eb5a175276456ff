"""What `seemrl export` refuses: one line, exit code 2, nothing written."""

import shutil
import sys
from dataclasses import replace
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from untrained_runs import config_of, saved_run, transitions

from seemrl.cli import main
from seemrl.errors import InputError
from seemrl.exporting import formats
from seemrl.exporting.comparison import largest_difference
from seemrl.exporting.config import ExportConfig
from seemrl.exporting.export import export_policy
from seemrl.exporting.policy import Policy
from seemrl.exporting.recipe import UnknownPartError, recipe_of
from seemrl.training.checkpoint import save_checkpoint
from seemrl.training.evaluation import ActionBox
from seemrl.training.setup import open_run


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """Runs and what is none, side by side."""
    place = tmp_path_factory.mktemp("place")
    data = transitions(place / "data.hdf5", discrete=False)
    run = saved_run(config_of(data, place / "run", "bc"))
    open_run(config_of(data, place / "begun", "bc"), lambda line: None)
    for name in ("damaged", "nan", "elsewhere"):
        shutil.copytree(run.directory, place / name)
    (place / "damaged" / "checkpoints" / "step_000000064" / "state.safetensors").write_bytes(b"nothing")
    broken = jax.tree.map(lambda leaf: leaf * jnp.nan if eqx.is_inexact_array(leaf) else leaf, run.agent)
    save_checkpoint(place / "nan" / "checkpoints", broken, 65)
    config = (place / "elsewhere" / "config.json").read_text()
    (place / "elsewhere" / "config.json").write_text(config.replace("data.hdf5", "moved.hdf5"))
    other = transitions(place / "other.hdf5", discrete=True)
    assert other.exists()
    (place / "empty").mkdir()
    (place / "full").mkdir()
    (place / "full" / "thesis.tex").write_text("years of work")
    return place


REFUSALS = {
    "no run": (["nowhere"], "nowhere: not a run directory"),
    "no run directory": (["empty"], "empty: not a run directory"),
    "a run that has no checkpoint yet": (["begun"], "begun: no checkpoint yet; train on until its first"),
    "a damaged checkpoint": (["damaged"], "state.safetensors is cut short or altered"),
    "numbers that are none": (["nan"], "nan: the policy of this checkpoint gives numbers that are not finite"),
    "data that are gone": (["elsewhere"], "moved.hdf5"),
    "other data": (["run", "--data", "other.hdf5"], "other.hdf5: not the data that run was trained on"),
    "no best checkpoint": (["run", "--checkpoint", "best"], "run: no best checkpoint"),
    "an unknown checkpoint": (["run", "--checkpoint", "first"], "invalid choice 'first' for argument '--checkpoint'"),
    "an unknown format": (["run", "--format", "onnx,torch"], "--format onnx,torch: 'torch' is none of safetensors"),
    "no format": (["run", "--format", ""], "--format : '' is none of safetensors, stablehlo, onnx"),
    "a place that is taken": (["run", "--out", "full"], "full: exists already; choose another --out, or"),
    "a place of something else": (["run", "--out", "full", "--overwrite"], "full: no earlier export, so --overwrite"),
    "a place inside a file": (["run", "--out", "data.hdf5/policy"], "data.hdf5/policy: cannot be written"),
    "no tolerance": (["run", "--tolerance", "0"], "--tolerance 0.0: it must be finite and above 0"),
    "too little tolerance": (["run", "--tolerance", "1e-12"], "more than --tolerance 1e-12; nothing was written"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_a_mistake_ends_in_one_line_with_nothing_written(name, place, monkeypatch, capsys):
    arguments, words = REFUSALS[name]
    monkeypatch.chdir(place)
    before = sorted(place.rglob("*"))
    assert main(["export", *arguments]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("seemrl: error: ") and said.err.count("\n") == 1
    assert words in said.err
    assert sorted(place.rglob("*")) == before


@pytest.mark.parametrize(
    ("part", "format"), [("onnx", "onnx"), ("onnxruntime", "safetensors,onnx"), ("flatbuffers", "stablehlo")]
)
def test_a_library_that_is_missing_is_named_with_its_pip_line(part, format, place, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, part, None)
    monkeypatch.chdir(place)
    assert main(["export", "run", "--format", format]) == 2
    assert f"needs {part}, which is not installed; run: pip install 'seemrl[export]'" in capsys.readouterr().err
    assert not (place / "run" / "export").exists()


def test_an_export_is_replaced_only_when_asked_and_only_by_a_whole_one(place, tmp_path):
    config = ExportConfig(run=str(place / "run"), out=str(tmp_path / "out"), format="safetensors")
    export_policy(config)
    before = {path.name: path.read_bytes() for path in config.place.iterdir()}
    with pytest.raises(InputError, match="exists already"):
        export_policy(config)
    with pytest.raises(InputError, match="more than --tolerance"):
        export_policy(replace(config, overwrite=True, tolerance=1e-12))
    assert {path.name: path.read_bytes() for path in config.place.iterdir()} == before
    export_policy(replace(config, overwrite=True, format="onnx"))
    assert sorted(path.name for path in config.place.iterdir()) == ["policy.json", "policy.onnx"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_run_says_where_it_stands(place, tmp_path, capsys):
    run = saved_run(config_of(place / "data.hdf5", tmp_path / "run", "bc"), step=32)
    assert main(["export", str(run.directory), "--format", "safetensors"]) == 0
    said = capsys.readouterr()
    assert "not trained to its end; its newest checkpoint is of step 32" in said.err
    assert said.out.splitlines()[-1] == str(run.directory / "export")


class Sorting(eqx.Module):
    """A policy of a kind that is not ours."""

    actor: None = None

    def act(self, observations: jax.Array) -> jax.Array:
        return jnp.sort(observations, axis=1)


def test_a_policy_that_cannot_be_translated_names_what_it_is(tmp_path):
    numbers = np.zeros(3, np.float32)
    policy = Policy(Sorting(), numbers, numbers + 1, ActionBox((-1.0,) * 3, (1.0,) * 3), False, False)
    with pytest.raises(InputError, match=r"policy\.onnx: the primitive sort has no translation to ONNX"):
        formats.write_onnx(tmp_path / "policy.onnx", policy, {})
    with pytest.raises(UnknownPartError, match="NoneType"):
        recipe_of(policy)
    formats.write_stablehlo(tmp_path / "policy.stablehlo", policy)
    inputs = [np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)]
    called = formats.read_stablehlo(tmp_path / "policy.stablehlo")
    assert largest_difference(policy, called, inputs, [np.sort(inputs[0])], 1e-4) == 0


CHOOSING = Policy(
    Sorting(), np.zeros(3, np.float32), np.ones(3, np.float32), ActionBox((0.0,) * 3, (1.0,) * 3), True, False
)


@pytest.mark.parametrize(
    ("scores", "actions", "difference"),
    [
        ([[1, 2, 3]], [2], 0.0),
        ([[1, 2, 3]], [1], np.inf),
        ([[1, 3, 3.0001]], [1], 0.0),  # rounding may decide between the best two
        ([[1, 2, 3.3]], [2], 0.1),
        ([[1, 2, np.nan]], [2], np.nan),
    ],
)
def test_another_action_is_a_difference_unless_the_best_two_are_alike(scores, actions, difference):
    found = [np.asarray(actions, np.int32), np.asarray(scores, np.float32)]
    best = np.asarray([[1, 3, 3.0001]] if scores[0][1] == 3 else [[1, 2, 3]], np.float32)
    wanted = [np.asarray([2], np.int32), best]
    seen = largest_difference(CHOOSING, lambda *inputs: found, [np.zeros((1, 3), np.float32)], wanted, 1e-4)
    np.testing.assert_allclose(seen, difference, rtol=1e-5)
