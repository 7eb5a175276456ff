"""The training loop: compiled updates between stops; at each stop what falls due is logged, read, played or saved."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter
from typing import Any, TypeGuard

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from seemrl.agents.agent import Agent, Transitions
from seemrl.agents.registry import create_agent
from seemrl.agents.updates import train_updates
from seemrl.data.arrays import Floats
from seemrl.data.dataset import Dataset
from seemrl.data.following import known_next_actions, logged_next_actions
from seemrl.files import append_json_line, write_json
from seemrl.instrument.batch import Batch
from seemrl.instrument.forecast import Forecast, forecast
from seemrl.instrument.forecast.advice import Advice, advise_with_data, as_seen
from seemrl.instrument.forecast.candidates import LAYER_NORM
from seemrl.instrument.forecast.verdict import ALARMS
from seemrl.instrument.reading import Reading
from seemrl.monitoring.rows import reading_row
from seemrl.training.checkpoint import drop_after, drop_best_after, load_newest, save_best, save_checkpoint
from seemrl.training.config import TrainConfig
from seemrl.training.evaluation import ActionBox, evaluate, reference_of
from seemrl.training.reading import as_measured, read_learner
from seemrl.training.resampling import resampled
from seemrl.training.run_directory import ADVICE, STOPPED, cut_logs
from seemrl.training.windows import ROWS_IN_BLOCK, Blocks, Windows

_READING_SEED = 0
EVALUATION_SEED = 1_000_000
"""Episodes of an evaluation are seeded from here on, plus the run's seed."""


@dataclass(frozen=True)
class Progress:
    """Where a run stands at one stop; what is None was not due.

    Attributes:
        step: critic updates done.
        metrics: means over the updates since the last stop.
        reading: of the critic.
        forecast: from all readings so far.
        advice: on a critic first found to diverge; what advice.json says.
        evaluation: a row of evaluations.jsonl.
        ended: why the run ends here, before its last step.
    """

    step: int
    metrics: dict[str, float]
    reading: Reading | None = None
    forecast: Forecast | None = None
    advice: Advice | None = None
    evaluation: dict[str, Any] | None = None
    ended: str | None = None


@dataclass
class Run:
    """One run: its agent, its data on the device, its logs.

    Args:
        config: with cadences filled in.
        data: the data set.
        box: bounds of the actions.
        directory: an existing run directory.
        environment: where to evaluate, or None.
        reward_bound: max|r| / (1 - discount).
        standardisation: shift and scale of the observations, (observation size,) each.
    """

    config: TrainConfig
    data: Dataset
    box: ActionBox
    directory: Path
    environment: str | None
    reward_bound: float
    standardisation: tuple[Floats, Floats]
    readings: list[Reading] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._rows = self.data.batch_rows(self.config.reading_rows, _READING_SEED)
        self._batch = Batch(*self._columns(self._rows))
        self.agent = create_agent(
            self.config.hyperparameters, self.data.observation_size, self.box.low, self.box.high, self.config.seed
        )
        self._windows, self._learns_from = self._windowed(), None
        if self._windows is None:
            whole = self.transitions(slice(None))
            self._learns_from, self.agent = resampled(self.config, self.data, whole, self.agent, self.directory)
        self.step = 0
        self._stable_at = 0
        self._best_return = -math.inf

    def _columns(self, rows: slice | np.ndarray) -> tuple[np.ndarray, ...]:
        """Observations, actions, rewards, next observations and terminals of these rows, as the agent sees them."""
        data = self.data
        return (
            self._normalized(data.observations[rows]),
            data.actions[rows],
            data.rewards[rows],
            self._normalized(data.next_observations[rows]),
            data.terminals[rows].astype(np.float32),
        )

    def transitions(self, rows: slice | np.ndarray) -> Transitions:
        """These rows on the device."""
        transitions = Transitions(*map(jnp.asarray, self._columns(rows)))
        if self.data.discrete:
            transitions = transitions._replace(actions=jnp.asarray(self.data.one_hot_actions(rows)))
        if self.config.hyperparameters.uses_next_actions:
            numbers = np.arange(len(self.data))[rows]
            following, known = (jnp.asarray(each, jnp.float32) for each in logged_next_actions(self.data, numbers))
            transitions = transitions._replace(next_actions=following, next_actions_known=known)
        return transitions

    def _windowed(self) -> Windows | None:
        """The data's windows, where there are more rows than may be in memory."""
        wanted, config = self.config.window_rows, self.config
        if not 0 < wanted < len(self.data):
            return None
        blocks = Blocks(len(self.data), min(ROWS_IN_BLOCK, wanted), config.seed)
        cycle = config.hyperparameters.updates_per_cycle
        return Windows(self.transitions, blocks, wanted, max(1, wanted // config.batch_size // cycle) * cycle)

    def restore(self, warn: Callable[[str], object]) -> None:
        """Go back to the newest whole checkpoint (or the start), logs included; ``warn`` hears of damaged ones."""
        found = load_newest(self.directory / "checkpoints", self.agent, warn)
        if found is not None:
            self.agent, self.step = found
        rows = cut_logs(self.directory, self.step)
        self.readings = [Reading.from_dict(row) for row in rows["readings.jsonl"]]
        stable = (row["step"] for row in rows["readings.jsonl"] if row["forecast"]["verdict"] == "stable")
        self._stable_at = max(stable, default=0)
        returns = (float(row["return_mean"]) for row in rows["evaluations.jsonl"])
        self._best_return = max((value for value in returns if not math.isnan(value)), default=-math.inf)
        drop_best_after(self.directory / "checkpoints", self.step)
        (self.directory / STOPPED).unlink(missing_ok=True)

    def train(self) -> Iterator[Progress]:
        """Train to the last step, yielding at each stop after everything due there is on the disk."""
        config = self.config
        cadences = (config.read_every, config.evaluate_every, config.checkpoint_every)
        if self.step == 0 and config.on_diverging == "rollback":
            self._save()  # somewhere to go back to, however early the alarm
        while self.step < config.steps:
            stop = min(config.steps, *((self.step // cadence + 1) * cadence for cadence in cadences))
            metrics = self._updated(stop)
            progress = Progress(stop, metrics, *self._read(metrics), self._evaluate())
            if self._due(config.checkpoint_every):
                self._save()
            if self._alarmed(progress.forecast):
                yield replace(progress, ended=self._end_early(progress.forecast))
                return
            yield progress

    def _updated(self, stop: int) -> dict[str, float]:
        """Train up to a stop; means over the updates."""
        started, began = perf_counter(), self.step
        totals: dict[str, float] = {}
        while self.step < stop:
            data, until = (self._learns_from, stop) if self._windows is None else self._windows.at(self.step)
            assert data is not None
            end = min(until, stop)
            self.agent, info = train_updates(data, self.agent, end - self.step, self.config.batch_size)
            share = (end - self.step) / (stop - began)
            totals = {name: totals.get(name, 0.0) + share * float(value) for name, value in info.items()}
            self.step = end
        return totals | {"updates_per_second": (stop - began) / (perf_counter() - started)}

    def _save(self) -> None:
        save_checkpoint(self.directory / "checkpoints", self.agent, self.step, self._stable_at)

    def _alarmed(self, outlook: Forecast | None) -> TypeGuard[Forecast]:
        """Whether the run is to end at this forecast."""
        ending = outlook is not None and outlook.verdict in ALARMS
        return ending and self.config.on_diverging != "warn"

    def _end_early(self, outlook: Forecast) -> str:
        """Leave the newest checkpoint where a resumed run should begin, and say so in stopped.json.

        The logs stay whole: a resumed run cuts them itself.
        """
        rolls_back = self.config.on_diverging == "rollback"
        kept = drop_after(self.directory / "checkpoints", self._stable_at) if rolls_back else None
        if kept is None:
            self._save()
            kept = self.step
        drop_best_after(self.directory / "checkpoints", kept)
        row = {"step": self.step, "verdict": outlook.verdict, "reasons": outlook.reasons, "checkpoint": kept}
        write_json(self.directory / STOPPED, row)
        return f"ended at step {self.step}, {outlook.verdict}; the newest checkpoint is of step {kept}"

    def act(self, observations: np.ndarray) -> np.ndarray:
        """The policy's actions at raw observations, (batch, action); of discrete ones the numbers, (batch,)."""
        actions = np.asarray(act(self.agent, jnp.asarray(self._normalized(observations))))
        return actions.argmax(axis=1) if self.data.discrete else actions

    def _normalized(self, observations: np.ndarray) -> np.ndarray:
        shift, scale = self.standardisation
        return ((observations - shift) / scale).astype(np.float32)

    def _due(self, cadence: int) -> bool:
        return self.step % cadence == 0 or self.step == self.config.steps

    def _read(self, metrics: dict[str, float]) -> tuple[Reading | None, Forecast | None, Advice | None]:
        if not self._due(self.config.read_every):
            return None, None, None
        append_json_line(self.directory / "metrics.jsonl", {"step": self.step, **metrics})
        if self.agent.measured() is None:
            return None, None, None
        reading = read_learner(self.agent, self._batch, len(self.data))
        previous = self.readings[-1] if self.readings else None
        self.readings.append(reading)
        outlook = forecast(
            self.readings,
            reward_bound=self.reward_bound or None,
            optimizer=self.config.hyperparameters.optimizer,
            depth=self.homogeneous_depth,
        )
        if outlook.verdict == "stable":
            self._stable_at = self.step
        append_json_line(self.directory / "readings.jsonl", reading_row(reading, previous, outlook))
        return reading, outlook, self._advise(reading) if outlook.verdict == "diverging" else None

    def _advise(self, reading: Reading) -> Advice | None:
        """Advice on the critic now, written once in a run."""
        path = self.directory / ADVICE
        if not self.config.advise or path.exists():
            return None
        critic, target, policy, options = as_measured(self.agent, len(self.data))
        bare = getattr(self.config.hyperparameters, "bare_critic", False)
        variants = {LAYER_NORM: (critic.normalised(), target.normalised())} if bare else {}
        advice = advise_with_data(
            critic,
            self._batch,
            policy,
            target_critic=target,
            data=self._looked_at(),
            next_actions=known_next_actions(self.data, self._rows),
            reading=reading,
            variants=variants,
            action_low=np.asarray(self.box.low),
            action_high=np.asarray(self.box.high),
            **options,
        )
        write_json(path, advice.to_dict())
        return advice

    def _looked_at(self) -> Dataset:
        """What mistakes are looked for in, as the critic sees it: the data, or as many of their first rows as fit."""
        part = slice(self.config.window_rows or None)
        first = replace(self.data, **{name: array[part] for name, array in self.data.arrays().items()})
        return as_seen(first, *self.standardisation)

    @property
    def homogeneous_depth(self) -> int | None:
        """Layers with weights of a ReLU critic without normalisers (theorems on growth apply to it), or None."""
        return getattr(self.config.hyperparameters, "homogeneous_depth", None)

    def _evaluate(self) -> dict[str, Any] | None:
        if self.environment is None or not self._due(self.config.evaluate_every):
            return None
        reference, seed = reference_of(self.data, self.environment), EVALUATION_SEED + self.config.seed
        row = evaluate(self.environment, self.act, self.config.evaluation_episodes, seed, reference)
        if row["return_mean"] > self._best_return:  # a tie goes to the earlier
            self._best_return = row["return_mean"]
            save_best(self.directory / "checkpoints", self.agent, self.step, self._best_return)
        append_json_line(self.directory / "evaluations.jsonl", {"step": self.step, **row})
        return row


@eqx.filter_jit
def act(agent: Agent, observations: jax.Array) -> jax.Array:
    """The agent's actions in evaluation, compiled."""
    return agent.act(observations)
