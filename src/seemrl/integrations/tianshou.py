"""Tianshou 2.0: critic, policy, discount, optimizers and target of its algorithms, and a batch of their buffer.

Target actions come from the algorithm's own code, so they are those of its updates; the tests compare an update with
the loss made from the parts.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from seemrl.errors import InputError
from seemrl.instrument.batch import Batch
from seemrl.integrations.library import attribute, load, unsupported
from seemrl.integrations.parts import CONSERVATIVE, ENTROPY, Parts, huber
from seemrl.integrations.replay import Growing, monitor_of_replay
from seemrl.monitoring.monitor import Monitor
from seemrl.monitoring.randomness import own_randomness

_LIBRARY = "tianshou"
_SUPPORTED = "TD3, TD3BC, DDPG, SAC, CQL and DQN with single-step returns and observations that are vectors"


class Heads(torch.nn.Module):
    """The Q networks as one critic of several heads; it owns the algorithm's very parameters."""

    def __init__(self, *networks: torch.nn.Module) -> None:
        super().__init__()
        self.networks = torch.nn.ModuleList(networks)

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Observations and actions -> (rows, 1) of each head; observations alone -> (rows, actions) of each."""
        answers = [network(*inputs) for network in self.networks]
        return tuple(answer[0] if isinstance(answer, tuple) else answer for answer in answers)


def parts(algorithm: Any) -> Parts:
    """Take an algorithm apart.

    Args:
        algorithm: `tianshou.algorithm.TD3`, `TD3BC`, `DDPG`, `SAC`, `CQL` or `DQN`.

    Raises:
        InputError: Tianshou is absent or of another version, the algorithm is of another kind, or its returns span
            several steps.
    """
    library = load(_LIBRARY, "tianshou.algorithm")
    finders: dict[Any, Callable[[Any], Parts]] = {
        library.DDPG: _ddpg,
        library.TD3: _td3,
        library.TD3BC: _td3,
        library.SAC: _sac,
        library.CQL: _cql,
        library.DQN: _dqn,
    }
    kind = type(algorithm)
    if kind not in finders:
        raise unsupported(_LIBRARY, kind.__name__, _SUPPORTED)
    steps = getattr(algorithm, "n_step" if kind is library.DQN else "n_step_return_horizon", 1)
    if steps != 1:
        raise unsupported(_LIBRARY, f"{kind.__name__} with n_step_return_horizon={steps}", _SUPPORTED)
    return finders[kind](algorithm)


def batch(algorithm: Any, buffer: Any, rows: int = 128, seed: int = 0) -> Batch:
    """Transitions of a buffer as the algorithm's updates see them.

    Drawn without replacement by a generator of our own, so that training's stays where it is. An episode that was cut
    short is no terminal, except to CQL, which bootstraps at neither.

    Args:
        algorithm: a supported algorithm.
        buffer: `tianshou.data.ReplayBuffer` or one of its kind.
        rows: how many; all, where there are fewer.
        seed: the same seed and buffer, the same rows.

    Raises:
        InputError: the buffer is empty, or its observations are not vectors.
    """
    library = load(_LIBRARY, "tianshou.algorithm")
    held = buffer.sample_indices(0)
    if not len(held):
        raise InputError("tianshou: the buffer is empty; read after the first steps are collected")
    with own_randomness(seed):
        chosen = np.random.default_rng(seed).choice(held, min(rows, len(held)), replace=False)
        seen = buffer[chosen]
    if not isinstance(seen.obs, np.ndarray) or seen.obs.ndim != 2:
        raise unsupported(_LIBRARY, "an observation that is not a vector", _SUPPORTED)
    return Batch(
        observations=seen.obs,
        actions=seen.act.astype(np.int64) if type(algorithm) is library.DQN else seen.act,
        rewards=seen.rew,
        next_observations=seen.obs_next,
        terminals=seen.done if type(algorithm) is library.CQL else seen.terminated,
    )


class MonitorCallback:
    """A `seemrl.Monitor` of an algorithm's updates; it begins at the first.

    Tianshou's trainers call nothing after an update. Entered, it puts itself behind ``algorithm.update``::

        with MonitorCallback(algorithm, buffer, on_diverging="stop") as watch:
            algorithm.run_training(params)

    In a loop of your own, call it yourself after each update. Under a rollback the algorithm and its optimizers return
    to their snapshot. Where the buffer has changed since this was made, how far it has moved from the rows is logged
    with each reading as ``replay_drift`` (see `seemrl.integrations.replay.drift`).

    Args:
        algorithm: as for `parts`.
        buffer: as for `batch`: an offline trainer's, or the one that the training collector fills.
        rows: transitions to read on, drawn at the first update; all, where there are fewer. With a ``directory``, they
            are kept beside the log.
        seed: the same seed, the same rows.
        options: of `seemrl.Monitor`, over those found in the algorithm.

    Attributes:
        monitor: the monitor; None before the first update.
        updates: so far.
    """

    def __init__(self, algorithm: Any, buffer: Any, *, rows: int = 128, seed: int = 0, **options: Any) -> None:
        self.monitor: Monitor | None = None
        self.updates = 0
        self._algorithm, self._buffer, self._rows, self._seed = algorithm, buffer, rows, seed
        self._options = {"snapshots": {"algorithm": algorithm}} | options
        self._present = Growing(lambda: (len(buffer), *np.atleast_1d(buffer.last_index)), self._draw)

    def __call__(self) -> None:
        """Say that an update was made.

        Raises:
            InputError: at the first update, as `parts`, `batch` and `seemrl.Monitor` do.
            DivergingError: the critic is diverging and ``on_diverging`` is "stop".
        """
        if self.monitor is None:
            self.monitor = monitor_of_replay(
                parts(self._algorithm), lambda: self._draw(self._rows), self._options, self._present
            )
        self.updates += 1
        self.monitor.update(self.updates)

    def _draw(self, rows: int) -> Batch:
        return batch(self._algorithm, self._buffer, rows, self._seed)

    def __enter__(self) -> "MonitorCallback":
        """Listen to the algorithm's updates.

        Raises:
            InputError: another callback listens already.
        """
        if "update" in vars(self._algorithm):
            raise InputError(
                "tianshou: this algorithm's updates are already listened to; leave the other callback first"
            )
        update = self._algorithm.update

        def heard(*args: Any, **options: Any) -> Any:
            statistics = update(*args, **options)
            self()
            return statistics

        self._algorithm.update = heard
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the algorithm as it was."""
        del self._algorithm.update


# ---------------------------------------------------------------------------------------------- one for each algorithm


def _ddpg(algorithm: Any) -> Parts:
    return Parts(
        critic=Heads(algorithm.critic),
        target_critic=Heads(algorithm.critic_old),
        policy=_target_action(algorithm),
        discount=float(algorithm.gamma),
        optimizer=_of_torch(algorithm.critic_optim),
        target_rate=float(algorithm.tau),
        left_out=_clipping(algorithm.critic_optim),
    )


def _td3(algorithm: Any) -> Parts:
    return _twins(algorithm, _target_action(algorithm), period=int(algorithm.update_actor_freq))


def _sac(algorithm: Any) -> Parts:
    return _twins(algorithm, _target_action(algorithm), ENTROPY)


def _cql(algorithm: Any) -> Parts:
    @torch.no_grad()
    def policy(next_observations: np.ndarray) -> torch.Tensor:
        with _in_training(algorithm):
            return algorithm._policy_pred(_tensor(algorithm, next_observations))[0]

    return _twins(algorithm, policy, CONSERVATIVE, ENTROPY)


def _twins(algorithm: Any, policy: Any, *left_out: str, period: int = 1) -> Parts:
    wrapped = algorithm.critic_optim, algorithm.critic2_optim
    return Parts(
        critic=Heads(algorithm.critic, algorithm.critic2),
        target_critic=Heads(algorithm.critic_old, algorithm.critic2_old),
        policy=policy,
        discount=float(algorithm.gamma),
        optimizer=[_of_torch(one) for one in wrapped],
        target_rate=float(algorithm.tau),
        target_period=period,
        left_out="; ".join(filter(None, [*left_out, _clipping(wrapped[0])])),
    )


def _dqn(algorithm: Any) -> Parts:
    """Van Hasselt et al. (2016), unless ``is_double`` is False: the live critic chooses what the target values."""
    live = Heads(algorithm.policy.model)

    @torch.no_grad()
    def chosen(next_observations: np.ndarray) -> torch.Tensor:
        return live(_tensor(algorithm, next_observations))[0].argmax(dim=1)

    delta = algorithm.huber_loss_delta
    left_out = ["" if delta is None else huber(delta), _clipping(algorithm.optim)]
    return Parts(
        critic=live,
        target_critic=Heads(algorithm.model_old) if algorithm.use_target_network else live,
        policy=chosen if algorithm.is_double else "greedy",
        discount=float(algorithm.gamma),
        optimizer=_of_torch(algorithm.optim),
        target_period=max(int(algorithm.target_update_freq), 1),
        loss_scale=2.0 if delta is None else 1.0,
        left_out="; ".join(filter(None, left_out)),
    )


def _target_action(algorithm: Any) -> Callable[[np.ndarray], torch.Tensor]:
    """The action of the algorithm's targets: its lagged actor with noise (TD3), or a sample of its policy (SAC)."""
    data = load(_LIBRARY, "tianshou.data")

    @torch.no_grad()
    def policy(next_observations: np.ndarray) -> torch.Tensor:
        observations = data.Batch(obs=np.asarray(next_observations), info=[None] * len(next_observations))
        with _in_training(algorithm):
            return algorithm._target_q_compute_action(observations).act

    return policy


def _in_training(algorithm: Any) -> Any:
    """As within a training step, where policies sample."""
    return load(_LIBRARY, "tianshou.utils.torch_utils").policy_within_training_step(algorithm.policy)


def _of_torch(wrapped: Any) -> Any:
    return attribute(_LIBRARY, wrapped, "_optim")


def _clipping(wrapped: Any) -> str:
    limit = wrapped._max_grad_norm
    return "" if limit is None else f"gradients clipped to a norm of {limit:g}: steps are smaller than the rate says"


def _tensor(algorithm: Any, observations: Any) -> torch.Tensor:
    own = next(algorithm.policy.parameters())
    return torch.as_tensor(np.asarray(observations), dtype=own.dtype, device=own.device)
