"""Will it diverge, and how early is that known? Calls and scores on the corpus, beside simpler rules."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

import numpy as np

from benchmarks.forecast.record import Record
from benchmarks.forecast.tables import Rows, Table, area_told, share
from seemrl.instrument.forecast.chance import probability
from seemrl.instrument.forecast.path import known
from seemrl.instrument.forecast.reach import DIVERGED_FACTOR, HORIZON, margin
from seemrl.instrument.forecast.verdict import follow
from seemrl.instrument.reading import Reading

_EARLY = 0.1  # of a run
_CHANCES = (0.0, 0.1, 0.3, 0.7, 0.9, 1.01)  # ends of the bins of a reliability table
_THRESHOLDS = np.geomspace(1e-3, 0.8, 40)  # of normalized SEEM and of |Q| over the bound

Rule = Callable[[Record], float | None]
"""The step at which a rule calls a run, or None."""


@dataclass(frozen=True)
class Fate:
    """What became of a run.

    Attributes:
        passed: step at which mean |Q| passed the reward bound; None if it did not.
        crashed: step at which it passed ten of them.
        diverges: it passed ten bounds, in its own time or carried on.
        healthy: it never passed one, carried on or not.
    """

    passed: int | None
    crashed: int | None
    diverges: bool
    healthy: bool

    @classmethod
    def of(cls, record: Record) -> "Fate":
        """Of a recorded run."""
        curve = list(zip(record.steps, record.q_mean, strict=True))
        limits = record.reward_bound, DIVERGED_FACTOR * record.reward_bound
        passed, crashed = (next((step for step, q in curve if not q <= limit), None) for limit in limits)
        beyond = [any(not q <= limit for _, q in [*curve, *record.later]) for limit in limits]
        return cls(passed, crashed, beyond[1], not beyond[0])


def ours(record: Record) -> float | None:
    """The first `diverging`."""
    history = record.readings
    if not history:
        return None
    followed = follow(history, record.reward_bound, homogeneous=record.depth is not None, optimizer=record.optimizer)
    return next((item.evidence.step for item in followed if item.alarmed), None)


def _first(record: Record, holds: Callable[[Reading], bool]) -> float | None:
    return next((reading.step for reading in record.readings if reading.finite and holds(reading)), None)


def _slope_rule(record: Record) -> float | None:
    """Growth of log|Q| since the last reading goes on and reaches ten bounds within ten times the steps, twice."""
    row = 0
    for before, now in zip(record.readings, record.readings[1:], strict=False):
        if not now.finite:
            return None
        row = row + 1 if _extrapolated(before, now, record.reward_bound) > 0 else 0
        if row == 2:
            return now.step
    return None


def _extrapolated(before: Reading, now: Reading, bound: float) -> float:
    slope = np.log(now.q_mean / before.q_mean) / (now.step - before.step)
    return float(HORIZON * now.step * slope - np.log(DIVERGED_FACTOR * bound / now.q_mean))


def rules(tuning: Sequence[Record]) -> dict[str, Rule]:
    """Ours and the simpler ones, their thresholds the best on the tuning half."""

    def normalized(limit: float) -> Rule:
        return lambda record: _first(record, lambda reading: reading.normalized > limit)

    def level(limit: float) -> Rule:
        return lambda record: _first(record, lambda reading: reading.q_mean > limit * record.reward_bound)

    best = {name: max(_THRESHOLDS, key=lambda t: _balance(tuning, make(t))) for name, make in
            (("normalized", normalized), ("level", level))}  # fmt: skip
    return {
        "`diverging`": ours,
        "SEEM > 0, one reading": lambda record: _first(record, lambda reading: reading.seem > 0),
        f"normalized SEEM > {best['normalized']:.2g}, the best": normalized(best["normalized"]),
        f"mean abs(Q) > {best['level']:.2g} bounds, the best": level(best["level"]),
        "slope of log abs(Q) kept, twice": _slope_rule,
    }


def _balance(records: Sequence[Record], rule: Rule) -> float:
    """Share of runs called in time less share called falsely."""
    hits, diverging, false, healthy = _counts(records, rule)
    return hits / diverging - false / healthy


def _counts(records: Sequence[Record], rule: Rule) -> tuple[int, int, int, int]:
    hits = diverging = false = healthy = 0
    for record in records:
        fate, call = Fate.of(record), rule(record)
        if fate.diverges and not (fate.passed is None and call is None):  # else it was not watched to its bound
            diverging += 1
            hits += call is not None and (fate.passed is None or call < fate.passed)
        elif fate.healthy:
            healthy += 1
            false += call is not None
    return hits, diverging, false, healthy


def call_table(records: Sequence[Record], tuning: Sequence[Record], half: str) -> Table:
    """Calls before the bound, false ones, and how early."""
    rows: Rows = []
    for name, rule in rules(tuning).items():
        hits, diverging, false, healthy = _counts(records, rule)
        rows.append([name, share(hits, diverging), share(false, healthy), _lead(records, rule)])
    headings = ["rule", "called before the bound", "healthy runs called", "median share of the way to go"]
    return Table(f"Will it diverge? {half} half, {len(records)} runs", headings, rows)


def _lead(records: Sequence[Record], rule: Rule) -> str:
    leads = []
    for record in records:
        fate, call = Fate.of(record), rule(record)
        if fate.crashed is not None and call is not None and (fate.passed is None or call < fate.passed):
            leads.append(1 - call / fate.crashed)
    return f"{median(leads):.0%}" if leads else "-"


def group_table(records: Sequence[Record]) -> Table:
    """Our calls by kind of run; those that pass the bound but not ten of them stand apart."""
    kinds: dict[str, Callable[[Record], bool]] = {
        "toy maze": lambda record: record.settings["source"] == "toy maze",
        "TD3, no normaliser": lambda record: record.settings["source"] != "toy maze" and record.depth is not None,
        "TD3 + LayerNorm": lambda record: record.settings["source"] != "toy maze" and record.depth is None,
    }
    rows: Rows = []
    for name, belongs in kinds.items():
        chosen = [record for record in records if belongs(record)]
        hits, diverging, false, healthy = _counts(chosen, ours)
        between = [record for record in chosen if not (Fate.of(record).diverges or Fate.of(record).healthy)]
        called = sum(ours(record) is not None for record in between)
        quiet = [record for record in chosen if Fate.of(record).healthy]
        told = f"{sum(map(_given_a_law, quiet))} of {len(quiet)}"
        rows.append([name, share(hits, diverging), share(false, healthy), told, f"{called} of {len(between)}"])
    headings = ["runs", "called before the bound", "healthy runs called", "healthy runs with a crash step at some time",
                "pass the bound, never ten of them: called"]  # fmt: skip
    return Table("The same by kind of run", headings, rows)


def _given_a_law(record: Record) -> bool:
    """Whether growth was ever taken to feed itself: `diverging`, or a law and a crash step under `watch`."""
    homogeneous = record.depth is not None
    followed = follow(record.readings, record.reward_bound, homogeneous=homogeneous, optimizer=record.optimizer)
    return any(item.sustained for item in followed)


def missed(records: Sequence[Record]) -> Table:
    """Every run that was called wrongly."""
    rows: Rows = []
    for record in records:
        fate, call = Fate.of(record), ours(record)
        late = fate.diverges and fate.passed is not None and not (call is not None and call < fate.passed)
        if late or (fate.healthy and call is not None):
            told = "never" if call is None else f"{call:,.0f}"
            passed = "-" if fate.passed is None else f"{fate.passed:,}"
            rows.append([record.name, "late" if late else "false", told, passed])
    return Table("Wrong calls", ["run", "call", "at step", "passes the bound at"], rows)


def early_table(records: Sequence[Record]) -> Table:
    """AUROC of scores at a tenth of the run, for runs that crash in their time against healthy ones."""
    scores: dict[str, Callable[[Sequence[Reading], Record], float]] = {
        "chance of divergence (`probability`)": lambda history, record: (
            probability(history, record.reward_bound, homogeneous=record.depth is not None) or 0.0
        ),
        "growth foretold less growth needed (`reach`)": lambda history, record: margin(
            history[-1], record.reward_bound, homogeneous=record.depth is not None
        ),
        "rate": lambda history, record: history[-1].rate or 0.0,
        "normalized SEEM": lambda history, record: history[-1].normalized,
        "mean abs(Q) over the bound": lambda history, record: history[-1].q_mean / record.reward_bound,
        "slope of log abs(Q) kept": lambda history, record: _extrapolated(
            history[-2], history[-1], record.reward_bound
        ),
    }
    rows: Rows = []
    for name, score in scores.items():
        cells = [_area(records, score, kind) for kind in ("toy maze", "TD3", "")]
        rows.append([name, *cells])
    return Table("How early? AUROC at a tenth of the run", ["score", "toy maze", "TD3", "all"], rows)


def _area(records: Sequence[Record], score: Callable[[Sequence[Reading], Record], float], kind: str) -> str:
    positive, values = list[bool](), list[float]()
    for record in records:
        fate = Fate.of(record)
        maze = record.settings["source"] == "toy maze"
        if (kind and maze != (kind == "toy maze")) or not (fate.crashed is not None or fate.healthy):
            continue
        until = _EARLY * record.settings["steps"]
        history = [reading for reading in record.readings if reading.step <= until]
        past = fate.passed is not None and fate.passed <= until
        if len(history) < 2 and not past:
            continue
        positive.append(fate.crashed is not None)
        values.append(np.inf if past or not known(history[-1]) else score(history, record))
    return f"{area_told(np.array(positive), np.array(values))} ({sum(positive)} of {len(positive)})"


def chance_table(records: Sequence[Record]) -> Table:
    """What became of runs by the chance that was given: at several parts of a run, values still within the bound."""
    rows: Rows = []
    for part in (_EARLY, 0.3, 0.5):
        told = [(chance, Fate.of(record).diverges) for record in records if (chance := _chance_at(record, part))]
        for low, high in pairwise(_CHANCES):
            inside = [(chance, diverges) for chance, diverges in told if low <= chance < high]
            mean = f"{np.mean([chance for chance, _ in inside]):.0%}" if inside else "-"
            shown = share(sum(diverges for _, diverges in inside), len(inside))
            rows.append([f"{part:.0%}", f"{low:.0%} to {min(high, 1):.0%}", mean, shown])
    headings = ["of the run", "chance given", "its mean", "runs that diverge"]
    return Table("Is the chance true? Runs whose values are still within the bound", headings, rows)


def _chance_at(record: Record, part: float) -> float | None:
    until, fate = part * record.settings["steps"], Fate.of(record)
    history = [reading for reading in record.readings if reading.step <= until]
    if not history or (fate.passed is not None and fate.passed <= history[-1].step):
        return None
    return probability(history, record.reward_bound, homogeneous=record.depth is not None)
