"""Runs whose networks keep more than parameters: what moves them is saved, and nothing else moves them."""

from dataclasses import replace
from typing import Any

import pytest
from small_runs import SMALL, abandon_at, assert_same_outcome, begin, complete, resume

from seemrl.agents.config import TD3BCConfig

LAYOUTS: dict[str, dict[str, Any]] = {
    "batch and spectral": {"critic_norm": "batch", "actor_norm": "spectral"},
    "simba and sphere": {"critic_network": "simba", "actor_norm": "sphere"},
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_run_abandoned_and_resumed_ends_as_if_it_had_not_been(name, tmp_path):
    config = replace(SMALL, hyperparameters=TD3BCConfig(hidden_sizes=(8, 8), **LAYOUTS[name]), batch_size=16)
    whole = complete(begin(tmp_path / "whole", config))
    abandon_at(begin(tmp_path / "run", config), 36)
    assert_same_outcome(complete(resume(tmp_path / "run", config)), whole)
