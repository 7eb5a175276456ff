"""What the grid of `seemrl reproduce x-percent` is made of, and what its tables say of runs whose scores are known."""

import json
from pathlib import Path

import numpy as np
import pytest

from seemrl.errors import InputError
from seemrl.experiments.arms import arms_of
from seemrl.experiments.grid import whole_runs
from seemrl.experiments.results import finish, start
from seemrl.experiments.x_percent import XPercentConfig, paired, x_percent_settings
from seemrl.experiments.x_percent_page import gains_of, x_percent_results
from seemrl.files import write_json, write_json_lines
from seemrl.training.scores import interquartile_mean, summed_gain
from seemrl_process import EMBEDDED, seemrl


def test_the_grid_is_whole_from_one_seed_before_the_next_begins():
    settings = x_percent_settings(XPercentConfig(data=("a.hdf5", "b.hdf5"), seeds=3, steps=1000))
    assert len(settings) == 3 * 2 * 3 * 4 * 2
    assert [setting.seed for setting in settings] == sorted(setting.seed for setting in settings)
    assert len({setting.out for setting in settings}) == len(settings)
    for setting in settings:
        setting.check()
        assert setting.evaluate_every == 50
        assert setting.subset_seed == setting.seed


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"agents": ("bc",)}, "--agents bc: it must be among those with a critic: td3_bc"),
        ({"evaluations": 0}, "--evaluations 0: it must be at least 1"),
        ({"percents": (0.0,)}, "--data-percent 0"),
    ],
)
def test_settings_that_fit_no_grid_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        for setting in x_percent_settings(XPercentConfig(**options)):
            setting.check()


# What the tables say


def leave_run(out: Path, agent: str, percent: float, norm: str, seed: int, scores: list[float], whole: bool = True):
    run = out / "runs" / f"{agent}-{percent:g}-{norm}-{seed}"
    run.mkdir(parents=True)
    settings = {
        "data": "d/hopper.hdf5",
        "data_percent": percent,
        "critic_norm": norm,
        "seed": seed,
        "steps": 300,
        "hidden_sizes": [8],
        "evaluation_episodes": 10,
    }
    write_json(run / "config.json", {"format": 1, "agent": agent, "config": settings, "reward_bound": 100.0})
    rows = [{"step": step, "return_mean": 30 * score, "score_mean": score} for step, score in enumerate(scores)]
    write_json_lines(run / "evaluations.jsonl", rows)
    (run / "checkpoints" / f"step_{300 if whole else 200:09d}").mkdir(parents=True)


def test_gains_are_differences_of_runs_that_differ_in_the_normaliser_alone(tmp_path):
    for seed, (bare, cured) in enumerate([(10.0, 40.0), (20.0, 50.0), (30.0, 30.0)]):
        leave_run(tmp_path, "iql", 1, "none", seed, [0.0, *[bare] * 9, bare + 1])
        leave_run(tmp_path, "iql", 1, "layer", seed, [0.0, *[cured] * 9, cured + 6])
    leave_run(tmp_path, "iql", 1, "layer", 3, [1000.0], whole=False)
    leave_run(tmp_path, "cql", 10, "none", 0, [1.0, 2.0])
    leave_run(tmp_path, "cql", 10, "layer", 0, [5.0, 7.0])
    leave_run(tmp_path, "cql", 1, "layer", 0, [5.0])
    arms = arms_of(whole_runs(tmp_path))
    assert [(arm.agent, arm.percent, arm.norm, len(arm.runs)) for arm in arms] == [
        ("cql", 10, "none", 1),
        ("cql", 10, "layer", 1),
        ("cql", 1, "layer", 1),
        ("iql", 1, "none", 3),
        ("iql", 1, "layer", 3),
    ]
    assert len(paired(arms)) == 2
    single, several = gains_of(arms)
    assert (single.final.mean, single.last_ten.mean, single.final.interval) == (5.0, 4.5, None)
    assert several.final.mean == pytest.approx(
        float(interquartile_mean(np.array([46.0, 56, 36])) - interquartile_mean(np.array([11.0, 21, 31])))
    )
    assert several.last_ten.mean != several.final.mean
    assert several.final.interval is not None and several.final.interval[0] < several.final.mean


def test_results_are_written_as_table_numbers_and_page(tmp_path):
    for norm in ("none", "layer"):
        leave_run(tmp_path, "td3_bc", 1, norm, 0, [1.0, 2.0])
        leave_run(tmp_path, "td3_bc", 1, norm, 1, [1.0, 3.0])
    page = finish(tmp_path, start(), x_percent_results(arms_of(whole_runs(tmp_path))))
    said = page.read_text(encoding="utf-8")
    assert "Gain from LayerNorm" in said and "chart-chart0" in said
    told = json.loads((tmp_path / "results.json").read_text())
    assert [(row["critic_norm"], row["final"]) for row in told["arms"]] == [("none", [2, 3]), ("layer", [2, 3])]
    assert told["gains"][0]["final"]["mean"] == 0
    assert "| td3_bc | 1% | 300 | hopper | score | 0.0 (-" in (tmp_path / "results.md").read_text()
    with pytest.raises(InputError, match="no evaluated run is whole"):
        x_percent_results([])


def test_about_95_in_100_intervals_of_a_sum_hold_the_true_gain():
    random = np.random.default_rng(0)
    held = 0
    for _ in range(100):
        pairs = [(random.normal(size=20).tolist(), random.normal(loc=1.0, size=20).tolist()) for _ in range(2)]
        low, high = summed_gain(pairs).interval or (3.0, 1.0)
        held += low <= 2 <= high
    assert 88 <= held <= 100


@pytest.mark.slow
def test_all_four_agents_are_trained_and_reported(tmp_path):
    options = "--percents 1 --seeds 1 --steps 40 --hidden-sizes 8 --evaluations 2 --evaluation-episodes 1"
    ended = seemrl("reproduce", "x-percent", "--data", EMBEDDED, "--out", "out", *options.split(), cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    told = json.loads((tmp_path / "out" / "results.json").read_text())
    assert {row["agent"] for row in told["gains"]} == {"td3_bc", "iql", "cql", "diffusion_ql"}
    assert len(told["arms"]) == 8
    config = XPercentConfig(out="out", percents=(1.0,), seeds=1, steps=40, hidden_sizes=(8,))
    assert {setting.agent for setting in x_percent_settings(config)} == {row["agent"] for row in told["arms"]}
