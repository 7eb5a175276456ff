"""What the grid of `seemrl reproduce agents` is made of, and what its table says of returns that are known."""

import json
from pathlib import Path

import pytest

from seemrl import load
from seemrl.errors import InputError
from seemrl.experiments.agents import AgentsConfig, agents_settings, behaviour_return, compared
from seemrl.experiments.agents_page import agents_results
from seemrl.experiments.arms import arms_of
from seemrl.experiments.grid import whole_runs
from seemrl.experiments.results import finish, start
from seemrl.files import write_json, write_json_lines
from seemrl_process import EMBEDDED, seemrl


def test_the_grid_is_whole_from_one_seed_before_the_next_begins():
    settings = agents_settings(AgentsConfig(data=("a.hdf5", "b.hdf5"), seeds=2, steps=1000, agents=("bc", "iql")))
    assert len({setting.out for setting in settings}) == len(settings) == 2 * 2 * 2
    assert [setting.seed for setting in settings] == sorted(setting.seed for setting in settings)
    for setting in settings:
        setting.check()
        assert setting.evaluate_every == 50


def test_agents_of_discrete_actions_are_refused():
    with pytest.raises(InputError, match="--agents dqn: it must be among td3_bc"):
        agents_settings(AgentsConfig(agents=("dqn",)))


def test_the_behaviour_is_what_the_file_says_or_the_mean_of_its_whole_episodes(tmp_path):
    data = load(EMBEDDED)
    assert behaviour_return(str(EMBEDDED)) == data.attributes["behaviour_return"]
    episodes = data.episodes()
    assert not (data.terminals | data.timeouts)[-1]  # the last episode is unfinished, and does not count
    data.attributes.pop("behaviour_return")  # pyright: ignore[reportAttributeAccessIssue]
    data.save(tmp_path / "untold.hdf5")
    assert len(episodes) == 888
    assert behaviour_return(str(tmp_path / "untold.hdf5")) == pytest.approx(data.returns()[:-1].mean())


def leave_run(out: Path, agent: str, seed: int, returns: list[float]):
    run = out / "runs" / f"hopper-{agent}-seed{seed}"
    run.mkdir(parents=True)
    settings = {
        "data": "d/hopper.hdf5",
        "data_percent": 100.0,
        "seed": seed,
        "steps": 300,
        "hidden_sizes": [8],
        "evaluation_episodes": 10,
    }
    write_json(run / "config.json", {"format": 1, "agent": agent, "config": settings, "reward_bound": 100.0})
    rows = [{"step": step, "return_mean": found, "score_mean": None} for step, found in enumerate(returns)]
    write_json_lines(run / "evaluations.jsonl", rows)
    (run / "checkpoints" / "step_000000300").mkdir(parents=True)


def test_agents_are_above_or_below_where_the_interval_says_so(tmp_path):
    returns = {"bc": [99.0, 101, 100, 98], "iql": [150.0, 160, 155, 158], "cql": [10.0, 12, 11, 9]}
    for agent, by_seed in returns.items():
        for seed, found in enumerate(by_seed):
            leave_run(tmp_path, agent, seed, [0.0] + [found] * 10)
    leave_run(tmp_path, "awac", 0, [500.0])
    arms = arms_of(whole_runs(tmp_path), "return")
    page = finish(tmp_path, start(), agents_results(compared(arms, {"hopper": 100.0})))
    assert "Does every agent learn?" in page.read_text(encoding="utf-8")
    rows = {
        line.split(" | ")[0][2:]: line for line in (tmp_path / "results.md").read_text().splitlines() if "|" in line
    }
    assert "| 100.0 | not apart (-0) | – |" in rows["bc"] or "| 100.0 | not apart (-1) | – |" in rows["bc"]
    assert "| 100.0 | above (+56) | above (+57) |" in rows["iql"]
    assert "| 100.0 | below (-90) | below (-89) |" in rows["cql"]
    assert "| 1 | 500.0 | 500.0 | 100.0 | one run (+400) | one run (+400) |" in rows["awac"]
    told = json.loads((tmp_path / "results.json").read_text())
    assert {row["behaviour_return"] for row in told["arms"]} == {100.0}
    with pytest.raises(InputError, match="no evaluated run is whole"):
        agents_results([])


@pytest.mark.slow
def test_agents_are_trained_and_reported(tmp_path):
    options = "--agents bc td3_bc --seeds 1 --steps 40 --hidden-sizes 8 --evaluations 2 --evaluation-episodes 1"
    ended = seemrl("reproduce", "agents", "--data", EMBEDDED, "--out", "out", *options.split(), cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    told = json.loads((tmp_path / "out" / "results.json").read_text())
    assert [row["agent"] for row in told["arms"]] == ["bc", "td3_bc"]
