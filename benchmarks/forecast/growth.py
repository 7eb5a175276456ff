"""How fast, by which law, until when? Growth, exponents and crash steps on the corpus."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.forecast.calls import Fate
from benchmarks.forecast.record import Record, StoredReading
from benchmarks.forecast.tables import Rows, Table, share
from seemrl.instrument.forecast import Forecast, forecast
from seemrl.instrument.forecast.path import ahead, growth_rate, known
from seemrl.instrument.forecast.reach import DIVERGED_FACTOR
from seemrl.instrument.forecast.track import Track
from seemrl.instrument.forecast.verdict import CRITICAL_COSINE

_AHEAD = 1 / 20  # of the run
_ENOUGH = 5  # readings before a forecast of growth is scored
_SETTLED = 4  # cosines in a row above 0.99
_GROWS = 0.01  # growth of log|Q| over the window that can be compared
_LARGEST = 1e8  # mean |Q| up to which a curve is read
_PARTS = (0.5, 0.6, 0.75, 0.9)  # of the way to the crash
_POINTS = 3  # stops of a window, at least


def family(record: Record) -> str:
    """Step rule, target rate and learner."""
    learner = record.settings["learner"]
    rule = learner.get("optimizer", "adam").replace("momentum", "sgd with momentum")
    kind = "toy maze" if record.settings["source"] == "toy maze" else "TD3, twin critics"
    norm = ", normalised" if record.depth is None else ""
    return f"{kind}, {rule}, target rate {learner['target_rate']:g}{norm}"


@dataclass(frozen=True)
class Window:
    """Growth of log mean |Q| per step over the next twentieth of a run: seen, and foretold in three ways.

    Attributes:
        seen: slope of a line through the stops.
        ours: flow, corrected.
        flow: of the last reading as it is: nothing fitted.
        mode: the fastest mode's rate.
        kept: the slope since the reading before.
        around: what the windows just before and after lead to expect; None at an end. It knows the future, and still
            misses by the noise of |Q|.
    """

    seen: float
    ours: float
    flow: float
    mode: float
    kept: float
    around: float | None


def windows(record: Record) -> list[Window]:
    """Every reading past the critical point whose next twentieth was recorded and grows."""
    steps, q = np.array(record.steps, float), np.array(record.q_mean)
    fine = np.isfinite(q) & (q < _LARGEST) & (q > 0)
    steps, logs = steps[fine], np.log(q[fine])
    width = max(steps[-1] * _AHEAD, (_POINTS - 1) * (steps[1] - steps[0]))
    found, settled = list[Window](), 0
    for number, reading in enumerate(record.readings):
        settled = settled + 1 if (reading.cosine or 0.0) > CRITICAL_COSINE else 0
        track = Track.of(record.readings[: number + 1], record.optimizer, record.depth)
        if track is None or len(track.readings) < _ENOUGH or settled < _SETTLED:
            continue
        if not reading.flow or reading.q_mean > _LARGEST:
            continue
        at = reading.step
        seen = _slope(steps, logs, at, width)
        if seen is None or seen * width < _GROWS:
            continue
        before, after = _slope(steps, logs, at - width, width), _slope(steps, logs, at + width, width)
        around = (before * after) ** 0.5 if before and after and min(before, after) > 0 else None
        chosen = steps[(steps >= at) & (steps <= at + width)] - at
        flow, ours = (
            _line(chosen, np.array([ahead(reading, float(step)) for step in chosen])),
            _line(chosen, track.path(chosen)),
        )
        previous = track.readings[-2]
        kept = float(np.log(reading.q_mean / previous.q_mean)) / (at - previous.step)
        found.append(Window(seen, ours, flow, reading.rate or 0.0, kept, around))
    return found


def _slope(steps: np.ndarray, logs: np.ndarray, start: float, width: float) -> float | None:
    inside = (steps >= start) & (steps <= start + width)
    if inside.sum() < _POINTS or steps[-1] < start + width:
        return None
    return float(np.polyfit(steps[inside], logs[inside], 1)[0])


def _line(steps: np.ndarray, growth: np.ndarray) -> float:
    """Slope of a line through the growth foretold at the steps ahead."""
    return float(np.polyfit(steps, growth, 1)[0])


def growth_table(records: Sequence[Record]) -> Table:
    """Median relative errors by family; each run counts by its own median."""
    by_family: dict[str, list[list[Window]]] = {}
    for record in records:
        found = windows(record)
        if found:
            by_family.setdefault(family(record), []).append(found)
    ways = ("ours", "flow", "mode", "kept", "around")
    rows: Rows = []
    for name, runs in sorted(by_family.items()):
        errors = [_median_error(runs, way) for way in ways]
        rows.append([name, f"{len(runs)}, {sum(map(len, runs))}", *errors])
    headings = ["runs", "runs, windows", "forecast", "flow, nothing fitted", "fastest mode", "last slope kept",
                "both neighbours (knows the future)"]  # fmt: skip
    return Table("How fast? Median relative error of d log abs(Q) / d step, next twentieth", headings, rows)


def _median_error(runs: Sequence[Sequence[Window]], way: str) -> str:
    medians = []
    for run in runs:
        pairs = [(getattr(window, way), window.seen) for window in run]
        errors = [abs(value / seen - 1) for value, seen in pairs if value is not None]
        if errors:
            medians.append(np.median(errors))
    return f"{np.median(medians):.1%}" if medians else "-"


def law_table(records: Sequence[Record]) -> Table:
    """Exponents fitted to readings of homogeneous critics towards a live target, against theory."""
    laws: Sequence[tuple[str, str, Callable[[int], float], Callable[[Record], float | None]]] = (
        ("sgd", "d log SEEM / d log abs(Q)", lambda depth: (2 * depth - 2) / depth, _kernel_exponent),
        ("adam", "d log abs(Q) / d log norm of the weights", float, _weight_exponent),
        ("adam", "d(1/rate) / d step, lag of the moments taken out", lambda depth: 1 / depth, _lag_free_slope),
        ("adam", "the same as it is", lambda depth: 1 / depth, _slope_of_inverse_rate),
    )
    rows: Rows = []
    for rule, what, theory, fit in laws:
        for depth in (2, 3, 4):
            fitted = [value for record in records if _obeys(record, rule, depth) and (value := fit(record))]
            if fitted:
                middle, wanted = float(np.median(fitted)), theory(depth)
                off = f"{middle / wanted - 1:+.1%}"
                rows.append([rule, what, str(depth), str(len(fitted)), f"{wanted:.3f}", f"{middle:.3f}", off])
    headings = ["step rule", "exponent", "L", "runs", "theory", "median fitted", "off by"]
    return Table("Which law? Crashing runs of the toy maze, target rate 1", headings, rows)


def _obeys(record: Record, rule: str, depth: int) -> bool:
    crashed = record.settings["source"] == "toy maze" and Fate.of(record).crashed is not None
    plain = crashed and record.settings["learner"]["target_rate"] == 1.0
    return plain and record.depth == depth and record.optimizer == rule


def _law_readings(record: Record) -> list[StoredReading]:
    return [reading for reading in record.readings if known(reading) and reading.q_mean < _LARGEST]


def _fitted(across: Sequence[float], up: Sequence[float]) -> float | None:
    return float(np.polyfit(across, up, 1)[0]) if len(across) >= _POINTS else None


def _kernel_exponent(record: Record) -> float | None:
    """Of the last factor 100 of |Q|."""
    history = _law_readings(record)
    chosen = [reading for reading in history if reading.q_mean > history[-1].q_mean / 100 and reading.seem > 0]
    return _fitted([np.log(reading.q_mean) for reading in chosen], [np.log(reading.seem) for reading in chosen])


def _weight_exponent(record: Record) -> float | None:
    """Of the last half of the steps; the network's homogeneity."""
    history = _law_readings(record)
    chosen = [reading for reading in history if reading.step > history[-1].step / 2]
    return _fitted([np.log(reading.parameter_norm) for reading in chosen],
                   [np.log(reading.q_mean) for reading in chosen])  # fmt: skip


def _lag_free_slope(record: Record) -> float | None:
    """Of the last half of the steps, each counted as long as the moments make it."""
    track = Track.of(_law_readings(record), "adam", record.depth)
    if track is None:
        return None
    longer = np.array([moments.step for moments in track.moments])
    steps = np.array([reading.step for reading in track.readings], float)
    walked = np.append(0.0, np.cumsum(np.diff(steps) * (longer[1:] + longer[:-1]) / 2))
    inverse = [1 / (moments.size * max(growth_rate(reading), 1e-30))
               for reading, moments in zip(track.readings, track.moments, strict=True)]  # fmt: skip
    late = steps > steps[-1] / 2
    return _fitted(walked[late].tolist(), np.array(inverse)[late].tolist())


def _slope_of_inverse_rate(record: Record) -> float | None:
    history = _law_readings(record)
    chosen = [reading for reading in history if reading.step > history[-1].step / 2]
    return _fitted([reading.step for reading in chosen], [1 / max(growth_rate(reading), 1e-30) for reading in chosen])


def crash_table(records: Sequence[Record]) -> Table:
    """Crash steps forecast on the way: live targets and homogeneous critics."""
    rows: Rows = []
    for name, rules in (("SGD, with and without momentum", ("sgd", "momentum")), ("Adam", ("adam",))):
        crashing = [(record, crash) for record in records if _live(record, rules) and (crash := _crash_step(record))]
        for part in _PARTS:
            made = [(crash, _forecast_at(record, part * crash)) for record, crash in crashing]
            spoken = [(crash, told) for crash, told in made if told is not None]
            errors = [abs(told.crash_step / crash - 1) for crash, told in spoken if told.crash_step is not None]
            inside = sum(_inside(told, crash) for crash, told in spoken)
            middle = f"{np.median(errors):.0%}" if errors else "-"
            rows.append([name, f"{part:.0%}", middle, share(inside, len(spoken)), str(len(made) - len(spoken))])
    headings = ["homogeneous critic, target rate 1", "of the way", "median error of the crash step",
                "inside the 90% interval", "too early to say"]  # fmt: skip
    return Table("When? Forecasts of the step at which mean abs(Q) passes ten bounds", headings, rows)


def _crash_step(record: Record) -> float | None:
    """Where mean |Q| passes ten bounds, on a line of log|Q| between the stops around it; None if it does not."""
    crashed = Fate.of(record).crashed
    if not crashed:
        return None
    after = record.steps.index(crashed)
    logs = [math.log(max(q, 1e-300)) for q in record.q_mean[after - 1 : after + 1]]
    if not math.isfinite(logs[1]):
        return float(crashed)
    share_of_gap = (math.log(DIVERGED_FACTOR * record.reward_bound) - logs[0]) / (logs[1] - logs[0])
    return record.steps[after - 1] + share_of_gap * (crashed - record.steps[after - 1])


def _forecast_at(record: Record, step: float) -> Forecast | None:
    """The forecast by then; None where it names no crash step."""
    history = [reading for reading in record.readings if reading.step <= step]
    if not history:
        return None
    made = forecast(history, reward_bound=record.reward_bound, optimizer=record.optimizer, depth=record.depth)
    return made if made.crash_step is not None else None


def _inside(made: Forecast, crash: float) -> bool:
    if made.crash_interval is None:
        return False
    low, high = made.crash_interval
    return low <= crash and (high is None or crash <= high)


def _live(record: Record, rules: Sequence[str]) -> bool:
    """No normaliser, no averaging, one of these step rules."""
    learner = record.settings["learner"]
    return record.depth is not None and learner["target_rate"] == 1.0 and learner.get("optimizer", "adam") in rules
