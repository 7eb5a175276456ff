"""How far an export is from the policy it was made of."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seemrl.exporting.formats import Called
from seemrl.exporting.policy import Policy


def largest_difference(
    policy: Policy,
    called: Called,
    inputs: Sequence[NDArray[Any]],
    wanted: Sequence[NDArray[Any]],
    tolerance: float,
) -> float:
    """The largest difference over all rows, all outputs, and two sizes of the batch: all rows, and the first alone.

    Actions are compared in half-widths of the box, scores in units of the largest. A numbered action, or one chosen
    among candidates, has to be the same wherever the last score that is chosen and the next are further apart than
    rounding may bring them: twice the tolerance.

    Args:
        policy: what was exported.
        called: the export, loaded back.
        inputs: a batch of each input.
        wanted: what evaluation makes of them.
        tolerance: largest difference that is to be accepted.

    Returns:
        The difference; infinite where another action was chosen or a shape is wrong, NaN where something is.
    """
    return max(
        (
            _difference(
                policy, called(*(given[:rows] for given in inputs)), [part[:rows] for part in wanted], tolerance
            )
            for rows in (len(inputs[0]), 1)
        ),
        key=lambda value: (np.isnan(value), value),
    )


def _difference(
    policy: Policy, found: Sequence[NDArray[Any]], wanted: Sequence[NDArray[Any]], tolerance: float
) -> float:
    kinds = [(part.shape, part.dtype) for part in wanted]
    if [(part.shape, part.dtype) for part in found] != kinds:
        return np.inf
    decided = np.ones(len(wanted[0]), bool)
    differences = [0.0]
    if len(wanted) > 1:
        scale = max(1.0, float(np.abs(wanted[1]).max()))
        differences.append(float(np.abs(found[1] - wanted[1]).max()) / scale)
        decided = _gap(wanted[1], policy.chosen) > 2 * tolerance * scale
    apart = np.abs(found[0].astype(np.float64) - wanted[0])[decided]
    if policy.discrete:
        differences.append(np.inf if apart.any() else 0.0)
    elif apart.size:
        half = (np.asarray(policy.box.high) - np.asarray(policy.box.low)) / 2
        differences.append(float((apart / half).max()))
    return float(np.max(differences))


def _gap(scores: NDArray[Any], chosen: int) -> NDArray[Any]:
    """How far the last of so many chosen ones of a row is from the next."""
    if scores.shape[1] <= chosen:
        return np.full(len(scores), np.inf)
    ordered = np.sort(scores, axis=1)
    return ordered[:, -chosen] - ordered[:, -chosen - 1]
