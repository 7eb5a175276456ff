"""`advise`: what would end the self-excitation of a critic, each remedy measured before it is recommended."""

import sys
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from seemrl.errors import InputError
from seemrl.instrument.batch import Batch
from seemrl.instrument.dynamics import Heads
from seemrl.instrument.forecast.behaviour import behaviour_actions
from seemrl.instrument.forecast.candidates import LAYER_NORM, Candidates, Variants, replayed
from seemrl.instrument.forecast.remedy import Remedy, ranked
from seemrl.instrument.kernels import open_critic
from seemrl.instrument.measure import greedy_policy, measure
from seemrl.instrument.points import Points, Policy


def advise(
    critic: Any,
    batch: Batch,
    policy: Policy | Literal["greedy"],
    *,
    discount: float,
    heads: Heads = "coupled",
    mask_terminals: bool = True,
    learning_rate: float | None = None,
    loss_scale: float = 2.0,
    optimizer: Any = None,
    target_critic: Any = None,
    target_rate: float | None = None,
    target_period: int = 1,
    policy_draws: int = 2,
    accuracy: float = 2e-3,
    population: int | None = None,
    memory: int = 2 * 2**30,
    step: int = 0,
    next_actions: Float[np.ndarray, "rows action"] | None = None,
    variants: Variants | None = None,
) -> list[Remedy]:
    """Measure what remedies do to this critic on these rows, best first.

    Each is one change to the critic as it is now: a normaliser in it, policy actions moved toward the data's, the
    smaller of two heads as target, a smaller discount, target rate or learning rate. Kernels are computed anew only
    where the change moves them. All options but the last two are those of `measure`, and the numbers are what it would
    read.

    With a normaliser the network is another one, for which the optimizer has no second moments. A preconditioned rate
    is then compared by plain gradient steps: that step at which errors in the present critic grow at its measured rate,
    and in the other critic a step that moves its values as much (equal Frobenius norms of step and A).

    Args:
        critic: as for `measure`, and so all options up to ``step``.
        batch: the transitions.
        policy: as the target uses it.
        discount: gamma, in [0, 1].
        heads: how the heads form the target.
        mask_terminals: no bootstrap at terminal transitions.
        learning_rate: the critic's step size.
        loss_scale: factor before the mean squared error's gradient.
        optimizer: the critic's torch optimizer or optax state.
        target_critic: chooses the smaller head, and the greedy action.
        target_rate: tau of target averaging.
        target_period: critic updates per target update.
        policy_draws: draws averaged for a random policy.
        accuracy: largest residual at which a compressed spectrum is accepted.
        population: transitions the batch was drawn from, without replacement.
        memory: bytes the kernels may take.
        step: training step.
        next_actions: the action that the data took after each row, NaN where unknown, toward which behaviour cloning
            leads. Without it, that of the row with the nearest observation.
        variants: critics to compare with, by name: each with its target critic, or None. A torch critic is compared
            with itself under LayerNorm (see `stabilize`) where none are given; for a JAX critic they have to be.

    Raises:
        InputError: as `measure`; or ``next_actions`` does not fit.
    """
    options: dict[str, Any] = {
        "discount": discount,
        "heads": heads,
        "mask_terminals": mask_terminals,
        "learning_rate": learning_rate,
        "loss_scale": loss_scale,
        "optimizer": optimizer,
        "target_rate": target_rate,
        "target_period": target_period,
        "policy_draws": policy_draws,
        "accuracy": accuracy,
        "population": population,
        "memory": memory,
        "step": step,
    }
    if policy == "greedy" and not batch.discrete:
        measure(critic, batch, policy, **options)  # refuses it
    opened = open_critic(critic, batch.discrete)
    target = opened if target_critic is None else open_critic(target_critic, batch.discrete)
    asked = greedy_policy(target, heads) if policy == "greedy" else policy
    points = Points.of(batch, asked, max(1, policy_draws))
    before = measure(critic, batch, replayed(points), target_critic=target_critic, **options)
    rule = opened.step_rule(optimizer, learning_rate)
    candidates = Candidates(
        before, batch, points, policy, opened, target, rule, *behaviour_actions(batch, next_actions), options
    )
    if not before.finite:
        return candidates.none_measured("the critic's values are not finite; advise on an earlier checkpoint")
    if variants is None:
        remedies = _normalised_in_torch(candidates, critic, target_critic)
    else:
        remedies = list(candidates.normalised(variants))
    return ranked(
        [
            *remedies,
            *candidates.behaviour_cloning(),
            *candidates.smaller_head(),
            *candidates.smaller_discount(),
            *candidates.slower_target(),
            *candidates.smaller_learning_rate(),
        ]
    )


def _normalised_in_torch(candidates: Candidates, critic: Any, target_critic: Any) -> list[Remedy]:
    """A torch critic under LayerNorm; what cannot be normalised is told."""
    torch: Any = sys.modules.get("torch")
    if torch is None or not isinstance(critic, torch.nn.Module):
        return [candidates.unmeasured(LAYER_NORM, "put LayerNorm into every hidden layer", "variants does not name it")]
    from seemrl.stabilizing.stabilize import stabilize

    batch = candidates.batch
    example = (batch.observations[:2],) if batch.discrete else (batch.observations[:2], batch.actions[:2])
    try:
        twins = [
            None if module is None else stabilize(getattr(module, "_orig_mod", module), example=example)
            for module in (critic, target_critic)
        ]
    except InputError as error:
        return [candidates.unmeasured(LAYER_NORM, "put LayerNorm into every hidden layer", str(error))]
    return list(candidates.normalised({LAYER_NORM: (twins[0], twins[1])}))
