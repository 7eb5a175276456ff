"""`seemrl train` as a command: what a resumed run takes over, what it refuses, and where it may play."""

import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from small_runs import SMALL, abandon_at, assert_same_outcome, begin, complete, hopper, no_remark

from seemrl.agents.config import TD3BCConfig
from seemrl.cli import main
from seemrl.data.d4rl import save_d4rl
from seemrl.errors import InputError
from seemrl.files import write_json
from seemrl.training.command import default_settings
from seemrl.training.config import TrainConfig
from seemrl.training.loop import Run
from seemrl.training.run_directory import stored_description
from seemrl.training.setup import open_run
from seemrl_process import EMBEDDED


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory) -> Path:
    return complete(begin(tmp_path_factory.mktemp("unbroken") / "run"))


@pytest.fixture(scope="module")
def killed(tmp_path_factory) -> Path:
    """A run that was killed when its only checkpoint was that of step 16."""
    run = begin(tmp_path_factory.mktemp("killed") / "run")
    abandon_at(run, 24)
    return run.directory


@pytest.fixture
def run(killed, tmp_path) -> Path:
    return Path(shutil.copytree(killed, tmp_path / "run"))


def contents(run: Path) -> dict[str, bytes]:
    """Every file but the lock, whose existence tells nothing."""
    files = (path for path in run.rglob("*") if path.is_file() and path.name != ".lock")
    return {str(path.relative_to(run)): path.read_bytes() for path in files}


def refusal(capsys: Any, *arguments: object) -> str:
    """The one line that a command ends in."""
    assert main(list(map(str, arguments))) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("seemrl: error: ")
    assert said.err.count("\n") == 1
    return said.err.removeprefix("seemrl: error: ").rstrip("\n")


# Resuming


def test_options_that_are_not_given_are_those_of_the_run(run, unbroken, capsys):
    assert main(["train", "--resume", "--out", str(run)]) == 0
    assert capsys.readouterr().out == f"{run}\n"
    assert_same_outcome(run, unbroken)


def test_every_setting_of_a_stored_run_is_taken_over(run):
    settings = default_settings(["--resume", f"--out={run}"], TrainConfig, TD3BCConfig)
    assert settings == replace(SMALL, out=str(run))
    assert default_settings(["--out", str(run)], TrainConfig, TD3BCConfig) == type(SMALL)()


@pytest.mark.parametrize(
    ("option", "value", "difference"),
    [
        ("--seed", "1", "seed was 0 and is now 1"),
        ("--steps", "96", "steps was 48 and is now 96"),
        ("--critic-norm", "layer", "critic_norm was 'none' and is now 'layer'"),
        ("--hidden-sizes", "32 16", "hidden_sizes was [32, 32] and is now [32, 16]"),
        ("--target-rate", "0.1", "target_rate was 0.005 and is now 0.1"),
        ("--critic-norm-layers", "0", "critic_norm_layers was None and is now [0]"),
        ("--checkpoint-every", "12", "checkpoint_every was 16 and is now 12"),
        ("--env", "Hopper-v5", "env was 'none' and is now 'Hopper-v5'"),
        ("--no-normalize-observations", "", "normalize_observations was True and is now False"),
        ("--label", "other", "label was '' and is now 'other'"),
        ("--data-percent", "10", "data_percent was 100.0 and is now 10.0"),
        ("--subset-seed", "1", "subset_seed was 0 and is now 1"),
        ("--subset-of", "episodes", "subset_of was 'transitions' and is now 'episodes'"),
    ],
)
def test_another_setting_is_refused_by_its_name(run, capsys, option, value, difference):
    before = contents(run)
    message = refusal(capsys, "train", "--out", run, "--resume", option, *value.split())
    assert message.startswith(f"{run}: --resume with a different configuration: {difference};")
    assert contents(run) == before


def test_a_setting_given_as_it_was_is_no_difference(run, unbroken):
    given = "--seed 0 --steps 48 --hidden-sizes 32 32 --target-rate 0.005 --critic-norm none --env none"
    assert main(["train", "--resume", "--out", str(run), *given.split()]) == 0
    assert_same_outcome(run, unbroken)


@pytest.mark.parametrize("unit", ["transitions", "episodes"])
def test_a_part_of_the_data_is_what_is_trained_on(tmp_path, unit):
    config = replace(SMALL, data_percent=10.0, subset_of=unit, subset_seed=3)
    told = stored_description(begin(tmp_path / "run", config).directory)
    part = hopper().subset(10, unit, 3)
    assert told["data"]["rows"] == len(part)
    assert told["data"]["fingerprint"] == part.fingerprint()
    assert told["data"]["source"] == f"hopper-random (embedded) (10% of {unit}, seed 3)"
    assert (told["config"]["data_percent"], told["config"]["subset_seed"]) == (10.0, 3)


def test_data_of_any_format_are_trained_on(tmp_path):
    hopper().save(tmp_path / "hopper-v0", "minari")
    run = open_run(replace(SMALL, data=str(tmp_path / "hopper-v0"), out=str(tmp_path / "run")), no_remark)
    assert stored_description(run.directory)["data"]["fingerprint"] == hopper().fingerprint()


def test_discrete_actions_are_refused(tmp_path, capsys):
    replace(hopper(), actions=(hopper().actions[:, 0] > 0).astype("int64")).save(tmp_path / "discrete.hdf5")
    message = refusal(capsys, "train", "--data", tmp_path / "discrete.hdf5", "--out", tmp_path / "run", "--env", "none")
    assert "actions: discrete (integers), where continuous ones belong" in message
    assert not (tmp_path / "run").exists()


def test_data_of_another_content_is_refused(run, tmp_path, capsys):
    other = tmp_path / "other.hdf5"
    save_d4rl(replace(hopper(), rewards=hopper().rewards * 2), other)
    before = contents(run)
    message = refusal(capsys, "train", "--out", run, "--resume", "--data", other)
    assert f"{run}: --resume with different data: the content of {other} is not what the run began with" in message
    assert contents(run) == before


def test_data_may_have_moved_and_be_stored_in_another_way(run, unbroken, tmp_path):
    save_d4rl(replace(hopper(), attributes={"note": "a copy"}), tmp_path / "moved.hdf5")
    assert (tmp_path / "moved.hdf5").read_bytes() != EMBEDDED.read_bytes()
    assert main(["train", "--out", str(run), "--resume", "--data", str(tmp_path / "moved.hdf5")]) == 0
    assert_same_outcome(run, unbroken)


def test_data_that_has_moved_and_is_not_given_is_missed_by_name(run, tmp_path, capsys):
    told = stored_description(run)
    write_json(run / "config.json", told | {"config": told["config"] | {"data": str(tmp_path / "gone.hdf5")}})
    assert refusal(capsys, "train", "--out", run, "--resume").startswith(f"{tmp_path / 'gone.hdf5'}: no such file")


def test_the_run_itself_may_have_moved(run, unbroken, tmp_path, monkeypatch):
    shutil.move(run, tmp_path / "moved")
    monkeypatch.chdir(tmp_path)
    assert main(["train", "--out", "moved", "--resume"]) == 0
    assert_same_outcome(tmp_path / "moved", unbroken)


def test_a_complete_run_says_so_and_changes_no_byte_of_it(unbroken, tmp_path, capsys):
    run = Path(shutil.copytree(unbroken, tmp_path / ("long-name-" * 12) / "[run]"))
    before = contents(run)
    assert main(["train", "--out", str(run), "--resume"]) == 0
    said = capsys.readouterr()
    assert said.out == f"{run}\n"
    assert f"{run}: complete already, at step 48" in said.err.splitlines()
    after = contents(run)
    assert {name: after[name] for name in before} == before
    assert all(name.startswith("tensorboard") for name in after.keys() - before.keys())


@pytest.mark.parametrize(
    ("setting", "value"),
    [("flux_capacitor", 3), ("hidden_sizes", "wide"), ("steps", "many"), ("seed", None), ("steps", -2)],
)
def test_a_run_whose_settings_were_edited_beyond_use_is_refused(run, capsys, setting, value):
    told = stored_description(run)
    write_json(run / "config.json", told | {"config": told["config"] | {setting: value}})
    assert setting.replace("_", "-") in refusal(capsys, "train", "--out", run, "--resume").replace("_", "-")


# Environments


def opened(tmp_path: Path, notes: list[str], env: str = "", **data: Any) -> Run:
    """A run with this --env on the embedded transitions, changed."""
    config = replace(SMALL, out=str(tmp_path / "run"), env=env)
    return open_run(config, notes.append, replace(hopper(), **data))


def test_without_an_option_the_data_files_environment_is_played(tmp_path):
    assert opened(tmp_path, [], environment="Hopper-v5").environment == "Hopper-v5"


def test_env_none_plays_nothing(tmp_path):
    assert opened(tmp_path, [], environment="Hopper-v5", env="none").environment is None


def test_an_environment_that_only_the_data_names_and_nobody_can_make_is_told_and_left(tmp_path):
    notes: list[str] = []
    assert opened(tmp_path, notes, environment="Lost-v3").environment is None
    assert len(notes) == 1
    assert notes[0].startswith("no evaluation: environment Lost-v3: Gymnasium cannot make it")


def test_a_data_file_cannot_have_a_module_imported(tmp_path, monkeypatch):
    (tmp_path / "trojan.py").write_text("from pathlib import Path\nPath('stolen').touch()\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    notes: list[str] = []
    assert opened(tmp_path, notes, environment="trojan:Horse-v0").environment is None
    assert len(notes) == 1
    assert "trojan:Horse-v0" in notes[0]
    assert not os.path.exists("stolen")


@pytest.mark.parametrize("name", ["Pendulum-v1", "Walker2d-v5"])
def test_an_environment_of_other_sizes_is_refused(tmp_path, name):
    with pytest.raises(InputError, match=rf"observations have 11 numbers and actions 3, but {name} has \(.*--env none"):
        opened(tmp_path, [], env=name)
    assert not (tmp_path / "run").exists()


def test_data_without_environment_is_checked_against_minus_one_to_one(tmp_path):
    actions = hopper().actions.copy()
    actions[7, 2] = 1.25
    with pytest.raises(InputError, match=r"actions: row 7, dimension 2 is 1\.25, outside \[-1, 1\]"):
        opened(tmp_path, [], actions=actions, environment=None)


def test_data_is_checked_against_its_environments_own_box(tmp_path):
    columns = {"observations": 3, "next_observations": 3, "actions": 1}
    sized = {key: getattr(hopper(), key)[:, :size] * (2 if key == "actions" else 1) for key, size in columns.items()}
    run = opened(tmp_path, [], **sized, environment="Pendulum-v1")
    assert run.box.high == (2.0,)
    assert 1 < abs(run.data.actions).max() <= 2
    with pytest.raises(InputError, match=r"outside \[-2, 2\]"):
        opened(tmp_path, [], **sized | {"actions": sized["actions"] * 2}, environment="Pendulum-v1")


def test_settings_are_checked_before_anything_is_read_or_written(tmp_path):
    with pytest.raises(InputError, match="--steps 3"):
        open_run(replace(SMALL, data="missing.hdf5", out=str(tmp_path / "run"), steps=3), no_remark)
    assert not (tmp_path / "run").exists()
