"""Settings of a training run: the command line of `seemrl train`. Imports nothing heavy."""

from dataclasses import dataclass, field
from typing import Annotated, Generic, Literal, cast

import tyro
from typing_extensions import TypeVar

from seemrl.agents.config import AgentConfig, AgentName, TD3BCConfig
from seemrl.errors import require_option

Hyperparameters = TypeVar("Hyperparameters", bound=AgentConfig, covariant=True, default=AgentConfig)

_SHORTEST_CADENCE = 100  # updates, unless asked for


@dataclass(frozen=True, kw_only=True)
class TrainConfig(Generic[Hyperparameters]):
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
    agent: AgentName = "td3_bc"
    """Algorithm; `--agent NAME --help` lists the options that it has."""
    hyperparameters: Annotated[Hyperparameters, tyro.conf.arg(name="")] = field(
        default_factory=lambda: cast(Hyperparameters, TD3BCConfig())
    )
    steps: int = 100_000
    """Critic updates in the whole run."""
    batch_size: int = 256
    """Transitions per update."""
    seed: int = 0
    """Seed of everything random in the run."""
    resample: Literal["uniform", "return", "advantage", "td-error"] = "uniform"
    """How transitions are drawn: uniformly; for the actor by their episode's return or by advantage; or for everything
    by TD error."""
    resample_critic: bool = False
    """Draw the critic's transitions by return or advantage too."""
    resample_floor: float = 0.1
    """What every weight by return or advantage has at least, where the mean is 1 or the best return's is 1."""
    advantage_rounds: int = 5
    """Rounds of fitting a state value and weighting by advantage, before training."""
    advantage_updates: int = 20_000
    """Updates of the state value in each round."""
    window_rows: int = 0
    """Transitions in memory at a time, where there are more than fit; 0: all. See `seemrl data map`."""
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
    on_diverging: Literal["warn", "stop", "rollback"] = "warn"
    """At the first `diverging` verdict: go on ("warn"), end the run there ("stop"), or end it and keep no checkpoint
    later than the last that was stable ("rollback")."""
    seeds: int = 1
    """Train as many seeds, --seed and those that follow, each in a directory of its own inside --out, as many side by
    side as there are cores."""
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
        cycle = self.hyperparameters.updates_per_cycle
        return max(1, max(self.steps // parts, _SHORTEST_CADENCE) // cycle) * cycle

    def check(self) -> None:
        """Refuse settings that no run can have.

        Raises:
            InputError: names the option, its value and what fits.
        """
        counts = ("steps", "batch_size", "reading_rows", "evaluation_episodes", "seeds")
        for name in (*counts, "advantage_rounds", "advantage_updates"):
            require_option(getattr(self, name) >= 1, name, getattr(self, name), "at least 1")
        last = 2**32 - self.seeds  # JAX keeps 32 bits of a seed
        require_option(0 <= self.seed <= last, "seed", self.seed, f"from 0 to {last}")
        require_option(0 < self.data_percent <= 100, "data_percent", self.data_percent, "above 0 and at most 100")
        require_option(0 <= self.subset_seed < 2**63, "subset_seed", self.subset_seed, f"from 0 to {2**63 - 1}")
        self.hyperparameters.check()
        self._check_resampling()
        require_option(self.window_rows >= 0, "window_rows", self.window_rows, "0 or more")
        own = self.hyperparameters.agent
        require_option(self.agent == own, "agent", self.agent, f"{own}, whose hyperparameters are given")
        cycle = self.hyperparameters.updates_per_cycle
        whole = "0 or more" if cycle == 1 else f"0 or more, a multiple of --policy-frequency {cycle}"
        for name in ("steps", "read_every", "evaluate_every", "checkpoint_every"):
            value = getattr(self, name)
            require_option(value >= 0 and value % cycle == 0, name, value, whole)

    def _check_resampling(self) -> None:
        agent, how = self.hyperparameters, self.resample
        in_memory = how == "uniform" or not self.window_rows
        require_option(in_memory, "resample", how, "uniform with --window-rows, since weights are of rows in memory")
        require_option(0 <= self.resample_floor < 1e6, "resample_floor", self.resample_floor, "0 or more")
        require_option(
            how != "td-error" or agent.bootstraps, "resample", how, f"another: {agent.agent} has no such error"
        )
        for_nothing = agent.discrete and how in ("return", "advantage") and not self.resample_critic
        require_option(not for_nothing, "resample", how, f"with --resample-critic: {agent.agent} has no actor")
