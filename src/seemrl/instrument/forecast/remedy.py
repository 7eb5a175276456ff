"""A remedy: what to change, what the numbers become, and where it stands among the others."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from seemrl.instrument.forecast.verdict import SMALLEST_NORMALIZED

Standing = Literal["ends it", "lowers it", "slows it", "no help", "not needed", "not measured"]
"""What a remedy does to self-excitation, best first.

* ends it: the normalized SEEM falls to what the verdict takes for nothing;
* lowers it: the normalized SEEM falls by more than its standard error, but not that far;
* slows it: errors feed themselves as before, at a smaller rate per update;
* no help: neither;
* not needed: there is nothing to end;
* not measured: the effect says why.
"""


@dataclass(frozen=True)
class Remedy:
    """One change, and what it does to the critic as it is now.

    Attributes:
        name: of the remedy.
        action: what to do, in one line.
        rate_before: d log|TD error| / d update as things are; None when no learning rate is known.
        rate_before_error: its standard error from the choice of rows; None where unknown.
        rate_after: the same with the remedy; None where it was not measured.
        rate_after_error: its standard error; None where unknown.
        normalized_before: normalized SEEM as things are.
        normalized_after: with the remedy; None where it was not measured.
        obtained: how the numbers after were: "measured on the same rows", with what has to be known about it, or
            "theory".
        effect: what to expect, in words.
        standing: what it does to self-excitation.
    """

    name: str
    action: str
    rate_before: float | None
    rate_before_error: float | None
    rate_after: float | None
    rate_after_error: float | None
    normalized_before: float
    normalized_after: float | None
    obtained: str
    effect: str
    standing: Standing

    @property
    def helps(self) -> bool:
        """Whether the measurement speaks for it."""
        return self.standing in ("ends it", "lowers it", "slows it")

    @property
    def in_short(self) -> str:
        """Name and measured numbers in a line."""
        if self.normalized_after is None:
            return f"{self.name}: not measured"
        rates = "" if self.rate_after is None else f", rate {self.rate_before:.2g} -> {self.rate_after:.2g} per update"
        return f"{self.name}: normalized SEEM {self.normalized_before:.2g} -> {self.normalized_after:.2g}{rates}"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def standing_of(
    normalized: float,
    normalized_error: float | None,
    rate: float | None,
    normalized_after: float,
    rate_after: float | None,
    changes_rate_only: bool,
) -> Standing:
    """Where a measured remedy stands."""
    if normalized <= SMALLEST_NORMALIZED:
        return "not needed"
    if normalized_after <= SMALLEST_NORMALIZED:
        return "ends it"
    if not changes_rate_only and normalized - normalized_after > (normalized_error or 0.0):
        return "lowers it"
    if changes_rate_only and rate is not None and rate_after is not None and rate > 0 and rate_after < rate:
        return "slows it"
    return "no help"


def ranked(remedies: Iterable[Remedy]) -> list[Remedy]:
    """By standing.

    Those that end it keep their order, in which the ones come first that leave the task as it is. Those that lower it
    go by the normalized SEEM they leave, those that slow it by the rate.
    """
    order = get_args(Standing)

    def key(remedy: Remedy) -> tuple[int, float]:
        left = {"lowers it": remedy.normalized_after, "slows it": remedy.rate_after}.get(remedy.standing)
        return order.index(remedy.standing), 0.0 if left is None else left

    return sorted(remedies, key=key)
