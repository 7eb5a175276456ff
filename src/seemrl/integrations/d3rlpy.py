"""d3rlpy 2.8: critic, policy, discount, optimizer and target of its learners, and a batch of its data as they see it.

Everything is read from the learner's own modules: the loss and the target are those of `compute_critic_loss` and
`compute_target` in `d3rlpy.algos.qlearning.torch`, which the tests compare with.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from seemrl.errors import InputError
from seemrl.instrument.batch import Batch
from seemrl.integrations.library import attribute, load, unsupported, without_excitation
from seemrl.integrations.parts import CONSERVATIVE, ENTROPY, HUBER, Parts
from seemrl.monitoring.monitor import Monitor

_LIBRARY = "d3rlpy"
_SUPPORTED = "TD3PlusBC, TD3, DDPG, SAC, CQL, DQN, DoubleDQN and DiscreteCQL with mean Q functions"


class Heads(torch.nn.Module):
    """The Q functions of an ensemble as one critic of several heads; it owns the learner's very parameters."""

    def __init__(self, q_functions: torch.nn.ModuleList) -> None:
        super().__init__()
        self.q_functions = q_functions

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Observations and actions -> (rows, 1) of each head; observations alone -> (rows, actions) of each."""
        return tuple(function(*inputs).q_value for function in self.q_functions)


def parts(algo: Any) -> Parts:
    """Take a built learner apart (one that has been fitted, or whose ``create_impl`` was called).

    Args:
        algo: `d3rlpy.algos.TD3PlusBC`, `TD3`, `DDPG`, `SAC`, `CQL`, `DQN`, `DoubleDQN` or `DiscreteCQL`.

    Raises:
        InputError: d3rlpy is absent or of another version, the learner is of another kind or not built, or its
            Q functions are distributional.
    """
    load(_LIBRARY, "d3rlpy")
    algorithms = load(_LIBRARY, "d3rlpy.algos")
    kind = type(algo)
    if kind is algorithms.IQL:
        raise without_excitation(_LIBRARY, "IQL", _SUPPORTED)
    finders: dict[Any, Callable[[Any, Any], dict[str, Any]]] = {
        algorithms.DDPG: _ddpg,
        algorithms.TD3: _td3,
        algorithms.TD3PlusBC: _td3,
        algorithms.SAC: _sac,
        algorithms.CQL: _cql,
        algorithms.DQN: _dqn,
        algorithms.DoubleDQN: _double_dqn,
        algorithms.DiscreteCQL: _discrete_cql,
    }
    if kind not in finders:
        raise unsupported(_LIBRARY, kind.__name__, _SUPPORTED)
    impl = attribute(_LIBRARY, algo, "impl")
    modules = attribute(_LIBRARY, impl, "modules")
    functions = attribute(_LIBRARY, modules, "q_funcs")
    strange = next((type(one).__name__ for one in functions if "MeanQFunction" not in type(one).__name__), None)
    if strange is not None:
        raise unsupported(_LIBRARY, f"{kind.__name__} with {strange}", _SUPPORTED)
    return Parts(
        critic=Heads(functions),
        target_critic=Heads(modules.targ_q_funcs),
        discount=float(algo.config.gamma),
        optimizer=impl.q_function_optim,
        trained={name: part for name, part in vars(modules).items() if hasattr(part, "state_dict")},
        **finders[kind](algo, impl),
    )


def batch(algo: Any, dataset: Any, rows: int = 128, seed: int = 0) -> Batch:
    """Transitions of a d3rlpy data set as the learner sees them: picked by its picker, scaled by its scalers.

    Drawn without replacement by a generator of our own, so that training's stays where it is.

    Args:
        algo: a built learner.
        dataset: `d3rlpy.dataset.ReplayBuffer` or `MDPDataset`.
        rows: how many; all, where it has fewer.
        seed: the same seed, the same rows.

    Raises:
        InputError: observations are not vectors, or a transition spans several steps.
    """
    data = load(_LIBRARY, "d3rlpy.dataset")
    utility = load(_LIBRARY, "d3rlpy.torch_utility")
    counts = np.array([episode.transition_count for episode in dataset.episodes])
    if not counts.sum():
        raise InputError("d3rlpy: the data set has no transition yet; read after the first episode is stored")
    ends = np.cumsum(counts)
    chosen = np.random.default_rng(seed).choice(int(ends[-1]), min(rows, int(ends[-1])), replace=False)
    places = np.searchsorted(ends, chosen, side="right")
    pick, starts = dataset.transition_picker, ends - counts
    picked = [pick(dataset.episodes[at], int(row - starts[at])) for at, row in zip(places, chosen, strict=True)]
    drawn = data.TransitionMiniBatch.from_transitions(picked)
    if (drawn.intervals != 1).any():
        raise unsupported(_LIBRARY, "a transition picker of several steps", "single-step transitions")
    seen = utility.TorchMiniBatch.from_batch(
        batch=drawn,
        gamma=float(algo.config.gamma),
        compute_returns_to_go=False,
        device=algo.impl.device,
        observation_scaler=algo.observation_scaler,
        action_scaler=algo.action_scaler,
        reward_scaler=algo.reward_scaler,
    )
    if not isinstance(seen.observations, torch.Tensor) or seen.observations.ndim != 2:
        raise unsupported(_LIBRARY, "an observation that is not a vector", "vectors")
    actions = seen.actions.cpu().numpy()
    return Batch(
        observations=seen.observations.cpu().numpy(),
        actions=actions[:, 0].astype(np.int64) if actions.shape[1] == 1 and not _continuous(algo) else actions,
        rewards=seen.rewards.cpu().numpy(),
        next_observations=seen.next_observations.cpu().numpy(),
        terminals=seen.terminals.cpu().numpy(),
    )


class MonitorCallback:
    """A `seemrl.Monitor` as the ``callback`` of a learner's ``fit``; it begins at the first update.

    Steps are the updates that the learner counts, which go on over several calls of ``fit``.

    Args:
        dataset: what the learner is fitted on.
        rows: transitions to read on; all, where there are fewer.
        seed: the same seed, the same rows.
        options: of `seemrl.Monitor`, over those found in the learner.

    Attributes:
        monitor: the monitor; None before the first update.
    """

    def __init__(self, dataset: Any, *, rows: int = 128, seed: int = 0, **options: Any) -> None:
        self.monitor: Monitor | None = None
        self._algo: Any = None
        self._dataset, self._rows, self._seed, self._options = dataset, rows, seed, options

    def __call__(self, algo: Any, epoch: int, total_step: int) -> None:
        """Say that an update was made.

        Raises:
            InputError: at the first update, as `parts`, `batch` and `seemrl.Monitor` do; or another learner calls.
            DivergingError: the critic is diverging and ``on_diverging`` is "stop".
        """
        if self.monitor is None:
            found = parts(algo)
            drawn = batch(algo, self._dataset, self._rows, self._seed)
            self.monitor = found.monitor(drawn, **self._options)
            self._algo = algo
        if algo is not self._algo:
            raise InputError("d3rlpy: this MonitorCallback watches another learner; make one for each")
        self.monitor.update(algo.grad_step)


def _continuous(algo: Any) -> bool:
    constants = load(_LIBRARY, "d3rlpy.constants")
    return bool(algo.get_action_type() == constants.ActionSpace.CONTINUOUS)


def _tensor(impl: Any, observations: Any) -> torch.Tensor:
    return torch.as_tensor(np.asarray(observations), dtype=torch.float32, device=impl.device)


def _ddpg(algo: Any, impl: Any) -> dict[str, Any]:
    @torch.no_grad()
    def policy(next_observations: np.ndarray) -> torch.Tensor:
        return impl.modules.targ_policy(_tensor(impl, next_observations)).squashed_mu.clamp(-1.0, 1.0)

    return {"policy": policy, "target_rate": float(algo.config.tau)}


def _td3(algo: Any, impl: Any) -> dict[str, Any]:
    """Fujimoto et al. (2018), section 5.3: the target's action is smoothed by clipped noise."""
    config = algo.config

    @torch.no_grad()
    def policy(next_observations: np.ndarray) -> torch.Tensor:
        actions = impl.modules.targ_policy(_tensor(impl, next_observations)).squashed_mu
        clip = config.target_smoothing_clip
        noise = (config.target_smoothing_sigma * torch.randn(actions.shape, device=impl.device)).clamp(-clip, clip)
        return (actions + noise).clamp(-1.0, 1.0)

    return {"policy": policy, "target_rate": float(config.tau), "target_period": int(config.update_actor_interval)}


def _sac(algo: Any, impl: Any) -> dict[str, Any]:
    @torch.no_grad()
    def policy(next_observations: np.ndarray) -> torch.Tensor:
        return _distribution(impl, _tensor(impl, next_observations)).sample()

    return {"policy": policy, "target_rate": float(algo.config.tau), "left_out": ENTROPY}


def _cql(algo: Any, impl: Any) -> dict[str, Any]:
    """Kumar et al. (2020); d3rlpy's target takes the mean action unless told otherwise."""
    config = algo.config

    @torch.no_grad()
    def mean_action(next_observations: np.ndarray) -> torch.Tensor:
        return impl.modules.policy(_tensor(impl, next_observations)).squashed_mu

    @torch.no_grad()
    def best_of_sampled(next_observations: np.ndarray) -> torch.Tensor:
        observations = _tensor(impl, next_observations)
        actions, _ = _distribution(impl, observations).sample_n_with_log_prob(config.n_action_samples)
        rows, draws, _ = actions.shape
        repeated = observations.repeat_interleave(draws, dim=0)
        heads = Heads(impl.modules.targ_q_funcs)(repeated, actions.reshape(rows * draws, -1))
        smaller = torch.stack(heads).min(dim=0).values.reshape(rows, draws)
        return actions[torch.arange(rows), smaller.argmax(dim=1)]

    found = {"target_rate": float(config.tau), "left_out": CONSERVATIVE}
    if config.soft_q_backup:
        return _sac(algo, impl) | {"left_out": f"{CONSERVATIVE}; {ENTROPY}"}
    return found | {"policy": best_of_sampled if config.max_q_backup else mean_action}


def _dqn(algo: Any, impl: Any) -> dict[str, Any]:
    return _greedy(algo, impl, impl.modules.targ_q_funcs)


def _double_dqn(algo: Any, impl: Any) -> dict[str, Any]:
    """Van Hasselt et al. (2016): the live critic chooses what the target critic values."""
    return _greedy(algo, impl, impl.modules.q_funcs)


def _discrete_cql(algo: Any, impl: Any) -> dict[str, Any]:
    return _double_dqn(algo, impl) | {"left_out": f"{CONSERVATIVE}; {HUBER}"}


def _greedy(algo: Any, impl: Any, chooser: Any) -> dict[str, Any]:
    """The action of largest mean value over the ensemble; its value is then the smaller of the heads'."""

    @torch.no_grad()
    def policy(next_observations: np.ndarray) -> torch.Tensor:
        return torch.stack(Heads(chooser)(_tensor(impl, next_observations))).mean(dim=0).argmax(dim=1)

    period = int(algo.config.target_update_interval)
    return {"policy": policy, "target_period": period, "loss_scale": 1.0, "left_out": HUBER}


def _distribution(impl: Any, observations: torch.Tensor) -> Any:
    models = load(_LIBRARY, "d3rlpy.models.torch")
    return models.build_squashed_gaussian_distribution(impl.modules.policy(observations))
