"""Where a critic is evaluated: the rows' own points, and those of their targets."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from seemrl.errors import InputError
from seemrl.instrument.batch import Batch

Policy = Callable[[np.ndarray], Any]
"""next observations (rows, observation) -> actions (rows, action), as the target uses them."""


@dataclass(frozen=True)
class Points:
    """The batch's own points first, then the target's, draw after draw.

    Attributes:
        observations: of each row at its own point and at each of its targets.
        actions: likewise.
    """

    observations: Float[np.ndarray, "sets rows observation"]
    actions: Float[np.ndarray, "sets rows action"]

    @classmethod
    def of(cls, batch: Batch, policy: Policy, draws: int) -> "Points":
        """Ask the policy twice; one whose answers differ is random, and asked ``draws`` times altogether."""
        answers = [_actions(policy, batch), _actions(policy, batch)]
        if np.array_equal(answers[0], answers[1]):
            answers = answers[:1]
        else:
            answers = [*answers, *(_actions(policy, batch) for _ in range(draws - len(answers)))][:draws]
        observations = np.stack([batch.observations, *[batch.next_observations] * len(answers)])
        return cls(observations, np.stack([batch.actions, *answers]))

    @property
    def draws(self) -> int:
        """Targets of each row."""
        return len(self.actions) - 1

    @property
    def rows(self) -> int:
        """Transitions."""
        return self.actions.shape[1]

    def of_rows(self, part: slice = slice(None)) -> tuple[np.ndarray, np.ndarray]:
        """Observations and actions of some rows, own points first, then those of each draw: (points, size) each."""
        return _flat(self.observations[:, part]), _flat(self.actions[:, part])

    def chunks(self, rows: int) -> Iterator[slice]:
        """All rows, so many at a time."""
        for start in range(0, self.rows, rows):
            yield slice(start, min(start + rows, self.rows))


def _flat(sets: np.ndarray) -> np.ndarray:
    return sets.reshape(-1, sets.shape[-1])


def _actions(policy: Policy, batch: Batch) -> np.ndarray:
    answer = policy(batch.next_observations)
    actions = np.asarray(answer.detach().cpu() if hasattr(answer, "detach") else answer, np.float64)
    if batch.discrete and actions.ndim == 1:
        actions = actions[:, None]
    if actions.shape != batch.actions.shape:
        raise InputError(
            f"policy: it returned actions of shape {np.shape(answer)}; "
            f"the batch's have {batch.actions.shape[: 1 if batch.discrete else 2]}"
        )
    if batch.discrete and (actions != np.round(actions)).any():
        raise InputError("policy: it returned actions that are not whole numbers; give indices, as the batch does")
    return actions
