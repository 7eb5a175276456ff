"""The remedies that are tried on a critic, one method each."""

import functools
import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from seemrl.errors import InputError
from seemrl.instrument.batch import Batch
from seemrl.instrument.dynamics import Heads
from seemrl.instrument.forecast.remedy import Remedy, standing_of
from seemrl.instrument.forecast.trial import Outcome, Step, Trial
from seemrl.instrument.kernels import Critic
from seemrl.instrument.measure import measure
from seemrl.instrument.modes import Update
from seemrl.instrument.optimizers import StepRule
from seemrl.instrument.points import Points, Policy
from seemrl.instrument.reading import Reading
from seemrl.instrument.spectrum import Spectrum

LAYER_NORM = "LayerNorm in the critic"
MEASURED = "measured on the same rows"
SMALLER_RATE = 1 / 3
"""What the learning rate is multiplied by."""
SHORTER_HORIZON = 5
"""What 1 - discount is multiplied by: 0.99 becomes 0.95."""
SLOW_TARGET = 0.005
"""Target rate that is tried where there is no averaging."""
SLOWER_TARGET = 0.1
"""What the target rate is multiplied by where there is."""
SHARES = (0.5, 1.0)
"""Of the way from the policy's actions to the data's."""
_NEAR = "the policy stays near the data's"
_ANEW = "put in later, it makes another function of the critic, which has to learn anew"
_OSCILLATING = "the step is stable then: at the present one errors grow by oscillating"
_EQUAL_STEPS = (
    "a rate by plain gradient steps that move values as much as here, none where the present one is not positive"
)
_STABLE_SHARE = 0.9  # of the largest stable step, where the present one is too large

Variants = Mapping[str, tuple[Any, Any]]
"""By name: a critic to compare with, and its target critic or None."""


@dataclass(frozen=True)
class Candidates:
    """A critic as it is, and everything that a change to it is measured with.

    Attributes:
        before: the reading of the critic as it is.
        batch: its rows.
        points: the rows' own points and those of their targets.
        policy: as it was given, for critics that choose their own actions.
        critic: opened.
        target: likewise; may be the critic itself.
        rule: how gradients become steps; None where that is unknown.
        behaviour: the data's action at each next observation.
        behaviour_source: where that is from.
        options: of `measure`, the target critic aside.
    """

    before: Reading
    batch: Batch
    points: Points
    policy: Policy | Literal["greedy"]
    critic: Critic
    target: Critic
    rule: StepRule | None
    behaviour: Float[np.ndarray, "rows action"]
    behaviour_source: str
    options: Mapping[str, Any]

    def normalised(self, variants: Variants) -> Iterator[Remedy]:
        """Other networks in the place of this one, each trained as this one is."""
        for name, (critic, target) in variants.items():
            action = (
                "normalise every hidden layer of critic and target critic, best from the first update on: "
                "seemrl.stabilize(critic), or seemrl train --critic-norm layer"
                if name == LAYER_NORM
                else f"{name}: train that critic in this one's place"
            )
            yield self._tried(
                name, action, functools.partial(self._of_another, critic, target), self._how_another(), _ANEW
            )

    def behaviour_cloning(self) -> Iterator[Remedy]:
        """Targets at actions nearer to the data's."""
        own = self.points.actions
        for share in SHARES:
            if share < 1 and self.batch.discrete:  # there is nothing between two discrete actions
                continue
            actions = own.copy()
            actions[1:] += share * (self.behaviour - own[1:])
            moved = Points(self.points.observations, actions)
            name = "behaviour cloning, " + ("all the way" if share == 1 else f"{share:.0%} of the way")
            action = (
                "let the target use the data's own actions, as SARSA and in-sample methods (IQL) do"
                if share == 1
                else f"add a behaviour-cloning term so strong that actions move {share:.0%} of the way to the data's"
            )
            how = f"{MEASURED}, at actions moved to {self.behaviour_source}"
            trial = functools.partial(self._trial, moved, self.options["heads"])
            yield self._tried(name, action, lambda trial=trial: trial().outcome(self._step), how, _NEAR)

    def smaller_head(self) -> Iterator[Remedy]:
        """Targets from the smaller of several heads, where they are not from it already."""
        if self.options["heads"] == "coupled":
            return
        name, action = "smaller head as target", "form targets from the smaller of two critic heads (clipped double Q)"
        if len(self.critic(*self.points.of_rows(slice(0, 1)))) < 2:
            yield self.unmeasured(name, action, "the critic has one head only")
            return
        yield self._tried(
            name,
            action,
            lambda: self._trial(self.points, "coupled").outcome(self._step),
            MEASURED,
            "targets become smaller",
        )

    def smaller_discount(self) -> Iterator[Remedy]:
        """A shorter horizon."""
        discount = self.options["discount"]
        smaller = max(0.0, 1 - SHORTER_HORIZON * (1 - discount))
        if smaller >= discount:
            return
        yield self._tried(
            f"discount {smaller:.4g}",
            f"train with discount {smaller:.4g} in place of {discount:.4g}",
            lambda: self._own.discounted(smaller / discount).outcome(self._step),
            MEASURED,
            "values are those of a shorter horizon, the task is another one",
        )

    def slower_target(self) -> Iterator[Remedy]:
        """Target averaging, or more of it."""
        step = self._step
        if step is None:
            return
        slower = SLOW_TARGET if step.update.target_rate == 1 else SLOWER_TARGET * step.update.target_rate
        yield self._tried(
            f"target rate {slower:.4g}",
            f"average the target network at rate {slower:.4g} in place of {step.update.target_rate:.4g}",
            lambda: self._own.outcome(replace(step, update=replace(step.update, target_rate=slower))),
            MEASURED,
            "values are learnt more slowly too",
            changes_rate_only=True,
        )

    def smaller_learning_rate(self) -> Iterator[Remedy]:
        """Smaller steps; the cure where plain gradient steps are too long to be stable, else a delay."""
        step, rule = self._step, self.rule
        if step is None or rule is None:
            return
        stable = None if rule.preconditioner is not None else largest_stable_step(self._own.spectrum)
        share = SMALLER_RATE if stable is None else min(SMALLER_RATE, _STABLE_SHARE * stable / step.size)
        rate = share * rule.learning_rate
        remedy = self._tried(
            f"learning rate {rate:.2g}",
            f"train the critic with learning rate {rate:.2g} in place of {rule.learning_rate:.2g}",
            lambda: self._own.outcome(replace(step, size=share * step.size)),
            MEASURED,
            "everything is learnt more slowly too",
            changes_rate_only=True,
        )
        if stable is not None and step.size > stable and self.before.seem <= 0:  # the oscillation that SEEM misses
            yield replace(remedy, standing="ends it", effect=_OSCILLATING)
        else:
            yield remedy

    def unmeasured(self, name: str, action: str, why: str) -> Remedy:
        """A remedy that has to be listed without a number."""
        before = self.before
        numbers = before.rate, before.rate_error, None, None, before.normalized, None
        return Remedy(name, action, *numbers, "not measured", why, "not measured")

    def none_measured(self, why: str) -> list[Remedy]:
        """The remedies that are known from theory, for a critic that cannot be measured."""
        return [
            replace(self.unmeasured(name, action, why), obtained="theory")
            for name, action in (
                (LAYER_NORM, "put LayerNorm into every hidden layer, and train from an earlier checkpoint"),
                ("behaviour cloning", "add a behaviour-cloning term to the policy's loss, and train likewise"),
            )
        ]

    # --------------------------------------------------------------------------------------------------- measuring

    @property
    def _step(self) -> Step | None:
        if self.rule is None:
            return None
        size = self.rule.learning_rate * self.options["loss_scale"] / len(self.batch)
        update = Update(self.options["target_rate"] or 1.0, self.options["target_period"], self.rule.momentum)
        return Step(size, update)

    @cached_property
    def _own(self) -> Trial:
        return self._trial(self.points, self.options["heads"])

    def _trial(self, points: Points, heads: Heads) -> Trial:
        preconditioner = None if self.rule is None else self.rule.preconditioner
        return self._trial_of(self.critic, self.target, points, heads, preconditioner)

    def _trial_of(self, critic: Critic, target: Critic, points: Points, heads: Heads, preconditioner: Any) -> Trial:
        bootstrap = np.full(len(self.batch), float(self.options["discount"]))
        return Trial.of(
            critic,
            target,
            points,
            heads=heads,
            bootstrap=bootstrap * (1.0 - self.batch.terminals) if self.options["mask_terminals"] else bootstrap,
            preconditioner=preconditioner,
            memory=self.options["memory"],
            accuracy=self.options["accuracy"],
            population=self.options["population"],
        )

    @property
    def _preconditioned(self) -> bool:
        return self.rule is not None and self.rule.preconditioner is not None

    def _how_another(self) -> str:
        return f"{MEASURED}; {_EQUAL_STEPS}" if self._preconditioned else MEASURED

    def _of_another(self, critic: Any, target: Any) -> Outcome:
        """Another critic by plain gradient steps: of the same learning rate, or as large as the optimizer's here."""
        step = self._step
        if step is None or not self._preconditioned:
            reading = self._read(critic, target, None if self.rule is None else self.rule.learning_rate)
            return Outcome(reading.normalized, reading.rate, reading.rate_error)
        reading = self._read(critic, target, None)
        alike = self._own.plain_step_growing_by(self.before.rate or 0.0, step)
        if alike is None or reading.normalized == 0:
            return Outcome(reading.normalized, None, None)
        norm = reading.seem / reading.normalized
        per_learning_rate = self.options["loss_scale"] / len(self.batch)
        reading = self._read(critic, target, alike.size * self._own.spectrum.norm / norm / per_learning_rate)
        return Outcome(reading.normalized, reading.rate, reading.rate_error)

    def _read(self, critic: Any, target: Any, learning_rate: float | None) -> Reading:
        policy = self.policy if self.policy == "greedy" else replayed(self.points)
        options: dict[str, Any] = {
            **self.options,
            "optimizer": None,
            "learning_rate": learning_rate,
            "target_critic": target,
        }
        reading = measure(critic, self.batch, policy, **options)
        if not reading.finite:
            raise InputError("its values are not finite")
        return reading

    def _tried(
        self,
        name: str,
        action: str,
        measured: Callable[[], Outcome],
        how: str,
        remark: str,
        *,
        changes_rate_only: bool = False,
    ) -> Remedy:
        """A remedy with its numbers, or with the reason why there are none."""
        try:
            outcome = measured()
        except InputError as error:
            return self.unmeasured(name, action, str(error))
        before = self.before
        standing = standing_of(
            before.normalized,
            before.normalized_error,
            before.rate,
            outcome.normalized,
            outcome.rate,
            changes_rate_only,
        )
        return Remedy(
            name=name,
            action=action,
            rate_before=before.rate,
            rate_before_error=before.rate_error,
            rate_after=outcome.rate,
            rate_after_error=outcome.rate_error,
            normalized_before=before.normalized,
            normalized_after=outcome.normalized,
            obtained=how,
            effect=f"{_EFFECTS[standing]}; {remark}",
            standing=standing,
        )


_EFFECTS = {
    "ends it": "errors no longer feed themselves",
    "lowers it": "errors still feed themselves, less strongly",
    "slows it": "errors feed themselves as before, at a smaller rate",
    "no help": "errors feed themselves as before",
    "not needed": "errors do not feed themselves now",
}


def replayed(points: Points) -> Policy:
    """A policy that gives the same answers again, draw after draw."""
    answers = itertools.cycle(points.actions[1:])
    return lambda _: next(answers)


def largest_stable_step(found: Spectrum) -> float | None:
    """The largest step at which no decaying mode of I + step A grows by oscillating; None where none decays.

    |1 + step (a + ib)| < 1 for step < -2a / (a^2 + b^2).
    """
    real = np.real(found.eigenvalues)
    decaying = real < 0
    return float((-2 * real[decaying] / np.abs(found.eigenvalues[decaying]) ** 2).min()) if decaying.any() else None
