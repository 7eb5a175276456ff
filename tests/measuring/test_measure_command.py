"""`seemrl measure`: its numbers are those of `seemrl.measure`, and every usual way of saving is read."""

import dataclasses
import json
import subprocess
import sys
from typing import Any, get_args, get_type_hints

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from saved_critics import ACTOR, CRITIC, DATA, ROWS, batch_of, ordered_data, refusal, save, trained

from seemrl.cli import main
from seemrl.data.d4rl import load_d4rl, save_d4rl
from seemrl.files import strict
from seemrl.instrument.dynamics import Heads
from seemrl.instrument.measure import measure
from seemrl.instrument.reading import Reading
from seemrl.measuring.checkpoint import judge_one
from seemrl.measuring.config import MeasureConfig
from seemrl.measuring.shown import MEANINGS
from seemrl_process import EMBEDDED, seemrl


def answer(capsys: Any, *arguments: object) -> dict[str, Any]:
    """What --json prints."""
    assert main(["measure", *map(str, arguments), "--json"]) == 0, capsys.readouterr().err
    return json.loads(capsys.readouterr().out, parse_constant=pytest.fail)


def assert_same_numbers(told: dict[str, Any], expected: Reading) -> None:
    ours = json.loads(json.dumps(strict(expected.to_dict())))
    for name in ours.keys() - {"seconds"}:
        assert told[name] == ours[name], name
    assert Reading.from_dict(told) == dataclasses.replace(expected, seconds=told["seconds"])


def actions_of(actor: torch.nn.Module):
    def act(next_observations: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return actor(torch.as_tensor(next_observations, dtype=torch.float32)).double().numpy()

    return act


# Numbers


def test_the_numbers_are_those_of_measure(home, capsys):
    parts, data = home[2], load_d4rl(EMBEDDED)
    options = ("--normalize-observations", "--optimizer-state", "all.pt#critic_optimizer", "--discount", 0.9)
    targets = ("--target-weights", "all.pt#critic_target", "--target-rate", 0.1, "--no-mask-terminals", "--seed", 3)
    told = answer(capsys, *CRITIC, *ACTOR, *DATA, *options, *targets)
    expected = measure(
        parts["critic"],
        batch_of(data, data.batch_rows(ROWS, 3), normalize=True),
        actions_of(parts["actor"]),
        discount=0.9,
        population=len(data),
        mask_terminals=False,
        optimizer=parts["critic_optimizer"],
        target_critic=parts["critic_target"],
        target_rate=0.1,
    )
    assert_same_numbers(told, expected)
    assert told["reward_bound"] == data.reward_bound(0.9)
    assert told["settings"]["critic"] == "networks.py:Critic" and told["settings"]["seed"] == 3
    assert "the rate is that of Adam in its saved state, learning rate 0.001, target rate 0.1" in told["notes"]
    assert "policy built with obs_dim=11, act_dim=3, max_action=1.0, from the data" in told["notes"]


@pytest.mark.parametrize("heads", get_args(Heads))
def test_a_learning_rate_alone_means_plain_gradient_steps(home, capsys, heads):
    parts, data = home[2], load_d4rl(EMBEDDED)
    told = answer(capsys, *CRITIC, *ACTOR, *DATA, "--learning-rate", 0.01, "--heads", heads)
    batch, policy = batch_of(data, data.batch_rows(ROWS, 0)), actions_of(parts["actor"])
    expected = measure(
        parts["critic"],
        batch,
        policy,
        discount=0.99,
        population=len(load_d4rl(EMBEDDED)),
        heads=heads,
        learning_rate=0.01,
    )
    assert_same_numbers(told, expected)
    assert told["spectral_radius"] is not None


@pytest.mark.parametrize(
    ("name", "settings", "option"),
    [
        ("AdamW", {}, ("--optimizer", "adamw")),
        ("AdamW", {}, ("--optimizer", "adam")),
        ("Adam", {"amsgrad": True}, ()),
        ("SGD", {"momentum": 0.9}, ()),
        ("RMSprop", {"centered": True}, ("--optimizer", "rmsprop")),
    ],
)
def test_an_optimizer_is_rebuilt_from_its_state(home, capsys, name, settings, option, tmp_path):
    data, parts = load_d4rl(EMBEDDED), trained(home[1], name, **settings)
    save(parts, tmp_path)
    files = ("--weights", tmp_path / "all.pt#critic", "--optimizer-state", tmp_path / "all.pt#critic_optimizer")
    told = answer(capsys, "--critic", "networks.py:Critic", *files, *ACTOR, *DATA, *option)
    batch, policy = batch_of(data, data.batch_rows(ROWS, 0)), actions_of(parts["actor"])
    expected = measure(
        parts["critic"],
        batch,
        policy,
        discount=0.99,
        population=len(load_d4rl(EMBEDDED)),
        optimizer=parts["critic_optimizer"],
    )
    assert told["rate"] == expected.rate


def test_logged_next_actions_are_those_of_the_following_rows(home, capsys, tmp_path):
    data = ordered_data(EMBEDDED, tmp_path / "ordered.hdf5")
    told = answer(capsys, *CRITIC, "--policy", "data", "--data", tmp_path / "ordered.hdf5", "--rows", 60)
    known = np.flatnonzero(~data.timeouts & (np.arange(60) < 59))
    following = data.actions[np.minimum(known + 1, 59)].astype(np.float64)
    expected = measure(
        home[2]["critic"], batch_of(data, known), lambda _: following, discount=0.99, population=len(data)
    )
    assert_same_numbers(told, expected)
    assert told["rows"] == len(known) < 60
    assert f"{60 - len(known)} of 60 rows left out: their next action is not in the data" in told["notes"]


def test_without_a_mask_the_logged_policy_leaves_terminals_out(home, capsys, tmp_path):
    data = ordered_data(EMBEDDED, tmp_path / "ordered.hdf5")
    options = ("--data", tmp_path / "ordered.hdf5", "--rows", 60, "--no-mask-terminals")
    told = answer(capsys, *CRITIC, "--policy", "data", *options)
    assert data.terminals.any()
    assert told["rows"] == int((~data.timeouts & ~data.terminals & (np.arange(60) < 59)).sum())


def test_shuffled_data_have_no_next_actions(capsys, tmp_path):
    data = ordered_data(EMBEDDED, tmp_path / "ordered.hdf5")
    order = np.arange(60)[::-1]
    arrays = {key: np.ascontiguousarray(array[order]) for key, array in data.arrays().items()}
    save_d4rl(dataclasses.replace(data, **arrays), tmp_path / "shuffled.hdf5")
    said = refusal(capsys, *CRITIC, "--policy", "data", "--data", tmp_path / "shuffled.hdf5")
    assert "no row that was drawn is followed by its next one" in said


def test_uniform_actions_fill_the_box_of_the_data_and_repeat_with_the_seed(home, capsys):
    data = load_d4rl(EMBEDDED)
    low, high = (end.astype(np.float64) for end in (data.actions.min(axis=0), data.actions.max(axis=0)))
    random = np.random.default_rng(5)
    told = answer(capsys, *CRITIC, "--policy", "uniform", *DATA, "--seed", 5)
    batch = batch_of(data, data.batch_rows(ROWS, 5))
    expected = measure(
        home[2]["critic"],
        batch,
        lambda s: random.uniform(low, high, (len(s), 3)),
        discount=0.99,
        population=len(load_d4rl(EMBEDDED)),
    )
    assert_same_numbers(told, expected)


# Ways of saving and naming


def renamed(state: dict[str, Any], prefix: str) -> dict[str, Any]:
    return {prefix + key: value for key, value in state.items()}


def test_every_usual_way_of_saving_gives_the_same_numbers(home, capsys, tmp_path):
    state, other = home[2]["critic"].state_dict(), home[2]["actor"].state_dict()
    torch.save({"models": {"critic": renamed(state, "module._orig_mod.")}}, tmp_path / "nested.pt")
    torch.save(renamed(state, "critic."), tmp_path / "prefixed.pt")
    torch.save(state, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    torch.save(state, tmp_path / "a#b.pt")
    save_file(renamed(state, "critic.") | renamed(other, "actor."), tmp_path / "both.safetensors")
    here = ("critic.pth", "critic.safetensors", "all.pt#critic")
    there = ("nested.pt#models.critic", "prefixed.pt#critic", "old.pt", "a#b.pt", "both.safetensors#critic")
    readings = [
        answer(capsys, "--critic", "networks.py:Critic", "--weights", weights, *ACTOR, *DATA)
        for weights in (*here, *(tmp_path / name for name in there))
    ]
    assert len({(reading["seem"], reading["q_mean"]) for reading in readings}) == 1


@pytest.mark.parametrize(
    "critic",
    [
        ("networks:Critic",),
        ("networks.py:small_critic",),
        ("networks.py:Critic", "--critic-arguments", '{"hidden": 8}'),
        ("networks.py:Deep", "--critic-arguments", '{"depth": 1, "width": 8}'),
    ],
)
def test_classes_and_functions_are_found_and_given_their_arguments(home, capsys, critic):
    told = answer(capsys, "--critic", *critic, "--weights", "critic.safetensors", *ACTOR, *DATA)
    data = load_d4rl(EMBEDDED)
    batch = batch_of(data, data.batch_rows(ROWS, 0))
    assert told["seem"] == measure(home[2]["critic"], batch, actions_of(home[2]["actor"]), discount=0.99).seem


# Verdicts


@pytest.mark.parametrize(("value", "text"), [(np.nan, "nan"), (np.inf, None)])
def test_weights_that_are_not_finite_are_a_finding(home, capsys, tmp_path, value, text):
    state = {key: array.clone() for key, array in home[2]["critic"].state_dict().items()}
    state["q1.0.weight"][0, 0] = value
    torch.save(state, tmp_path / "bad.pt")
    told = answer(capsys, "--critic", "networks.py:Critic", "--weights", tmp_path / "bad.pt", *ACTOR, *DATA)
    assert told["verdict"] == "diverged"
    assert told["seem"] == "nan" and (text is None or told["q_max"] == text)
    assert not Reading.from_dict(told).finite


def reading(**changes: Any) -> Reading:
    healthy: dict[str, Any] = {name: 0.0 for name in get_type_hints(Reading)}
    healthy |= {"step": 0, "rows": 8, "heads": "first", "fingerprint": "", "spectral_radius": None, "rate": 1e-5}
    healthy |= {"leading": (), "flow": (), "method": "", "by_sample": ()}
    healthy |= {"q_mean": 1.0, "q_max": 2.0, "normalized": 0.005}
    values: dict[str, Any] = {**healthy, **changes}
    return Reading(**values)


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({}, "stable"),
        ({"rate": 1e-3}, "watch"),
        ({"rate": 1e-3, "normalized": 1e-4}, "stable"),
        ({"rate": None}, "stable"),
        ({"rate": None, "normalized": 0.1}, "watch"),
        ({"q_mean": 101.0}, "watch"),
        ({"q_mean": 1001.0}, "diverged"),
        ({"q_max": np.inf}, "diverged"),
        ({"seem": np.nan, "rate": np.nan, "normalized": np.nan}, "diverged"),
    ],
)
def test_one_reading_is_stable_worth_watching_or_diverged(changes, verdict):
    assert judge_one(reading(**changes), 100.0)[0] == verdict


def test_without_a_bound_size_is_no_reason():
    assert judge_one(reading(q_mean=1e9, q_max=1e9), None)[0] == "stable"


def test_a_discount_of_one_has_no_bound(capsys):
    assert answer(capsys, *CRITIC, *ACTOR, *DATA, "--discount", 1)["reward_bound"] is None


# What people see


def test_every_number_of_a_reading_is_explained():
    assert {field.name for field in dataclasses.fields(Reading)} - {"step", "fingerprint"} <= dict(MEANINGS).keys()


def test_the_heads_that_can_be_chosen_are_those_of_the_instrument():
    assert get_type_hints(MeasureConfig)["heads"] == Heads


def test_a_process_prints_a_verdict_a_table_and_what_was_assumed(home):
    ended = seemrl("measure", *CRITIC, *ACTOR, *DATA, "--learning-rate", 1e-3, cwd=home[0])
    assert (ended.returncode, ended.stderr) == (0, "this module talks\n")
    first, *rest = ended.stdout.splitlines()
    assert first.split(":")[0] in ("stable", "watch")
    said = "\n".join(rest)
    for word in ("seem", "normalized", "q_max", "reward_bound", "298.5", "coupled", "updates"):
        assert word in said
    assert "critic built with state_dim=11, action_dim=3, from the data" in said
    assert "the rate is that of plain gradient steps, learning rate 0.001, a live target" in said


def test_a_process_prints_json_and_nothing_else(home):
    ended = seemrl("measure", *CRITIC, *ACTOR, *DATA, "--json", cwd=home[0])
    assert ended.returncode == 0
    assert json.loads(ended.stdout)["rate"] is None


def test_a_process_ends_with_2_and_one_line(home):
    ended = seemrl("measure", "--critic", "networks:Critic", "--weights", "no.pt", *ACTOR, *DATA, cwd=home[0])
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == "this module talks\nseemrl: error: --weights no.pt: no such file\n"


def test_help_and_refused_options_load_nothing_heavy():
    script = "import sys; from seemrl.cli import main\ntry: main(['measure', '--help'])\nexcept SystemExit: pass"
    lines = f"{script}\nprint(*sys.modules, file=sys.stderr)"
    ended = subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in ended.stderr.split()}
    assert not loaded & {"jax", "torch", "scipy", "h5py", "safetensors", "equinox"}


def test_without_torch_the_line_that_installs_it_is_told(home):
    hidden = (
        "import sys, importlib.util as u; find = u.find_spec\n"
        "u.find_spec = lambda name, *rest: None if name == 'torch' else find(name, *rest)\n"
        "from seemrl.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", hidden, "measure", *map(str, (*CRITIC, *ACTOR, *DATA))]
    ended = subprocess.run(command, cwd=home[0], capture_output=True, text=True)
    assert ended.returncode == 2
    assert ended.stderr.endswith("run: pip install 'seemrl[torch]'\n")
