"""Advice on a critic and the data it is trained on: remedies, best first, and signs of a plain bug."""

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from seemrl.data.arrays import Floats
from seemrl.data.dataset import Dataset
from seemrl.instrument.batch import Batch
from seemrl.instrument.forecast.candidates import Variants
from seemrl.instrument.forecast.remedies import advise
from seemrl.instrument.forecast.remedy import Remedy
from seemrl.instrument.forecast.signs import Sign, signs_of_a_bug
from seemrl.instrument.points import Policy
from seemrl.instrument.reading import Reading


@dataclass(frozen=True)
class Advice:
    """What to do, best first, and what looks like a mistake.

    Attributes:
        step: training step of the reading that it is about.
        remedies: ranked.
        signs: of a bug; none if nothing strikes the eye.
    """

    step: int
    remedies: tuple[Remedy, ...]
    signs: tuple[Sign, ...]

    @property
    def best(self) -> Remedy | None:
        """The first remedy, if the measurement speaks for it."""
        return self.remedies[0] if self.remedies and self.remedies[0].helps else None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, not all of them finite."""
        return {
            "step": self.step,
            "remedies": [remedy.to_dict() for remedy in self.remedies],
            "signs": [sign.to_dict() for sign in self.signs],
        }


def advise_with_data(
    critic: Any,
    batch: Batch,
    policy: Policy | Literal["greedy"],
    *,
    data: Dataset,
    next_actions: Float[np.ndarray, "rows action"],
    reading: Reading,
    variants: Variants | None = None,
    action_low: ArrayLike | None = None,
    action_high: ArrayLike | None = None,
    **options: Any,
) -> Advice:
    """Advice where the data are at hand: mistakes are looked for in them.

    Args:
        critic: of the reading.
        batch: the rows, as the critic sees them.
        policy: as the target uses it.
        data: the data set, as the critic sees it (see `as_seen`).
        next_actions: the action that the data took after each row of the batch, as for `advise`.
        reading: of the critic, on the batch.
        variants: as for `advise`.
        action_low: lower ends of the action box, where known.
        action_high: upper ends.
        options: of `measure`, as for the reading.

    Raises:
        InputError: as `advise` and `signs_of_a_bug`.
    """
    remedies = advise(critic, batch, policy, next_actions=next_actions, variants=variants, **options)
    signs = signs_of_a_bug(data, reading=reading, action_low=action_low, action_high=action_high)
    return Advice(reading.step, tuple(remedies), tuple(signs))


def as_seen(data: Dataset, shift: Floats, scale: Floats) -> Dataset:
    """The data set as a critic of standardised observations sees it: less ``shift``, over ``scale``."""
    return replace(
        data,
        observations=(data.observations - shift) / scale,
        next_observations=(data.next_observations - shift) / scale,
    )
