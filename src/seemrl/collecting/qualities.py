"""Data of a stated quality from one online run, as D4RL made its own (Fu et al., 2020, arXiv 2004.07219).

*Expert* is the run's policy at its end. *Medium* is the policy at the first evaluation that got a third of the way from
a random policy's return to the expert's; *medium-replay* everything the run had collected by then; *medium-expert* half
of it from the one, half from the other.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import safetensors.numpy

from seemrl.collecting.collect import random_return, versions
from seemrl.collecting.episodes import Arrays, finished_returns, joined, side_by_side, step_limit
from seemrl.collecting.policies import Policy, online_policy
from seemrl.collecting.rollouts import roll_out
from seemrl.data.arrays import RANKS
from seemrl.data.dataset import Dataset
from seemrl.data.mantissa import MANTISSA_BITS, round_mantissa
from seemrl.errors import InputError
from seemrl.files import read_json_lines
from seemrl.training.online import replay_files
from seemrl.training.online_config import OnlineConfig
from seemrl.training.run_directory import stored_settings

Quality = Literal["random", "medium-replay", "medium", "medium-expert", "expert"]
_EVALUATIONS = "evaluations.jsonl"
MEDIUM = 1 / 3
"""How far a medium policy is on the way from a random policy's return to the expert's."""


@dataclass(frozen=True)
class Levels:
    """What a finished online run offers.

    Attributes:
        config: its settings.
        random_return: mean return of random actions, `REFERENCE_EPISODES` episodes.
        expert_return: mean return of its last evaluation.
        medium_step, medium_return: the first evaluation at a third of the way between the two.
    """

    config: OnlineConfig
    random_return: float
    expert_return: float
    medium_step: int
    medium_return: float


def has_ended(run: Path, config: OnlineConfig) -> bool:
    """Whether the training of an online run is complete; there may be no run yet."""
    rows = read_json_lines(run / _EVALUATIONS)
    return bool(rows) and rows[-1]["step"] >= config.steps


def levels(run: Path) -> Levels:
    """The reference returns of an online run, and where its policy was medium.

    Raises:
        InputError: it is no online run, has not ended, or has learned nothing.
    """
    config = stored_settings(run, OnlineConfig)
    if not has_ended(run, config):
        raise InputError(f"{run}: its training has not ended; continue it: seemrl online --resume --out {run}")
    rows = read_json_lines(run / _EVALUATIONS)
    lowest, highest = random_return(config.environment), float(rows[-1]["return_mean"])
    if not highest > lowest:
        raise InputError(
            f"{run}: its last policy returns {highest:.1f}, no more than random actions ({lowest:.1f}); train a run of "
            "more steps (--expert-steps, another --run)"
        )
    wanted = lowest + MEDIUM * (highest - lowest)
    medium = next(row for row in rows if float(row["return_mean"]) >= wanted)
    return Levels(config, lowest, highest, int(medium["step"]), float(medium["return_mean"]))


def collect_quality(
    quality: Literal["medium-replay", "medium", "medium-expert", "expert"],
    run: Path,
    transitions: int,
    seed: int,
    directory: Path,
    bits: int | None = None,
    progress: Callable[[int], object] = lambda done: None,
) -> Dataset:
    """Collect with a finished run of `seemrl online`; the same run and arguments give the same data.

    Args:
        quality: see the module.
        run: its directory.
        transitions: rows; medium-expert takes half of them from each policy, medium-replay has as many as there are.
        seed: of the environments and of the policy's draws.
        directory: for blocks on the way, so that a collection that was killed goes on; the caller removes it.
        bits: mantissa bits kept of actions and observations; None: all.
        progress: called with the rows collected so far.

    Raises:
        InputError: the run does not offer it.
    """
    found, kept = levels(run), MANTISSA_BITS if bits is None else bits
    ends = {"medium": [found.medium_step], "expert": [found.config.steps]}
    steps = ends.get(quality, [found.medium_step, found.config.steps])
    if quality == "medium-replay":
        arrays, policies = _replay(run, found, kept), [online_policy(run, found.medium_step)]
    else:
        policies = [online_policy(run, step) for step in steps]
        shares = _shares(transitions, len(policies))
        parts: list[Arrays] = []
        for part, (policy, share) in enumerate(zip(policies, shares, strict=True)):
            before = sum(shares[:part])
            place = directory / f"step_{steps[part]}"
            parts.append(
                roll_out(policy, share, seed, place, kept, lambda done, before=before: progress(before + done))
            )
        arrays = joined(parts)
    attributes = {"quality": quality, "expert_return": found.expert_return, "expert_step": found.config.steps}
    attributes |= {"medium_return": found.medium_return, "medium_step": found.medium_step}
    return described(arrays, policies[-1], seed, kept, found.random_return, attributes)


def collect_policy(
    policy: Policy, transitions: int, seed: int, directory: Path, bits: int | None, progress: Callable[[int], object]
) -> Dataset:
    """Collect with any policy; arguments as of `collect_quality`."""
    kept = MANTISSA_BITS if bits is None else bits
    arrays = roll_out(policy, transitions, seed, directory, kept, progress)
    return described(arrays, policy, seed, kept, random_return(policy.environment), {})


def described(
    arrays: Arrays, policy: Policy, seed: int, bits: int, lowest: float, more: dict[str, str | int | float]
) -> Dataset:
    """The data set of these arrays, with the attributes that say what made it and what its scores refer to."""
    returns = finished_returns(arrays, step_limit(policy.environment))
    attributes = {"policy": "run", "seed": seed, "mantissa_bits": bits, "episodes": len(returns)}
    attributes |= policy.attributes | more | versions(policy.environment) | {"random_return": lowest}
    if returns:
        attributes["behaviour_return"] = float(np.mean(returns))
    count = len(arrays["rewards"])
    what = attributes.get("quality", f"{policy.attributes['policy_agent']} run's")
    source = f"{policy.environment}, {count} {what} transitions, seed {seed}"
    return Dataset(**arrays, environment=policy.environment, source=source, attributes=attributes)


def _shares(transitions: int, parts: int) -> list[int]:
    if transitions < parts:
        raise InputError(f"--transitions {transitions}: it must be at least {parts}, one of each policy")
    return [transitions - transitions // 2, transitions // 2] if parts == 2 else [transitions]


def _replay(run: Path, found: Levels, bits: int) -> Arrays:
    """What the run had collected by the time it was medium."""
    parts: list[Arrays] = []
    for step, path in replay_files(run):
        if step <= found.medium_step:
            stored: dict[str, Any] = safetensors.numpy.load_file(path)
            flags = {name: stored[name].astype(bool) for name in ("terminals", "timeouts")}
            parts.append(side_by_side({name: stored[name] for name in RANKS} | flags, found.config.environments))
    arrays = joined(parts)
    arrays["timeouts"] &= ~arrays["terminals"]
    for name in ("observations", "next_observations"):
        arrays[name] = round_mantissa(arrays[name], bits)
    return arrays
