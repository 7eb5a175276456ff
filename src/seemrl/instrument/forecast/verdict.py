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
from typing import Literal, NamedTuple

from seemrl.instrument.forecast.path import ahead, known
from seemrl.instrument.forecast.reach import DIVERGED_FACTOR, OptimizerKind, margin
from seemrl.instrument.reading import Reading

Verdict = Literal["stable", "watch", "diverging", "diverged"]
ALARMS: tuple[Verdict, ...] = ("diverging", "diverged")
"""Verdicts that call for an end."""

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
SMALLEST_LEVEL = 0.05
"""Mean |Q| over the reward bound below which growth is still that of learning."""
LONGEST_WAIT = 1.5
"""Times a reading's step, over which growth is added up until it is worth a word."""
TELLING_NORMALIZED, TELLING_GROWTH, TELLING_PERSISTENCE = 0.01, 0.02, 4
"""Normalized SEEM and growth seen, and for how many readings, where no learning rate is known."""
CRITICAL_COSINE = 0.99


@dataclass(frozen=True)
class Evidence:
    """What a reading says, with the one before it.

    Attributes:
        step: of the reading.
        foretold: growth of log mean |Q| that the flows of the readings before led to expect, added up since it was last
            worth a word; None where unknown.
        seen: growth of log of mean |Q| over the same steps.
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


def weigh(
    since: Sequence[Reading], reward_bound: float | None, *, homogeneous: bool, optimizer: OptimizerKind = "adam"
) -> Evidence:
    """What a finite reading says after those before it.

    Args:
        since: readings over which growth is compared, the one that is weighed last; two at least.
        reward_bound: max|r| / (1 - discount), or None.
        homogeneous: the critic has no normaliser.
        optimizer: how it is trained.
    """
    first, previous, reading = since[0], since[-2], since[-1]
    if reading.rate is None:
        seen = _grown(previous, reading)
        telling = min(reading.normalized, previous.normalized) > TELLING_NORMALIZED
        moved = seen > TELLING_GROWTH
        return Evidence(reading.step, None, seen, None, telling, moved, telling and moved)
    seen = _grown(first, reading)
    if not all(map(known, since)):
        return Evidence(reading.step, None, seen, None, False, False, False)
    foretold = sum(ahead(before, after.step - before.step) for before, after in pairwise(since))
    reach = margin(reading, reward_bound, homogeneous=homogeneous, optimizer=optimizer)
    moved = foretold > SMALLEST_GROWTH and SMALLEST_SHARE * foretold < seen < LARGEST_SHARE * foretold
    feeding = is_feeding(reading, reward_bound, homogeneous=homogeneous, optimizer=optimizer)
    level = reward_bound is None or reading.q_mean > SMALLEST_LEVEL * reward_bound
    return Evidence(reading.step, foretold, seen, reach, feeding, moved, moved and level and feeding)


def _grown(before: Reading, after: Reading) -> float:
    return math.log(max(after.q_mean, 1e-300) / max(before.q_mean, 1e-300))


def is_feeding(
    reading: Reading, reward_bound: float | None, *, homogeneous: bool, optimizer: OptimizerKind = "adam"
) -> bool:
    """Whether a mode grows, is no faint part of the kernel, and the flow reaches ten reward bounds soon."""
    if reading.rate is None or not known(reading):
        return False
    grows = reading.rate > 0 and reading.normalized > SMALLEST_NORMALIZED
    return grows and margin(reading, reward_bound, homogeneous=homogeneous, optimizer=optimizer) > 0


def feeding_row(
    readings: Sequence[Reading], reward_bound: float | None, *, homogeneous: bool, optimizer: OptimizerKind
) -> int:
    """How many of the last readings feed themselves, without a gap; where no learning rate is known, all count."""
    row = 0
    for reading in reversed(readings):
        if reading.rate is not None and not is_feeding(
            reading, reward_bound, homogeneous=homogeneous, optimizer=optimizer
        ):
            break
        row += 1
    return row


class Judgement(NamedTuple):
    """What was made of all readings.

    Attributes:
        verdict: after the last one.
        evidence: of each but the first.
        sustained: a row of readings feed themselves, whether or not the values are still small beside the bound: what
            a growth law needs.
    """

    verdict: Verdict
    evidence: list[Evidence]
    sustained: bool


def judge(
    history: Sequence[Reading],
    reward_bound: float | None,
    *,
    homogeneous: bool = True,
    optimizer: OptimizerKind = "adam",
) -> Judgement:
    """The verdict after the last reading, and what it rests on.

    Args:
        history: readings on the same rows, by step.
        reward_bound: max|r| / (1 - discount); None where unknown (then only a critic that is not finite has diverged).
        homogeneous: the critic has no normaliser.
        optimizer: how it is trained.
    """
    followed = list(follow(history, reward_bound, homogeneous=homogeneous, optimizer=optimizer))
    alarmed, sustained = (followed[-1].alarmed, followed[-1].sustained) if followed else (False, False)
    evidence = [item.evidence for item in followed]
    return Judgement(_word(history[-1], reward_bound, alarmed, sustained, evidence), evidence, sustained)


class Followed(NamedTuple):
    """A reading's evidence, whether the alarm is on after it, and whether it would be but for small values."""

    evidence: Evidence
    alarmed: bool
    sustained: bool


def follow(
    history: Sequence[Reading], reward_bound: float | None, *, homogeneous: bool, optimizer: OptimizerKind = "adam"
) -> Iterator[Followed]:
    """The evidence of each finite reading after the first, and what is on after it."""
    alarmed, sustained, quiet, start = False, False, 0, 0
    row = int(is_feeding(history[0], reward_bound, homogeneous=homogeneous, optimizer=optimizer))
    for number, (previous, reading) in enumerate(pairwise(history), start=1):
        if not (previous.finite and reading.finite):
            return
        item = weigh(history[start : number + 1], reward_bound, homogeneous=homogeneous, optimizer=optimizer)
        small = item.foretold is not None and 0 <= item.foretold <= SMALLEST_GROWTH
        waiting = item.feeding and row and small and reading.step < LONGEST_WAIT * history[start].step
        if not waiting:  # else the growth of dense readings adds up
            row = (row + 1 if item.moved and row else 1) if item.feeding else 0
            start = number
        quiet = 0 if item.feeding else quiet + 1
        lasting = item.moved and row >= persistence(item, homogeneous)
        sustained = lasting or (sustained and quiet < QUIET)
        alarmed = (lasting and item.excited) or (alarmed and quiet < QUIET)
        yield Followed(item, alarmed, sustained)


def persistence(evidence: Evidence, homogeneous: bool) -> int:
    """Feeding readings in a row, values moving as foretold between them, that raise the alarm."""
    if evidence.reach is None:
        return TELLING_PERSISTENCE
    return PERSISTENCE if homogeneous else PERSISTENCE_NORMALISED


def _word(
    last: Reading, reward_bound: float | None, alarmed: bool, sustained: bool, evidence: Sequence[Evidence]
) -> Verdict:
    if not last.finite or (reward_bound is not None and last.q_mean > DIVERGED_FACTOR * reward_bound):
        return "diverged"
    if alarmed:
        return "diverging"
    beyond = reward_bound is not None and last.q_mean > reward_bound
    return "watch" if beyond or sustained or (evidence and evidence[-1].excited) else "stable"


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
