"""Data of a stated quality from an online run, and from any run's policy."""

import json
import shutil
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

pytest.importorskip("gymnasium")

from seemrl.agents.config import TD3BCConfig
from seemrl.agents.sac_config import SACConfig
from seemrl.cli import main
from seemrl.collecting.collect import collect, random_return
from seemrl.collecting.episodes import finished_returns, side_by_side
from seemrl.collecting.policies import load_policy, newest_policy, online_policy
from seemrl.collecting.qualities import MEDIUM, collect_policy, collect_quality, levels
from seemrl.collecting.rollouts import roll_out
from seemrl.data.d4rl import load_d4rl, save_d4rl
from seemrl.errors import InputError
from seemrl.files import read_json_lines, write_json, write_json_lines
from seemrl.training.config import TrainConfig
from seemrl.training.online import OnlineRun
from seemrl.training.online_config import OnlineConfig
from seemrl.training.setup import open_run

POLE = "InvertedPendulum-v5"  # falls within some steps
CONFIG = OnlineConfig(
    environment=POLE,
    hyperparameters=SACConfig(hidden_sizes=(8,)),
    steps=360,
    environments=2,
    random_steps=40,
    batch_size=8,
    evaluate_every=120,
    evaluation_episodes=1,
    reading_rows=8,
)


def ignore(_: object) -> None:
    pass


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """An online run, with evaluations as if it had learned."""
    directory = tmp_path_factory.mktemp("online") / "run"
    for _ in OnlineRun(CONFIG, directory, ignore).train():
        pass
    rows = read_json_lines(directory / "evaluations.jsonl")
    for row, gained in zip(rows, (3.9, 4.1, 12.0), strict=True):  # a third of 12 is 4
        row["return_mean"] = random_return(POLE) + gained
    write_json_lines(directory / "evaluations.jsonl", rows)
    return directory


@pytest.fixture
def copy(run, tmp_path) -> Path:
    return Path(shutil.copytree(run, tmp_path / "run"))


def quality(name: Any, run: Path, directory: Path, transitions: int = 50, seed: int = 0):
    return collect_quality(name, run, transitions, seed, directory)


def test_medium_is_the_first_policy_a_third_of_the_way(run):
    found = levels(run)
    assert (found.medium_step, found.expert_return) == (240, found.random_return + 12)
    assert found.medium_return >= found.random_return + MEDIUM * 12


def test_attributes_say_what_made_it_and_what_scores_refer_to(run, tmp_path):
    data = quality("medium", run, tmp_path / "parts")
    save_d4rl(data, tmp_path / "medium.hdf5")
    stored = load_d4rl(tmp_path / "medium.hdf5")
    assert stored.fingerprint() == data.fingerprint()
    assert stored.environment == POLE
    assert (stored.attributes["quality"], stored.attributes["policy_step"]) == ("medium", 240)
    assert stored.attributes["expert_return"] == pytest.approx(random_return(POLE) + 12)
    assert stored.attributes["random_return"] == random_return(POLE)
    settings = json.loads(str(stored.attributes["policy_settings"]))
    assert (settings["agent"], settings["steps"], settings["hyperparameters"]["hidden_sizes"]) == ("sac", 360, [8])


def test_medium_expert_is_half_and_half(run, tmp_path):
    both = quality("medium-expert", run, tmp_path / "both", 51)
    medium = quality("medium", run, tmp_path / "medium", 26)
    expert = quality("expert", run, tmp_path / "expert", 25)
    for name, array in both.arrays().items():
        assert np.array_equal(array, np.concatenate([medium.arrays()[name], expert.arrays()[name]])), name


def test_medium_replay_is_what_the_run_had_collected(run, tmp_path):
    data = quality("medium-replay", run, tmp_path / "parts")
    assert len(data) == 240
    cuts = [59, 119, 179, 239]  # two environments, two stretches
    assert np.array_equal(np.flatnonzero(data.timeouts), [row for row in cuts if not data.terminals[row]])
    goes_on = (data.next_observations[:-1] == data.observations[1:]).all(axis=1)
    assert np.array_equal(goes_on, ~(data.timeouts | data.terminals)[:-1])


def test_rows_go_on_from_the_state_reached_until_an_episode_ends(run, tmp_path):
    rows = roll_out(load_policy(run), 8 * 60 + 3, 0, tmp_path / "parts", 23, ignore)
    assert len(rows["rewards"]) == 483
    ends = rows["terminals"] | rows["timeouts"]
    goes_on = (rows["next_observations"][:-1] == rows["observations"][1:]).all(axis=1)
    assert np.array_equal(goes_on, ~ends[:-1]) and ends[-1]
    assert len(finished_returns(rows, 1000)) == rows["terminals"].sum() > 8


def test_the_seed_decides_and_blocks_on_the_disk_are_used(run, tmp_path):
    policy, parts = load_policy(run), tmp_path / "parts"
    first = roll_out(policy, 40, 0, parts, 23, ignore)
    (block,) = parts.glob("block_*")
    written = block.stat().st_mtime_ns
    again = roll_out(policy, 40, 0, parts, 23, ignore)
    assert block.stat().st_mtime_ns == written
    other = roll_out(policy, 40, 1, parts, 23, ignore)
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert not np.array_equal(first["actions"], other["actions"])
    fresh = roll_out(policy, 40, 0, tmp_path / "fresh", 23, ignore)
    assert all(np.array_equal(first[name], fresh[name]) for name in first)


def test_actions_are_the_explorers_own(run, tmp_path):
    policy = load_policy(run)
    data = collect_policy(policy, 8, 0, tmp_path / "parts", None, ignore)
    drawn = policy.act(data.observations, jax.random.key(0))
    assert drawn.shape == data.actions.shape and not np.array_equal(
        drawn, policy.act(data.observations, jax.random.key(1))
    )
    last, earlier = (online_policy(run, step).digest for step in (360, 120))
    assert (policy.digest == last) and (last != earlier)
    snapshot = run / "policies" / "step_000000120.safetensors"
    assert load_policy(snapshot).digest == earlier
    assert newest_policy(run) == 360


def test_a_run_on_logged_data_acts_as_it_is_evaluated(tmp_path):
    save_d4rl(collect("Pendulum-v1", 60, 0), tmp_path / "data.hdf5")
    config = TrainConfig(
        data=str(tmp_path / "data.hdf5"),
        hyperparameters=TD3BCConfig(hidden_sizes=(8,)),
        steps=4,
        batch_size=8,
        reading_rows=8,
        evaluation_episodes=1,
        out=str(tmp_path / "run"),
    )
    trained = open_run(config, ignore)
    for _ in trained.train():
        pass
    data = collect_policy(load_policy(tmp_path / "run"), 16, 0, tmp_path / "parts", None, ignore)
    np.testing.assert_allclose(data.actions, trained.act(data.observations), rtol=1e-4)
    assert (data.attributes["policy_agent"], data.attributes["policy_step"]) == ("td3_bc", 4)
    (tmp_path / "data.hdf5").rename(tmp_path / "moved.hdf5")
    again = collect_policy(load_policy(tmp_path / "run"), 16, 0, tmp_path / "parts", None, ignore)
    assert again.fingerprint() == data.fingerprint()

    described = json.loads((tmp_path / "run" / "config.json").read_text())
    del described["observations"]  # as versions left it that did not keep them
    write_json(tmp_path / "run" / "config.json", described)
    with pytest.raises(InputError, match=r"data\.hdf5: no such file"):
        load_policy(tmp_path / "run")
    save_d4rl(collect("Pendulum-v1", 60, 1), tmp_path / "data.hdf5")
    with pytest.raises(InputError, match=r"not the data that .* was trained on"):
        load_policy(tmp_path / "run")
    (tmp_path / "moved.hdf5").replace(tmp_path / "data.hdf5")
    old = collect_policy(load_policy(tmp_path / "run"), 16, 0, tmp_path / "parts", None, ignore)
    assert old.fingerprint() == data.fingerprint()


def test_rows_of_environments_in_turn_become_episodes():
    columns = {"rewards": np.arange(6)}
    assert side_by_side(columns, 2)["rewards"].tolist() == [0, 2, 4, 1, 3, 5]


def test_episodes_cut_short_count_in_no_return():
    flags = {"terminals": [0, 1, 0, 0, 0, 0], "timeouts": [0, 0, 0, 0, 1, 1]}
    arrays = {"rewards": np.array([1, 2, 4, 8, 16, 32.0])} | {
        name: np.array(flag, bool) for name, flag in flags.items()
    }
    assert finished_returns(arrays, 3) == [3, 28]
    assert finished_returns(arrays, None) == [3]


def test_a_run_that_has_not_ended_or_learned_is_refused(copy):
    rows = read_json_lines(copy / "evaluations.jsonl")
    write_json_lines(copy / "evaluations.jsonl", rows[:-1])
    with pytest.raises(InputError, match="has not ended; continue it: seemrl online --resume --out"):
        levels(copy)
    rows[-1]["return_mean"] = random_return(POLE) - 1
    write_json_lines(copy / "evaluations.jsonl", rows)
    with pytest.raises(InputError, match="no more than random actions"):
        levels(copy)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("--policy missing", "--policy missing: neither one of random, waypoint, clinician nor a run directory"),
        ("--policy empty", "empty: not a run directory, it has no config.json"),
        ("--policy RUN/policies/step_000000007.safetensors", "neither one of random, waypoint"),
        ("--policy damaged/policies/step_000000120.safetensors", "step_000000120.safetensors: cannot be read as these"),
        ("--policy RUN --quality medium", "--policy RUN: --quality has policies of its own"),
        ("--run RUN", "--run RUN: --quality says which of its policies"),
        ("--expert-steps 64", "--expert-steps 64: no run is begun"),
        ("--quality medium --run RUN", "RUN: a run in InvertedPendulum-v5; give --environment"),
        ("--quality medium --expert-steps 33", "--expert-steps 33: it must be a positive multiple of 32"),
        (f"--environment {POLE} --quality expert --run RUN --expert-steps 64", "RUN: a run of 360 steps; leave"),
        (f"--environment {POLE} --quality medium-expert --run RUN --transitions 1", "--transitions 1: it must be"),
        ("--quality superb", "invalid choice"),
    ],
)
def test_options_that_do_not_fit_are_refused_in_one_line(run, options, told, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    Path("RUN").symlink_to(run)
    damaged = Path(shutil.copytree(run, "damaged")) / "policies" / "step_000000120.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:-4])
    assert main(["data", "collect", "--out", "x.hdf5", *options.split()]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("seemrl: error: ") and told in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["RUN", "damaged", "empty"]


def test_random_data_take_the_reference_of_a_run(run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    options = f"--quality random --run {run} --transitions 30 --out r.hdf5"
    assert main(["data", "collect", POLE, *options.split()]) == 0
    data = load_d4rl("r.hdf5")
    assert data.attributes["expert_return"] == read_json_lines(run / "evaluations.jsonl")[-1]["return_mean"]
    assert (data.attributes["quality"], data.environment) == ("random", POLE)
