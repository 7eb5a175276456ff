"""What a verdict rests on, and what would change it, in sentences that cite metric, value and step."""

import math
from collections.abc import Sequence

from seemrl.instrument.forecast.path import recent_known, share
from seemrl.instrument.forecast.reach import HORIZON
from seemrl.instrument.forecast.verdict import (
    LARGEST_SHARE,
    PERSISTENCE,
    PERSISTENCE_NORMALISED,
    QUIET,
    SMALLEST_GROWTH,
    SMALLEST_NORMALIZED,
    SMALLEST_SHARE,
    Evidence,
    Verdict,
    critical_point,
)
from seemrl.instrument.reading import Reading

SETTLED_SHARE = 0.25
"""Distance of seen over foretold growth from 1, that sampling of rows explains."""
_SHOWN = 3  # readings whose evidence is told


def explain(
    history: Sequence[Reading],
    evidence: Sequence[Evidence],
    verdict: Verdict,
    reward_bound: float | None,
    *,
    homogeneous: bool,
) -> list[str]:
    """One line each.

    Args:
        history: readings so far.
        evidence: of each but the first.
        verdict: what was made of it.
        reward_bound: max|r| / (1 - discount), or None.
        homogeneous: the critic has no normaliser.
    """
    last = history[-1]
    if not last.finite:
        return [f"|Q| is not finite at step {last.step}: mean |Q| = {last.q_mean:.3g}"]
    reasons = []
    if reward_bound:
        times = last.q_mean / reward_bound
        reasons.append(
            f"mean |Q| = {last.q_mean:.3g} at step {last.step}: {times:.2g} times the reward bound {reward_bound:.4g}"
        )
    reasons.append(f"normalized SEEM = {last.normalized:.2g} at step {last.step}")
    reasons += [_told(item) for item in evidence[-_SHOWN:]]
    if last.oscillation is not None and last.oscillation > 0 and last.spectral_radius is not None:
        reasons.append(
            f"values swing: an oscillating mode grows by {last.oscillation:.2g} per step at step {last.step}; "
            "a smaller learning rate ends that"
        )
    needed = PERSISTENCE if homogeneous else PERSISTENCE_NORMALISED
    if verdict == "diverging":
        if last.rate is not None:
            reasons.append(when_it_applies(history, homogeneous=homogeneous))
        reasons.append(
            f"the alarm would end after {QUIET} readings in a row without a growing mode whose flow reaches ten "
            "reward bounds"
        )
    elif verdict != "diverged" and last.rate is not None:
        reasons.append(
            f"an alarm takes {needed} readings in a row with normalized SEEM above {SMALLEST_NORMALIZED}, a rate above "
            f"0, ten reward bounds within {HORIZON} times the steps so far, and between them growth of at least "
            f"{SMALLEST_GROWTH} in log|Q| foretold, of which {SMALLEST_SHARE:.0%} to {LARGEST_SHARE:.0%} is seen"
        )
    return reasons


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


def when_it_applies(history: Sequence[Reading], *, homogeneous: bool) -> str:
    """Which conditions of a growth law hold: a homogeneous critic, a kernel and a policy that have settled.

    A reading knows its targets' actions by their kernels alone, so a policy that still moves shows in what flows leave
    out: growth seen over growth foretold.
    """
    last, since = history[-1], critical_point(history)
    critic = "no normaliser, as the theorem asks" if homogeneous else "a normaliser, for which there is no theorem"
    cosine = None if len(history) < 2 else last.ntk_cosine(history[-2])
    turning = "is not known" if cosine is None else f"still turns (cosine {cosine:.3f} at step {last.step})"
    kernel = turning if since is None else f"has kept its direction since step {since}"
    came_true = share(recent_known(history))
    settled = "as a settled policy would show" if abs(came_true - 1) <= SETTLED_SHARE else "the policy may still move"
    return (
        f"the law's conditions: the critic has {critic}; its kernel {kernel}; {came_true:.0%} of the growth foretold "
        f"for the last readings was seen by step {last.step}: {settled}"
    )


def why_no_law(history: Sequence[Reading], evidence: Sequence[Evidence], verdict: Verdict) -> str:
    """Why no growth law is given."""
    last = history[-1]
    if verdict == "diverged":
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
