"""TorchRL 0.14: critic, policy, discount and target of its loss modules, and a batch of its data as they see it.

A loss module knows neither its optimizer nor its target updater, so both are handed over. The loss and the target are
those of `torchrl.objectives`, which the tests compare with.
"""

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

import numpy as np
import torch

from seemrl.errors import InputError
from seemrl.instrument.batch import Batch
from seemrl.integrations.library import BY_HAND, load, unsupported, without_excitation
from seemrl.integrations.parts import CONSERVATIVE, ENTROPY, HUBER, Parts
from seemrl.integrations.replay import Growing, monitor_of_replay
from seemrl.integrations.torchrl_batch import batch
from seemrl.integrations.torchrl_critic import LIBRARY, Heads, critic_of, entries, network_name
from seemrl.monitoring.monitor import Monitor

__all__ = ["Heads", "MonitorHook", "batch", "parts"]

_SUPPORTED = (
    "DDPGLoss, TD3Loss, TD3BCLoss, SACLoss without a value network, CQLLoss without max_q_backup, DQNLoss and "
    "DiscreteCQLLoss"
)
_LOSS_SCALES = {"l2": 2.0, "smooth_l1": 1.0}


def parts(loss_module: Any, *, optimizer: Any, target_updater: Any = None, target_period: int = 1) -> Parts:
    """Take a loss module apart; ask anew after it was moved to another device or given another value estimator.

    Args:
        loss_module: `torchrl.objectives.DDPGLoss`, `TD3Loss`, `TD3BCLoss`, `SACLoss`, `CQLLoss`, `DQNLoss` or
            `DiscreteCQLLoss`.
        optimizer: the one that owns the critic's parameters.
        target_updater: its `SoftUpdate` or `HardUpdate`; None where the loss module delays no critic.
        target_period: critic updates from one ``step`` of the updater to the next.

    Raises:
        InputError: TorchRL is absent or of another version, the loss is of another kind, its target is no TD(0) target
            or of another updater, or its loss function is L1 or not averaged.
    """
    objectives = load(LIBRARY, "torchrl.objectives")
    kind, name = type(loss_module), type(loss_module).__name__
    values_states = kind is objectives.SACLoss and loss_module.value_network_params is not None
    if values_states or kind in (objectives.IQLLoss, objectives.DiscreteIQLLoss):
        raise without_excitation(LIBRARY, f"{name} with a value network" if values_states else name, _SUPPORTED)
    finders: dict[Any, Callable[[Any], dict[str, Any]]] = {
        objectives.DDPGLoss: _ddpg,
        objectives.TD3Loss: _td3,
        objectives.TD3BCLoss: _td3,
        objectives.SACLoss: _sac,
        objectives.CQLLoss: _cql,
        objectives.DQNLoss: _dqn,
        objectives.DiscreteCQLLoss: _discrete_cql,
    }
    if kind not in finders:
        raise unsupported(LIBRARY, name, _SUPPORTED)
    if loss_module.reduction != "mean" or loss_module.loss_function not in _LOSS_SCALES:
        found = f"{name} with loss_function={loss_module.loss_function!r} and reduction={loss_module.reduction!r}"
        raise unsupported(LIBRARY, found, "l2 and smooth_l1 with reduction='mean'")
    special = finders[kind](loss_module)
    scale = _LOSS_SCALES[loss_module.loss_function] * special.pop("loss_factor", 1.0)
    left_out = [special.pop("left_out", ""), HUBER if loss_module.loss_function == "smooth_l1" else ""]
    critic = critic_of(loss_module)
    return Parts(
        critic=critic,
        discount=_discount(loss_module),
        optimizer=optimizer,
        loss_scale=scale,
        left_out="; ".join(filter(None, left_out)),
        **_target(loss_module, critic, target_updater, target_period),
        **special,
    )


class MonitorHook:
    """A `seemrl.Monitor` of a loss module, for a `torchrl.trainers.Trainer` or a loop: call it after every update.

    It begins at the first call. ``MonitorHook(...).register(trainer)`` has the trainer call it after each of its
    optimization steps, once the target is updated where that was registered before, and saves its count with the
    trainer; in a loop of your own, call it yourself after the critic's step. Under a rollback the whole loss module,
    all optimizers and the updater return to their snapshot. Where a replay has grown since this was made, how far it
    has moved from the rows is logged with each reading as ``replay_drift`` (see `seemrl.integrations.replay.drift`).

    Args:
        loss_module: as for `parts`, and so are ``optimizer``, ``target_updater`` and ``target_period``.
        data: as for `batch`, drawn at the first call; with a ``directory``, the rows are kept beside the log.
        optimizer: the one that owns the critic's parameters.
        target_updater: of the loss module.
        target_period: critic updates from one ``step`` of the updater to the next.
        other_optimizers: of the actor and whatever else is trained, which a rollback returns too; those of a trainer
            are found by `register`.
        rows: transitions to read on; all, where there are fewer.
        seed: the same seed, the same rows.
        options: of `seemrl.Monitor`, over those found in the loss module.

    Attributes:
        monitor: the monitor; None before the first call.
        updates: calls so far.
    """

    def __init__(
        self,
        loss_module: Any,
        data: Any,
        *,
        optimizer: Any,
        target_updater: Any = None,
        target_period: int = 1,
        other_optimizers: Sequence[Any] = (),
        rows: int = 128,
        seed: int = 0,
        **options: Any,
    ) -> None:
        self.monitor: Monitor | None = None
        self.updates = 0
        self._loss_module, self._data, self._rows, self._seed = loss_module, data, rows, seed
        self._update = {"optimizer": optimizer, "target_updater": target_updater, "target_period": target_period}
        self._others, self._options = list(other_optimizers), options
        self._present = Growing(lambda: _written(data), self._draw)

    def __call__(self, *_: Any) -> None:
        """Say that an update was made.

        Raises:
            InputError: at the first call, as `parts`, `batch` and `seemrl.Monitor` do.
            DivergingError: the critic is diverging and ``on_diverging`` is "stop".
        """
        if self.monitor is None:
            found = parts(self._loss_module, **self._update)
            options = {"snapshots": self._trained()} | self._options
            self.monitor = monitor_of_replay(found, lambda: self._draw(self._rows), options, self._present)
        self.updates += 1
        self.monitor.update(self.updates)

    def _draw(self, rows: int) -> Batch:
        return batch(self._loss_module, self._data, rows, self._seed)

    def _trained(self) -> dict[str, Any]:
        """What training changes, each once."""
        of_critic: Any = self._update["optimizer"]
        named = of_critic if isinstance(of_critic, list) else [of_critic]
        optimizers = {id(one): one for one in [*named, *self._others] if one is not None}
        parts = {"loss_module": self._loss_module, "target_updater": self._update["target_updater"]}
        parts |= {f"optimizer {place}": one for place, one in enumerate(optimizers.values())}
        return {name: part for name, part in parts.items() if part is not None}

    def register(self, trainer: Any, name: str = "seemrl") -> None:
        """Have a trainer call it after each optimization step, and save its count under this name.

        A rollback then returns all of the trainer's optimizers: its own, and those of its stepper and its hooks.
        """
        owners = [trainer, getattr(trainer, "optimization_stepper", None), *getattr(trainer, "_modules", {}).values()]
        held = [value for owner in owners if hasattr(owner, "__dict__") for value in vars(owner).values()]
        self._others += [value for value in held if isinstance(value, torch.optim.Optimizer)]
        trainer.register_op("post_optim", self)
        trainer.register_module(name, self)

    def state_dict(self) -> dict[str, int]:
        """The count of updates."""
        return {"updates": self.updates}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Go on from a count."""
        self.updates = int(state_dict["updates"])


def _written(data: Any) -> int:
    """Transitions ever put into a buffer; 0 before it is initialised, and for a tensordict."""
    return int(data.write_count) if getattr(data, "initialized", True) and hasattr(data, "write_count") else 0


# ---------------------------------------------------------------------------------------------------- critic and target


def _discount(loss_module: Any) -> float:
    estimator = loss_module.value_estimator
    if type(estimator).__name__ != "TD0Estimator" or estimator.average_rewards or estimator.gamma.numel() != 1:
        found = f"{type(loss_module).__name__} with {type(estimator).__name__}"
        raise unsupported(LIBRARY, found, "TD0 targets of one discount, without average_rewards,")
    return float(estimator.gamma)


def _target(loss_module: Any, critic: Heads, updater: Any, period: int) -> dict[str, Any]:
    """Target critic, rate and period."""
    name, objectives = network_name(loss_module), load(LIBRARY, "torchrl.objectives")
    delayed = loss_module.delay_qvalue if name == "qvalue_network" else loss_module.delay_value
    if not delayed or type(loss_module) is objectives.DiscreteCQLLoss:  # which keeps a target and asks the live critic
        return {"target_critic": critic}
    if updater is None:
        raise InputError(
            f"torchrl: {type(loss_module).__name__} has a target network, but target_updater is not given; "
            f"give its SoftUpdate or HardUpdate, {BY_HAND}"
        )
    if getattr(updater, "loss_module", None) is not loss_module:
        raise InputError("torchrl: target_updater updates another loss module; give the one made from this loss module")
    found: dict[str, Any] = {"target_critic": critic_of(loss_module, getattr(loss_module, f"target_{name}_params"))}
    if type(updater) is objectives.SoftUpdate:
        return found | {"target_rate": 1 - updater.eps, "target_period": period}
    if type(updater) is objectives.HardUpdate:
        calls = int(updater.value_network_update_interval) + 1  # it counts up to the interval, copies, and begins at 0
        return found | {"target_period": calls * period}
    raise unsupported(LIBRARY, type(updater).__name__, "SoftUpdate and HardUpdate")


# ---------------------------------------------------------------------------------------- policies, as targets use them


def _acted(loss_module: Any, observations: Any) -> Any:
    """A tensordict of observations, for the actor."""
    own = next(loss_module.actor_network_params.parameters())
    tensor = torch.as_tensor(np.asarray(observations), dtype=own.dtype, device=own.device)
    observation, _ = entries(loss_module)
    return import_module("tensordict").TensorDict({observation: tensor}, batch_size=[len(tensor)])


def _target_action(loss_module: Any, observations: Any) -> torch.Tensor:
    network = loss_module.actor_network
    with loss_module.target_actor_network_params.to_module(network, preserve_module_state=False):
        return network(_acted(loss_module, observations)).get(entries(loss_module)[1])


def _ddpg(loss_module: Any) -> dict[str, Any]:
    @torch.no_grad()
    def policy(next_observations: np.ndarray) -> torch.Tensor:
        return _target_action(loss_module, next_observations)

    return {"policy": policy}


def _td3(loss_module: Any) -> dict[str, Any]:
    """Fujimoto et al. (2018), section 5.3: the target's action is smoothed by clipped noise."""

    @torch.no_grad()
    def policy(next_observations: np.ndarray) -> torch.Tensor:
        actions = _target_action(loss_module, next_observations)
        clip = loss_module.noise_clip
        noise = (torch.randn_like(actions) * loss_module.policy_noise).clamp(-clip, clip)
        return (actions + noise).clamp(loss_module.min_action, loss_module.max_action)

    return {"policy": policy}


def _sac(loss_module: Any) -> dict[str, Any]:
    if loss_module.skip_done_states:
        raise unsupported(LIBRARY, "SACLoss with skip_done_states", _SUPPORTED)
    return {"policy": _sampled(loss_module), "left_out": ENTROPY}


def _cql(loss_module: Any) -> dict[str, Any]:
    """Kumar et al. (2020); the target takes a sample of the policy, without its entropy unless told otherwise."""
    if loss_module.max_q_backup:
        raise unsupported(LIBRARY, "CQLLoss with max_q_backup, where each head takes its own action,", _SUPPORTED)
    bonus = "" if loss_module.deterministic_backup else f"; {ENTROPY}"
    return {"policy": _sampled(loss_module), "left_out": CONSERVATIVE + bonus}


def _sampled(loss_module: Any) -> Callable[[np.ndarray], torch.Tensor]:
    network = loss_module.actor_network
    distributions = load(LIBRARY, "torchrl.modules.distributions.utils")

    @torch.no_grad()
    def policy(next_observations: np.ndarray) -> torch.Tensor:
        with loss_module.actor_network_params.to_module(network, preserve_module_state=False):
            return distributions.rsample_and_log_prob(network.get_dist(_acted(loss_module, next_observations)))[0]

    return policy


def _dqn(loss_module: Any) -> dict[str, Any]:
    """Van Hasselt et al. (2016) with ``double_dqn``: the live critic chooses what the target critic values."""
    if not loss_module.double_dqn:
        return {"policy": "greedy"}
    live = critic_of(loss_module)

    @torch.no_grad()
    def policy(next_observations: np.ndarray) -> torch.Tensor:
        own = next(live.parameters())
        return live(torch.as_tensor(np.asarray(next_observations), dtype=own.dtype, device=own.device))[0].argmax(dim=1)

    return {"policy": policy}


def _discrete_cql(loss_module: Any) -> dict[str, Any]:
    return {"policy": "greedy", "loss_factor": 0.5, "left_out": CONSERVATIVE}
