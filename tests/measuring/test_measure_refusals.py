"""`seemrl measure`: every mistake of the user ends in one line that says what to do."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from saved_critics import ACTOR, CRITIC, DATA, ROWS, refusal, trained

from seemrl.data.d4rl import load_d4rl, save_d4rl
from seemrl_process import EMBEDDED


@pytest.fixture(scope="module", autouse=True)
def bad_files(home) -> None:
    directory, networks, parts = home
    state = parts["critic"].state_dict()
    torch.save(parts["critic"].q1, directory / "whole.pt")
    torch.save({"critic": state, "mean": np.float64(3)}, directory / "numpy.pt")
    torch.save([1, 2], directory / "list.pt")
    torch.save({"step": 3}, directory / "counter.pt")
    torch.save(
        {key: value for key, value in state.items() if "q1" not in key} | {"v.w": torch.ones(1)}, directory / "fewer.pt"
    )
    torch.save(networks.Critic(11, 3, 9).state_dict(), directory / "wider.pt")
    torch.save(torch.optim.Adagrad(parts["critic"].parameters()).state_dict(), directory / "adagrad.pt")
    torch.save(torch.optim.Adam(parts["critic"].parameters()).state_dict(), directory / "fresh.pt")
    torch.save(trained(networks)["critic_optimizer"].state_dict(), directory / "adam.pt")
    torch.save(torch.optim.Adam(parts["actor"].parameters()).state_dict(), directory / "other.pt")
    moments = trained(networks)["critic_optimizer"].state_dict()
    moments["state"][1]["exp_avg_sq"] = torch.ones(3)
    torch.save(moments, directory / "moments.pt")
    (directory / "half.pt").write_bytes((directory / "all.pt").read_bytes()[:2000])
    (directory / "half.safetensors").write_bytes((directory / "critic.safetensors").read_bytes()[:200])
    for name in ("empty.pt", "empty.safetensors", "weights.bin"):
        (directory / name).touch()
    (directory / "junk.pt").write_text("hello world")
    (directory / "folder.pt").mkdir()
    (directory / "failing.py").write_text("1 / 0")
    (directory / "ending.py").write_text("raise SystemExit(3)")
    (directory / "syntax.py").write_text("class")


BAD_CRITICS = {
    "Critic": "--critic Critic: give it as pkg.module:Class or path/to/file.py:Class",
    "networks.py:": "--critic networks.py:: give it as",
    "missing.py:Critic": "--critic missing.py:Critic: missing.py: no such file",
    "no.such:Critic": "--critic no.such:Critic: no.such cannot be imported (ModuleNotFoundError: No module named 'no')",
    "..x:Critic": "--critic ..x:Critic: ..x cannot be imported (TypeError",
    "failing.py:Critic": "--critic failing.py:Critic: failing.py cannot be imported (ZeroDivisionError: division",
    "failing:Critic": "--critic failing:Critic: failing cannot be imported (ZeroDivisionError",
    "ending.py:Critic": "--critic ending.py:Critic: ending.py cannot be imported (SystemExit: 3)",
    "syntax.py:Critic": "--critic syntax.py:Critic: syntax.py cannot be imported (SyntaxError: invalid syntax",
    "networks.py:Crtic": "--critic networks.py:Crtic: networks.py has no Crtic; it has Critic, Actor, Gaussian,",
    "networks.py:some_number": "--critic networks.py:some_number: a int, not a class",
    "networks.py:a_number": "--critic networks.py:a_number: it builds a int, not a torch.nn.Module",
    "networks.py:Refusing": "--critic networks.py:Refusing: it cannot be built with (state_dim=11, action_dim=3): "
    "RuntimeError: not today; check --critic-arguments",
    "networks.py:Deep": "--critic networks.py:Deep: Deep(depth, state_dim, action_dim, width) needs depth, width; "
    """give --critic-arguments '{"depth": ..., "width": ...}'""",
    "networks.py:Wide": "--critic networks.py:Wide: its output has shape (10, 14) for 10 rows",
    "networks.py:StatesOnly": "--critic networks.py:StatesOnly: its forward fails at float64 observations (10, 11) and",
    "networks.py:Choosy": "--critic networks.py:Choosy: no gradients per row can be taken of it (ValueError: for",
}


@pytest.mark.parametrize("critic", BAD_CRITICS)
def test_a_class_that_cannot_be_measured_is_refused(capsys, critic):
    said = refusal(capsys, "--critic", critic, "--weights", "critic.pth", *ACTOR, *DATA)
    assert said.startswith(BAD_CRITICS[critic])


BAD_WEIGHTS = {
    "none.pt": "--weights none.pt: no such file",
    "folder.pt": "--weights folder.pt: a directory",
    "weights.bin": "--weights weights.bin: it must end in .safetensors, .pt, .pth",
    "all.pt": "--weights all.pt: not a state dict, whose values are all tensors; choose all.pt#critic or",
    "all.pt#crtic": "--weights all.pt: it has no crtic; the keys there are actor, critic, critic_optimizer,",
    "all.pt#critic.q3": "--weights all.pt: it has no critic.q3; the keys there are q1.0.bias, q1.0.weight,",
    "all.pt#step": "--weights all.pt#step: not a state dict",
    "all.pt#actor": "--weights all.pt#actor: its keys are not those of the module (not in it: q1.0.weight, q1.0.bias, "
    "q1.2.weight, q1.2.bias, q2.0.weight and 3 more; only in it: net.0.weight, net.0.bias, net.2.weight, net.2.bias)",
    "critic.safetensors#x": "--weights critic.safetensors: it has no x; the keys there are q1.0.bias",
    "fewer.pt": "--weights fewer.pt: its keys are not those of the module (not in it: q1.0.weight, q1.0.bias, "
    "q1.2.weight, q1.2.bias; only in it: v.w)",
    "wider.pt": "--weights wider.pt: shapes are not those of the module (q1.0.weight is (9, 14), not (8, 14), ",
    "whole.pt": "--weights whole.pt: only tensors are read from it, since opening anything else may run code, and it "
    "holds torch.nn.modules.container.Sequential; save critic.state_dict() alone, or a safetensors file",
    "numpy.pt": "--weights numpy.pt: only tensors are read from it, since opening anything else may run code, and it "
    "holds numpy",
    "list.pt": "--weights list.pt: not a state dict, whose values are all tensors; save critic.state_dict()",
    "counter.pt": "--weights counter.pt: not a state dict, whose values are all tensors; save critic.state_dict()",
    "half.pt": "--weights half.pt: damaged, or not a state dict that torch.save wrote",
    "half.safetensors": "--weights half.safetensors: damaged, or not a safetensors file",
    "empty.pt": "--weights empty.pt: damaged, or not a state dict that torch.save wrote",
    "empty.safetensors": "--weights empty.safetensors: damaged, or not a safetensors file",
    "junk.pt": "--weights junk.pt: damaged, or not a state dict that torch.save wrote",
}


@pytest.mark.parametrize("weights", BAD_WEIGHTS)
def test_weights_that_do_not_fit_are_refused(capsys, weights):
    said = refusal(capsys, "--critic", "networks.py:Critic", "--weights", weights, *ACTOR, *DATA)
    assert said.startswith(BAD_WEIGHTS[weights])


BAD_POLICIES = {
    "nonsense": "--policy nonsense: give pkg.module:Class, path/to/file.py:Class or one of data, uniform, greedy",
    "networks.py:Actor": "--policy networks.py:Actor: its weights are missing; give --policy-weights FILE",
    "data --policy-weights actor.pth": "--policy-weights actor.pth: --policy data is no module and takes none",
    "uniform --policy-arguments {}": "--policy-arguments {}: --policy uniform is no module and takes none",
    "networks.py:Gaussian --policy-weights actor.pth": "--policy networks.py:Gaussian: its forward returns a tuple, "
    "but it must return the actions alone, a tensor (rows, action size); name a subclass",
    "networks.py:Distribution --policy-weights actor.pth": "--policy networks.py:Distribution: its forward returns",
    "networks.py:Broken --policy-weights actor.pth": "--policy networks.py:Broken: its forward fails at observations "
    "(10, 11) (ValueError: no); it must return the actions alone",
    "networks.py:Actor --policy-weights critic.pth": "--policy-weights critic.pth: its keys are not those of",
    "networks.py:Missing --policy-weights actor.pth": "--policy networks.py:Missing: networks.py has no Missing",
    "networks.py:Actor --policy-weights actor.pth --policy-arguments {": "--policy-arguments {: not JSON (",
}


@pytest.mark.parametrize("policy", BAD_POLICIES)
def test_a_policy_that_cannot_be_asked_is_refused(capsys, policy):
    assert refusal(capsys, *CRITIC, "--policy", *policy.split(), *DATA).startswith(BAD_POLICIES[policy])


BAD_OPTIONS = {
    "--discount 1.5": "--discount 1.5: it must be in [0, 1]",
    "--rows 0": f"{EMBEDDED}: cannot draw 0 rows",
    "--seed -1": f"{EMBEDDED}: cannot draw 10 rows with seed -1",
    "--data no.hdf5": "no.hdf5: no such file",
    "--heads all": "invalid choice 'all' for argument '--heads'",
    "--learning-rate -1": "learning_rate: -1.0 is outside [0, inf)",
    "--target-rate 2": "target_rate: 2.0 is outside (0, 1]",
    "--target-weights all.pt#target": "--target-weights all.pt: it has no target; the keys there are",
    "--critic-arguments [3]": "--critic-arguments [3]: not a JSON object; write '{\"hidden_size\": 256}'",
    '--critic-arguments {"width":8}': "--critic-arguments: Critic(state_dim, action_dim, hidden=8) has no param",
    '--critic-arguments {"hidden":"8"}': "--critic networks.py:Critic: it cannot be built with (state_dim=11, "
    "action_dim=3, hidden='8'): TypeError",
    "--optimizer adam": "--optimizer adam: its step depends on its state; give --optimizer-state FILE#key",
    "--optimizer sgd": "--optimizer sgd: its learning rate is not known; give --learning-rate or its state",
    "--optimizer-state no.pt": "--optimizer-state no.pt: no such file",
    "--optimizer-state all.pt": "--optimizer-state all.pt: not an optimizer's state, which has state and param_groups; "
    "choose all.pt#critic_optimizer",
    "--optimizer-state all.pt#critic": "--optimizer-state all.pt#critic: not an optimizer's state",
    "--optimizer-state adagrad.pt": "--optimizer-state adagrad.pt: of none of these optimizers: adam,",
    "--optimizer-state adam.pt --optimizer sgd": "--optimizer-state adam.pt: the state of adam, not of --optimizer sgd",
    "--optimizer-state other.pt": "--optimizer-state other.pt: not of this critic's optimizer (ValueError",
    "--optimizer-state moments.pt": "--optimizer-state moments.pt: not of this critic's optimizer (parameter 1 has "
    "shape (8,), its moments (3,))",
    "--optimizer-state fresh.pt": "optimizer: it has taken no step yet",
}


@pytest.mark.parametrize("options", BAD_OPTIONS)
def test_options_that_do_not_fit_are_refused(capsys, options):
    assert refusal(capsys, *CRITIC, *ACTOR, *DATA, *options.split()).startswith(BAD_OPTIONS[options])


def test_a_box_that_the_data_contradict_is_asked_for(capsys, tmp_path):
    data = load_d4rl(EMBEDDED)
    save_d4rl(dataclasses.replace(data, actions=2 * data.actions), tmp_path / "wide.hdf5")
    said = refusal(capsys, *CRITIC, *ACTOR, "--data", tmp_path / "wide.hdf5", "--rows", ROWS)
    assert said.endswith(
        """Actor(obs_dim, act_dim, max_action) needs max_action; give --policy-arguments '{"max_action": ...}'"""
    )


def test_nothing_in_a_file_of_weights_is_run(home, capsys):
    class Trap:
        def __reduce__(self) -> Any:
            return (Path.touch, (home[0] / "sprung",))

    torch.save({"critic": Trap()}, home[0] / "trap.pt")
    refusal(capsys, "--critic", "networks.py:Critic", "--weights", "trap.pt", *ACTOR, *DATA)
    assert not (home[0] / "sprung").exists()


def test_discrete_actions_need_the_greedy_policy(home, capsys):
    data = load_d4rl(EMBEDDED)
    discrete = dataclasses.replace(data, actions=np.arange(len(data)) % 3)
    discrete.save("discrete.hdf5")
    said = refusal(capsys, *CRITIC, "--data", "discrete.hdf5", "--policy", "uniform")
    assert said == "--policy uniform: the actions in discrete.hdf5 are discrete; give --policy greedy"
