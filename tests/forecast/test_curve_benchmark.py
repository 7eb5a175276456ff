"""The benchmark of `forecast_curve` counts what it says it counts."""

import math

import numpy as np
import pytest
from benchmarks.forecast.curve_runs import LOOKS, Recorded, follow
from benchmarks.forecast.curve_tables import Table, area, tables

STEPS = np.arange(1, 501) * 1000.0
NO_LOSS = np.full(500, math.nan)


def run(q_values: np.ndarray, algo: str = "iql", dataset: str = "a", seed: int = 1) -> Recorded:
    return Recorded(algo, dataset, seed, STEPS, q_values, NO_LOSS)


def filling(level: float) -> np.ndarray:
    return level * -np.expm1(-STEPS / 20_000)


def diverging(level: float, begin: float) -> np.ndarray:
    return filling(level) + np.where(begin < STEPS, level * np.expm1((STEPS - begin) / 20_000), 0)


@pytest.mark.parametrize("seed", range(5))
def test_the_area_is_the_share_of_pairs_in_the_right_order(seed):
    random = np.random.default_rng(seed)
    positive, score = random.random(40) < 0.3, random.integers(0, 10, 40).astype(float)
    pairs = [(a > b) + (a == b) / 2 for a in score[positive] for b in score[~positive]]
    assert area(positive, score) == pytest.approx(np.mean(pairs))


def test_a_run_is_followed_without_what_came_later():
    whole = follow(run(diverging(100.0, 90_000), "sac"))
    assert whole.onsets["large"] == STEPS[np.argmax(diverging(100.0, 90_000) > 5e3)]
    assert whole.onsets["alarm"] is not None
    assert 90_000 < whole.onsets["alarm"] < (whole.onsets["large"] or 0)
    assert whole.folds["honest"] <= whole.folds["large"] <= whole.folds["ever"]
    assert all(point.step >= (whole.onsets[point.grid] or 0) for point in whole.points if point.grid != "all")
    changed = diverging(100.0, 90_000)
    changed[STEPS > 150_000] = 7.0
    other = follow(run(changed))
    for look in LOOKS[:3]:
        before, after = whole.scores[look], other.scores[look]
        assert (before.forecast, before.size, before.slope) == (after.forecast, after.size, after.slope)


@pytest.mark.slow
def test_the_tables_are_whole_and_markdown_keeps_their_bars():
    places = [(algo, dataset, seed) for algo in ("iql", "sac") for dataset in "ab" for seed in (1, 2)]
    runs = [run(filling(100.0 * place[2]), *place) for place in places]
    runs += [run(diverging(100.0, 60_000 * place[2]), *place) for place in places]
    scored = tables([follow(each) for each in runs])
    assert all(len(row) == len(table.headings) for table in scored for row in table.rows)
    alarms = scored[0].rows[0]
    assert alarms[1] == "8/8 = 100.0%"
    assert alarms[4] == "0/8 = 0.0%"
    assert "\\|Q\\|" in Table("t", ["|Q|"], [["1"]]).markdown()
