"""From readings to a word: stable, watch, diverging, diverged.

Some mode grows in many a healthy critic, and its readings show spikes. A reading counts as *self-excited* only when
everything that a blow-up must show comes together: a mode that grows and is no faint part of the kernel, a flow that
reaches ten reward bounds soon - slowed down as growth laws and normalisers slow it - and values that have really moved
as the reading before foretold. A short row of such readings raises the alarm, a longer one where the critic is
normalised, whose kernel does not grow with its values; a row of quiet ones lowers it.

The constants were chosen on the tuning half of the corpus of ``benchmarks/forecast``.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from seemrl.instrument.forecast.path import ahead, known
from seemrl.instrument.reading import Reading

Verdict = Literal["stable", "watch", "diverging", "diverged"]

PERSISTENCE = 2
"""Feeding readings in a row, values moving as foretold between them, that make `diverging` without normalisers."""
PERSISTENCE_NORMALISED = 5
"""The same for any other critic."""
QUIET = 4
"""Readings in a row that do not feed themselves and end `diverging`."""
SMALLEST_SHARE, LARGEST_SHARE = 0.3, 3.0
"""Growth seen over growth foretold: outside, something else moves the values."""
SMALLEST_GROWTH = 0.05
"""Growth of log mean |Q| foretold between two readings that is worth a word."""
SMALLEST_NORMALIZED = 0.001
"""Normalized SEEM below which the growing mode is too faint a part of the kernel to move the values."""
SMALLEST_LEVEL = 0.01
"""Mean |Q| over the reward bound below which growth is still that of learning."""
HORIZON = 10
"""Times the steps so far, within which ten reward bounds must be reached."""
EXPONENT, EXPONENT_NORMALISED = -0.4, -1.0
"""How kernels change with |Q| in that forecast: cautiously, as under Adam, or as where values grow along a line."""
WITHOUT_BOUND = 100.0
"""Growth of mean |Q| that counts as a blow-up where no reward bound is known."""
TELLING_NORMALIZED, TELLING_GROWTH, TELLING_PERSISTENCE = 0.01, 0.02, 4
"""Normalized SEEM and growth seen, and for how many readings, where no learning rate is known."""
DIVERGED_FACTOR = 10
"""mean |Q| above this many reward bounds has diverged."""
CRITICAL_COSINE = 0.99


@dataclass(frozen=True)
class Evidence:
    """What a reading says, with the one before it.

    Attributes:
        step: of the reading.
        foretold: growth of log mean |Q| that the flow of the reading before led to expect; None where unknown.
        seen: growth of log of mean |Q|.
        reach: growth foretold for the next ten times the steps so far, less what ten reward bounds take; None where
            unknown.
        feeding: a mode grows, is no faint part of the kernel, and the flow reaches ten reward bounds.
        moved: the values have moved as foretold.
        excited: both, and the values are no longer small beside the bound.
    """

    step: int
    foretold: float | None
    seen: float
    reach: float | None
    feeding: bool
    moved: bool
    excited: bool


def weigh(previous: Reading, reading: Reading, reward_bound: float | None, *, homogeneous: bool) -> Evidence:
    """What a finite reading says after another."""
    seen = math.log(max(reading.q_mean, 1e-300) / max(previous.q_mean, 1e-300))
    if reading.rate is None:
        telling = min(reading.normalized, previous.normalized) > TELLING_NORMALIZED
        moved = seen > TELLING_GROWTH
        return Evidence(reading.step, None, seen, None, telling, moved, telling and moved)
    if not (known(previous) and known(reading)):
        return Evidence(reading.step, None, seen, None, False, False, False)
    foretold = ahead(previous, reading.step - previous.step)
    reach = margin(reading, reward_bound, homogeneous=homogeneous)
    moved = foretold > SMALLEST_GROWTH and SMALLEST_SHARE * foretold < seen < LARGEST_SHARE * foretold
    feeding = is_feeding(reading, reward_bound, homogeneous=homogeneous)
    level = reward_bound is None or reading.q_mean > SMALLEST_LEVEL * reward_bound
    return Evidence(reading.step, foretold, seen, reach, feeding, moved, moved and level and feeding)


def is_feeding(reading: Reading, reward_bound: float | None, *, homogeneous: bool) -> bool:
    """Whether a mode grows, is no faint part of the kernel, and the flow reaches ten reward bounds soon."""
    if reading.rate is None or not known(reading):
        return False
    grows = reading.rate > 0 and reading.normalized > SMALLEST_NORMALIZED
    return grows and margin(reading, reward_bound, homogeneous=homogeneous) > 0


def margin(reading: Reading, reward_bound: float | None, *, homogeneous: bool) -> float:
    """Growth foretold for the next ten times the steps so far, less the growth that makes a blow-up."""
    needed = math.log(WITHOUT_BOUND if reward_bound is None else DIVERGED_FACTOR * reward_bound / reading.q_mean)
    exponent = EXPONENT if homogeneous else EXPONENT_NORMALISED
    return ahead(reading, HORIZON * max(reading.step, 1), exponent) - needed


def judge(
    history: Sequence[Reading], reward_bound: float | None, *, homogeneous: bool = True
) -> tuple[Verdict, list[Evidence]]:
    """The verdict after the last reading, and the evidence of each reading but the first.

    Args:
        history: readings on the same rows, by step.
        reward_bound: max|r| / (1 - discount); None where unknown (then only a critic that is not finite has diverged).
        homogeneous: the critic has no normaliser.
    """
    followed = list(follow(history, reward_bound, homogeneous=homogeneous))
    alarmed = bool(followed) and followed[-1][1]
    evidence = [item for item, _ in followed]
    return _word(history[-1], reward_bound, alarmed, evidence), evidence


def follow(
    history: Sequence[Reading], reward_bound: float | None, *, homogeneous: bool
) -> Iterator[tuple[Evidence, bool]]:
    """The evidence of each finite reading after the first, and whether the alarm is on after it."""
    alarmed, quiet = False, 0
    row = int(is_feeding(history[0], reward_bound, homogeneous=homogeneous))
    for previous, reading in pairwise(history):
        if not (previous.finite and reading.finite):
            return
        item = weigh(previous, reading, reward_bound, homogeneous=homogeneous)
        row = (row + 1 if item.moved and row else 1) if item.feeding else 0
        quiet = 0 if item.feeding else quiet + 1
        raised = item.excited and row >= persistence(item, homogeneous)
        alarmed = raised or (alarmed and quiet < QUIET)
        yield item, alarmed


def persistence(evidence: Evidence, homogeneous: bool) -> int:
    """Feeding readings in a row, values moving as foretold between them, that raise the alarm."""
    if evidence.reach is None:
        return TELLING_PERSISTENCE
    return PERSISTENCE if homogeneous else PERSISTENCE_NORMALISED


def _word(last: Reading, reward_bound: float | None, alarmed: bool, evidence: Sequence[Evidence]) -> Verdict:
    if not last.finite or (reward_bound is not None and last.q_mean > DIVERGED_FACTOR * reward_bound):
        return "diverged"
    if alarmed:
        return "diverging"
    beyond = reward_bound is not None and last.q_mean > reward_bound
    return "watch" if beyond or (evidence and evidence[-1].excited) else "stable"


def critical_point(history: Sequence[Reading]) -> int | None:
    """First step from which the kernel's direction stands still: all later consecutive cosines are above 0.99.

    It needs two consecutive cosines above 0.99; None before that.
    """
    start = None
    for number in range(len(history) - 1, 0, -1):
        cosine = history[number].ntk_cosine(history[number - 1])
        if cosine is None or cosine <= CRITICAL_COSINE:
            break
        start = number - 1
    return history[start].step if start is not None and len(history) - start >= 3 else None
