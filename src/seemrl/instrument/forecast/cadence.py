"""When to look again: as soon as the values may have moved, and no sooner."""

from seemrl.instrument.reading import Reading

WORTH_A_LOOK = 0.25
"""Growth of log mean |Q| that two readings should be apart."""


def steps_to_next(reading: Reading, *, shortest: int, longest: int) -> int:
    """Updates until the next reading: when the flow has moved log mean |Q| by 0.25, within the two bounds.

    Readings so spaced follow a blow-up closely, whether it takes a hundred updates or a million, and cost little while
    nothing happens.

    Args:
        reading: the last one.
        shortest: updates, at least.
        longest: updates, at most.
    """
    before, moved = 0.0, 0.0
    for steps, growth in reading.flow:
        if abs(growth) >= WORTH_A_LOOK:
            share = (WORTH_A_LOOK - abs(moved)) / (abs(growth) - abs(moved))
            return int(min(max(before + share * (steps - before), shortest), longest))
        before, moved = steps, growth
    return longest
