"""Run directories as a report reads them: plain files, no trainer, no JAX."""

import json
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from seemrl.errors import InputError
from seemrl.files import read_json_lines

FORMAT = 1
VERDICTS = ("stable", "watch", "diverging", "diverged")

Row = dict[str, Any]

_READING_NUMBERS = ("seem", "normalized", "rate", "q_mean", "q_max", "parameter_norm", "ntk_cosine")
_EVALUATION_NUMBERS = ("return_mean", "return_std", "score_mean")
_REMEDY_TEXTS = ("name", "standing", "action", "effect", "obtained")
_REMEDY_NUMBERS = ("normalized_before", "normalized_after", "rate_before", "rate_after")
_SIGN_TEXTS = ("name", "seen", "action")


@dataclass(frozen=True)
class RunRecord:
    """What one run directory says, its numbers checked.

    Attributes:
        path: the run directory.
        config: ``config.json`` as it stands.
        metrics: rows of ``metrics.jsonl``.
        readings: rows of ``readings.jsonl``; numbers are floats (perhaps not finite) or None, each has a ``forecast``.
        evaluations: rows of ``evaluations.jsonl``.
        label: short human name of the run; any text.
        reward_bound: max|r| / (1 - discount); NaN when the run does not know it.
        advice: step, remedies and signs of ``advice.json``; None where no advice was given.
    """

    path: Path
    config: Row
    metrics: list[Row]
    readings: list[Row]
    evaluations: list[Row]
    label: str
    reward_bound: float
    advice: Row | None = None


def read_run(path: str | Path) -> RunRecord:
    """Read one run directory; a run that has just begun may hold ``config.json`` alone.

    Raises:
        InputError: the directory is missing or no run, or one of its files is broken; names the file and the line.
    """
    run = Path(path)
    config = _read_config(run)
    return RunRecord(
        path=run,
        config=config,
        metrics=_read_rows(run / "metrics.jsonl", _checked_row),
        readings=_read_rows(run / "readings.jsonl", _checked_reading),
        evaluations=_read_rows(run / "evaluations.jsonl", _checked_evaluation),
        label=str(config.get("label") or run.resolve().name),
        reward_bound=_reward_bound(run, config),
        advice=_read_advice(run / "advice.json"),
    )


def told_apart(runs: Sequence[RunRecord]) -> list[RunRecord]:
    """The runs, those of the same label numbered."""
    counts = Counter(run.label for run in runs)
    seen: Counter[str] = Counter()
    named: list[RunRecord] = []
    for run in runs:
        seen[run.label] += 1
        named.append(replace(run, label=f"{run.label} #{seen[run.label]}") if counts[run.label] > 1 else run)
    return named


def _read_config(run: Path) -> Row:
    file = run / "config.json"
    if not run.exists():
        raise InputError(f"{run}: no such run directory; give one that `seemrl train` or a monitor wrote")
    if not file.is_file():
        raise InputError(
            f"{run}: not a run directory (it has no config.json); give one that `seemrl train` or a monitor wrote"
        )
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise InputError(f"{file}: not JSON (line {error.lineno}: {error.msg}); restore the file") from None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{file}: cannot be read ({_one_line(error)})") from None
    if not isinstance(config, dict):
        raise InputError(f"{file}: not a JSON object; restore the file")
    if config.get("format") != FORMAT:
        raise InputError(
            f"{file}: format {config.get('format')!r} is unknown, this seemrl reads format {FORMAT}; "
            "use the seemrl version that wrote the run"
        )
    return config


def _read_advice(file: Path) -> Row | None:
    if not file.exists():
        return None
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        return {
            "step": int(found["step"]),
            "remedies": [
                {key: str(remedy[key]) for key in _REMEDY_TEXTS}
                | {key: _number(remedy, key) for key in _REMEDY_NUMBERS}
                for remedy in found["remedies"]
            ],
            "signs": [{key: str(sign[key]) for key in _SIGN_TEXTS} for sign in found["signs"]],
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise InputError(
            f"{file}: not the advice that seemrl writes ({type(error).__name__}); restore or remove the file"
        ) from None


def _reward_bound(run: Path, config: Row) -> float:
    try:
        bound = _number(config, "reward_bound")
    except ValueError as error:
        raise InputError(f"{run / 'config.json'}: {error}") from None
    return math.nan if bound is None else bound


def _read_rows(file: Path, checked: Callable[[Row], Row]) -> list[Row]:
    try:
        rows = read_json_lines(file)
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(_one_line(error)) from None
    good: list[Row] = []
    for line, row in enumerate(rows, start=1):
        try:
            good.append(checked(row))
        except ValueError as error:
            raise InputError(f"{file}: line {line}: {error}") from None
    return good


def _checked_row(row: Row) -> Row:
    step = row.get("step")
    if not isinstance(step, int) or isinstance(step, bool) or step < 0:
        raise ValueError("step is not a whole number")
    return row


def _checked_evaluation(row: Row) -> Row:
    return _checked_row(row) | {key: _number(row, key) for key in _EVALUATION_NUMBERS}


def _checked_reading(row: Row) -> Row:
    numbers = {key: _number(row, key) for key in _READING_NUMBERS}
    return _checked_row(row) | numbers | {"forecast": _checked_forecast(row.get("forecast"), row["step"])}


def _checked_forecast(forecast: Any, step: int) -> Row:
    if not isinstance(forecast, Mapping):
        raise ValueError("forecast is not an object")
    if forecast.get("verdict") not in VERDICTS:
        raise ValueError(f"forecast: verdict {forecast.get('verdict')!r} is none of {', '.join(VERDICTS)}")
    return {
        "step": step,
        "verdict": forecast["verdict"],
        "law": str(forecast.get("law") or "none"),
        "law_text": str(forecast.get("law_text") or ""),
        "rate": _number(forecast, "rate"),
        "probability": _number(forecast, "probability"),
        "critical_point": _number(forecast, "critical_point"),
        "crash_step": _number(forecast, "crash_step"),
        "crash_interval": _checked_interval(forecast.get("crash_interval")),
        "curve": _checked_curve(forecast.get("curve")),
        "reasons": _texts(forecast.get("reasons")),
    }


def _checked_interval(interval: Any) -> list[float] | None:
    """Low and high; the high end is infinite where the file has null: enough forecast paths never get there."""
    if interval is None:
        return None
    if not isinstance(interval, list) or len(interval) != 2:
        raise ValueError("forecast: crash_interval is not a pair of numbers")
    low, high = interval
    return [_as_float(low, "crash_interval"), math.inf if high is None else _as_float(high, "crash_interval")]


def _checked_curve(curve: Any) -> dict[str, list[float]] | None:
    if curve is None:
        return None
    if not isinstance(curve, Mapping):
        raise ValueError("forecast: curve is not an object")
    columns = {key: _numbers(curve, key) for key in ("steps", "low", "middle", "high")}
    if len({len(column) for column in columns.values()}) != 1:
        raise ValueError("forecast: the columns of curve differ in length")
    return columns


def _texts(value: Any) -> list[str]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise ValueError("forecast: reasons is not a list")
    return [str(item) for item in value]


def _number(row: Mapping[str, Any], key: str) -> float | None:
    value = row.get(key)
    if value is None:
        return None
    return _as_float(value, key)


def _numbers(row: Mapping[str, Any], key: str) -> list[float]:
    values = row.get(key)
    if not isinstance(values, list):
        raise ValueError(f"{key} is not a list of numbers")
    return [_as_float(value, key) for value in values]


def _as_float(value: Any, key: str) -> float:
    """The number, also when strict JSON had to keep it as the text ``nan``, ``inf`` or ``-inf``."""
    if isinstance(value, int | float | str) and not isinstance(value, bool):
        try:
            return float(value)
        except (ValueError, OverflowError):
            pass
    raise ValueError(f"{key} is not a number: {str(value)[:40]!r}")


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())
