"""Settings of a training run: the command line of `seemrl train`. Imports nothing heavy."""

import math
from dataclasses import dataclass, field
from typing import Annotated, Literal

import tyro

from seemrl.agents.config import TD3BCConfig
from seemrl.errors import InputError

_SHORTEST_CADENCE = 100  # updates, unless asked for


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Train an offline agent on logged data, with readings and forecasts of its critic.

    Everything goes into a run directory: config.json, metrics.jsonl, readings.jsonl, evaluations.jsonl, checkpoints/.
    """

    data: str = ""
    """D4RL or d3rlpy HDF5, npz, OGBench npz, Parquet, Arrow, or a Minari directory or id; required, except with
    --resume."""
    data_percent: float = 100.0
    """Train on a random part of the data of this size, in percent."""
    subset_of: Literal["transitions", "episodes"] = "transitions"
    """What --data-percent counts: transitions, or whole episodes."""
    subset_seed: int = 0
    """Chooses the part; with one seed, 1% lies inside 10%, and on every machine it is the same."""
    out: str = ""
    """Run directory; default: runs/<data>-<agent>-seed<seed>."""
    agent: Literal["td3_bc"] = "td3_bc"
    """Algorithm."""
    hyperparameters: Annotated[TD3BCConfig, tyro.conf.arg(name="")] = field(default_factory=TD3BCConfig)
    steps: int = 100_000
    """Critic updates in the whole run."""
    batch_size: int = 256
    """Transitions per update."""
    seed: int = 0
    """Seed of everything random in the run."""
    normalize_observations: bool = True
    """Standardise observations by the data's mean and deviation, in evaluation as in training."""
    env: str = ""
    """Gymnasium environment to evaluate in and to check actions against; default: the one the data file names; "none":
    no evaluation."""
    evaluate_every: int = 0
    """Updates between evaluations; 0: five in the run, at least 100 apart."""
    evaluation_episodes: int = 10
    """Episodes per evaluation."""
    read_every: int = 0
    """Updates between readings of the critic (and rows of metrics); 0: twenty in the run, at least 100
    apart."""
    reading_rows: int = 96
    """Transitions each reading is taken on; always the same ones."""
    checkpoint_every: int = 0
    """Updates between checkpoints; 0: twenty in the run, at least 100 apart."""
    advise: bool = True
    """At the first `diverging` verdict, measure once what would end it and write advice.json."""
    label: str = ""
    """Name of the run in reports; default: its directory's name."""
    resume: bool = False
    """Continue the run in --out from its last checkpoint, to the very state an unbroken run would have reached."""

    def with_cadences(self) -> "TrainConfig":
        """The same settings with every 0 that means "so many in the run" replaced by its number of updates."""
        from dataclasses import replace

        return replace(
            self,
            evaluate_every=self.evaluate_every or self._part(5),
            read_every=self.read_every or self._part(20),
            checkpoint_every=self.checkpoint_every or self._part(20),
        )

    def _part(self, parts: int) -> int:
        frequency = self.hyperparameters.policy_frequency
        return max(1, max(self.steps // parts, _SHORTEST_CADENCE) // frequency) * frequency

    def check(self) -> None:
        """Refuse settings that no run can have.

        Raises:
            InputError: names the option, its value and what fits.
        """
        parameters = self.hyperparameters
        for name in ("steps", "batch_size", "reading_rows", "evaluation_episodes"):
            _require(getattr(self, name) >= 1, name, getattr(self, name), "at least 1")
        _require(0 <= self.seed < 2**32, "seed", self.seed, f"from 0 to {2**32 - 1}")  # JAX keeps 32 bits
        _require(0 < self.data_percent <= 100, "data_percent", self.data_percent, "above 0 and at most 100")
        _require(0 <= self.subset_seed < 2**63, "subset_seed", self.subset_seed, f"from 0 to {2**63 - 1}")
        _require(parameters.policy_frequency >= 1, "policy_frequency", parameters.policy_frequency, "at least 1")
        for name in ("steps", "read_every", "evaluate_every", "checkpoint_every"):
            value = getattr(self, name)
            fits = value >= 0 and value % parameters.policy_frequency == 0
            _require(fits, name, value, f"0 or more, a multiple of --policy-frequency {parameters.policy_frequency}")
        _require(bool(parameters.hidden_sizes), "hidden_sizes", "empty", "one size or more")
        _require(
            all(size >= 1 for size in parameters.hidden_sizes), "hidden_sizes", parameters.hidden_sizes, "1 or more"
        )
        layers = parameters.critic_norm_layers
        if layers is not None:
            last = len(parameters.hidden_sizes) - 1
            _require(
                all(0 <= layer <= last for layer in layers), "critic_norm_layers", layers, f"numbers from 0 to {last}"
            )
        _require(0 <= parameters.discount < 1, "discount", parameters.discount, "in [0, 1)")
        _require(0 < parameters.target_rate <= 1, "target_rate", parameters.target_rate, "in (0, 1]; 1: no averaging")
        for name in ("critic_learning_rate", "actor_learning_rate"):
            _require(0 < getattr(parameters, name) < math.inf, name, getattr(parameters, name), "finite and above 0")
        for name in ("policy_noise", "noise_clip", "q_weight", "bc_weight"):
            _require(0 <= getattr(parameters, name) < math.inf, name, getattr(parameters, name), "finite, 0 or more")


def _require(holds: bool, name: str, value: object, wanted: str) -> None:
    if not holds:
        raise InputError(f"--{name.replace('_', '-')} {value}: it must be {wanted}")
