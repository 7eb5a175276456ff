"""What in a data set makes critics diverge, or is a mistake in its making: functions from a `Dataset` to findings."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from seemrl.data.dataset import Dataset
from seemrl.data.duplicates import count_duplicates

Severity = Literal["warning", "note"]

SHORTEST_LIMIT = 20
"""Steps. Episodes that all end after fewer have a natural length rather than a time limit."""
SHARE_AT_LIMIT = 0.05
"""Of the episodes that end in a terminal; so many of exactly the greatest length are no coincidence."""
SHARE_UNMARKED_IN_SHUFFLED = 0.5
"""Of all rows; where more do not continue in the next row, rows were shuffled or drawn rather than cut."""
LARGEST_SCALE_RATIO = 1000.0
"""Between the standard deviations of two observation entries."""
OUTLYING_QUARTILE_RANGES = 20.0
"""Distance of a reward from the median, in ranges between the quartiles."""
SHARE_SATURATED = 0.05
"""Of action entries at the ends of the box."""
AT_THE_END = 1e-6
"""Distance from an end of the box, as a share of its width, that counts as at the end."""
SHARE_DUPLICATED = 0.01


@dataclass(frozen=True)
class Finding:
    """One thing about a data set that its user should know.

    Attributes:
        name: A word for programs, such as ``timeouts_as_terminals``.
        severity: "warning" if it makes critics diverge or is likely a mistake, "note" if it may be meant.
        key: The array it is about.
        problem: What was found, with numbers.
        consequence: Why that matters to a critic.
        remedy: What to do.
        count: How many rows, episodes or entries have it.
        row: The first row that has it, None where it is no matter of rows.
    """

    name: str
    severity: Severity
    key: str
    problem: str
    consequence: str
    remedy: str
    count: int
    row: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain values."""
        return asdict(self)


def check_dataset(dataset: Dataset, low: float = -1.0, high: float = 1.0) -> tuple[Finding, ...]:
    """Every finding about a data set, warnings first.

    Args:
        dataset: The data.
        low: Lower end of the action box, the same in each dimension.
        high: Upper end.
    """
    checks: tuple[Callable[[Dataset], Finding | None], ...] = (
        timeouts_as_terminals,
        no_ends,
        discontinuities,
        constant_dimensions,
        badly_scaled_dimensions,
        reward_outliers,
        constant_rewards,
        lambda data: actions_beyond_box(data, low, high),
        lambda data: saturated_actions(data, low, high),
        duplicates,
    )
    found = [finding for check in checks if (finding := check(dataset)) is not None]
    return tuple(sorted(found, key=lambda finding: finding.severity == "note"))


def timeouts_as_terminals(dataset: Dataset) -> Finding | None:
    """Several terminal episodes of exactly the greatest length: a time limit that was recorded as an end."""
    episodes = dataset.episodes()
    lengths = episodes[:, 1] - episodes[:, 0]
    last = episodes[:, 1] - 1
    terminal = dataset.terminals[last]
    limit = int(lengths.max())
    at_limit = terminal & (lengths == limit)
    count = int(at_limit.sum())
    if limit < SHORTEST_LIMIT or count < 2 or count < SHARE_AT_LIMIT * terminal.sum():
        return None
    return Finding(
        name="timeouts_as_terminals",
        severity="warning",
        key="terminals",
        problem=f"{count:,} of {int(terminal.sum()):,} terminal episodes end after exactly {limit:,} steps, the "
        "greatest length: the mark of a time limit",
        consequence="targets there lose their bootstrap, so that states like any other are worth 0 at random",
        remedy="if these were cut by the limit, clear terminals in their last rows and set timeouts instead",
        count=count,
        row=int(last[at_limit][0]),
    )


def not_finite(counts: Mapping[str, int], sizes: Mapping[str, int], rows: int) -> Finding | None:
    """Values that are NaN or infinite, which a `Dataset` cannot hold.

    Args:
        counts: How many there are, by key of the file.
        sizes: How many values there are in all.
        rows: Transitions that have one.
    """
    if not any(counts.values()):
        return None
    worst = max(counts, key=lambda key: counts[key] / sizes[key])
    return Finding(
        name="not_finite",
        severity="warning",
        key=worst,
        problem=f"{sum(counts.values()):,} values are NaN or infinite, most in {worst}: "
        f"{100 * counts[worst] / sizes[worst]:.3g}%",
        consequence="one of them makes every weight NaN; the numbers here leave those rows out, training refuses them",
        remedy="remove or repair these transitions",
        count=rows,
    )


def no_ends(dataset: Dataset) -> Finding | None:
    """Neither a terminal nor a timeout anywhere."""
    if dataset.terminals.any() or dataset.timeouts.any():
        return None
    return Finding(
        name="no_ends",
        severity="warning",
        key="terminals",
        problem="no row is marked as a terminal or a timeout",
        consequence="every value bootstraps for ever, also where an episode ended; falls and failures cost nothing",
        remedy="check that the flags were stored; in a task that really never ends, go on",
        count=len(dataset),
    )


def discontinuities(dataset: Dataset) -> Finding | None:
    """Unmarked rows whose next observation is not what the following row observes."""
    ends = dataset.episodes()[:-1, 1] - 1
    unmarked = ends[~(dataset.terminals | dataset.timeouts)[ends]]
    if not unmarked.size:
        return None
    shuffled = unmarked.size > SHARE_UNMARKED_IN_SHUFFLED * len(dataset)
    return Finding(
        name="discontinuities",
        severity="note" if shuffled else "warning",
        key="next_observations",
        problem=f"after {unmarked.size:,} rows without a flag the next row observes something else"
        + (": rows were shuffled or drawn at random" if shuffled else ""),
        consequence="episodes and returns cannot be told; what reads the following row as the next one would learn "
        "jumps that never happened",
        remedy="rely on next_observations alone, as seemrl does"
        if shuffled
        else "mark these rows as timeouts (or terminals, if the episode ended there)",
        count=int(unmarked.size),
        row=int(unmarked[0]),
    )


def constant_dimensions(dataset: Dataset) -> Finding | None:
    """Observation entries that never change."""
    constant = np.flatnonzero((dataset.observations == dataset.observations[0]).all(axis=0))
    if not constant.size:
        return None
    return Finding(
        name="constant_dimensions",
        severity="note",
        key="observations",
        problem=f"entries that never change: {_listed(constant)}",
        consequence="they carry no information, but a state in which they differ is scaled up a thousandfold by "
        "standardisation and meets weights that were never trained",
        remedy="leave them out, in the data and in the environment",
        count=int(constant.size),
    )


def badly_scaled_dimensions(dataset: Dataset) -> Finding | None:
    """Observation entries whose standard deviations differ by orders of magnitude."""
    deviations = dataset.observations.std(axis=0, dtype=np.float64)
    moving = deviations > 0
    if not moving.any():
        return None
    ratio = deviations[moving].max() / deviations[moving].min()
    if ratio <= LARGEST_SCALE_RATIO:
        return None
    largest, smallest = int(deviations.argmax()), int(np.where(moving, deviations, np.inf).argmin())
    return Finding(
        name="badly_scaled_dimensions",
        severity="warning",
        key="observations",
        problem=f"standard deviations from {deviations[smallest]:.3g} (entry {smallest}) to "
        f"{deviations[largest]:.3g} (entry {largest}), a factor of {ratio:,.0f}",
        consequence="the large entries alone make up the critic's kernel: distant states look alike or far apart by "
        "one number",
        remedy="train with --normalize-observations, or rescale the entries",
        count=int((deviations > deviations[smallest] * LARGEST_SCALE_RATIO).sum()),
    )


def reward_outliers(dataset: Dataset) -> Finding | None:
    """Rewards far outside the bulk of a graded reward; sparse rewards of a few values are none."""
    rewards = dataset.rewards.astype(np.float64)
    low, middle, high = np.percentile(rewards, [25, 50, 75])
    if high == low:
        return None
    outlying = np.abs(rewards - middle) > OUTLYING_QUARTILE_RANGES * (high - low)
    if not outlying.any():
        return None
    row = int(np.abs(rewards - middle).argmax())
    return Finding(
        name="reward_outliers",
        severity="warning",
        key="rewards",
        problem=f"{int(outlying.sum()):,} rewards lie more than {OUTLYING_QUARTILE_RANGES:g} interquartile ranges from "
        f"the median {middle:.3g}, the farthest {rewards[row]:.4g}",
        consequence="single targets dominate the loss, and the bound max|r| / (1 - discount), by which divergence is "
        "judged, is set by them",
        remedy="check those rows; clip or rescale the rewards if they are real",
        count=int(outlying.sum()),
        row=row,
    )


def constant_rewards(dataset: Dataset) -> Finding | None:
    """One reward for everything."""
    if (dataset.rewards != dataset.rewards[0]).any():
        return None
    return Finding(
        name="constant_rewards",
        severity="warning",
        key="rewards",
        problem=f"every reward is {float(dataset.rewards[0]):g}",
        consequence="there is nothing to learn but when episodes end",
        remedy="check that the rewards of the task were stored",
        count=len(dataset),
    )


def actions_beyond_box(dataset: Dataset, low: float = -1.0, high: float = 1.0) -> Finding | None:
    """Actions outside the box, which no actor that respects it can take."""
    if dataset.discrete:
        return None
    outside = ((dataset.actions < np.float32(low)) | (dataset.actions > np.float32(high))).any(axis=1)
    if not outside.any():
        return None
    row = int(np.argmax(outside))
    return Finding(
        name="actions_beyond_box",
        severity="warning",
        key="actions",
        problem=f"{int(outside.sum()):,} rows have an action outside [{low:g}, {high:g}], from "
        f"{float(dataset.actions.min()):.4g} to {float(dataset.actions.max()):.4g}",
        consequence="the actor never goes there, so the critic is trained on one region and asked about another",
        remedy="give the environment's box, or rescale the actions into it; seemrl train refuses them as they are",
        count=int(outside.sum()),
        row=row,
    )


def saturated_actions(dataset: Dataset, low: float = -1.0, high: float = 1.0) -> Finding | None:
    """Many action entries at the very ends of the box."""
    if dataset.discrete:
        return None
    room = AT_THE_END * (high - low)
    at_end = (dataset.actions <= low + room) | (dataset.actions >= high - room)
    share = float(at_end.mean())
    if share <= SHARE_SATURATED:
        return None
    return Finding(
        name="saturated_actions",
        severity="note",
        key="actions",
        problem=f"{100 * share:.3g}% of the action entries lie at or beyond an end of [{low:g}, {high:g}]",
        consequence="a tanh policy reaches the ends only at infinity: its likelihood of these actions has no bound, "
        "and its own actions crowd where the critic is steepest",
        remedy="with a likelihood-based method, shrink the actions slightly (for example by 0.999)",
        count=int(at_end.sum()),
        row=int(np.argmax(at_end.any(axis=1))),
    )


def duplicates(dataset: Dataset) -> Finding | None:
    """Transitions that occur more than once, to the bit."""
    count = count_duplicates(dataset)
    if count <= SHARE_DUPLICATED * len(dataset):
        return None
    return Finding(
        name="duplicates",
        severity="note",
        key="observations",
        problem=f"{count:,} of {len(dataset):,} rows repeat an earlier transition exactly",
        consequence="they weigh more than others, and a fixed batch that holds both makes the kernel singular",
        remedy="remove the repetitions unless they are meant (a discrete task has them by nature)",
        count=count,
    )


def _listed(numbers: NDArray[Any], most: int = 12) -> str:
    shown = ", ".join(str(int(number)) for number in numbers[:most])
    return shown if len(numbers) <= most else f"{shown} and {len(numbers) - most} more"
