"""From readings to a word: stable, watch, diverging, diverged.

The question is not whether some mode grows (healthy critics show spikes of positive SEEM) but whether self-excitation
is what moves the values. Between two consecutive readings the measured rate predicts a growth of log|Q|, and log|Q| is
seen to grow by some amount. A pair of readings is *self-excited* when the prediction is not small and accounts for what
is seen: for a real share of it, and not for several times as much (then the fastest mode is not the one that the
values move along). Only a row of such pairs raises the alarm, and only a row of quiet ones lowers it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from seemrl.instrument.reading import Reading

Verdict = Literal["stable", "watch", "diverging", "diverged"]

PERSISTENCE = 4
"""Self-excited pairs in a row that make `diverging`; quiet pairs in a row that end it."""
SMALLEST_SHARE = 0.3
"""Predicted growth over seen growth of log|Q|, below which something else (the rewards) moves the values."""
LARGEST_SHARE = 2.5
"""The same ratio, above which the fastest mode is not the one that the values move along."""
SMALLEST_GROWTH = 0.02
"""Predicted growth of log|Q| between two readings that is worth a word."""
SMALLEST_NORMALIZED = 0.002
"""Normalized SEEM below which the growing mode is too faint a part of the kernel to move the values."""
TELLING_NORMALIZED = 0.01
"""Normalized SEEM that stands in for the predicted growth where no learning rate is known."""
DIVERGED_FACTOR = 10
"""mean |Q| above this many reward bounds has diverged."""
CRITICAL_COSINE = 0.99


@dataclass(frozen=True)
class Evidence:
    """What a pair of consecutive readings says.

    Attributes:
        step: of the later reading.
        predicted: growth of log|Q| that the measured rates account for; None where no rate is known.
        seen: growth of log of mean |Q|.
        excited: whether self-excitation moves the values.
    """

    step: int
    predicted: float | None
    seen: float
    excited: bool


def weigh(previous: Reading, reading: Reading) -> Evidence:
    """Compare predicted and seen growth between two finite readings."""
    seen = math.log(max(reading.q_mean, 1e-300) / max(previous.q_mean, 1e-300))
    if reading.rate is None or previous.rate is None:
        excited = min(reading.normalized, previous.normalized) > TELLING_NORMALIZED and seen > SMALLEST_GROWTH
        return Evidence(reading.step, None, seen, excited)
    predicted = (reading.rate + previous.rate) / 2 * (reading.step - previous.step)
    explains = predicted > SMALLEST_GROWTH and SMALLEST_SHARE * seen < predicted < LARGEST_SHARE * seen
    return Evidence(reading.step, predicted, seen, explains and reading.normalized > SMALLEST_NORMALIZED)


def judge(history: Sequence[Reading], reward_bound: float | None) -> tuple[Verdict, list[Evidence]]:
    """The verdict after the last reading, and the evidence of each consecutive pair up to it.

    Args:
        history: readings on the same rows, by step.
        reward_bound: max|r| / (1 - discount); None where unknown (then only a critic that is not finite has diverged).
    """
    evidence: list[Evidence] = []
    alarmed, row = False, 0
    for previous, reading in pairwise(history):
        if not (previous.finite and reading.finite):
            break
        evidence.append(weigh(previous, reading))
        same = len(evidence) > 1 and evidence[-1].excited == evidence[-2].excited
        row = row + 1 if same else 1
        if row >= PERSISTENCE:
            alarmed = evidence[-1].excited
    return _word(history[-1], reward_bound, alarmed, evidence), evidence


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
