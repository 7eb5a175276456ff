"""Small run directories with realistic numbers, written as training writes them."""

import json
import math
from pathlib import Path

from seemrl.files import write_json, write_json_lines

HOSTILE = "</script><img src=x onerror=alert(1)>"
BOUND = 100.0


def write_config(run: Path, label: str, **settings: object) -> Path:
    run.mkdir(parents=True, exist_ok=True)
    config = {
        "format": 1,
        "seemrl_version": "0.1.0",
        "agent": "td3_bc",
        "config": {
            "data": "hopper-random.hdf5",
            "seed": 0,
            "steps": 6000,
            "batch_size": 256,
            "discount": 0.99,
            "target_rate": 1.0,
            "learning_rate": 3e-4,
            "hidden_sizes": [256, 256],
            "critic_norm": "none",
            "bc_weight": 0.0,
            "label": label,
            "out": str(run),
        }
        | settings,
        "data": {
            "source": "hopper-random.hdf5",
            "environment": "Hopper-v5",
            "rows": 19_800,
            "fingerprint": "5f1c" * 16,
            "max_abs_reward": 1.0,
            "observation_size": 11,
            "action_size": 3,
        },
        "reward_bound": BOUND,
        "label": label,
    }
    write_json(run / "config.json", config)
    return run


def diverging_run(run: Path, label: str = "TD3, no normaliser", *, evaluations: bool = True) -> Path:
    """|Q| grows as the cube of the step from 1 to about 1e5, then is infinite and not a number."""
    write_config(run, label)
    rows = [_diverging_reading(step) for step in range(0, 6001, 250)]
    write_json_lines(run / "readings.jsonl", rows)
    write_json_lines(run / "metrics.jsonl", _metrics(6000))
    if evaluations:
        write_json_lines(
            run / "evaluations.jsonl", [_evaluation(step, 3.0 - step / 3000) for step in (2000, 4000, 6000)]
        )
    return run


def healthy_run(run: Path, label: str = "TD3, LayerNorm critic", *, evaluations: bool = True) -> Path:
    """|Q| levels off at 90, below the bound; SEEM shows one isolated spike."""
    write_config(run, label, critic_norm="layer")
    rows = [_healthy_reading(step) for step in range(0, 6001, 250)]
    write_json_lines(run / "readings.jsonl", rows)
    write_json_lines(run / "metrics.jsonl", _metrics(6000))
    if evaluations:
        write_json_lines(
            run / "evaluations.jsonl", [_evaluation(step, 3.0 + step / 600) for step in (2000, 4000, 6000)]
        )
    return run


def _diverging_reading(step: int) -> dict[str, object]:
    q_mean = {5750: math.inf, 6000: math.nan}.get(step, _cubic(step))
    calm, early = step < 500, step < 1000
    verdict = "stable" if calm else "watch" if early else "diverging" if q_mean <= 10 * BOUND else "diverged"
    called = verdict == "diverging"
    ahead = list(range(step, 9001, 500))
    forecast = {
        "step": step,
        "verdict": verdict,
        "law": "power" if called else "none",
        "law_text": "|Q| ~ t^3.0 under Adam, 3 layers" if called else "",
        "rate": 3.0 / max(step, 1),
        "critical_point": 1000 if step >= 1000 else None,
        "crash_step": 1417.0 if called else None,
        "crash_interval": [1180.0, 1790.0] if called else None,
        "curve": {
            "steps": ahead,
            "low": [_cubic(t) * (max(t, 1) / max(step, 1)) ** -0.5 for t in ahead],
            "middle": [_cubic(t) for t in ahead],
            "high": [_cubic(t) * (max(t, 1) / max(step, 1)) ** 0.8 for t in ahead],
        }
        if called
        else None,
        "reasons": [
            f"normalised SEEM was {0.76 - step / 2e5:.3f} at step {step}, positive in the last 3 readings",
            f"NTK cosine was 0.996 at step {step}: the kernel's direction has settled",
        ]
        if not early
        else [f"normalised SEEM was positive at step {step}, not yet in 3 readings"],
    }
    broken = math.nan if not math.isfinite(q_mean) else None
    return {
        "step": step,
        "seem": broken or 120.0 + step,
        "normalized": broken or (0.0014 if step == 0 else 0.78 - step / 1e5),
        "rate": None if step == 0 else broken or 3.0 / step,
        "spectral_radius": 1.2,
        "q_mean": q_mean,
        "q_max": q_mean * 3,
        "parameter_norm": 13.4 + 0.123 * step,
        "seconds": 0.4,
        "rows": 512,
        "heads": "coupled",
        "fingerprint": "AAAA",
        "ntk_cosine": None if step == 0 else 1.0 - 0.46 * math.exp(-step / 200),
        "forecast": forecast,
    }


def _healthy_reading(step: int) -> dict[str, object]:
    return {
        "step": step,
        "seem": 0.4,
        "normalized": 0.05 if step == 2000 else 0.01 * math.sin(step / 300),
        "rate": 1e-4 * math.cos(step / 400),
        "spectral_radius": 1.0,
        "q_mean": 0.06 + 90 * (1 - math.exp(-step / 1500)),
        "q_max": 120.0,
        "parameter_norm": 13.4 + 20 * (1 - math.exp(-step / 3000)),
        "seconds": 0.4,
        "rows": 512,
        "heads": "coupled",
        "fingerprint": "AAAA",
        "ntk_cosine": None if step == 0 else 0.9 + 0.05 * math.sin(step / 500),
        "forecast": {
            "step": step,
            "verdict": "watch" if step == 2000 else "stable",
            "law": "none",
            "law_text": "",
            "rate": None,
            "critical_point": None,
            "crash_step": None,
            "crash_interval": None,
            "curve": None,
            "reasons": [f"normalised SEEM stays within ±0.02, last read at step {step}"],
        },
    }


def _cubic(step: int) -> float:
    return 1.0 + 1e5 * (step / 6000) ** 3


def _metrics(steps: int) -> list[dict[str, object]]:
    return [
        {"step": step, "critic_loss": 1.0, "actor_loss": -1.0, "q_mean": 1.0, "updates_per_second": 180.0}
        for step in range(100, steps + 1, 100)
    ]


def _evaluation(step: int, score: float) -> dict[str, object]:
    return {
        "step": step,
        "episodes": 10,
        "return_mean": 32.5 * score,
        "return_std": 12.0,
        "score_mean": score,
        "environment": "Hopper-v5",
        "returns": [1.0, 2.0],
    }


def append_text(file: Path, text: str) -> None:
    with file.open("a", encoding="utf-8") as handle:
        handle.write(text)


def change_config(run: Path, **changes: object) -> None:
    config = json.loads((run / "config.json").read_text(encoding="utf-8"))
    write_json(run / "config.json", config | changes)
