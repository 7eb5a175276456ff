"""Several seeds in an environment are the single ones, side by side."""

from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from small_runs import assert_same_outcome, no_remark

from seemrl.agents.td3_config import TD3Config
from seemrl.cli import main
from seemrl.errors import InputError
from seemrl.training.online import OnlineRun
from seemrl.training.online_command import online_path
from seemrl.training.online_config import OnlineConfig
from seemrl.training.seeds import begun_seeds, seed_settings, train_seeds

CONFIG = OnlineConfig(
    environment="Pendulum-v1",
    agent="td3",
    hyperparameters=TD3Config(hidden_sizes=(8,)),
    steps=400,
    environments=2,
    random_steps=80,
    batch_size=8,
    evaluate_every=200,
    evaluation_episodes=1,
    reading_rows=8,
    seed=3,
    seeds=2,
)


@pytest.mark.slow
def test_one_that_was_killed_and_one_that_had_not_begun_end_as_they_do_alone(tmp_path, capsys):
    out = tmp_path / "both"
    settings = seed_settings(CONFIG, out)
    killed = OnlineRun(settings[0], out / "seed3", no_remark)
    next(killed.train())
    for setting in settings:
        list(OnlineRun(setting, tmp_path / "alone" / f"seed{setting.seed}", no_remark).train())
    assert main(["online", "--resume", "--seeds", "2", "--out", str(out)]) == 0
    for setting in settings:
        assert_same_outcome(Path(setting.out), tmp_path / "alone" / f"seed{setting.seed}")
    said = capsys.readouterr()
    assert said.out == f"{out}\n", "the directory alone goes to stdout"
    assert "final return: interquartile mean" in said.err and "over 2 seeds" in said.err
    config = begun_seeds(out, OnlineConfig)
    assert config is not None and (config.seed, config.seeds, config.label) == (3, 2, "")


def test_seeds_that_are_there_are_not_trained_over(tmp_path):
    settings = seed_settings(CONFIG, tmp_path / "both")
    OnlineRun(settings[1], tmp_path / "both" / "seed4", no_remark)
    with pytest.raises(InputError, match="seed4: exists already; add --resume"):
        train_seeds(settings, Console(quiet=True))
    assert not (tmp_path / "both" / "seed3").exists()


def test_seeds_have_directories_of_their_own():
    assert online_path(replace(CONFIG, seeds=3)) == Path("runs/Pendulum-v1-td3-seeds3to5")
    assert online_path(replace(CONFIG, seeds=1)) == Path("runs/Pendulum-v1-td3-seed3")


def test_as_many_seeds_as_there_are(capsys):
    assert main(["online", "Pendulum-v1", "--seeds", "0"]) == 2
    assert "--seeds 0: it must be at least 1" in capsys.readouterr().err
