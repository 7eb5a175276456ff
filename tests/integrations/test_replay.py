"""Rows of a replay, kept beside a log, and its drift from them: no library is needed."""

# pyright: reportArgumentType=false, reportIncompatibleMethodOverride=false

from pathlib import Path

import numpy as np
import pytest
import torch

import seemrl
from seemrl.integrations.parts import Parts
from seemrl.integrations.replay import ROWS, Growing, drift, monitor_of_replay


def rows(seed=0, count=200, discrete=False, **columns):
    random = np.random.default_rng(seed)
    usual = {
        "observations": random.normal(size=(count, 3)),
        "actions": random.integers(0, 4, count) if discrete else random.uniform(-1, 1, (count, 4)),
        "rewards": random.normal(size=count),
        "next_observations": random.normal(size=(count, 3)),
        "terminals": random.random(count) < 0.1,
    }
    return seemrl.Batch(**(usual | columns))


@pytest.mark.parametrize("discrete", [False, True])
def test_drift_is_the_largest_difference_of_means_in_standard_deviations(discrete):
    first = rows(discrete=discrete)
    moved = first.observations * 1.0
    moved[:, 1] += 2.5 * moved[:, 1].std()
    actions = {"actions": first.actions[:, 0].astype(int) if discrete else first.actions}
    assert drift(first, first) == 0
    assert drift(first, rows(observations=moved, rewards=first.rewards, **actions)) == pytest.approx(2.5)
    assert drift(first, rows(1, discrete=discrete)) < 0.4  # of one distribution


@pytest.mark.parametrize("entries, bound", [(5, 0.24), (30, 0.30)])
def test_chance_alone_makes_as_little_drift_as_is_documented(entries, bound):
    random = np.random.default_rng(0)

    def drawn(count):
        columns = random.normal(size=(count, entries))
        observations, actions, rewards = columns[:, :-2], columns[:, -2:-1], columns[:, -1]
        return rows(
            count=count, observations=observations, actions=actions, rewards=rewards, next_observations=observations
        )

    drifts = [drift(drawn(128), drawn(1000)) for _ in range(400)]
    assert np.quantile(drifts, 0.95) == pytest.approx(bound, abs=0.015)


def test_what_never_moved_has_no_drift_and_what_was_constant_has_an_infinite_one():
    constant = {"rewards": np.full(200, 1 / 3)}
    more = {"rewards": np.full(7000, 1 / 3)}
    assert drift(rows(**constant), rows(1, 7000, **more)) < 0.5
    assert drift(rows(**constant), rows(rewards=np.zeros(200))) == np.inf


class Values(torch.nn.Linear):
    def __init__(self, discrete):
        super().__init__(3, 4 if discrete else 1)

    def forward(self, observations, *_):
        return super().forward(observations)


def parts(discrete):
    critic = Values(discrete)
    policy = "greedy" if discrete else lambda observations: np.zeros((len(observations), 4))
    return Parts(critic, policy, 0.9, None, None)


def at_rest() -> None:
    return None


def test_a_replay_that_has_grown_has_a_drift_from_then_on():
    written, drawn = [0], []
    present = Growing(lambda: written[0], lambda count: drawn.append(count) or rows(1))
    monitor = monitor_of_replay(
        parts(False), rows, {"loggers": [heard := Heard()], "extra_numbers": lambda: {"mine": 2.0}}, present
    )
    for step, count in enumerate([0, 5, 5, 0], start=1):  # a full ring may stand where it stood
        written[0] = count
        monitor.read(step)
    drifts = [numbers.get("critic/replay_drift") for numbers in heard.rows]
    assert drifts == [None, *[drift(rows(), rows(1))] * 3] and drawn == [1000] * 3
    assert all(numbers["critic/mine"] == 2 for numbers in heard.rows)


class Heard:
    def __init__(self):
        self.rows = []

    def log(self, step, numbers):
        self.rows.append(dict(numbers))


@pytest.mark.parametrize("discrete", [False, True])
def test_rows_are_drawn_once_for_a_log(discrete, tmp_path):
    found, drawn = parts(discrete), []

    def draw():
        drawn.append(rows(len(drawn), 16, discrete))
        return drawn[-1]

    first, again = (monitor_of_replay(found, draw, {"directory": tmp_path / "log"}, at_rest) for _ in range(2))
    assert len(drawn) == 1 and again.batch.discrete is discrete
    for column in ("observations", "actions", "rewards", "next_observations", "terminals"):
        assert np.array_equal(getattr(first.batch, column), getattr(again.batch, column))
    monitor_of_replay(found, draw, {}, at_rest)
    assert len(drawn) == 2


def test_damaged_rows_and_a_place_that_is_not_a_log_are_refused_and_nothing_is_left(tmp_path):
    found = parts(False)
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / ROWS).write_bytes(b"\x08\0\0\0\0\0\0\0broken")
    with pytest.raises(seemrl.InputError, match=r"rows.safetensors: the rows kept there cannot be read"):
        monitor_of_replay(found, lambda: rows(), {"directory": tmp_path / "log"}, at_rest)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text("{}")
    with pytest.raises(seemrl.InputError, match="not a monitor's"):
        monitor_of_replay(found, lambda: rows(), {"directory": str(tmp_path / "run")}, at_rest)
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["config.json"]
    (tmp_path / "file").write_text("")
    with pytest.raises(seemrl.InputError, match="cannot be written"):
        monitor_of_replay(found, lambda: rows(), {"directory": Path(tmp_path / "file")}, at_rest)
