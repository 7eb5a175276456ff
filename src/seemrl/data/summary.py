"""The numbers that `seemrl data info` tells about a data set."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seemrl.data.checks import AT_THE_END, Finding, check_dataset, not_finite
from seemrl.data.columns import Columns
from seemrl.data.duplicates import count_duplicates

BARS = 40
"""Of the histogram of returns."""


@dataclass(frozen=True)
class Spread:
    """Where numbers lie."""

    low: float
    mean: float
    median: float
    high: float
    deviation: float


@dataclass(frozen=True)
class Histogram:
    """How many values lie between consecutive edges, the last one included."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True)
class Dimension:
    """One entry of the observations or actions; ``at_ends`` is the share at an end of the box, for actions."""

    low: float
    mean: float
    high: float
    deviation: float
    at_ends: float | None = None


@dataclass(frozen=True)
class Summary:
    """What a data set holds; all of it but ``not_finite`` is of the rows whose values are finite.

    Attributes:
        source: The file.
        format: Its format.
        environment: Gymnasium id, None when unknown.
        rows: Transitions.
        observation_size: Numbers in an observation.
        action_size: Numbers in an action; 1 where discrete.
        action_count: Number of discrete actions, None where continuous.
        terminals: Rows whose episode ended there.
        timeouts: Rows after which the episode was cut short.
        episodes: Stretches of rows that belong together (`Dataset.episodes`).
        unfinished: Those among them that end without a flag.
        lengths: Steps an episode.
        returns: Undiscounted sums of rewards, an episode each.
        return_histogram: Of the same.
        rewards: All of them.
        max_abs_reward: max|r|.
        discount: That of ``reward_bound``.
        reward_bound: max|r| / (1 - discount): no true value is larger.
        action_box: The box that actions are held against.
        actions: A dimension each; empty where discrete.
        action_counts: How often each discrete action occurs; empty where continuous.
        observations: A dimension each.
        duplicates: Rows that repeat an earlier one exactly.
        not_finite: By key, the share of values that are NaN or infinite.
        attributes: What the file says of itself.
        findings: What to look at, warnings first.
    """

    source: str
    format: str
    environment: str | None
    rows: int
    observation_size: int
    action_size: int
    action_count: int | None
    terminals: int
    timeouts: int
    episodes: int
    unfinished: int
    lengths: Spread
    returns: Spread
    return_histogram: Histogram
    rewards: Spread
    max_abs_reward: float
    discount: float
    reward_bound: float
    action_box: tuple[float, float]
    actions: tuple[Dimension, ...]
    action_counts: tuple[int, ...]
    observations: tuple[Dimension, ...]
    duplicates: int
    not_finite: Mapping[str, float]
    attributes: Mapping[str, float | int | str]
    findings: tuple[Finding, ...]

    def to_dict(self) -> dict[str, Any]:
        """Every field as plain values."""
        return asdict(self)


def summarize(columns: Columns, *, discount: float = 0.99, low: float = -1.0, high: float = 1.0) -> Summary:
    """Sum up what a file holds.

    Args:
        columns: What `loading.read` returned.
        discount: For the reward bound, in [0, 1).
        low: Lower end of the action box, the same in each dimension.
        high: Upper end.

    Raises:
        InputError: No row is finite, or the discount is out of range.
    """
    data = columns.finite_part()
    episodes = data.episodes()
    sums = data.returns()
    last = episodes[:, 1] - 1
    broken = not_finite(columns.not_finite, columns.sizes, len(columns.arrays["rewards"]) - len(data))
    return Summary(
        source=data.source,
        format=columns.format,
        environment=data.environment,
        rows=len(data),
        observation_size=data.observation_size,
        action_size=data.action_size,
        action_count=data.action_count if data.discrete else None,
        terminals=int(data.terminals.sum()),
        timeouts=int((data.timeouts & ~data.terminals).sum()),
        episodes=len(episodes),
        unfinished=int((~(data.terminals | data.timeouts)[last]).sum()),
        lengths=_spread(episodes[:, 1] - episodes[:, 0]),
        returns=_spread(sums),
        return_histogram=_histogram(sums),
        rewards=_spread(data.rewards),
        max_abs_reward=data.max_abs_reward,
        discount=discount,
        reward_bound=data.reward_bound(discount),
        action_box=(low, high),
        actions=() if data.discrete else _dimensions(data.actions, (low, high)),
        action_counts=tuple(map(int, np.bincount(data.actions, minlength=data.action_count))) if data.discrete else (),
        observations=_dimensions(data.observations, None),
        duplicates=count_duplicates(data),
        not_finite={key: count / columns.sizes[key] for key, count in columns.not_finite.items()},
        attributes=dict(data.attributes),
        findings=(*([broken] if broken else []), *check_dataset(data, low, high)),
    )


def _spread(values: NDArray[Any]) -> Spread:
    floats = values.astype(np.float64)
    return Spread(*map(float, (floats.min(), floats.mean(), np.median(floats), floats.max(), floats.std())))


def _histogram(values: NDArray[np.float64]) -> Histogram:
    low, high = float(values.min()), float(values.max())
    if not high - low > 1e-9 * max(abs(low), abs(high)):  # one value, or too close for bars of their own
        return Histogram((low, high), (len(values),))
    counts, edges = np.histogram(values, bins=min(BARS, len(values)), range=(low, high))
    return Histogram(tuple(map(float, edges)), tuple(map(int, counts)))


def _dimensions(array: NDArray[Any], box: tuple[float, float] | None) -> tuple[Dimension, ...]:
    """Column by column, so that float64 copies are of one column."""
    found: list[Dimension] = []
    for column in array.T:
        values = column.astype(np.float64)
        at_ends = None
        if box is not None:
            room = AT_THE_END * (box[1] - box[0])
            at_ends = float(((values <= box[0] + room) | (values >= box[1] - room)).mean())
        found.append(
            Dimension(float(values.min()), float(values.mean()), float(values.max()), float(values.std()), at_ends)
        )
    return tuple(found)
