"""What a Q curve shows at each of its rows: how fast |Q| grows, against how it grew before, and whether that alarms.

A critic that learns its values under a steady policy fills up: |Q| rises ever more slowly towards its level. Against a
straight line drawn from where the rise began, the present slope is then the smaller one. Self-excitation is the
reverse, since the faster |Q| grows the larger it is. So with

    rate  = d log|Q| / d step, fitted over the last twentieth of the rise,
    clock = steps since |Q| was a twentieth of what it is,

the *steepness* rate × clock compares the slope now with the mean slope of the whole rise. It has no units, neither of
rewards nor of steps: at most 1 where |Q| fills up, 1 on a straight line, 3 where it grows exponentially, more where a
plateau has just been left.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

STEEP = 2.0
"""Steepness from which growth counts as self-excited; t^3 from the start has 1.9, an exponential 3."""
FLAT = 0.25
"""Steepness below which a rise has come to rest."""
FOLD = 4.0
"""Steep growth by this factor, over the highest level that was not reached steeply, raises the alarm."""
EARLY_FOLD = 50.0
"""The same factor while the first values are still being learnt."""
BEYOND_FACTOR = 2.0
"""|Q| above this many reward bounds that grows faster than on a straight line raises the alarm, whatever its fold."""
LEARNING_SHARE = 0.75
"""Share of 1 / ((1 - discount) × target rate), in steps, for which values are still being learnt."""
FIRST_ROWS = 3
"""Rows whose level is taken as it is: no slope is known yet."""
FEWEST_ROWS = 8
"""Rows since learning began, before which nothing is called."""

_RISE_SHARE = 0.05  # of the clock that the slope is fitted over, and of |Q| at which the clock starts
_SMALLEST_WINDOW = 4  # rows
_SMALLEST_Q = 1e-9  # of the largest |Q| so far: where Q changes its sign log|Q| has no slope
_STILL_ROWS = 20  # rows of a flat beginning that a jump may end...
_STILL_FACTOR = 3.0
_JUMP_ROWS = 4  # ...by leaving it this fast and...
_JUMP_FACTOR = 5.0  # ...this far: the critic was not trained before


@dataclass(frozen=True)
class Signals:
    """One value for each row of a curve.

    None depends on a later row, except where it is open whether a flat beginning ends with a jump.

    Attributes:
        steps: training steps.
        log_q: log of |Q|.
        rate: d log|Q| / d step.
        clock: steps since |Q| was a twentieth of what it is.
        age: steps since learning began.
        row: rows since learning began.
        open: rows at which nothing can be called, since learning may only now have begun.
    """

    steps: Float[np.ndarray, " rows"]
    log_q: Float[np.ndarray, " rows"]
    rate: Float[np.ndarray, " rows"]
    clock: Float[np.ndarray, " rows"]
    age: Float[np.ndarray, " rows"]
    row: Int[np.ndarray, " rows"]
    open: Bool[np.ndarray, " rows"]

    @property
    def steepness(self) -> Float[np.ndarray, " rows"]:
        """The slope of |Q| over the mean slope of its rise."""
        return self.rate * self.clock


@dataclass(frozen=True)
class Alarms:
    """What is called at each row.

    Attributes:
        level: the highest |Q| that was reached other than steeply.
        fold: |Q| over that level.
        raised: an alarm is on: |Q| grew steeply by `FOLD`, or beyond the reward bound, and neither came to rest nor
            fell back since.
        ended: an alarm was on and has ended, with |Q| still far above the level from which it grew.
    """

    level: Float[np.ndarray, " rows"]
    fold: Float[np.ndarray, " rows"]
    raised: Bool[np.ndarray, " rows"]
    ended: Bool[np.ndarray, " rows"]


def read_signals(steps: Float[np.ndarray, " rows"], q_values: Float[np.ndarray, " rows"]) -> Signals:
    """Rate and clock at each row; steps rise and values are finite."""
    size = np.abs(q_values)
    highest = np.maximum.accumulate(size)
    log_q = np.log(np.maximum(np.maximum(size, _SMALLEST_Q * highest), 1e-300))
    number = np.arange(len(steps))
    left, jumps = _end_of_flat_beginning(size)
    anew = (number >= left) & jumps
    began = np.where(anew, steps[max(left - 1, 0)], min(0.0, float(steps[0])))
    risen = np.searchsorted(highest, _RISE_SHARE * size)  # first row at which |Q| had come this far
    clock = steps - np.where(risen == 0, began, np.maximum(steps[np.maximum(risen - 1, 0)], began))
    first = np.searchsorted(steps, steps - _RISE_SHARE * clock)
    first = np.clip(np.minimum(first, number - _SMALLEST_WINDOW + 1), 0, None)
    rate = np.array([_slope(steps[low : now + 1], log_q[low : now + 1]) for now, low in enumerate(first)])
    return Signals(
        steps=steps,
        log_q=log_q,
        rate=rate,
        clock=clock,
        age=steps - began,
        row=np.where(anew, number - left, number),
        open=(number >= left) & (number < left + _JUMP_ROWS),
    )


def raise_alarms(signals: Signals, learning_steps: float, reward_bound: float | None = None) -> Alarms:
    """Go through the rows in order, as a run would see them.

    Args:
        signals: of the curve.
        learning_steps: steps for which the first values are still being learnt.
        reward_bound: max|r| / (1 - discount); None where unknown.
    """
    steepness, size = signals.steepness, np.exp(signals.log_q)
    level, fold = _levels(signals, learning_steps)
    enough = np.where(signals.age <= learning_steps, EARLY_FOLD, FOLD)
    folded = (signals.row >= FEWEST_ROWS) & ~signals.open & (steepness > STEEP) & (fold > enough)
    beyond = np.zeros(len(size), bool)
    if reward_bound is not None:
        beyond = (size > BEYOND_FACTOR * reward_bound) & (steepness > 1)
    raised, ended = np.zeros(len(size), bool), np.zeros(len(size), bool)
    on = over = False
    floor = 0.0  # |Q| below which the growth is undone
    for now, value in enumerate(size):
        if not on and (folded[now] or beyond[now]):
            on, over = True, False
            floor = level[now] * FOLD / 2 if folded[now] else float(reward_bound or 0.0)
        elif on and (steepness[now] < FLAT or value < floor):
            on, over = False, True
        over = over and bool(value > floor)
        raised[now], ended[now] = on, over
    return Alarms(level, fold, raised, ended)


def _levels(signals: Signals, learning_steps: float) -> tuple[Float[np.ndarray, " rows"], Float[np.ndarray, " rows"]]:
    """The highest |Q| so far that was not reached steeply, and |Q| over it.

    Once the first values are learnt, whatever was reached until then counts as not reached steeply.
    """
    size, learning = np.exp(signals.log_q), signals.age <= learning_steps
    gently = (signals.steepness <= STEEP) | (signals.row < FIRST_ROWS)
    early = np.maximum.accumulate(np.where(gently, size, 0.0))
    late = np.maximum.accumulate(np.where(gently | learning, size, 0.0))
    level = np.where(learning, early, late)
    with np.errstate(divide="ignore", invalid="ignore"):
        return level, np.where(level > 0, size / level, 1.0)


def _end_of_flat_beginning(size: Float[np.ndarray, " rows"]) -> tuple[int, bool]:
    """The row at which a long flat beginning is left, past the last if there is none, and whether with a jump.

    Some trainers fit something else first (a generative model of the actions) and log an untrained critic meanwhile:
    learning begins with the jump.
    """
    left = np.flatnonzero(size > _STILL_FACTOR * size[:FIRST_ROWS].max())
    if not len(left) or left[0] < _STILL_ROWS:
        return len(size), False
    row = int(left[0])
    return row, bool(size[row : row + _JUMP_ROWS].max() > _JUMP_FACTOR * size[:row].max())


def _slope(steps: Float[np.ndarray, " rows"], values: Float[np.ndarray, " rows"]) -> float:
    """Least squares slope; 0 where there is only one row."""
    centred = steps - steps.mean()
    spread = float(centred @ centred)
    return float(centred @ values) / spread if spread > 0 else 0.0
