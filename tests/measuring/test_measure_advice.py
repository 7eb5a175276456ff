"""`seemrl measure --advise`: the remedies of `seemrl.advise` on the same rows, for people and for programs."""

import json
from typing import Any

import numpy as np
import pytest
import torch
from saved_critics import ACTOR, CRITIC, DATA, ROWS, batch_of

from seemrl import advise
from seemrl.cli import main
from seemrl.data.d4rl import load_d4rl
from seemrl.data.following import logged_next_actions
from seemrl.files import strict
from seemrl_process import EMBEDDED

STEP = ("--optimizer-state", "all.pt#critic_optimizer", "--normalize-observations")


def answer(capsys: Any, *arguments: object) -> dict[str, Any]:
    assert main(["measure", *map(str, arguments), "--json"]) == 0, capsys.readouterr().err
    return json.loads(capsys.readouterr().out, parse_constant=pytest.fail)


def test_the_remedies_are_those_of_advise(home, capsys):
    parts, data = home[2], load_d4rl(EMBEDDED)
    told = answer(capsys, *CRITIC, *ACTOR, *DATA, *STEP, "--target-rate", 0.1, "--advise")
    rows = data.batch_rows(ROWS, 0)
    actions, known = logged_next_actions(data, rows)

    def act(next_observations: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return parts["actor"](torch.as_tensor(next_observations, dtype=torch.float32)).double().numpy()

    remedies = advise(
        parts["critic"],
        batch_of(data, rows, normalize=True),
        act,
        discount=0.99,
        optimizer=parts["critic_optimizer"],
        target_rate=0.1,
        population=len(data),
        next_actions=np.where(known[:, None], actions, np.nan),
    )
    assert told["advice"]["remedies"] == json.loads(json.dumps(strict([item.to_dict() for item in remedies])))
    assert told["advice"]["signs"] == []
    for remedy in told["advice"]["remedies"]:
        assert (remedy["rate_before"], remedy["normalized_before"]) == (told["rate"], told["normalized"])


def test_people_see_a_table_and_no_advice_unasked(home, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    arguments = [*map(str, (*CRITIC, *ACTOR, *DATA, *STEP))]
    assert main(["measure", *arguments, "--advise"]) == 0
    shown = capsys.readouterr().out
    assert "What would end it" in shown and "LayerNorm in the critic" in shown and "->" in shown
    assert "no sign of a plain bug" in shown
    assert main(["measure", *arguments]) == 0
    assert "remedy" not in capsys.readouterr().out
    assert "advice" not in answer(capsys, *arguments)


def test_a_random_policy_is_advised_on_at_the_same_actions(home, capsys):
    told = answer(capsys, *CRITIC, "--policy", "uniform", *DATA, *STEP, "--advise")
    assert {item["normalized_before"] for item in told["advice"]["remedies"]} == {told["normalized"]}


def test_a_learning_rate_beyond_the_stable_step_is_a_sign(home, capsys):
    told = answer(capsys, *CRITIC, *ACTOR, *DATA, "--learning-rate", 1e3, "--discount", 0, "--advise")
    assert [sign["name"] for sign in told["advice"]["signs"]] == ["the learning rate is beyond the stable step"]
    assert told["advice"]["remedies"][0]["name"].startswith("learning rate")
