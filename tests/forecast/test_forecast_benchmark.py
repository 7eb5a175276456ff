"""The corpus and its questions, on a handful of real runs that take a second each."""

import numpy as np
import pytest
from benchmarks.forecast.calls import Fate, call_table, chance_table, early_table, group_table, missed, ours
from benchmarks.forecast.fit_chance import Sample, fit
from benchmarks.forecast.growth import crash_table, growth_table, law_table, windows
from benchmarks.forecast.learners import open_learner
from benchmarks.forecast.record import Record, record_run
from benchmarks.forecast.settings import Setting, maze_settings, td3_settings
from benchmarks.forecast.tables import replace_part

from seemrl.agents.config import QLearningConfig
from seemrl.errors import InputError

SETTINGS = [
    Setting("toy maze", QLearningConfig(), 1800, 0),
    Setting("toy maze", QLearningConfig(optimizer="adam", learning_rate=1e-3), 1500, 2),
    Setting("toy maze", QLearningConfig(discount=0.5), 900, 1),
    Setting("toy maze", QLearningConfig(discount=0.5), 900, 3),
]


@pytest.fixture(scope="module")
def records(tmp_path_factory) -> list[Record]:
    home = tmp_path_factory.mktemp("corpus")
    for setting in SETTINGS:
        record_run(setting, open_learner(setting, {}), home / f"{setting.name}.json.gz")
    return [Record.load(home / f"{setting.name}.json.gz") for setting in SETTINGS]


def test_a_record_keeps_the_curve_and_the_readings_on_it(records):
    for record, setting in zip(records, SETTINGS, strict=True):
        assert (record.name, record.half) == (setting.name, setting.half)
        levels = dict(zip(record.steps, record.q_mean, strict=True))
        for reading in record.readings:
            assert reading.q_mean == pytest.approx(levels[reading.step], rel=1e-4, nan_ok=True)
        assert record.readings[1].ntk_cosine(record.readings[0]) == record.readings[1].cosine


def test_the_fates_and_calls_are_those_of_theory(records):
    fates = [Fate.of(record) for record in records]
    assert [fate.diverges for fate in fates] == [True, True, False, False]
    assert [fate.healthy for fate in fates] == [False, False, True, True]
    for record, fate in zip(records, fates, strict=True):
        call = ours(record)
        assert (call is not None) == fate.diverges
        assert call is None or (fate.passed is not None and call < fate.passed)


def test_every_table_is_made_and_goes_into_a_page(records, tmp_path):
    tuning = [record for record in records if record.half == "tuning"]
    tables = [
        call_table(records, tuning, "whole"),
        group_table(records),
        early_table(records),
        chance_table(records),
        growth_table(records),
        law_table(records),
        crash_table(records),
        missed(records),
    ]
    assert tables[0].rows[0][:3] == ["`diverging`", "2 of 2 = 100% (16% to 100%)", "0 of 2 = 0% (0% to 84%)"]
    assert any(windows(record) for record in records)
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- mark -->\nreplaced\n<!-- end -->\nafter\n")
    replace_part(page, "mark", tables)
    told = page.read_text()
    assert "replaced" not in told and told.startswith("before") and told.endswith("after\n")
    with pytest.raises(InputError, match="needs the comments"):
        replace_part(page, "other", tables)


def test_no_run_is_in_both_halves_and_none_twice():
    every = [*maze_settings(), *td3_settings(["hopper-random", "walker2d-random", "halfcheetah-random"])]
    assert len({setting.name for setting in every}) == len(every) >= 240
    seeds = {
        half: {(s.source == "toy maze", s.seed) for s in every if s.half == half}
        for half in ("tuning", "held-out", "fresh")
    }
    assert all(seeds.values()) and sum(map(len, seeds.values())) == len(set.union(*seeds.values()))


def test_the_fit_finds_the_weights_that_made_the_fates():
    random = np.random.default_rng(0)
    x = random.normal(size=(20_000, 2)) * [1.0, 3.0] + [0.0, 2.0]
    diverges = random.random(len(x)) < 1 / (1 + np.exp(-(0.5 + x @ [1.0, -0.4])))
    number = np.arange(len(x))
    intercept, weights = fit(Sample(x, diverges, np.ones(len(x)), number, number, number / len(x)), number >= 0)
    assert intercept == pytest.approx(0.5, abs=0.1)
    np.testing.assert_allclose(weights, [1.0, -0.4], atol=0.06)
