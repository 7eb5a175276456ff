"""Training in an environment: steps and compiled updates in turn, on a replay buffer that stays on the device.

Every stretch between two checkpoints begins with fresh episodes and generators seeded by the run's seed and the step,
in an unbroken run as in a resumed one: nothing of a simulator's state has to be saved for both to be the same, bit by
bit.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from time import perf_counter
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import safetensors.numpy

from seemrl.agents.agent import COLUMNS, Replay, Transitions
from seemrl.agents.registry import create_agent
from seemrl.agents.updates import train_updates
from seemrl.files import append_json_line, write_atomically
from seemrl.instrument.batch import Batch
from seemrl.instrument.forecast import Forecast, forecast
from seemrl.instrument.reading import Reading
from seemrl.monitoring.rows import reading_row
from seemrl.training.checkpoint import load_newest, save_arrays, save_checkpoint
from seemrl.training.evaluation import action_box, evaluate, make_environment
from seemrl.training.loop import EVALUATION_SEED, Progress, act
from seemrl.training.online_config import OnlineConfig
from seemrl.training.reading import read_learner
from seemrl.training.run_directory import begin, check_same, cut_logs, flat_settings, stored_description

_REPLAY = "replay"


class OnlineRun:
    """One run in a directory: config.json, three logs, checkpoints/, replay/, policies/.

    Args:
        config: the settings.
        directory: begun if it does not exist; else the run in it is continued from its last checkpoint.
        notify: called with a line about each checkpoint that cannot be used.

    Attributes:
        agent: the learner.
        replay: what it has collected.
        step: environment steps done.

    Raises:
        InputError: a setting does not fit, or the run there has other settings; nothing has been written then.
        MissingPartError: the environment's simulator is not installed.
    """

    def __init__(self, config: OnlineConfig, directory: Path, notify: Callable[[str], object]) -> None:
        config.check()
        self.config, self.directory, self.step = config, directory, 0
        environment = make_environment(config.environment)
        try:
            self.box = action_box(environment, config.environment)
            size = environment.observation_space.shape[0]
        finally:
            environment.close()
        self.agent = create_agent(config.hyperparameters, size, self.box.low, self.box.high, config.seed)
        self.replay = empty_replay(min(config.buffer_size, config.steps), size, len(self.box.low))
        described = _description(config, directory)
        if (directory / "config.json").exists():
            check_same(directory, stored_description(directory), described)
            self._restore(notify)
        else:
            begin(directory, described)

    def train(self, advance: Callable[[int], object] = lambda step: None) -> Iterator[Progress]:
        """Train to the last step, yielding after each stretch, when all of it is on the disk.

        ``advance`` is called with the step at every turn.
        """
        from gymnasium.vector import AutoresetMode, SyncVectorEnv

        name, count = self.config.environment, self.config.environments
        environments = SyncVectorEnv([lambda: make_environment(name)] * count, autoreset_mode=AutoresetMode.DISABLED)
        try:
            while self.step < self.config.steps:
                yield self._stretch(environments, advance)
        finally:
            environments.close()

    def act(self, observations: np.ndarray) -> np.ndarray:
        """The policy's actions, without exploration."""
        return np.asarray(act(self.agent, jnp.asarray(observations, jnp.float32)))

    def _stretch(self, environments: Any, advance: Callable[[int], object]) -> Progress:
        config, began = self.config, self.step
        sequence = np.random.SeedSequence([config.seed, began])
        first_seed, noise_seed = map(int, sequence.generate_state(2))
        random = np.random.Generator(np.random.PCG64(sequence))
        keys = jax.random.key(noise_seed)
        observations, _ = environments.reset(seed=[first_seed + number for number in range(config.environments)])
        stop, began_at = min(config.steps, began + config.evaluate_every), perf_counter()
        collected: list[tuple[np.ndarray, ...]] = []
        totals: dict[str, Any] = {}
        turns = 0
        while self.step < stop:
            actions = self._actions(observations, random, keys)
            if self.step and self.step >= config.random_steps:  # only begun here: it runs while the environments step
                self.agent, info = train_updates(self.replay, self.agent, config.updates_per_turn, config.batch_size)
                totals = {name: totals.get(name, 0) + value for name, value in info.items()}
                turns += 1
            reached, rewards, terminals, timeouts, _ = environments.step(actions)
            rows = (observations, actions, rewards, reached, terminals)
            rows = tuple(np.array(column, np.float32) for column in rows)  # the environments reuse their arrays
            self.step += config.environments
            collected.append((*rows, np.asarray(timeouts) | (self.step >= stop)))
            self.replay = extend_replay(self.replay, Transitions(*map(jnp.asarray, rows)))
            over = terminals | timeouts
            observations = environments.reset(options={"reset_mask": over})[0] if over.any() else reached
            observations = np.array(observations)
            advance(self.step)
        metrics = {name: float(value) / turns for name, value in totals.items()}
        if turns:
            metrics["updates_per_second"] = turns * config.updates_per_turn / (perf_counter() - began_at)
        return self._record(collected, metrics)

    def _actions(self, observations: np.ndarray, random: np.random.Generator, keys: jax.Array) -> np.ndarray:
        """What to do now: at random in the beginning, then as the agent explores."""
        if self.step < self.config.random_steps:
            shape = (self.config.environments, len(self.box.low))
            return random.uniform(self.box.low, self.box.high, shape).astype(np.float32)
        return choose(self.agent, observations, keys, self.step)

    def _record(self, collected: list[tuple[np.ndarray, ...]], metrics: dict[str, float]) -> Progress:
        config, step, reading, outlook = self.config, self.step, None, None
        if metrics:
            append_json_line(self.directory / "metrics.jsonl", {"step": step, **metrics})
            random = np.random.default_rng([config.seed, step])
            filled = int(self.replay.filled)
            rows = random.choice(filled, min(config.reading_rows, filled), replace=False)
            batch = Batch(*(np.asarray(getattr(self.replay.transitions, name)[rows]) for name in COLUMNS))
            reading = replace(read_learner(self.agent, batch, filled), step=step)
            outlook = self._outlook(reading)
            append_json_line(self.directory / "readings.jsonl", reading_row(reading, None, outlook))
        played = evaluate(config.environment, self.act, config.evaluation_episodes, EVALUATION_SEED + config.seed)
        append_json_line(self.directory / "evaluations.jsonl", {"step": step, **played})
        self._save_replay(collected)
        save_arrays(policy_file(self.directory, step), self.agent.actor)
        save_checkpoint(self.directory / "checkpoints", self.agent, step)
        return Progress(step, metrics, reading, outlook, evaluation=played)

    def _outlook(self, reading: Reading) -> Forecast:
        """What this reading says alone: the next one is of other rows, so their kernels are not compared."""
        largest = float(jnp.max(jnp.abs(self.replay.transitions.rewards)))
        hyperparameters = self.config.hyperparameters
        return forecast(
            [reading],
            reward_bound=largest / (1 - hyperparameters.discount) or None,
            optimizer=hyperparameters.optimizer,
            depth=getattr(hyperparameters, "homogeneous_depth", None),
        )

    def _save_replay(self, collected: list[tuple[np.ndarray, ...]]) -> None:
        """The transitions of this stretch, in a file of their own, whole or not at all."""
        names = (*COLUMNS, "timeouts")
        columns = [np.ascontiguousarray(np.concatenate(column)) for column in zip(*collected, strict=True)]
        path = self.directory / _REPLAY / f"step_{self.step:09d}.safetensors"
        path.parent.mkdir(exist_ok=True)
        content = dict(zip(names, columns, strict=True))
        write_atomically(path, lambda place: safetensors.numpy.save_file(content, place))

    def _restore(self, notify: Callable[[str], object]) -> None:
        found = load_newest(self.directory / "checkpoints", self.agent, notify)
        if found is not None:
            self.agent, self.step = found
        cut_logs(self.directory, self.step)
        for step, path in replay_files(self.directory):
            if step <= self.step:
                stored = safetensors.numpy.load_file(path)
                columns = [jnp.asarray(stored[name]) for name in COLUMNS]
                for start in range(0, len(columns[2]), self.config.environments):  # as they came: one program for all
                    rows = slice(start, start + self.config.environments)
                    self.replay = extend_replay(self.replay, Transitions(*(column[rows] for column in columns)))


def choose(agent: Any, observations: np.ndarray, key: jax.Array, step: int) -> np.ndarray:
    """Actions as the agent explores, (environments, action); what is random in them depends on the step."""
    actions = _explore(agent, jnp.asarray(observations, jnp.float32), key, jnp.asarray(step))
    return np.asarray(actions, np.float32)


def replay_files(run: Path) -> list[tuple[int, Path]]:
    """What a run has collected, a file for each stretch, with the step at its end; the earliest first."""
    files = sorted((run / _REPLAY).glob("step_*.safetensors"))
    return [(int(path.stem.removeprefix("step_")), path) for path in files]


def policy_file(run: Path, step: int) -> Path:
    """Where a run keeps the policy that it had at a step."""
    return run / "policies" / f"step_{step:09d}.safetensors"


def empty_replay(size: int, observation_size: int, action_size: int) -> Replay:
    """Room for this many transitions, on the device."""
    shapes = ((size, observation_size), (size, action_size), (size,), (size, observation_size), (size,))
    nothing = jnp.zeros((), jnp.int32)
    return Replay(Transitions(*(jnp.zeros(shape, jnp.float32) for shape in shapes)), nothing, nothing + 0)


def extend_replay(replay: Replay, rows: Transitions) -> Replay:
    """The replay with these rows, a part of its size, behind the last; the oldest give way. ``replay`` is used up."""
    return _extend(replay, rows)


def _write(replay: Replay, rows: Transitions) -> Replay:
    size, count = replay.transitions.rewards.shape[0], rows.rewards.shape[0]
    places = (replay.written + jnp.arange(count)) % size
    transitions = jax.tree.map(lambda old, new: old.at[places].set(new), replay.transitions, rows)
    written = replay.written + count
    return Replay(transitions, jnp.minimum(written, size), written)


_extend = jax.jit(_write, donate_argnums=0)  # in place: copying the buffer at every step would cost more than a step


def _description(config: OnlineConfig, directory: Path) -> dict[str, Any]:
    data = {"source": config.environment, "environment": config.environment, "fingerprint": config.environment}
    return {
        "format": 1,
        "seemrl_version": version("seemrl"),
        "agent": config.agent,
        "label": config.label or directory.name,
        "config": flat_settings(config),
        "data": data,
    }


@eqx.filter_jit
def _explore(agent: Any, observations: jax.Array, key: jax.Array, step: jax.Array) -> jax.Array:
    return agent.explore(observations, jax.random.fold_in(key, step))
