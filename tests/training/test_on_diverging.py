"""What a run does at its first alarm."""

import json
from dataclasses import replace

from small_runs import begin, complete, resume
from test_advice import DIVERGING

from seemrl.files import read_json_lines
from seemrl.training.checkpoint import checkpoints


def verdicts(run):
    return {row["step"]: row["forecast"]["verdict"] for row in read_json_lines(run / "readings.jsonl")}


def stopped(run):
    return json.loads((run / "stopped.json").read_text())


def test_stop_ends_at_the_alarm_with_a_checkpoint_there(tmp_path):
    run = complete(begin(tmp_path / "run", DIVERGING, on_diverging="stop"))
    last = max(verdicts(run))
    assert last < DIVERGING.steps
    assert [step for step, verdict in verdicts(run).items() if verdict.startswith("diverg")] == [last]
    assert checkpoints(run / "checkpoints")[-1].name == f"step_{last:09d}"
    assert stopped(run)["step"] == stopped(run)["checkpoint"] == last


def test_rollback_leaves_a_stable_checkpoint_as_the_newest(tmp_path):
    run = complete(begin(tmp_path / "run", DIVERGING, on_diverging="rollback"))
    newest = int(checkpoints(run / "checkpoints")[-1].name.removeprefix("step_"))
    assert newest == stopped(run)["checkpoint"] < stopped(run)["step"]
    assert {verdict for step, verdict in verdicts(run).items() if step <= newest} <= {"stable"}


def test_a_stopped_run_goes_on_when_told_to(tmp_path):
    stopped_run = complete(begin(tmp_path / "stopped", DIVERGING, on_diverging="stop"))
    run = resume(stopped_run, DIVERGING, on_diverging="warn")
    step = run.step
    next(run.train())
    assert run.step > step and not (stopped_run / "stopped.json").exists()


def test_no_best_policy_is_kept_from_after_a_rollback(tmp_path):
    scored = replace(DIVERGING, env="Hopper-v5", evaluate_every=DIVERGING.read_every, evaluation_episodes=1)
    run = complete(begin(tmp_path / "run", scored, on_diverging="rollback"))
    best = run / "checkpoints" / "best" / "checkpoint.json"
    assert not best.exists() or json.loads(best.read_text())["step"] <= stopped(run)["checkpoint"]
