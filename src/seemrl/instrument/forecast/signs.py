"""Tell-tale signs of a plain bug, which makes values explode as well and which no remedy for self-excitation cures."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from seemrl.data.dataset import Dataset
from seemrl.errors import InputError
from seemrl.instrument.batch import Batch
from seemrl.instrument.reading import Reading

_SAME_LIMIT = 3  # episodes of exactly the greatest length that are no accident...
_PILED_UP = 5  # ...if they are so many times as many as those a little shorter
_IN_ORDER = 0.5  # of the rows begin where the one before ended, if the rows are in order at all
_MET = 1e-4, 1e-5  # relative and absolute difference of an observation kept twice
_OUTLIER = 100.0  # times the 99.9% quantile of the rewards that are not 0
_LARGE_REWARD, _SMALL_REWARD = 100.0, 1e-3
_AT_AN_END = 0.5  # of an action's values
_FEW = 20  # different values of an action that is a choice, not a quantity
_LARGE_OBSERVATION = 100.0  # root mean square
_ROUNDING = 1e-6  # normalized SEEM that is zero in single precision
_SHORT = 0.9  # of the longest episode


@dataclass(frozen=True)
class Sign:
    """Something in the data or in a reading that looks like a mistake.

    Attributes:
        name: of the mistake.
        metric: what was looked at.
        value: what it is.
        row: the first row concerned; None where no row is.
        seen: metric, value and row in one line.
        why: what the mistake does to values.
        action: what to do.
    """

    name: str
    metric: str
    value: float
    row: int | None
    seen: str
    why: str
    action: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def signs_of_a_bug(
    data: Dataset | Batch | None = None,
    *,
    reading: Reading | None = None,
    action_low: ArrayLike | None = None,
    action_high: ArrayLike | None = None,
) -> list[Sign]:
    """Look for mistakes that make values explode without self-excitation, or besides it.

    Args:
        data: the data set; or a batch, whose rows have no order, so that nothing is said of episodes.
        reading: of the critic.
        action_low: lower ends of the action box, a number or (action size,); without a box nothing is said of it.
        action_high: upper ends.

    Returns:
        The signs, none if nothing strikes the eye: which does not mean that nothing is wrong.

    Raises:
        InputError: the box does not fit the actions.
    """
    found: list[Sign] = []
    if isinstance(data, Dataset):
        found += _of_episodes(data)
    if data is not None:
        found += _of_rewards(np.asarray(data.rewards, np.float64))
        if not data.discrete:
            found += _of_actions(np.asarray(data.actions, np.float64), action_low, action_high)
        found += _of_observations(np.asarray(data.observations, np.float64))
    if reading is not None:
        found += _of_step(reading)
    return found


def _of_episodes(data: Dataset) -> Iterator[Sign]:
    relative, absolute = _MET
    same = np.isclose(data.observations[1:], data.next_observations[:-1], rtol=relative, atol=absolute)
    meets = np.logical_and.reduce(same, axis=1)
    within: np.ndarray = np.logical_not(data.terminals[:-1] | data.timeouts[:-1])
    if not within.any() or meets[within].mean() < _IN_ORDER:
        return  # shuffled: there are no episodes to look at
    jumps = np.flatnonzero(within & ~meets)
    if jumps.size:
        yield Sign(
            "ends of episodes are not marked",
            "unmarked jumps",
            float(jumps.size),
            int(jumps[0]),
            f"{jumps.size} rows, first row {jumps[0]}, are followed by an observation that is not their next one, "
            "but neither terminal nor timeout is set",
            "where a terminal is missing, the value of a state that has none is bootstrapped, and values that should "
            "stop there feed on",
            "set terminals where the task ended and timeouts where it was cut short",
        )
    yield from _of_lengths(data)


def _of_lengths(data: Dataset) -> Iterator[Sign]:
    ends = np.flatnonzero(data.terminals | data.timeouts)
    if not ends.size:
        return
    lengths = np.diff(ends, prepend=-1)
    longest = int(lengths.max())
    at_limit = (lengths == longest) & data.terminals[ends]
    shorter = int(((lengths >= 0.9 * longest) & (lengths < longest)).sum())
    count = int(at_limit.sum())
    if longest > 1 and count >= _SAME_LIMIT and count > _PILED_UP * shorter:
        row = int(ends[at_limit][0])
        yield Sign(
            "timeouts are marked as terminals",
            "terminal episodes of the greatest length",
            float(count),
            row,
            f"{count} episodes end in a terminal after exactly {longest} steps, the longest there are; first row {row}",
            "a time limit is no end of the task: without a bootstrap there, values depend on a hidden clock",
            f"mark rows that were cut short by a limit of {longest} steps as timeouts, not as terminals",
        )
    early = (lengths < _SHORT * longest) & data.timeouts[ends]
    different = np.unique(lengths[early]).size
    if not data.terminals.any() and early.sum() > len(ends) / 2 and different >= _SAME_LIMIT:
        row = int(ends[early][0])
        yield Sign(
            "terminals are marked as timeouts",
            "timeouts at no common limit",
            float(early.sum()),
            row,
            f"{int(early.sum())} of {len(ends)} episodes end in a timeout, after {different} different numbers of "
            f"steps below the longest, {longest}, and no row is a terminal; first row {row}",
            "a time limit is the same for all: these ended by themselves, and bootstrapping there gives a state that "
            "has no future the value of one that has",
            "mark rows in which the task ended as terminals; keep timeouts for those that were cut short",
        )


def _of_rewards(rewards: np.ndarray) -> Iterator[Sign]:
    size = np.abs(rewards)
    row = int(size.argmax())
    largest = float(size[row])
    if rewards.size > 1 and largest == size.min() and (rewards == rewards[0]).all():
        yield Sign(
            "every reward is the same",
            "rewards",
            float(rewards[0]),
            0,
            f"all {rewards.size} rewards are {rewards[0]:g}",
            "there is nothing to tell actions apart by, and errors of the critic are all that the policy follows",
            "check which array is read as rewards",
        )
        return
    usual = float(np.quantile(size[size > 0], 0.999))
    if largest > _OUTLIER * usual:
        yield Sign(
            "a reward is out of all proportion",
            "max|r|",
            largest,
            row,
            f"|r| is {largest:g} in row {row}, {largest / usual:,.0f} times the 99.9% quantile, {usual:g}",
            "one such row dominates the squared error, and the reward bound that divergence is judged by rests on it",
            "mend or drop that row, or clip rewards",
        )
    typical = float(np.quantile(size[size > 0], 0.99))
    if typical > _LARGE_REWARD or typical < _SMALL_REWARD:
        word = "large" if typical > _LARGE_REWARD else "small"
        yield Sign(
            f"rewards are very {word}",
            "99% quantile of |r|",
            typical,
            row,
            f"the 99% quantile of |r| is {typical:g}; the largest is {largest:g}, in row {row}",
            "values are 1 / (1 - discount) times as large; published learning rates are made for rewards about 1",
            f"divide rewards by about {typical:.1g}",
        )


def _of_actions(actions: np.ndarray, low: ArrayLike | None, high: ArrayLike | None) -> Iterator[Sign]:
    for name, bound, outward in (("above", high, 1.0), ("below", low, -1.0)):
        if bound is None:
            continue
        ends = np.asarray(bound, np.float64)
        if ends.shape not in ((), (actions.shape[1],)):
            raise InputError(
                f"action box: its ends have shape {ends.shape} but actions have {actions.shape[1]} dimensions"
            )
        excess = outward * (actions.astype(np.float32) - ends.astype(np.float32))
        outside = excess > 0
        if outside.any():
            row, dimension = (int(index) for index in np.argwhere(outside)[0])
            value = float(actions[row, dimension])
            yield Sign(
                "actions lie outside the box",
                "actions outside the box",
                float(outside.any(axis=1).sum()),
                row,
                f"{int(outside.any(axis=1).sum())} rows have an action {name} the box; first row {row}, dimension "
                f"{dimension}: {value:g}",
                "the policy can never take those actions, so the critic is asked between points it was not fitted at",
                "rescale the data's actions to the box of the environment",
            )
    for dimension, column in enumerate(actions.T if len(actions) > 1 else []):
        ends = column.min(), column.max()
        if ends[0] == ends[1]:
            yield Sign(
                "an action never changes",
                f"spread of action {dimension}",
                0.0,
                0,
                f"action {dimension} is {ends[0]:g} in every row",
                "its other values are all unseen, and the policy is free to go there",
                "leave it out, or check which array is read as actions",
            )
            continue
        at_end = (column == ends[0]) | (column == ends[1])
        share = float(at_end.mean())
        if share > _AT_AN_END and len(np.unique(column)) > _FEW:
            row = int(np.flatnonzero(at_end)[0])
            yield Sign(
                "actions are saturated",
                f"share of action {dimension} at its ends",
                share,
                row,
                f"action {dimension} is at its smallest or largest value ({ends[0]:g}, {ends[1]:g}) in {share:.0%} of "
                f"the rows; first row {row}",
                "clipped actions are not those that led to the next observations, or the behaviour is bang-bang, and "
                "the critic learns nothing of what lies between",
                "store actions as they were executed, in the units of the environment's box",
            )


def _of_observations(observations: np.ndarray) -> Iterator[Sign]:
    if len(observations) < 2:
        return
    constant = np.flatnonzero(observations.min(axis=0) == observations.max(axis=0))
    if constant.size:
        entry = int(constant[0])
        yield Sign(
            "observation entries never change",
            "constant entries",
            float(constant.size),
            0,
            f"{constant.size} of {observations.shape[1]} entries are constant, first entry {entry}, which is "
            f"{observations[0, entry]:g}",
            "divided by a deviation near 0, the slightest difference at evaluation becomes a huge input",
            "leave them out, or add a floor to the deviation before dividing",
        )
    size = np.sqrt(np.square(observations).mean(axis=0))
    entry = int(size.argmax())
    if size[entry] > _LARGE_OBSERVATION:
        row = int(np.abs(observations[:, entry]).argmax())
        yield Sign(
            "observations are not normalised",
            f"root mean square of entry {entry}",
            float(size[entry]),
            row,
            f"entry {entry} has root mean square {size[entry]:.4g}, the smallest entry's is {size.min():.4g}; largest "
            f"in row {row}",
            "the kernel grows with the square of the inputs, and every learning rate becomes too large",
            "standardise observations by the data's mean and deviation, at evaluation too",
        )


def _of_step(reading: Reading) -> Iterator[Sign]:
    radius = reading.spectral_radius
    if radius is None or not radius > 1 or not reading.normalized <= max(_ROUNDING, reading.residual):
        return
    factor = 2 / (1 + radius)  # -radius = 1 - step * size; stable is step * size <= 2
    yield Sign(
        "the learning rate is beyond the stable step",
        "spectral radius of one step",
        radius,
        None,
        f"the spectral radius of one gradient step is {radius:.4g} at step {reading.step}, while SEEM is "
        f"{reading.seem:+.3g}: errors oscillate and grow, they do not feed themselves",
        "each step overshoots; values blow up although the critic is sound",
        f"multiply the learning rate by less than {factor:.2g}",
    )
