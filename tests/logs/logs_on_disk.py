"""One Q curve, written as the loggers that people use write it."""

import json
from pathlib import Path

import numpy as np

STEPS = np.arange(1, 121) * 1000
_FILLED = 100 * -np.expm1(-STEPS / 20_000)
_GROWN = np.where(STEPS > 80_000, np.expm1((STEPS - 80_000) / 5_000), 0)
Q_VALUES = (_FILLED + _GROWN).astype(np.float32).astype(float)
"""A plateau at 100, and from step 80,000 on exponential growth; float32 numbers, so that event files hold them too."""


def rows():
    return zip(STEPS.tolist(), Q_VALUES.tolist(), strict=True)


def csv(path: Path) -> Path:
    path.write_text(
        "epoch,step,critic_loss,mean_q\n" + "".join(f"{n},{s},0.5,{q!r}\n" for n, (s, q) in enumerate(rows()))
    )
    return path


def stable_baselines(path: Path) -> Path:
    """progress.csv: blank cells, a metric's group before the slash, columns in any order."""
    lines = ["train/q_mean,time/fps,time/total_timesteps,train/ent_coef"]
    for step, q_mean in rows():
        lines += [f",31,{step - 500},0.1", f"{q_mean!r},31,{step},0.1"]
    path.write_text("\n".join(lines) + "\n")
    return path


def wandb_export(path: Path) -> Path:
    lines = ['"Step","neat-lake-3 - critic/q1","neat-lake-3 - critic/q1__MIN","neat-lake-3 - critic/q1__MAX"']
    lines += [f'"{step}","{q!r}","{q!r}","{q!r}"' for step, q in rows()]
    path.write_text("\n".join(lines) + "\n")
    return path


def d3rlpy_directory(path: Path) -> Path:
    """One file a metric, without headings, beside the parameters."""
    path.mkdir()
    (path / "params.json").write_text("{}")
    for name, factor in (("average_value", 1.0), ("critic_loss", 2.0), ("environment", -1.0)):
        lines = (f"{number},{step},{factor * q!r}\n" for number, (step, q) in enumerate(rows(), start=1))
        (path / f"{name}.csv").write_text("".join(lines))
    return path


def json_lines(path: Path) -> Path:
    lines = [json.dumps({"_step": step, "train": {"q_mean": q, "critic_loss": 1.0}, "note": "x"}) for step, q in rows()]
    path.write_text("\n".join(lines) + "\n" + '{"_step": 1, "tra')
    return path


def json_list(path: Path) -> Path:
    path.write_text(json.dumps([{"global_step": step, "losses/qf1_values": q} for step, q in rows()]))
    return path


def parquet(path: Path) -> Path:
    import pyarrow
    from pyarrow.parquet import write_table

    write_table(pyarrow.table({"step": STEPS, "mean_q": Q_VALUES}), path)
    return path


def events(path: Path) -> Path:
    """A directory of event files, as torch's and tensorboardX's writers leave it."""
    from tensorboardX import SummaryWriter

    writer = SummaryWriter(str(path))
    for step, q_mean in rows():
        writer.add_scalar("metrics/q_value", q_mean, step)
        writer.add_scalar("metrics/critic_loss", 1.0, step)
    writer.close()
    return path


def run_directory(path: Path, **stated: float) -> Path:
    """What `seemrl train` writes."""
    path.mkdir()
    settings = {"discount": 0.99, "target_rate": 0.005} | stated
    bound = settings.pop("reward_bound", 150.0)
    (path / "config.json").write_text(json.dumps({"format": 1, "config": settings, "reward_bound": bound}))
    lines = [json.dumps({"step": step, "q_mean": q, "seem": 0.1}) for step, q in rows()]
    (path / "readings.jsonl").write_text("\n".join(lines) + "\n")
    return path


WRITERS = {
    "log.csv": csv,
    "progress.csv": stable_baselines,
    "wandb.csv": wandb_export,
    "d3rlpy_logs": d3rlpy_directory,
    "history.jsonl": json_lines,
    "log.json": json_list,
    "curves.parquet": parquet,
    "tensorboard": events,
    "run": run_directory,
}
