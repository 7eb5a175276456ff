"""What a verdict rests on, and what would change it, in sentences that cite metric, value and step."""

import math
from collections.abc import Sequence

from seemrl.instrument.forecast.path import elasticity_of
from seemrl.instrument.forecast.reach import DIVERGED_FACTOR, HORIZON
from seemrl.instrument.forecast.track import Track
from seemrl.instrument.forecast.verdict import (
    LARGEST_SHARE,
    PERSISTENCE,
    PERSISTENCE_NORMALISED,
    QUIET,
    SMALLEST_GROWTH,
    SMALLEST_LEVEL,
    SMALLEST_NORMALIZED,
    SMALLEST_SHARE,
    TELLING_GROWTH,
    TELLING_NORMALIZED,
    TELLING_PERSISTENCE,
    Evidence,
    Judgement,
    critical_point,
)
from seemrl.instrument.reading import Reading

SETTLED_SHARE = 0.25
"""Distance of seen over foretold growth from 1, that sampling of rows explains."""
_UNCAPPED = 0.9  # elasticity above which target averaging does not matter
_SHOWN = 3  # readings whose evidence is told


def explain(
    history: Sequence[Reading],
    judged: Judgement,
    reward_bound: float | None,
    track: Track | None,
    *,
    homogeneous: bool,
) -> list[str]:
    """One line each: what the verdict rests on, then what would change it.

    Args:
        history: readings so far.
        judged: what was made of them.
        reward_bound: max|r| / (1 - discount), or None.
        track: the readings as a track; None where the last one says nothing.
        homogeneous: the critic has no normaliser.
    """
    last = history[-1]
    if not last.finite:
        return [
            f"|Q| is not finite at step {last.step}: mean |Q| = {last.q_mean:.3g}",
            "only a checkpoint from before that step would change this",
        ]
    reasons = []
    if reward_bound:
        times = last.q_mean / reward_bound
        reasons.append(
            f"mean |Q| = {last.q_mean:.3g} at step {last.step}: {times:.2g} times the reward bound {reward_bound:.4g}"
        )
    reasons.append(f"normalized SEEM = {last.normalized:.2g} at step {last.step}")
    reasons += [_told(item) for item in judged.evidence[-_SHOWN:]]
    if last.oscillation is not None and last.oscillation > 0 and last.spectral_radius is not None:
        reasons.append(
            f"values swing: an oscillating mode grows by {last.oscillation:.2g} per step at step {last.step}; "
            "a smaller learning rate ends that"
        )
    if track is not None and last.rate is not None and judged.verdict != "diverged" and judged.sustained:
        reasons.append(when_it_applies(history, track))
    return [*reasons, _what_would_change(judged, last, reward_bound, homogeneous)]


def _what_would_change(judged: Judgement, last: Reading, reward_bound: float | None, homogeneous: bool) -> str:
    if judged.verdict == "diverged":
        return f"the verdict would change if mean |Q| came back below {DIVERGED_FACTOR * (reward_bound or 0):.4g}"
    if judged.verdict == "diverging":
        return (
            f"the alarm would end after {QUIET} readings in a row without a growing mode whose flow reaches ten "
            "reward bounds"
        )
    if last.rate is None:
        return (
            f"without a learning rate an alarm takes {TELLING_PERSISTENCE} readings in a row with normalized SEEM "
            f"above {TELLING_NORMALIZED} and growth of more than {TELLING_GROWTH} in log|Q|"
        )
    if judged.sustained:
        return f"growth feeds itself; an alarm takes mean |Q| above {SMALLEST_LEVEL} reward bounds besides"
    needed = PERSISTENCE if homogeneous else PERSISTENCE_NORMALISED
    return (
        f"an alarm takes {needed} readings in a row with normalized SEEM above {SMALLEST_NORMALIZED}, a rate above "
        f"0, ten reward bounds within {HORIZON} times the steps so far, and between them growth of at least "
        f"{SMALLEST_GROWTH} in log|Q| foretold, of which {SMALLEST_SHARE:.0%} to {LARGEST_SHARE:.0%} is seen"
    )


def _told(item: Evidence) -> str:
    seen = f"{item.seen:+.3f} in log|Q| was seen up to step {item.step}"
    if item.foretold is None or item.reach is None:
        return f"{seen}, that is {math.expm1(item.seen):.1%}; no learning rate is known, or no flow"
    reach = "reaches" if item.reach > 0 else "does not reach"
    word = "self-excited" if item.excited else "not self-excited"
    return (
        f"{seen}, {item.foretold:+.3f} was foretold; the flow {reach} ten reward bounds within {HORIZON} times the "
        f"steps so far ({item.reach:+.2f} in log|Q|): {word}"
    )


def when_it_applies(history: Sequence[Reading], track: Track) -> str:
    """Which conditions of a growth law hold: a homogeneous critic, a kernel and a policy that have settled.

    A reading knows its targets' actions by their kernels alone, so a policy that still moves shows in what is left out:
    growth seen over growth foretold.
    """
    last, since = history[-1], critical_point(history)
    critic = "a normaliser, for which there is no theorem" if track.depth is None else "no normaliser, as theorems ask"
    cosine = None if len(history) < 2 else last.ntk_cosine(history[-2])
    turning = "is not known" if cosine is None else f"still turns (cosine {cosine:.3f} at step {last.step})"
    kernel = turning if since is None else f"has kept its direction since step {since}"
    settled = "as a settled policy would show" if abs(track.share - 1) <= SETTLED_SHARE else "the policy may still move"
    return (
        f"the law's conditions: the critic has {critic}; its kernel {kernel}{_scale(track)}; {track.share:.0%} of the "
        f"growth foretold for the last readings was seen by step {last.step}: {settled}"
    )


def _scale(track: Track) -> str:
    """What keeps a homogeneous critic from its law for now."""
    capped = elasticity_of(track.readings[-1])
    cap = "" if capped > _UNCAPPED else f", of whose growth target averaging lets through {capped:.0%}"
    if track.depth is None:
        return cap
    if track.optimizer == "adam":
        return f"{cap}; Adam's steps are {track.moments[-1].step:.2g} times their steady size"
    fixed = track.initial_part()
    return f"{cap}, {fixed / (1 + fixed) if math.isfinite(fixed) else 1:.0%} of it that of the initialisation"


def why_no_law(history: Sequence[Reading], judged: Judgement) -> str:
    """Why no growth law is given."""
    last, evidence = history[-1], judged.evidence
    if judged.verdict == "diverged":
        return "diverged: there is nothing left to foretell"
    if len(history) < PERSISTENCE + 1:
        return f"too early for a law: {len(history)} readings, and it takes {PERSISTENCE + 1}"
    if last.rate is None:
        return "no law: without a learning rate there is no growth rate"
    if evidence and evidence[-1].excited:
        return "too early for a law: the last reading is self-excited, but not yet a row of them"
    if evidence and evidence[-1].feeding and critical_point(history) is None:
        cosine = last.ntk_cosine(history[-2])
        told = "" if cosine is None else f" (cosine {cosine:.3f} with the reading before)"
        return f"too early for a law: some mode grows, but the kernel still turns at step {last.step}{told}"
    return "no self-sustained growth"
