"""Where a critic is evaluated: the rows' own points, and those of their targets."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from seemrl.errors import InputError, reason
from seemrl.instrument.batch import Batch

Policy = Callable[[np.ndarray], Any]
"""next observations (rows, observation) -> actions (rows, action), as the target uses them; or a torch module."""


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


def _answer(policy: Policy, next_observations: np.ndarray) -> Any:
    """What the policy returns; a torch module is given a tensor of its own precision and device."""
    torch: Any = sys.modules.get("torch")
    if torch is None or not isinstance(policy, torch.nn.Module):
        return policy(next_observations)
    module: Any = policy
    own = next((value for value in module.parameters() if value.is_floating_point()), torch.empty(0))
    with torch.no_grad():
        answer = module(torch.as_tensor(next_observations, dtype=own.dtype, device=own.device))
    return answer.double() if isinstance(answer, torch.Tensor) and answer.is_floating_point() else answer


def _flat(sets: np.ndarray) -> np.ndarray:
    return sets.reshape(-1, sets.shape[-1])


def _actions(policy: Policy, batch: Batch) -> np.ndarray:
    if not callable(policy):
        raise InputError(f"policy: a {type(policy).__name__} cannot be called; pass next observations -> actions")
    try:
        answer = _answer(policy, batch.next_observations)
    except InputError:
        raise
    except Exception as error:  # whatever its code raises
        raise InputError(
            f"policy: it fails at next observations {batch.next_observations.shape}, a float64 NumPy array "
            f"({reason(error, 80)}); a function of tensors has to convert them, a torch module need not"
        ) from error
    try:
        actions = np.asarray(answer.detach().cpu() if hasattr(answer, "detach") else answer, np.float64)
    except (TypeError, ValueError):
        raise InputError(
            f"policy: it returned a {type(answer).__name__} that is no array of numbers; return the actions alone"
        ) from None
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
