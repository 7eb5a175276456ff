"""Several seeds are the single ones, side by side."""

from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from small_runs import SMALL, abandon_at, assert_same_outcome, begin, complete

from seemrl.errors import InputError
from seemrl.training.config import TrainConfig
from seemrl.training.run_directory import sole_writer
from seemrl.training.seeds import begun_seeds, seed_settings, train_seeds
from seemrl.training.setup import run_path


def test_each_seed_ends_as_it_does_alone(tmp_path):
    settings = seed_settings(replace(SMALL, seeds=2, seed=3), tmp_path / "both")
    train_seeds(settings, Console(quiet=True))
    for setting in settings:
        alone = complete(begin(tmp_path / "alone" / f"seed{setting.seed}", seed=setting.seed))
        assert_same_outcome(Path(setting.out), alone)


def test_a_run_that_is_refused_ends_them_all(tmp_path):
    settings = seed_settings(replace(SMALL, seeds=2, data=str(tmp_path / "none.hdf5")), tmp_path / "both")
    with pytest.raises(InputError, match=r"none\.hdf5"):
        train_seeds(settings, Console(quiet=True))


def test_seeds_have_directories_of_their_own():
    assert run_path(replace(SMALL, data="a/hopper.hdf5", out="", seeds=3)) == Path("runs/hopper-td3_bc-seeds0to2")
    settings = seed_settings(replace(SMALL, seeds=3, seed=5), Path("runs/many"))
    assert [Path(setting.out) for setting in settings] == [Path(f"runs/many/seed{seed}") for seed in (5, 6, 7)]
    assert {setting.seeds for setting in settings} == {1}


def test_a_seed_that_is_training_is_not_resumed_beside_itself(tmp_path):
    """And nothing of it is cut."""
    alone = begin(tmp_path / "both" / "seed3", seed=3)
    abandon_at(alone, 36)
    before = (alone.directory / "readings.jsonl").read_bytes()
    settings = seed_settings(replace(SMALL, seeds=2, seed=3, resume=True), tmp_path / "both")
    with sole_writer(alone.directory), pytest.raises(InputError, match="another process is writing in it"):
        train_seeds(settings, Console(quiet=True))
    assert (alone.directory / "readings.jsonl").read_bytes() == before


def test_seeds_on_data_are_found_in_their_directory(tmp_path):
    for seed in (3, 5):
        begin(tmp_path / "all" / f"seed{seed}", seed=seed, label=f"mine, seed {seed}")
    config = begun_seeds(tmp_path / "all", TrainConfig)
    assert config is not None and (config.seed, config.seeds, config.label) == (3, 3, "mine")
    assert begun_seeds(tmp_path, TrainConfig) is None
