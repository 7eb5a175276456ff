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
