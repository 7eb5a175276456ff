"""The example loop, as a reader runs it."""

import subprocess
import sys
from pathlib import Path

import torch

from seemrl.cli import main
from seemrl_process import EMBEDDED

LOOP = Path(__file__).parents[2] / "examples" / "torch_loop.py"
SMALL = ("--steps", "60", "--hidden", "8", "--batch-size", "16", "--rows", "8", "--layer-norm", "--alpha", "10")


def loop(*arguments: object, cwd: Path) -> str:
    command = [sys.executable, str(LOOP), *SMALL, *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=True).stdout


def test_readings_leave_training_as_it_was_and_its_checkpoint_can_be_measured(tmp_path, capsys):
    read = loop("--read-every", 20, "--checkpoint", "read.pt", cwd=tmp_path).splitlines()
    plain = loop("--read-every", 0, "--checkpoint", "plain.pt", "--data", EMBEDDED, cwd=tmp_path).splitlines()
    assert [line.split("  ")[0] for line in read[:3]] == ["step 20", "step 40", "step 60"]
    assert all("|Q|" in line and "rate" in line and line.endswith("stable") for line in read[:3])
    assert read[3].endswith("updates/s without readings") and " s in 3 readings, " in read[4]
    assert len(plain) == 2 and plain[1] == "0.0 s in 0 readings, 0.0% of the time"

    states = [torch.load(tmp_path / name, weights_only=True) for name in ("read.pt", "plain.pt")]
    assert torch.equal(*(torch.cat([part.ravel() for part in state["critic"].values()]) for state in states))
    assert torch.equal(*(torch.cat([part.ravel() for part in state["actor"].values()]) for state in states))

    critic = ("--critic", f"{LOOP}:Critic", "--critic-arguments", '{"hidden": 8, "layer_norm": true}')
    policy = ("--policy", f"{LOOP}:Actor", "--policy-arguments", '{"hidden": 8}')
    weights = ("--weights", f"{tmp_path}/read.pt#critic", "--policy-weights", f"{tmp_path}/read.pt#actor_target")
    others = ("--optimizer-state", f"{tmp_path}/read.pt#critic_optimizer", "--normalize-observations", "--rows", "8")
    assert main(["measure", *critic, *policy, *weights, *others, "--data", str(EMBEDDED)]) == 0
    assert "the rate is that of Adam in its saved state, learning rate 0.0003, a live target" in capsys.readouterr().out


def test_advice_is_printed_once_and_taken_in_place(tmp_path):
    free = ("--bc-weight", 0, "--tau", 1, "--learning-rate", 1e-3, "--hidden", 32, "--batch-size", 64, "--rows", 24)
    options = [*map(str, (*free, "--steps", 400, "--read-every", 40, "--on-diverging", "stabilize"))]
    command = [sys.executable, str(LOOP), *options, "--checkpoint", "cured.pt"]
    lines = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout.splitlines()
    alarm = next(number for number, line in enumerate(lines) if "diverging" in line)
    assert lines[alarm + 1].startswith("  ends it: LayerNorm in the critic: normalized SEEM 0.")
    assert sum("LayerNorm" in line for line in lines) == 1
    readings = [line for line in lines[alarm + 1 :] if line.startswith("step")]
    assert readings and all(line.endswith(("stable", "watch")) for line in readings)
    state = torch.load(tmp_path / "cured.pt", weights_only=True)
    assert "q1.0.normaliser.weight" in state["critic"] and "q1.0.normaliser.weight" in state["critic_target"]
    assert len(state["critic_optimizer"]["state"]) == len(state["critic"])
