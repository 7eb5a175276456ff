"""``seemrl demo``: one run that blows up, its forecast, and two that do not, on embedded data.

Three learners train side by side from the same seed on 20,000 random-policy Hopper-v5 transitions: TD3 without
behaviour cloning and without target averaging, the same with LayerNorm in the critic, and TD3+BC as published. The
first two use a smaller learning rate than published (5e-5 for 3e-4): at 3e-4 the values pass their bound within 250
updates, before there is anything to foresee.
"""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

from seemrl.agents.config import TD3BCConfig
from seemrl.errors import InputError
from seemrl.training.backend import prepare_jax
from seemrl.training.config import TrainConfig

if TYPE_CHECKING:
    pass

_MARK = ".seemrl-demo"
_NO_CONSTRAINT = TD3BCConfig(bc_weight=0.0, target_rate=1.0, critic_learning_rate=5e-5, actor_learning_rate=5e-5)
_NOTE = (
    "TD3 without behaviour cloning and target averaging trains at learning rate 5e-5, with and without LayerNorm: at "
    "the published 3e-4 its values pass the reward bound within 250 updates, before there is anything to foresee. "
    "TD3+BC has its published settings. All three start from the same seed, on the same 20,000 transitions of a random "
    "policy in Hopper-v5."
)


@dataclass(frozen=True, kw_only=True)
class DemoConfig:
    """Watch a run diverge, its forecast and its cure, on embedded data; about 80 seconds on two cores."""

    out: str = "seemrl-demo"
    """Directory for the three runs and the report; an earlier demo in it is replaced."""
    seed: int = 0
    """Seed of all three runs."""
    steps: int = 3000
    """Critic updates of each run; the diverging one stops once it has diverged."""


def demo_settings(config: DemoConfig) -> list[TrainConfig]:
    """The three runs: blow-up, cure, published baseline."""
    from dataclasses import replace

    parameters = {
        "TD3": _NO_CONSTRAINT,
        "TD3 + LayerNorm": replace(_NO_CONSTRAINT, critic_norm="layer"),
        "TD3+BC": TD3BCConfig(),
    }
    return [
        TrainConfig(
            out=str(Path(config.out) / directory),
            hyperparameters=hyperparameters,
            steps=config.steps,
            seed=config.seed,
            env="none",
            read_every=100,
            reading_rows=96,
            checkpoint_every=config.steps,
            label=label,
        )
        for directory, (label, hyperparameters) in zip(
            ("td3", "td3-layernorm", "td3-bc"), parameters.items(), strict=True
        )
    ]


def run_demo(config: DemoConfig) -> Path:
    """Train the three runs with a live table, compare forecast and outcome, write the report; returns its path.

    Raises:
        InputError: a setting does not fit, or the directory holds something that is not a demo.
        MissingPartError: the training extra is not installed.
    """
    started = monotonic()
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # three runs share the cores; set before NumPy loads
    prepare_jax()
    settings = demo_settings(config)
    for setting in settings:
        setting.check()
    _clear(Path(config.out))

    from rich.console import Console

    from seemrl.data.embedded import load_embedded_hopper
    from seemrl.experiments.side_by_side import Arm, outcome_table, train_side_by_side
    from seemrl.report.html import write_report
    from seemrl.report.runs import read_run
    from seemrl.training.setup import open_run

    console = Console()
    data = load_embedded_hopper()
    arms = [Arm(open_run(setting, console.print, data), setting.label) for setting in settings]
    bound = arms[0].run.reward_bound
    console.print(
        f"{len(data):,} transitions of a random policy in {data.environment}. No honest value exceeds the reward bound "
        f"max|r| / (1 - discount) = {bound:.1f}.\n"
    )
    train_side_by_side(arms, console)
    console.print(outcome_table(arms))
    page = write_report([read_run(arm.run.directory) for arm in arms], Path(config.out) / "report.html", notes=[_NOTE])
    console.print(f"\n{monotonic() - started:.0f} s. Open the report: [bold]{page.resolve()}[/]", soft_wrap=True)
    return page


def _clear(directory: Path) -> None:
    """Make room for the demo, touching nothing that an earlier demo did not write."""
    try:
        if directory.is_dir() and any(directory.iterdir()):
            if not (directory / _MARK).is_file():
                raise InputError(f"{directory}: exists and is not an earlier demo; choose another --out")
            shutil.rmtree(directory)
        directory.mkdir(parents=True, exist_ok=True)
        (directory / _MARK).touch()
    except OSError as error:
        raise InputError(f"{directory}: cannot be written ({error.strerror}); choose another --out") from error
