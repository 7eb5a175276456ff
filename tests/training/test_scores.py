import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seemrl.training.scores import aggregate, interquartile_mean, score_of


def written_out(values: list[float]) -> float:
    """The mean over the middle half of many copies of the runs, where no run lies on an edge."""
    copies = np.sort(np.repeat(values, 4))
    quarter = len(values)
    return float(copies[quarter:-quarter].mean())


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=12))
def test_the_interquartile_mean_is_that_of_the_middle_half(values):
    assert float(interquartile_mean(np.asarray(values))) == pytest.approx(written_out(values), abs=1e-9)


def test_the_interval_holds_the_mean_and_one_run_has_none():
    found = aggregate([1.0, 2.0, 4.0, 8.0, 9.0])
    assert found.interval is not None and found.interval[0] < found.mean < found.interval[1]
    assert aggregate([1.0, 2.0, 4.0, 8.0, 9.0]) == found
    assert aggregate([3.0]).interval is None


def test_about_95_in_100_intervals_hold_the_true_value():
    random = np.random.default_rng(0)
    intervals = [aggregate(random.normal(size=20).tolist()).interval or (1.0, -1.0) for _ in range(200)]
    held = [low <= 0 <= high for low, high in intervals]
    assert 0.88 <= np.mean(held) <= 1.0


def test_final_and_last_ten_are_told_apart(tmp_path):
    assert score_of(tmp_path) is None
    rows = [{"step": step, "return_mean": float(step)} for step in range(15)]
    (tmp_path / "evaluations.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    score = score_of(tmp_path)
    assert score is not None
    assert (score.final, score.last_ten, score.evaluations) == (14.0, 9.5, 10)
