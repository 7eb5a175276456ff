"""Runs abandoned inside this process at every stop and every write, or damaged, then continued to the end."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from small_runs import SMALL, STOPS, abandon_at, assert_same_outcome, begin, complete, hopper, outcome, resume

from seemrl.agents.config import TD3BCConfig
from seemrl.errors import InputError
from seemrl.files import strict
from seemrl.training import loop
from seemrl.training.run_directory import LOGS

PLAYED = replace(SMALL, env="Hopper-v5")
LAST = "step_000000048"


class Killed(BaseException):
    pass


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory) -> Path:
    return complete(begin(tmp_path_factory.mktemp("unbroken") / "run"))


@pytest.fixture(scope="module")
def played(tmp_path_factory) -> Path:
    """An unbroken run that was evaluated on its way."""
    return complete(begin(tmp_path_factory.mktemp("played") / "run", PLAYED))


@pytest.fixture
def copy(unbroken, tmp_path) -> Path:
    """A complete run that a test may damage."""
    return Path(shutil.copytree(unbroken, tmp_path / "run"))


def contents(run: Path) -> dict[str, bytes]:
    return {str(path.relative_to(run)): path.read_bytes() for path in run.rglob("*") if path.is_file()}


def test_the_stops_are_the_due_steps_and_each_log_has_its_rows(played, tmp_path):
    assert tuple(progress.step for progress in begin(tmp_path / "run").train()) == STOPS
    left = outcome(played)
    steps = {name: [row["step"] for row in left[name]] for name in LOGS}
    assert steps["metrics.jsonl"] == steps["readings.jsonl"] == [12, 24, 36, 48]
    assert steps["evaluations.jsonl"] == [24, 48]
    kept = {Path(name).parent.name for name in left if "checkpoint" in name}
    assert kept == {"best", *(f"step_0000000{n}" for n in (16, 32, 48))}


def test_the_same_seed_gives_the_same_bits_and_another_seed_does_not(played, tmp_path):
    assert_same_outcome(complete(begin(tmp_path / "again", PLAYED)), played)
    other, ours = outcome(complete(begin(tmp_path / "other", PLAYED, seed=1))), outcome(played)
    assert all(other[name] != ours[name] for name in ours if not name.endswith("checkpoint.json"))


# Killed at every moment


@pytest.mark.parametrize("stop", STOPS)
def test_a_run_abandoned_at_any_stop_ends_as_if_it_had_not_been(played, tmp_path, stop):
    abandon_at(begin(tmp_path / "run", PLAYED), stop)
    assert_same_outcome(complete(resume(tmp_path / "run", PLAYED)), played)


def test_a_run_killed_before_every_single_write_ends_as_if_it_had_not_been(played, tmp_path, monkeypatch):
    """The n-th process dies before its n-th write, until one lives to the end."""
    run, deaths, writes = tmp_path / "run", 0, 0

    def dying(call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any) -> Any:
            nonlocal writes
            writes += 1
            if writes > deaths:
                raise Killed
            return call(*arguments)

        return wrapped

    for name in ("append_json_line", "save_checkpoint"):
        monkeypatch.setattr(loop, name, dying(getattr(loop, name)))
    while True:
        writes = 0
        try:
            complete(resume(run, PLAYED) if run.exists() else begin(run, PLAYED))
            break
        except Killed:
            deaths += 1
    assert deaths >= len(STOPS)
    assert_same_outcome(run, played)


@pytest.mark.parametrize(
    "tail", [b'{"step": 36, "critic_l', "é".encode()[:1], b"\0" * 64], ids=["cut line", "cut letter", "zeros"]
)
def test_half_written_last_lines_are_dropped(played, tmp_path, tail):
    abandon_at(begin(tmp_path / "run", PLAYED), 24)
    for name in LOGS:
        with (tmp_path / "run" / name).open("ab") as log:
            log.write(tail)
    assert_same_outcome(complete(resume(tmp_path / "run", PLAYED)), played)


def test_a_broken_line_inside_a_log_is_named_and_nothing_is_changed(copy):
    log = copy / "readings.jsonl"
    log.write_text("{oops\n" + log.read_text())
    before = contents(copy)
    with pytest.raises(InputError, match=r"readings\.jsonl: line 1 is not a JSON object; remove that line"):
        resume(copy)
    assert contents(copy) == before


# A run that is complete, or whose data has moved


def test_resuming_a_complete_run_changes_no_byte(played, tmp_path):
    run = Path(shutil.copytree(played, tmp_path / "run"))
    before = contents(run)
    assert list(resume(run, PLAYED).train()) == []
    assert contents(run) == before


def test_a_resumed_run_has_the_readings_of_its_past_and_no_later_ones(unbroken, copy):
    shutil.rmtree(copy / "checkpoints" / LAST)
    run = resume(copy)
    assert run.step == 32
    rows = (row | {"seconds": 0.0} for row in outcome(unbroken)["readings.jsonl"][:2])
    known = [strict(reading.to_dict()) | {"seconds": 0.0} for reading in run.readings]
    assert known == [{key: row[key] for key in known[0]} for row in rows]


def test_the_data_may_come_from_elsewhere_if_its_content_is_the_same(unbroken, tmp_path):
    abandon_at(begin(tmp_path / "run"), 24)
    run = resume(tmp_path / "run", replace(SMALL, data="elsewhere.hdf5"), data=replace(hopper(), source="elsewhere"))
    assert_same_outcome(complete(run), unbroken)


# Damaged checkpoints


def cut_state(path: Path) -> None:
    shorten(path / "state.safetensors")


def cut_seal(path: Path) -> None:
    shorten(path / "checkpoint.json")


def lose_state(path: Path) -> None:
    (path / "state.safetensors").unlink()


def lose_seal(path: Path) -> None:
    (path / "checkpoint.json").unlink()


def flip_a_byte(path: Path) -> None:
    content = bytearray((path / "state.safetensors").read_bytes())
    content[len(content) // 2] ^= 0xFF
    (path / "state.safetensors").write_bytes(content)


def shorten(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


DAMAGES = [cut_state, cut_seal, lose_state, lose_seal, flip_a_byte]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_damaged_checkpoint_costs_its_steps_but_no_bit(copy, unbroken, damage):
    damage(copy / "checkpoints" / LAST)
    remarks: list[str] = []
    run = resume(copy, notify=remarks.append)
    assert run.step == 32
    assert len(remarks) == 1
    assert f"checkpoints/{LAST}: checkpoint is damaged" in remarks[0]
    assert remarks[0].endswith("falling back to the previous one")
    assert_same_outcome(complete(run), unbroken)


def test_where_every_checkpoint_is_damaged_the_run_begins_anew_and_says_so(copy, unbroken):
    saved = sorted((copy / "checkpoints").iterdir())
    for path, damage in zip(saved, DAMAGES, strict=False):
        damage(path)
    remarks: list[str] = []
    run = resume(copy, notify=remarks.append)
    assert (run.step, run.readings) == (0, [])
    assert len(remarks) == len(saved) == 3
    assert remarks[-1].endswith("falling back to the beginning")
    assert_same_outcome(complete(run), unbroken)


def test_without_any_checkpoint_the_run_begins_anew_in_silence(copy, unbroken):
    shutil.rmtree(copy / "checkpoints")
    assert_same_outcome(complete(resume(copy)), unbroken)


def test_what_an_interrupted_save_left_is_ignored(copy, unbroken):
    shutil.rmtree(copy / "checkpoints" / LAST)
    shutil.copytree(copy / "checkpoints" / "step_000000016", copy / "checkpoints" / f".{LAST}.tmp")
    assert_same_outcome(complete(resume(copy)), unbroken)
    assert not list((copy / "checkpoints").glob(".*"))


def test_a_run_unlike_the_default_in_everything_whose_values_are_not_finite_is_continued_too(tmp_path):
    hyperparameters = TD3BCConfig(
        hidden_sizes=(16, 8),
        critic_norm="layer",
        critic_norm_layers=(0,),
        critic_norm_placement="post",
        optimizer="sgd",
        policy_frequency=1,
        critic_learning_rate=1e30,
    )
    config = replace(SMALL, hyperparameters=hyperparameters, normalize_observations=False)
    whole = complete(begin(tmp_path / "whole", config))
    assert outcome(whole)["readings.jsonl"][0]["q_mean"] == "nan"
    abandon_at(begin(tmp_path / "run", config), 36)
    assert_same_outcome(complete(resume(tmp_path / "run", config)), whole)
