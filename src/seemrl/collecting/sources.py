"""From the options of ``seemrl data collect`` to the data set they mean."""

import importlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast, get_args

from seemrl.collecting.behaviours import PolicyName
from seemrl.collecting.collect import check_arguments, collect
from seemrl.collecting.command import CollectConfig
from seemrl.data.dataset import Dataset
from seemrl.errors import InputError, require_option

Bar = Callable[[str, int], AbstractContextManager[Callable[[int], object]]]

ENVIRONMENTS = 32
"""Stepped side by side in a run begun here."""
EXPERT_STEPS = 1_024_000


def collect_as(config: CollectConfig, unfinished: Path, bar: Bar) -> Dataset:
    """The data set that the options mean.

    Args:
        config: the options.
        unfinished: a directory for what is collected on the way.
        bar: makes a progress bar from the environment's name and a number of transitions.

    Raises:
        InputError: they do not fit.
        MissingPartError: something they need is not installed.
    """
    check_arguments(config.environment, config.transitions, config.seed, config.noise, config.mantissa_bits)
    if config.quality is not None and config.quality != "random":
        return _of_quality(config, unfinished, bar)
    if config.policy not in get_args(PolicyName):
        return _of_run(config, unfinished, bar)
    with bar(config.environment, config.transitions) as advance:
        data = collect(
            config.environment,
            config.transitions,
            config.seed,
            advance,
            policy=cast(PolicyName, config.policy),
            noise=config.noise,
            goals=config.goals,
            mantissa_bits=config.mantissa_bits,
        )
    return data if config.quality is None else _with_reference(data, config)


def _with_reference(data: Dataset, config: CollectConfig) -> Dataset:
    """The random set, with the expert's return where a run says it."""
    more: dict[str, Any] = {"quality": "random"}
    if config.run:
        _prepare()
        found = importlib.import_module("seemrl.collecting.qualities").levels(Path(config.run))
        more |= {"expert_return": found.expert_return, "expert_step": found.config.steps}
    return replace(data, attributes={**data.attributes, **more})


def _of_run(config: CollectConfig, unfinished: Path, bar: Bar) -> Dataset:
    path = Path(config.policy)
    if not path.exists():
        names = ", ".join(get_args(PolicyName))
        raise InputError(f"--policy {config.policy}: neither one of {names} nor a run directory; check the path")
    _prepare()
    from seemrl.collecting.policies import load_policy
    from seemrl.collecting.qualities import collect_policy

    policy = load_policy(path)
    with bar(policy.environment, config.transitions) as advance:
        return collect_policy(policy, config.transitions, config.seed, unfinished, config.mantissa_bits, advance)


def _of_quality(config: CollectConfig, unfinished: Path, bar: Bar) -> Dataset:
    _prepare()
    from seemrl.collecting.qualities import collect_quality

    assert config.quality is not None and config.quality != "random"
    run = Path(config.run or Path("runs") / f"{config.environment}-collecting-seed{config.seed}")
    _train_to_the_end(config, run)
    with bar(config.environment, config.transitions) as advance:
        return collect_quality(
            config.quality, run, config.transitions, config.seed, unfinished, config.mantissa_bits, advance
        )


def _train_to_the_end(config: CollectConfig, run: Path) -> None:
    """Begin the run, or continue the one there; nothing where it has ended."""
    from rich.console import Console

    from seemrl.collecting.qualities import has_ended
    from seemrl.training.online_command import train_online
    from seemrl.training.online_config import OnlineConfig
    from seemrl.training.run_directory import is_run, stored_settings

    settings = stored_settings(run, OnlineConfig) if is_run(run) else _recipe(config)
    if settings.environment != config.environment:
        raise InputError(f"{run}: a run in {settings.environment}; give --environment {settings.environment}")
    if config.expert_steps is not None and settings.steps != config.expert_steps:
        raise InputError(f"{run}: a run of {settings.steps} steps; leave --expert-steps out, or give another --run")
    if not has_ended(run, settings):
        train_online(settings, run, Console(stderr=True))


def _recipe(config: CollectConfig) -> Any:
    """The run that is begun where none is given: what got far in little time on two cores."""
    from seemrl.agents.td3_config import TD3Config
    from seemrl.training.online_config import OnlineConfig

    steps = EXPERT_STEPS if config.expert_steps is None else config.expert_steps
    fits = steps >= ENVIRONMENTS and steps % ENVIRONMENTS == 0
    require_option(fits, "expert_steps", steps, f"a positive multiple of {ENVIRONMENTS}")
    part = max(1, steps // (32 * ENVIRONMENTS)) * ENVIRONMENTS
    agent = TD3Config(critic_norm="layer", hidden_sizes=(128, 128), critic_learning_rate=1e-3, actor_learning_rate=1e-3)
    return OnlineConfig(
        environment=config.environment,
        agent="td3",
        hyperparameters=agent,
        steps=steps,
        environments=ENVIRONMENTS,
        updates_per_step=0.25,
        random_steps=part,
        evaluate_every=part,
        seed=config.seed,
    )


def _prepare() -> None:
    from seemrl.training.backend import prepare_jax

    prepare_jax()
