import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from small_runs import SMALL, hopper

from seemrl.agents.config import TD3BCConfig
from seemrl.errors import InputError
from seemrl.files import append_json_line, read_json_lines, write_json_lines
from seemrl.training.run_directory import (
    LOGS,
    begin,
    check_same,
    cut_logs,
    description,
    flat_settings,
    is_run,
    sole_writer,
    stored_description,
)
from seemrl.training.setup import run_path


def described(**changes: Any) -> dict[str, Any]:
    return description(replace(SMALL, **changes), hopper(), Path("somewhere/run"), "Hopper-v5")


# What config.json says


def test_config_json_holds_settings_data_and_reward_bound(tmp_path):
    begin(tmp_path / "run", described())
    told = stored_description(tmp_path / "run")
    assert (told["format"], told["agent"], told["label"]) == (1, "td3_bc", "run")
    assert (told["config"]["steps"], told["config"]["hidden_sizes"], told["config"]["seed"]) == (48, [32, 32], 0)
    assert told["data"]["environment"] == "Hopper-v5"
    assert told["data"]["rows"] == len(hopper()) == 20_000
    assert (told["data"]["observation_size"], told["data"]["action_size"]) == (11, 3)
    assert told["data"]["fingerprint"] == hopper().fingerprint()
    assert math.isclose(told["reward_bound"], told["data"]["max_abs_reward"] / (1 - 0.99))


def test_settings_are_flat_and_come_back_from_json_as_they_are():
    parameters = TD3BCConfig(hidden_sizes=(8, 4), critic_norm_layers=(0, 1))
    flat = flat_settings(replace(SMALL, hyperparameters=parameters))
    assert json.loads(json.dumps(flat)) == flat
    assert (flat["hidden_sizes"], flat["critic_norm_layers"]) == ([8, 4], [0, 1])
    assert "hyperparameters" not in flat


def test_a_label_is_the_directory_unless_it_is_given():
    assert described()["label"] == "run"
    assert described(label="TD3, cured")["label"] == "TD3, cured"


def test_the_default_directory_tells_data_agent_and_seed():
    assert run_path(replace(SMALL, data="a/b/hopper.hdf5", out="", seed=3)) == Path("runs/hopper-td3_bc-seed3")
    assert run_path(replace(SMALL, out="here")) == Path("here")


# Beginning


@pytest.mark.parametrize("make", [lambda place: None, lambda place: place.mkdir()], ids=["missing", "empty"])
def test_a_run_begins_in_a_directory_that_is_missing_or_empty(tmp_path, make):
    run = tmp_path / "a" / "run"
    run.parent.mkdir()
    make(run)
    begin(run, described())
    assert is_run(run)
    assert [entry.name for entry in run.iterdir()] == ["config.json"]


def test_a_run_begins_where_one_was_killed_before_it_had_begun(tmp_path):
    (tmp_path / ".config.json.123.tmp").write_text("{")
    begin(tmp_path, described())
    assert stored_description(tmp_path)["format"] == 1


def test_a_run_or_anything_else_there_is_never_overwritten(tmp_path):
    begin(tmp_path / "run", described())
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("precious")
    (tmp_path / "file").write_text("precious")
    for name, remedy in (("run", "add --resume to continue it"), ("other", "choose"), ("file", "choose")):
        with pytest.raises(InputError, match=f"{name}: exists already; {remedy}"):
            begin(tmp_path / name, described(seed=1))
    assert stored_description(tmp_path / "run")["config"]["seed"] == 0
    assert [entry.name for entry in (tmp_path / "other").iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("place", ["file/run", "y" * 300], ids=["below a file", "too long"])
def test_a_place_that_cannot_be_written_is_named(tmp_path, place):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"cannot be written \(.+\); choose another --out"):
        begin(tmp_path / place, described())
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


# Resuming


def test_what_is_no_run_is_refused_with_the_reason(tmp_path):
    for name, content in (("cut", '{"format": 1, "con'), ("list", "[]"), ("other", '{"config": 3, "data": {}}')):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(content)
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    for name, message in (
        ("missing", "missing: no such run directory; leave --resume out to start one"),
        ("empty", "empty: not a run directory, it has no config.json; check --out"),
        ("file", "file: not a run directory, it has no config.json; check --out"),
        ("cut", "cut/config.json: cannot be read as a run's settings"),
        ("list", "list/config.json: cannot be read as a run's settings"),
        ("other", "other/config.json: cannot be read as a run's settings"),
    ):
        with pytest.raises(InputError) as caught:
            stored_description(tmp_path / name)
        assert message in str(caught.value)


def test_only_where_things_lie_may_differ_when_a_run_is_resumed():
    check_same(Path("run"), described(), described(data="elsewhere", out="there", resume=True))
    with pytest.raises(InputError, match=r"run: --resume with a different configuration: seed was 0 and is now 1;"):
        check_same(Path("run"), described(), described(seed=1))


def test_a_run_of_a_version_with_fewer_settings_goes_on_with_their_defaults():
    stored = described()
    for setting in ("window_rows", "critic_activation"):
        del stored["config"][setting]
    check_same(Path("run"), stored, described())
    with pytest.raises(InputError, match="window_rows was 0 and is now 512"):
        check_same(Path("run"), stored, described(window_rows=512))


def test_data_of_other_content_is_named_with_the_file_the_run_began_with():
    other = description(SMALL, replace(hopper(), rewards=-hopper().rewards, source="b.hdf5"), Path("run"), None)
    with pytest.raises(InputError, match=r"different data: the content of b\.hdf5 is not what .* \(hopper-random"):
        check_same(Path("run"), described(), other)


def test_rows_after_the_checkpoint_are_dropped_and_earlier_ones_keep_their_bytes(tmp_path):
    rows = [{"step": step, "value": math.nan if step == 2 else 0.1} for step in (2, 4, 6, 8)]
    for name in LOGS[:2]:
        write_json_lines(tmp_path / name, rows)
    kept = cut_logs(tmp_path, 4)
    assert [len(kept[name]) for name in LOGS] == [2, 2, 0]
    write_json_lines(tmp_path / "expected", rows[:2])
    for name in LOGS[:2]:
        assert (tmp_path / name).read_bytes() == (tmp_path / "expected").read_bytes()
    assert not (tmp_path / LOGS[2]).exists()


def test_after_a_half_line_was_dropped_rows_are_appended_on_lines_of_their_own(tmp_path):
    (tmp_path / LOGS[0]).write_bytes(b'{"step": 2}\n{"step": 4, "va')
    cut_logs(tmp_path, 2)
    append_json_line(tmp_path / LOGS[0], {"step": 4})
    assert read_json_lines(tmp_path / LOGS[0]) == [{"step": 2}, {"step": 4}]


# One writer


def test_a_second_writer_is_refused_until_the_first_has_gone(tmp_path):
    with sole_writer(tmp_path):
        for _ in range(2):
            with pytest.raises(InputError, match="another process is writing in it"), sole_writer(tmp_path):
                pytest.fail("two writers")
    with pytest.raises(RuntimeError), sole_writer(tmp_path):
        raise RuntimeError
    with sole_writer(tmp_path):
        pass


def test_a_directory_that_cannot_be_locked_is_named(tmp_path):
    (tmp_path / ".lock").mkdir()
    with pytest.raises(InputError, match="cannot be written"), sole_writer(tmp_path):
        pytest.fail("no lock was taken")
