"""The runs of the corpus: which learner, on what, how long, from which seed. Imports nothing heavy."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import product
from typing import Any, Literal

from seemrl.agents.config import QLearningConfig, StepName, TD3BCConfig

Half = Literal["tuning", "held-out", "fresh", "unseen"]
"""Constants were chosen on the first. The others were looked at once each: the second before some constants stood, the
third after all of the verdict's did, the last after all of the growth laws' did."""

MAZE_STEPS = 6000
TD3_STEPS = 4000
TD3_BATCH = 128
_MAZE_SEEDS = 10
_FIRST_SEEDS: dict[bool, dict[Half, int]] = {  # of the toy maze, and of TD3
    True: {"tuning": 0, "held-out": 2, "fresh": 4, "unseen": 6},
    False: {"tuning": 0, "held-out": 100, "fresh": 200, "unseen": 300},
}


@dataclass(frozen=True)
class Setting:
    """One run.

    Attributes:
        source: "toy maze", or a data set's name.
        learner: hyperparameters.
        steps: updates.
        seed: of the learner. A toy maze's walk and a small share of a data set are drawn from it too.
        percent: share of the data set's transitions.
        batch_size: of TD3; Q-learning keeps its own.
    """

    source: str
    learner: TD3BCConfig | QLearningConfig
    steps: int
    seed: int
    percent: float = 100.0
    batch_size: int = field(default=TD3_BATCH)

    @property
    def half(self) -> Half:
        """The part of the corpus to which its seed belongs."""
        first = _FIRST_SEEDS[self.source == "toy maze"]
        return max((half for half, seed in first.items() if seed <= self.seed), key=lambda half: first[half])

    @property
    def name(self) -> str:
        """A file's name: source, what differs from the defaults, seed."""
        default = QLearningConfig() if isinstance(self.learner, QLearningConfig) else TD3_BASE
        told = [
            f"{name}={'x'.join(map(str, value)) if isinstance(value, tuple) else value}"
            for name, value in asdict(self.learner).items()
            if value != getattr(default, name)
        ]
        share = [] if self.percent == 100 else [f"percent={self.percent:g}"]
        return " ".join([self.source, *told, *share, f"seed={self.seed}"]).replace("/", "-")

    def to_dict(self) -> dict[str, Any]:
        """Everything, as plain values."""
        return {"name": self.name, "half": self.half, **asdict(self)}


TD3_BASE = TD3BCConfig(hidden_sizes=(128, 128), bc_weight=0.0, target_rate=1.0)
_TD3_VARIANTS: Sequence[tuple[dict[str, Any], float]] = (
    ({}, 100),
    ({"critic_norm": "layer"}, 100),
    ({"target_rate": 0.005}, 100),
    ({"bc_weight": 1.0, "target_rate": 0.005}, 100),
    ({"critic_learning_rate": 5e-5, "actor_learning_rate": 5e-5}, 100),
    ({"discount": 0.9}, 100),
    ({"bc_weight": 1.0}, 100),
    ({"critic_norm": "layer", "critic_learning_rate": 5e-5, "actor_learning_rate": 5e-5}, 100),
    ({}, 1),
    ({"critic_norm": "layer"}, 1),
    ({"hidden_sizes": (256, 256), "critic_learning_rate": 1e-4, "actor_learning_rate": 1e-4}, 100),
    ({"target_rate": 0.05}, 100),
    ({"discount": 0.95, "critic_learning_rate": 5e-5, "actor_learning_rate": 5e-5}, 100),
    ({"hidden_sizes": (128, 128, 128)}, 10),
    ({"bc_weight": 0.1}, 10),
    ({"critic_norm": "layer", "discount": 0.9}, 100),
    ({"target_rate": 0.05, "critic_learning_rate": 1e-4, "actor_learning_rate": 1e-4}, 10),
    ({"critic_norm": "layer", "target_rate": 0.005}, 10),
    ({"hidden_sizes": (128,)}, 100),
    ({"discount": 0.9, "target_rate": 0.005}, 100),
    ({"critic_norm": "layer", "critic_norm_layers": (0,)}, 100),
    ({"target_rate": 0.005, "critic_learning_rate": 1e-3, "actor_learning_rate": 1e-3}, 100),
    ({"bc_weight": 1.0, "target_rate": 0.005}, 1),
    ({"discount": 0.99, "critic_learning_rate": 1e-5, "actor_learning_rate": 1e-5}, 100),
    ({"discount": 0.95, "target_rate": 0.05}, 10),
)


def maze_settings() -> Iterator[Setting]:
    """The toy maze: step rules x depths x target rates x full and mini batch, and healthy ones beside them."""
    rates: dict[StepName, float] = {"sgd": 2e-3, "momentum": 2e-4, "adam": 1e-3}
    grid = product(range(_MAZE_SEEDS), rates, (2, 3, 4), (1.0, 0.05, 0.005), (None, 16))
    for seed, optimizer, depth, target_rate, batch_size in grid:
        learner = QLearningConfig(
            hidden_sizes=(64,) * (depth - 1),
            optimizer=optimizer,
            learning_rate=rates[optimizer],
            target_rate=target_rate,
            batch_size=batch_size,
        )
        yield Setting("toy maze", learner, MAZE_STEPS, seed)
    for seed, optimizer, target_rate in product(range(_MAZE_SEEDS), ("sgd", "adam"), (1.0, 0.05)):
        learner = QLearningConfig(
            hidden_sizes=(64, 64), optimizer=optimizer, learning_rate=rates[optimizer], target_rate=target_rate
        )
        for changes in ({"discount": 0.5}, {"critic_norm": "layer"}, {"critic_norm": "layer", "discount": 0.9}):
            yield Setting("toy maze", replace(learner, **changes), MAZE_STEPS, seed)


def td3_settings(sources: Sequence[str]) -> Iterator[Setting]:
    """TD3's variants on each data set, from two seeds for tuning, and one for each other part."""
    held_out, fresh, unseen = (_FIRST_SEEDS[False][half] for half in ("held-out", "fresh", "unseen"))
    for changes, percent in _TD3_VARIANTS:
        for number, source in enumerate(sources):
            for seed in (2 * number, 2 * number + 1, held_out + number, fresh + number, unseen + number):
                yield Setting(source, replace(TD3_BASE, **changes), TD3_STEPS, seed, percent)
