"""A `seemrl.Monitor` as a callback of Stable-Baselines3's SAC, TD3 and DQN."""

# pyright: reportMissingImports=false, reportUntypedBaseClass=false

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from seemrl.errors import InputError
from seemrl.instrument.batch import Batch
from seemrl.integrations.library import load
from seemrl.integrations.replay import PRESENT_ROWS, monitor_of_replay
from seemrl.integrations.stable_baselines3 import batch, parts
from seemrl.monitoring.loggers import LoggersAtHand
from seemrl.monitoring.monitor import Monitor

load("stable-baselines3", "stable_baselines3")

from stable_baselines3.common.callbacks import BaseCallback  # noqa: E402


class MonitorCallback(BaseCallback):
    """A `seemrl.Monitor` as the ``callback`` of a model's ``learn``.

    Steps are the critic updates that the model counts, over several calls of ``learn``. A forecast compares readings,
    so all are taken on the same rows, drawn once the replay holds enough. The replay moves on, which the theory does
    not cover; how far it has moved from the rows is logged with each reading as ``replay_drift`` (see
    `seemrl.integrations.replay.drift`). All numbers also go to the model's own logger.

    Args:
        rows: transitions to read on.
        seed: of the drawing.
        replay: environment steps that the replay must hold before rows are drawn; ten times ``rows`` unless given. A
            full replay is enough.
        options: of `seemrl.Monitor`, over those found in the model. The reward bound is that of the whole replay when
            the rows are drawn, and a rollback restores all networks and optimizers of the model. Loggers come beside
            the model's own.

    Attributes:
        monitor: the monitor; None before there are rows.
    """

    def __init__(self, *, rows: int = 128, seed: int = 0, replay: int | None = None, **options: Any) -> None:
        super().__init__()
        self.monitor: Monitor | None = None
        self._watched: Any = None
        self._rows, self._seed, self._options = rows, seed, options
        self._wanted = 10 * rows if replay is None else replay

    def _on_training_start(self) -> None:
        """See that the model can be read, before any step is made.

        Raises:
            InputError: as `parts` does; or another model calls.
        """
        parts(self.model)
        if self._watched not in (None, self.model):
            raise InputError("stable-baselines3: this MonitorCallback watches another model; make one for each")
        self._watched = self.model

    def _on_step(self) -> bool:
        """After each environment step: updates may have been made since the last.

        Raises:
            InputError: as `batch` and `seemrl.Monitor` do, when the rows are drawn.
            DivergingError: the critic is diverging and ``on_diverging`` is "stop".
        """
        self._update()
        return True

    def _on_training_end(self) -> None:
        """No environment step follows the last updates."""
        self._update()

    def _update(self) -> None:
        updates = int(self.model._n_updates)
        if self.monitor is None and updates and self._replay_suffices():
            self.monitor = self._begun()
        if self.monitor is not None:
            self.monitor.update(updates)

    def _replay_suffices(self) -> bool:
        buffer: Any = self.model.replay_buffer
        enough = buffer.size() * self.model.n_envs >= self._wanted and buffer.size() >= self._rows
        return enough or bool(buffer.full)

    def _begun(self) -> Monitor:
        found = parts(self.model)
        directory, given = self._options.get("directory"), self._options.get("loggers")
        usual = (LoggersAtHand(None if directory is None else Path(directory)),)
        loggers = usual if given is None else tuple(given)
        options = self._options | {"loggers": (*loggers, _ModelLogger(self))}
        if found.discount < 1 and "reward_bound" not in options:
            options["reward_bound"] = _largest_reward(self.model) / (1 - found.discount)
        return monitor_of_replay(found, lambda: self._draw(self._rows), options, lambda: self._draw(PRESENT_ROWS))

    def _draw(self, rows: int) -> Batch:
        return batch(self.model, rows, self._seed)


class _ModelLogger:
    """Into the model's own log, which the model writes when it does."""

    def __init__(self, callback: MonitorCallback) -> None:
        self._callback = callback

    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        """Record them; the model puts its own steps beside them."""
        for name, number in numbers.items():
            self._callback.logger.record(name, number)


def _largest_reward(model: Any) -> float:
    """max|r| of the replay, as updates see it."""
    buffer = model.replay_buffer
    rewards = buffer._normalize_reward(buffer.rewards[: buffer.size()], model.get_vec_normalize_env())
    return float(np.abs(rewards).max())
