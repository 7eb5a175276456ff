"""Runs of every agent but that of the other tests, by the registry's names."""

from dataclasses import fields, replace
from typing import Any

import pytest
from small_runs import SMALL, abandon_at, assert_same_outcome, begin, complete, outcome, resume

from seemrl.agents.config import TD3BCConfig
from seemrl.agents.registry import CONFIGS
from seemrl.training.command import default_settings
from seemrl.training.config import TrainConfig

OTHERS = [name for name, config in CONFIGS.items() if not config.discrete and name != SMALL.agent]


@pytest.mark.parametrize("name", OTHERS)
def test_a_run_abandoned_and_resumed_ends_as_if_it_had_not_been(name, tmp_path):
    kind: Any = CONFIGS[name]
    hyperparameters = kind(**{field.name: (8, 8) for field in fields(kind) if field.name.endswith("hidden_sizes")})
    config = replace(SMALL, agent=name, hyperparameters=hyperparameters, batch_size=16)
    whole = complete(begin(tmp_path / "whole", config))
    abandon_at(begin(tmp_path / "run", config), 36)
    again = default_settings(["--resume", "--out", str(tmp_path / "run")], TrainConfig, TD3BCConfig)
    assert (again.agent, again.hyperparameters) == (name, hyperparameters)
    assert_same_outcome(complete(resume(tmp_path / "run", again)), whole)
    assert [row["step"] for row in outcome(whole)["metrics.jsonl"]] == [12, 24, 36, 48]
