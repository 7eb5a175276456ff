"""The command behind ``seemrl forecast``; imports nothing heavy until it runs."""

import json
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seemrl.errors import InputError
from seemrl.files import strict
from seemrl.instrument.forecast import Forecast, forecast_curve
from seemrl.instrument.forecast.curve import TARGET_RATE, CurveVerdicts, curve_verdicts
from seemrl.logs.config import ForecastConfig
from seemrl.logs.read import LoggedCurve, read_curve

_DISCOUNT = 0.99
_AT_ALARM = 4  # times its step, up to which the forecast at the alarm is drawn against what followed


@dataclass(frozen=True)
class Judged:
    """One log and everything said of it.

    Attributes:
        curve: what was read.
        settings: discount, target_rate and reward_bound that were used.
        verdicts: at each row.
        at_alarm: the forecast made when the curve was first called diverging; None if it never was.
        forecast: the last one.
    """

    curve: LoggedCurve
    settings: dict[str, float | None]
    verdicts: CurveVerdicts
    at_alarm: Forecast | None
    forecast: Forecast

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        first = self.verdicts.first("diverging")
        return {
            "file": self.curve.source,
            "label": self.curve.label,
            "step_column": self.curve.step_column,
            "q_column": self.curve.q_column,
            "rows": len(self.curve.steps),
            **self.settings,
            "alarm_step": None if first is None else self.verdicts.steps[first],
            "notes": self.curve.notes,
            "forecast": self.forecast.to_dict(),
        }


def run_forecast(config: ForecastConfig) -> list[Judged]:
    """Read the logs, print what they say, write what was asked for, and return it.

    Raises:
        InputError: a log or an option cannot be used; nothing is written.
        MissingPartError: reading or drawing needs a package that is not installed.
    """
    if not config.files:
        raise InputError("no log to read; name at least one file or directory")
    _check_outputs(config)
    judged = [_judge(file, config) for file in config.files]
    if config.out is not None:
        from seemrl.report.curves import CurveRecord, write_curves

        records = [
            CurveRecord(
                label=item.curve.label,
                source=f"{item.curve.source}, columns {item.curve.step_column} and {item.curve.q_column}",
                verdicts=item.verdicts,
                forecasts=[made for made in (item.at_alarm, item.forecast) if made is not None],
                reward_bound=item.settings["reward_bound"],
            )
            for item in judged
        ]
        notes = [f"{item.curve.label}: {note}" for item in judged for note in item.curve.notes]
        write_curves(records, Path(config.out), notes=notes)
    if config.png is not None:
        from seemrl.logs.picture import draw

        draw(judged, Path(config.png))
    _print(judged, config)
    return judged


def _print(judged: Sequence[Judged], config: ForecastConfig) -> None:
    if config.json:
        print(json.dumps(strict([item.to_dict() for item in judged]), indent=2, allow_nan=False))
    else:
        from rich.console import Console

        from seemrl.logs.shown import show

        show(judged, Console())
    for written in (config.out, config.png):
        if written is not None:
            print(written, file=sys.stderr if config.json else sys.stdout)


def _judge(file: str, config: ForecastConfig) -> Judged:
    curve = read_curve(file, step_column=config.step_column, q_column=config.q_column)
    settings = _settings(curve, config)
    discount, target_rate = float(settings["discount"] or 0.0), float(settings["target_rate"] or 0.0)
    reward_bound = settings["reward_bound"]
    try:
        forecast = forecast_curve(
            curve.steps,
            curve.q_values,
            discount=discount,
            reward_bound=reward_bound,
            target_rate=target_rate,
            depth=config.depth,
            horizon=config.horizon,
        )
        verdicts = curve_verdicts(
            curve.steps, curve.q_values, discount=discount, reward_bound=reward_bound, target_rate=target_rate
        )
        first, at_alarm = verdicts.first("diverging"), None
        if first is not None and verdicts.steps[first] < curve.steps[-1]:
            until = sum(step <= verdicts.steps[first] for step in curve.steps)
            at_alarm = forecast_curve(
                curve.steps[:until],
                curve.q_values[:until],
                discount=discount,
                reward_bound=reward_bound,
                target_rate=target_rate,
                depth=config.depth,
                horizon=min(max(2 * verdicts.steps[first], curve.steps[-1]), _AT_ALARM * verdicts.steps[first]),
            )
    except InputError as error:
        raise InputError(f"{curve.source}: {str(error).removeprefix('forecast_curve: ')}") from None
    return Judged(curve, settings, verdicts, at_alarm, forecast)


def _settings(curve: LoggedCurve, config: ForecastConfig) -> dict[str, float | None]:
    """What was asked for, else what the run states, else what most agents have."""
    usual = {"discount": _DISCOUNT, "target_rate": TARGET_RATE, "reward_bound": None}
    asked = {name: getattr(config, name) for name in usual}
    stated = {name: number for name, number in curve.settings.items() if name != "reward_bound" or number > 0}
    return {name: asked[name] if asked[name] is not None else stated.get(name, usual[name]) for name in usual}


def _check_outputs(config: ForecastConfig) -> None:
    """Refuse what cannot be written before the logs are read."""
    if config.out is not None:
        from seemrl.report.page import check_name

        check_name(Path(config.out))
    if config.png is not None:
        if Path(config.png).suffix.lower() != ".png":
            raise InputError(f"{config.png}: a picture is a PNG file; give --png a name that ends in .png")
        from seemrl.logs.picture import check_installed

        check_installed()
    if config.horizon is not None and not math.isfinite(config.horizon):
        raise InputError(f"--horizon {config.horizon}: not a step")
