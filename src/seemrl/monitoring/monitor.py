"""`Monitor`: the instrument in somebody's training loop."""

import logging
import operator
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from seemrl.errors import InputError
from seemrl.instrument.batch import Batch
from seemrl.instrument.forecast.outlook import Forecast, forecast
from seemrl.instrument.forecast.remedy import Remedy
from seemrl.instrument.forecast.verdict import ALARMS, Verdict
from seemrl.instrument.points import Policy
from seemrl.instrument.reading import Reading
from seemrl.monitoring.errors import DivergingError
from seemrl.monitoring.log import MonitorLog, Rollback, as_counted, description
from seemrl.monitoring.loggers import Logger, LoggersAtHand, numbers_of
from seemrl.monitoring.rows import reading_row
from seemrl.monitoring.schedule import Schedule
from seemrl.monitoring.snapshots import Snapshots, default_parts
from seemrl.monitoring.subject import Subject

OnDiverging = Literal["warn", "stop", "rollback"]

_LOGGER = logging.getLogger("seemrl")


class Monitor:
    """Reads a critic while somebody's loop trains it, judges, and acts when asked.

    Call `update` with the step after every critic update, or as often as you like. Training with a monitor gives the
    same parameters as without: nothing is changed, and no random number of training's is drawn; only a generator that
    the policy holds itself is out of reach. A reading that fails is logged once, with its cause, and training goes on.

    Args:
        critic: as for `measure`, and so are ``batch``, ``policy``, ``discount``, ``optimizer``, ``target_critic`` and
            everything in ``measure_options``.
        batch: the transitions to read on.
        policy: as the target uses it.
        discount: gamma, below 1 unless ``reward_bound`` is given.
        optimizer: torch optimizer of the critic, a list of those of its heads, or its optax state.
        target_critic: the target network.
        target_rate: tau of target averaging.
        target_period: critic updates per target update.
        every: updates between readings, due at its multiples; None to choose by how fast values move.
        time_share: of the wall clock that readings may take; None for no limit (see `Schedule`).
        reward_bound: largest |Q| that the rewards allow; max|r| of the batch / (1 - discount) unless given.
        depth: as for `forecast`; "auto" counts the layers with weights where nothing is called a normaliser.
        directory: for a log that survives the process, and that a later monitor continues.
        loggers: get the numbers of each reading; `LoggersAtHand`, which finds what this process logs to, if not given.
        extra_numbers: called at each reading for numbers that go beside it, into the log and to the loggers.
        on_verdict: called with the forecast when the verdict changes; what it raises goes through.
        on_diverging: "warn" logs a warning; "stop" raises `DivergingError`; "rollback" returns to the newest snapshot
            that was taken while the verdict was stable, and goes on.
        snapshots: what a rollback restores (see `Snapshots`); critic, target critic, optimizer and policy if not given.
        measure_options: further options of `measure`.

    Raises:
        InputError: anything does not fit; it is tried on a few rows at once.
    """

    def __init__(
        self,
        critic: Any,
        batch: Batch,
        policy: Policy | Literal["greedy"],
        *,
        discount: float,
        optimizer: Any = None,
        target_critic: Any = None,
        target_rate: float | None = None,
        target_period: int = 1,
        every: int | None = 1000,
        time_share: float | None = 0.01,
        reward_bound: float | None = None,
        depth: int | Literal["auto"] | None = "auto",
        directory: str | Path | None = None,
        loggers: Sequence[Logger] | None = None,
        extra_numbers: Callable[[], Mapping[str, float]] | None = None,
        on_verdict: Callable[[Forecast], object] | None = None,
        on_diverging: OnDiverging = "warn",
        snapshots: Any = None,
        **measure_options: Any,
    ) -> None:
        updates = {"discount": discount, "target_rate": target_rate, "target_period": target_period}
        self._subject = Subject(critic, batch, policy, optimizer, target_critic, updates | measure_options)
        self._subject.check()
        if on_diverging not in get_args(OnDiverging):
            raise InputError(f"on_diverging: {on_diverging!r} is none of {', '.join(get_args(OnDiverging))}")
        for logger in loggers or ():
            if not isinstance(logger, Logger):  # pyright: ignore[reportUnnecessaryIsInstance]
                raise InputError(f"loggers: a {type(logger).__name__} has no method log(step, numbers)")
        self._bound = _reward_bound(batch, discount) if reward_bound is None else reward_bound
        self._depth = self._subject.depth() if depth == "auto" else depth
        self._on_verdict, self._on_diverging = on_verdict, on_diverging
        self._extra_numbers = extra_numbers
        self._schedule = Schedule(every, time_share)
        self._told: set[tuple[str, type]] = set()
        self._step: int | None = None
        self._read_at: tuple[int, float] | None = None
        place = None if directory is None else Path(directory)
        self._loggers = (LoggersAtHand(place),) if loggers is None else tuple(loggers)
        self._snapshots = None
        if on_diverging == "rollback":
            parts = default_parts(critic, target_critic, optimizer, policy) if snapshots is None else snapshots
            self._snapshots = Snapshots(parts, None if place is None else place / "snapshots")
        self._log: MonitorLog | None = None
        self._readings: list[Reading] = []
        self._rollbacks: list[Rollback] = []
        if place is not None:
            settings = self._subject.described() | {"every": every, "time_share": time_share, "depth": self._depth}
            settings |= {"on_diverging": on_diverging}
            self._log = MonitorLog(place, description(batch, settings, self._bound, place.resolve().name))
            self._readings, self._rollbacks = list(self._log.readings), list(self._log.rollbacks)
        self._forecast = self._judged()

    def update(
        self, step: int, *, critic: Any = None, target_critic: Any = None, optimizer: Any = None, policy: Any = None
    ) -> Reading | None:
        """Say that training has come to a step; reads if one is due, and returns that reading.

        A step before the last one means that training was taken up again there: later readings are dropped.

        Args:
            step: critic updates so far, counted over the whole training.
            critic: the present one, where it is a new object after every update, as in JAX; so for the others.
            target_critic: the present one.
            optimizer: its present state.
            policy: the present one.

        Raises:
            DivergingError: the verdict is diverging or diverged and ``on_diverging`` is "stop".
        """
        step = operator.index(step)
        self._subject.replace(critic=critic, target_critic=target_critic, optimizer=optimizer, policy=policy)
        if step != self._step:
            if self._step is None or step < self._step:
                self._begin(step)
            self._step = step
            if self._schedule.due(step):
                return self.read(step)
        return None

    def read(self, step: int) -> Reading | None:
        """Read now, whether or not one is due; None if it failed. Raises as `update` does."""
        before, outlook, reading = self.verdict, None, None
        try:
            self._subject.settle()
            with self._schedule.timed():
                reading, outlook = self._look(step)
        except Exception as error:
            self._failed("a reading", error)
        self._schedule.after(step, reading)
        if outlook is not None:
            self._act(step, before, outlook)
        return reading

    @property
    def history(self) -> list[Reading]:
        """All readings, those before a rollback with their steps moved on by what it undid."""
        return as_counted(self._readings, self._rollbacks)

    @property
    def batch(self) -> Batch:
        """The rows that are read."""
        return self._subject.batch

    @property
    def verdict(self) -> Verdict | None:
        """Of the last forecast; None before the first reading."""
        return None if self._forecast is None else self._forecast.verdict

    @property
    def time_share(self) -> float:
        """Share of the wall clock that readings took so far, the first left out."""
        return self._schedule.share

    def forecast(self) -> Forecast | None:
        """From all readings so far; None before the first."""
        return self._forecast

    def advise(self, **more: Any) -> list[Remedy]:
        """What would end self-excitation, measured on the critic now, best first; ``more`` as for `advise`.

        It is kept in the log as well, where a report finds it.
        """
        step = self._step or 0
        remedies = self._subject.advise(step, **more)
        if self._log is not None:
            with self._guarded("keeping the advice"):
                self._log.set_advice(step, remedies)
        return remedies

    # ------------------------------------------------------------------------------------------------------ one reading

    def _look(self, step: int) -> tuple[Reading, Forecast]:
        reading = self._subject.measure(step)
        previous = self._readings[-1] if self._readings else None
        self._readings = [*(kept for kept in self._readings if kept.step < step), reading]
        outlook = self._judged()
        assert outlook is not None
        self._forecast = outlook
        extra: dict[str, float] = {}
        if self._extra_numbers is not None:
            with self._guarded("extra_numbers"):
                extra = dict(self._extra_numbers())
        row = reading_row(reading, previous, outlook) | self._pace(step) | extra
        if self._log is not None:
            with self._guarded("the log"):
                self._log.add(row)
        for logger in self._loggers:
            with self._guarded(type(logger).__name__):
                logger.log(step, numbers_of(reading, outlook) | {f"critic/{name}": extra[name] for name in extra})
        if self._snapshots is not None and outlook.verdict == "stable":
            with self._guarded("a snapshot"):
                self._snapshots.take(step)
        return reading, outlook

    def _judged(self) -> Forecast | None:
        if not self._readings:
            return None
        return forecast(self.history, reward_bound=self._bound or None, optimizer=self._subject.kind, depth=self._depth)

    def _pace(self, step: int) -> dict[str, float]:
        now = time.perf_counter()
        then, self._read_at = self._read_at, (step, now)
        seconds = {"monitor_seconds": self._schedule.spent}
        return (
            seconds if then is None else seconds | {"updates_per_second": (step - then[0]) / max(now - then[1], 1e-9)}
        )

    # --------------------------------------------------------------------------------------------- what follows from it

    def _act(self, step: int, before: Verdict | None, outlook: Forecast) -> None:
        alarmed = outlook.verdict in ALARMS
        if outlook.verdict != before:
            level = logging.WARNING if alarmed else logging.INFO
            _LOGGER.log(level, "step %d: the critic is %s; %s", step, outlook.verdict, "; ".join(outlook.reasons))
            if self._on_verdict is not None:
                self._on_verdict(outlook)
        if alarmed and self._on_diverging == "stop":
            raise DivergingError(outlook)
        if alarmed and self._snapshots is not None:
            with self._guarded("a rollback"):
                self._roll_back(self._snapshots, step, outlook)

    def _roll_back(self, snapshots: Snapshots, step: int, outlook: Forecast) -> None:
        restored = snapshots.restore(_LOGGER.warning)
        if restored is None:
            _LOGGER.warning("step %d: nothing to roll back to: no snapshot was taken while the critic was stable", step)
            return
        _LOGGER.warning(
            "step %d: rolled back to the state of step %d; what made it diverge is unchanged", step, restored
        )
        rollback = Rollback(step, restored)
        self._cut(restored)
        self._rollbacks.append(rollback)
        self._forecast = self._judged()
        if self._log is not None:
            self._log.add_rollback(rollback, {"forecast": outlook.to_dict()})

    def _begin(self, step: int) -> None:
        """Training begins, or is taken up again, at this step."""
        lost = sum(reading.step > step for reading in self._readings)
        if lost:
            _LOGGER.info("step %d comes before %d readings in the log: they are dropped", step, lost)
        with self._guarded("taking up again"):
            self._cut(step)
            self._forecast = self._judged()
        self._schedule.restart()
        if self._readings:
            self._schedule.after(self._readings[-1].step, self._readings[-1])
        if self._snapshots is not None and self.verdict in (None, "stable"):
            with self._guarded("a snapshot"):
                self._snapshots.take(step)

    def _cut(self, step: int) -> None:
        self._readings = [reading for reading in self._readings if reading.step <= step]
        self._rollbacks = [rollback for rollback in self._rollbacks if rollback.step <= step]
        if self._snapshots is not None:
            self._snapshots.cut(step)
        if self._log is not None:
            self._log.cut(step)

    # ------------------------------------------------------------------------------------------------------ failures

    @contextmanager
    def _guarded(self, what: str) -> Generator[None]:
        try:
            yield
        except Exception as error:
            self._failed(what, error)

    def _failed(self, what: str, error: Exception) -> None:
        """Logged once for each kind of failure; training goes on."""
        if (what, type(error)) not in self._told:
            self._told.add((what, type(error)))
            _LOGGER.error("%s failed and training goes on; further ones are not logged", what, exc_info=error)


def _reward_bound(batch: Batch, discount: float) -> float:
    if not discount < 1:
        raise InputError(f"reward_bound: with discount {discount} it cannot be computed; give the largest |Q| possible")
    return float(np.abs(batch.rewards).max()) / (1 - discount)
