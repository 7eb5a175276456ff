"""One reading of a saved critic: everything the options name is opened, checked and handed to the instrument."""

import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

import numpy as np
import torch

from seemrl.data.dataset import Dataset
from seemrl.data.following import known_next_actions, logged_next_actions
from seemrl.data.loading import load
from seemrl.errors import InputError, reason
from seemrl.instrument.batch import Batch
from seemrl.instrument.forecast.advice import Advice, advise_with_data, as_seen
from seemrl.instrument.forecast.outlook import forecast
from seemrl.instrument.forecast.verdict import SMALLEST_NORMALIZED, TELLING_NORMALIZED, Verdict
from seemrl.instrument.kernels import open_critic
from seemrl.instrument.measure import measure
from seemrl.instrument.reading import Reading
from seemrl.measuring.config import MeasureConfig
from seemrl.measuring.factories import Factory, arguments_for, build, find_factory
from seemrl.measuring.policies import Policy, logged_policy, module_policy, uniform_policy
from seemrl.measuring.steps import open_optimizer
from seemrl.measuring.weights import fill, load_weights

Result = TypeVar("Result")

NAMED_POLICIES = ("data", "uniform", "greedy")

TELLING_RATE = 1e-4
"""Rate per update above which one reading is a sign of self-excitation; the demo's healthy runs stay within it."""


@dataclass(frozen=True)
class Answer:
    """A reading, what it says, and what has to be known about how it came about.

    Attributes:
        reading: the numbers.
        verdict: one reading can say "stable", "watch" or "diverged"; that values go on growing takes several.
        why: the verdict's reason in one line.
        reward_bound: max|r| / (1 - discount), None where there is none.
        notes: one line each.
        settings: every option.
        advice: remedies, and signs of a bug; None where it was not asked for.
    """

    reading: Reading
    verdict: Verdict
    why: str
    reward_bound: float | None
    notes: tuple[str, ...]
    settings: dict[str, Any]
    advice: Advice | None = None

    def to_dict(self) -> dict[str, Any]:
        """The reading's fields, then the rest; plain values, not all of them finite."""
        return {
            **self.reading.to_dict(),
            "verdict": self.verdict,
            "why": self.why,
            "reward_bound": self.reward_bound,
            "notes": self.notes,
            "settings": self.settings,
            **({} if self.advice is None else {"advice": self.advice.to_dict()}),
        }


def read_checkpoint(config: MeasureConfig) -> Answer:
    """Open what the options name and take the reading.

    Raises:
        InputError: anything the user gave does not fit; one line says what.
    """
    _check(config)
    data = load(config.data)
    factory = find_factory("--critic", config.critic)
    notes: list[str] = []
    critic = _module(factory, config.critic_arguments, data if config.policy != "greedy" else None, notes)
    fill(critic, load_weights("--weights", config.weights), "--weights", config.weights)
    target = _target(config, factory, data)
    rows = data.batch_rows(config.rows, config.seed)
    policy, rows = _policy(config, data, rows, notes)
    batch = _batch(config, data, rows)
    optimizer = open_optimizer(config, critic)
    _try_forward(factory, critic, batch)
    notes.append(_step(config, optimizer))
    options: dict[str, Any] = {
        "discount": config.discount,
        "heads": config.heads,
        "mask_terminals": config.mask_terminals,
        "learning_rate": config.learning_rate,
        "optimizer": optimizer,
        "target_critic": target,
        "target_rate": config.target_rate,
        "population": len(data),
    }
    reading = _told_as_theirs(factory, measure, critic, batch, policy, **options)
    advice = None
    if config.advise:
        if config.policy == "uniform":
            policy = uniform_policy(data, config.seed)  # the same actions again
        seen = as_seen(data, *data.observation_statistics()) if config.normalize_observations else data
        about = {"data": seen, "next_actions": known_next_actions(data, rows), "reading": reading}
        advice = _told_as_theirs(factory, advise_with_data, critic, batch, policy, **about, **options)
    bound = None if config.discount == 1 else data.reward_bound(config.discount) or None
    verdict, why = judge_one(reading, bound)
    return Answer(reading, verdict, why, bound, tuple(notes), asdict(config), advice)


def judge_one(reading: Reading, reward_bound: float | None) -> tuple[Verdict, str]:
    """The forecast's verdict on this reading, with its reason; "watch" besides where self-excitation is telling."""
    verdict = forecast([reading], reward_bound=reward_bound).verdict
    normalized, rate = reading.normalized, reading.rate
    if not reading.finite:
        return verdict, f"a value or the kernel is not finite (mean |Q| = {reading.q_mean:.3g})"
    size = f"mean |Q| = {reading.q_mean:.3g}"
    if reward_bound is not None:
        size += f" is {reading.q_mean / reward_bound:.2g} times the reward bound"
    if verdict != "stable":
        return verdict, size
    threshold = SMALLEST_NORMALIZED if rate is not None else TELLING_NORMALIZED
    if normalized > threshold and (rate is None or rate > TELLING_RATE):
        return "watch", f"{size}, and errors feed themselves (normalized SEEM {normalized:+.2g}, rate {_signed(rate)})"
    return "stable", f"{size}, and nothing in this one reading makes it grow"


def _check(config: MeasureConfig) -> None:
    if not 0 <= config.discount <= 1:
        raise InputError(f"--discount {config.discount}: it must be in [0, 1]")
    if config.policy in NAMED_POLICIES:
        for option, value in (("weights", config.policy_weights), ("arguments", config.policy_arguments)):
            if value is not None:
                raise InputError(f"--policy-{option} {value}: --policy {config.policy} is no module and takes none")
    elif ":" not in config.policy:
        known = ", ".join(NAMED_POLICIES)
        raise InputError(f"--policy {config.policy}: give pkg.module:Class, path/to/file.py:Class or one of {known}")
    elif config.policy_weights is None:
        raise InputError(f"--policy {config.policy}: its weights are missing; give --policy-weights FILE")


def _module(factory: Factory, written: str | None, data: Dataset | None, notes: list[str]) -> torch.nn.Module:
    """The module that a factory builds; a note says which arguments the data filled in."""
    arguments, filled = arguments_for(factory, written, data)
    module = build(factory, arguments)
    if not isinstance(module, torch.nn.Module):
        raise InputError(
            f"{factory.label}: it builds a {type(module).__name__}, not a torch.nn.Module; name the module's class, or "
            "measure it from Python with seemrl.measure"
        )
    if filled:
        shown = ", ".join(f"{name}={value}" for name, value in filled.items())
        notes.append(f"{factory.option[2:]} built with {shown}, from the data")
    return module


def _target(config: MeasureConfig, factory: Factory, data: Dataset) -> torch.nn.Module | None:
    if config.target_weights is None:
        return None
    target = _module(factory, config.critic_arguments, data if config.policy != "greedy" else None, [])
    fill(target, load_weights("--target-weights", config.target_weights), "--target-weights", config.target_weights)
    return target


def _policy(
    config: MeasureConfig, data: Dataset, rows: np.ndarray, notes: list[str]
) -> tuple[Policy | str, np.ndarray]:
    """The policy, and the rows on which it can be asked."""
    if config.policy == "greedy":
        return "greedy", rows
    if data.discrete:
        raise InputError(f"--policy {config.policy}: the actions in {config.data} are discrete; give --policy greedy")
    if config.policy == "uniform":
        return uniform_policy(data, config.seed), rows
    if config.policy == "data":
        actions, known = logged_next_actions(data, rows)
        usable = known | (data.terminals[rows] & config.mask_terminals)  # nothing is asked at a masked terminal
        if not known.any():
            raise InputError(f"--policy data: no row that was drawn is followed by its next one in {config.data}")
        if not usable.all():
            notes.append(f"{int((~usable).sum())} of {len(rows)} rows left out: their next action is not in the data")
        return logged_policy(actions[usable]), rows[usable]
    factory = find_factory("--policy", config.policy)
    module = _module(factory, config.policy_arguments, data, notes)
    weights = config.policy_weights or ""
    fill(module, load_weights("--policy-weights", weights), "--policy-weights", weights)
    return module_policy(module, factory.label), rows


def _batch(config: MeasureConfig, data: Dataset, rows: np.ndarray) -> Batch:
    mean, deviation = data.observation_statistics() if config.normalize_observations else (np.float32(0), np.float32(1))
    actions = data.actions[rows]
    if config.policy == "greedy" and not data.discrete:
        if actions.shape[1] != 1 or (actions != np.round(actions)).any() or actions.min() < 0:
            raise InputError(
                f"--policy greedy: the actions in {config.data} are not indices; store them as whole numbers, (rows, 1)"
            )
        actions = actions[:, 0].astype(np.int64)
    return Batch(
        (data.observations[rows] - mean) / deviation,
        actions,
        data.rewards[rows],
        (data.next_observations[rows] - mean) / deviation,
        data.terminals[rows],
    )


def _try_forward(factory: Factory, critic: torch.nn.Module, batch: Batch) -> None:
    """Ask the critic once, so that what its forward raises is told as the user's."""
    given = f"float64 observations {batch.observations.shape}"
    try:
        opened = open_critic(critic, batch.discrete)
        if batch.discrete:
            opened.action_values(batch.observations)
        else:
            given += f" and actions {batch.actions.shape}"
            opened(batch.observations, batch.actions)
    except InputError as error:
        raise InputError(f"{factory.label}: {str(error).removeprefix('critic: ')}") from error
    except Exception as error:  # whatever the user's code raises
        raise InputError(
            f"{factory.label}: its forward fails at {given} ({reason(error)}); it must take them and return a tensor, "
            "or a tuple of heads"
        ) from error


def _step(config: MeasureConfig, optimizer: torch.optim.Optimizer | None) -> str:
    """One line on the step that the rate is about."""
    if optimizer is None and config.learning_rate is None:
        return "no rate: the step is not known; give --optimizer-state, or --learning-rate for plain gradient steps"
    averaging = "a live target" if config.target_rate in (None, 1) else f"target rate {config.target_rate:g}"
    if optimizer is None:
        return f"the rate is that of plain gradient steps, learning rate {config.learning_rate:g}, {averaging}"
    rate = optimizer.param_groups[0]["lr"] if config.learning_rate is None else config.learning_rate
    return f"the rate is that of {type(optimizer).__name__} in its saved state, learning rate {rate:g}, {averaging}"


def _told_as_theirs(factory: Factory, call: Callable[..., Result], *arguments: Any, **options: Any) -> Result:
    """The call, with what the critic's own code raises, or its size, told as the user's; else it is a defect."""
    try:
        return call(*arguments, **options)
    except InputError:
        raise
    except Exception as error:
        if isinstance(error, MemoryError) or "can't allocate memory" in str(error):
            raise InputError("--rows: the reading does not fit into memory; give fewer --rows") from error
        if factory.file in _files_of(error):
            raise InputError(f"{factory.label}: no gradients per row can be taken of it ({reason(error)})") from error
        raise


def _signed(rate: float | None) -> str:
    return "not known" if rate is None else f"{rate:+.2g} per update"


def _files_of(error: BaseException) -> Sequence[str]:
    return [frame.f_code.co_filename for frame, _ in traceback.walk_tb(error.__traceback__)]
