"""Lightning 2.6: a `seemrl.Monitor` as a callback of a Trainer whose module trains a critic on logged data.

Nothing in a `LightningModule` says what of it is the critic, so parts go by names, and what is not found is asked for.
Serves ``lightning`` and ``pytorch-lightning`` alike: the one that is imported, or else the one that is installed.
"""

# pyright: reportUntypedBaseClass=false

import sys
from collections.abc import Callable, Mapping
from dataclasses import fields
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import torch

from seemrl.errors import InputError
from seemrl.instrument.batch import Batch
from seemrl.integrations.library import load
from seemrl.integrations.parts import Parts
from seemrl.monitoring.monitor import Monitor
from seemrl.monitoring.randomness import own_randomness

_PACKAGES = {"lightning": "lightning.pytorch", "pytorch-lightning": "pytorch_lightning"}
_OF_THE_UPDATE = ("target_period", "loss_scale", "heads")
_COLUMNS = tuple(column.name for column in fields(Batch))


def _installed(distribution: str) -> bool:
    try:
        version(distribution)
    except PackageNotFoundError:
        return False
    return True


def _library() -> Any:
    imported = [name for name, module in _PACKAGES.items() if module in sys.modules]
    chosen = [*imported, *filter(_installed, _PACKAGES), "lightning"][0]
    return load(chosen, _PACKAGES[chosen])


_Callback: Any = _library().Callback


class MonitorCallback(_Callback):
    """A `seemrl.Monitor` in ``Trainer(callbacks=[...])``, from the first training batch of each ``fit``.

    Steps are the updates of the critic's optimizer, counted over the whole training: checkpoints hold the count. With a
    ``directory`` a resumed training continues its log. The numbers also go to the Trainer's loggers.

    Each part is the name of an attribute of the module (``"networks.critic"``) or of its ``hparams``; or a function of
    the module that returns the part; or the part itself, where it is neither a text nor a function. "auto" looks for
    the names given here.

    Args:
        batch: the transitions to read on. "auto" draws ``rows`` items of the training DataLoader's data set, which are
            mappings with the names of `seemrl.Batch`'s columns, or tuples in their order.
        rows: how many to draw; all, where there are fewer.
        seed: the same seed, the same rows.
        critic: a module called as critic(observations, actions), or, if discrete, as critic(observations).
        policy: next observations -> actions *as the target uses them*, given a tensor: ``target_actions``. A module, or
            "greedy", will do as well.
        discount: ``discount`` or ``gamma``.
        optimizer: that of the critic; "auto": the Trainer's that holds the critic's parameters.
        target_critic: ``target_critic`` or ``critic_target``; None where targets come from the live critic.
        target_rate: ``target_rate`` or ``tau``; not asked for without a target critic.
        options: of `seemrl.Monitor`; ``target_period``, ``loss_scale`` and ``heads`` where they are not the usual ones.
            A rollback restores the whole module and all of the Trainer's optimizers.

    Attributes:
        monitor: the monitor; None before training.
        parts: what it reads; None before training.
    """

    def __init__(
        self,
        *,
        batch: Any = "auto",
        rows: int = 128,
        seed: int = 0,
        critic: Any = "critic",
        policy: Any = "target_actions",
        discount: Any = "auto",
        optimizer: Any = "auto",
        target_critic: Any = "auto",
        target_rate: Any = "auto",
        **options: Any,
    ) -> None:
        super().__init__()
        self.monitor: Monitor | None = None
        self.parts: Parts | None = None
        self._given = {"batch": batch, "critic": critic, "policy": policy, "discount": discount}
        self._given |= {"optimizer": optimizer, "target_critic": target_critic, "target_rate": target_rate}
        self._rows, self._seed, self._options = rows, seed, options
        self._updates = 0
        self._counting: Any = None

    @property
    def state_key(self) -> str:
        """Of the count in checkpoints: one for each critic."""
        critic = self._given["critic"]
        return f"seemrl.MonitorCallback[{critic if isinstance(critic, str) else 'critic'}]"

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint holds."""
        return {"updates": self._updates}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on counting from a checkpoint."""
        self._updates = int(state_dict["updates"])

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Find the parts, and begin.

        Raises:
            InputError: a part is not found or does not fit, or training runs in several processes.
        """
        if trainer.world_size > 1:
            raise InputError(
                f"lightning: training in {trainer.world_size} processes is not supported; one is (devices=1)"
            )
        self.parts = self._found(trainer, pl_module)
        drawn = self._part(pl_module, "batch", lambda: _drawn(trainer.train_dataloader, self._rows, self._seed))
        loggers = (*self._options.get("loggers", ()), _TrainerLoggers(trainer))
        self.monitor = self.parts.monitor(drawn, **(self._options | {"loggers": loggers}))
        self._counting = self.parts.optimizer.register_step_post_hook(self._count)

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """After each training step.

        Raises:
            DivergingError: the critic is diverging and ``on_diverging`` is "stop"; ``fit`` raises it.
        """
        assert self.monitor is not None
        self.monitor.update(self._updates)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Leave the optimizer as it was."""
        self._stop_counting()

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Leave the optimizer as it was."""
        self._stop_counting()

    def _count(self, *_: Any) -> None:
        self._updates += 1

    def _stop_counting(self) -> None:
        if self._counting is not None:
            self._counting.remove()
            self._counting = None

    def _found(self, trainer: Any, module: Any) -> Parts:
        critic = self._part(module, "critic")
        policy = "greedy" if self._given["policy"] == "greedy" else _on_tensors(self._part(module, "policy"), critic)
        target = self._part(module, "target_critic", names=("target_critic", "critic_target"))
        optimizer = self._part(module, "optimizer", lambda: _optimizer_of(critic, trainer.optimizers))
        optimizer = getattr(optimizer, "optimizer", optimizer)  # what LightningOptimizer wraps
        others = [other for other in trainer.optimizers if other is not optimizer]
        return Parts(
            critic=critic,
            policy=policy,
            discount=float(self._part(module, "discount", names=("discount", "gamma"))),
            optimizer=optimizer,
            target_critic=target,
            target_rate=1.0
            if target is None
            else float(self._part(module, "target_rate", names=("target_rate", "tau"))),
            **{name: self._options[name] for name in _OF_THE_UPDATE if name in self._options},
            trained={str(place): part for place, part in enumerate([module, optimizer, *others])},
        )

    def _part(
        self, module: Any, what: str, search: Callable[[], Any] | None = None, names: tuple[str, ...] = ()
    ) -> Any:
        given = self._given[what]
        if given == "auto" and search is not None:
            return search()
        if isinstance(given, str):
            return _by_name(module, what, names if given == "auto" else (given,))
        if callable(given) and not isinstance(given, torch.nn.Module):
            return given(module)
        return given


class _TrainerLoggers:
    """Into the Trainer's loggers."""

    def __init__(self, trainer: Any) -> None:
        self._trainer = trainer

    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        for logger in self._trainer.loggers:
            logger.log_metrics(dict(numbers), step=step)


def _by_name(module: Any, what: str, names: tuple[str, ...]) -> Any:
    for name in names:
        for owner in (module, module.hparams):
            try:
                value = owner
                for part in name.split("."):
                    value = getattr(value, part)
                return value
            except AttributeError:
                continue
    kind = type(module).__name__
    raise InputError(
        f"lightning: {kind} has no {' or '.join(names)}; pass {what}=, the name of an attribute of {kind} or a "
        "function of it" + (", or None where targets come from the live critic" if what == "target_critic" else "")
    )


def _on_tensors(policy: Any, critic: Any) -> Any:
    """A method of the module takes tensors, as everything in it does."""
    if isinstance(policy, torch.nn.Module):
        return policy
    own = next(critic.parameters())

    @torch.no_grad()
    def of_arrays(next_observations: np.ndarray) -> Any:
        return policy(torch.as_tensor(next_observations, dtype=own.dtype, device=own.device))

    return of_arrays


def _optimizer_of(critic: torch.nn.Module, optimizers: list[Any]) -> Any:
    trained = {id(value) for value in critic.parameters() if value.requires_grad}
    for optimizer in optimizers:
        held = {id(value) for group in optimizer.param_groups for value in group["params"]}
        if trained <= held:
            return optimizer
    raise InputError(
        f"lightning: none of the Trainer's {len(optimizers)} optimizers holds the critic's parameters; "
        "return it from configure_optimizers, or pass optimizer="
    )


def _drawn(loader: Any, rows: int, seed: int) -> Batch:
    """Items of a DataLoader's data set, without the loader: its order stays as it is."""
    dataset: Any = getattr(loader, "dataset", None)
    if not (hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__")):
        raise InputError(
            f"lightning: no rows can be drawn from a {type(loader).__name__} over a {type(dataset).__name__}; "
            "pass batch=, a seemrl.Batch of fixed transitions"
        )
    chosen = np.random.default_rng(seed).choice(len(dataset), min(rows, len(dataset)), replace=False)
    with own_randomness(seed):
        items: list[Any] = [dataset[int(row)] for row in chosen]
    first = items[0]
    if isinstance(first, Mapping) and first.keys() >= set(_COLUMNS):
        columns = {name: _stacked([item[name] for item in items]) for name in _COLUMNS}
    elif isinstance(first, tuple | list) and len(first) == len(_COLUMNS):
        columns = {name: _stacked([item[place] for item in items]) for place, name in enumerate(_COLUMNS)}
    else:
        held = f"keys {', '.join(map(str, first))}" if isinstance(first, Mapping) else f"type {type(first).__name__}"
        raise InputError(
            f"lightning: items of the training data have {held}; give {', '.join(_COLUMNS)}, by name or in this order, "
            "or pass batch=, a seemrl.Batch of fixed transitions"
        )
    actions = columns["actions"]
    single = actions.dtype.kind in "iu" and actions.ndim == 2 and actions.shape[1] == 1
    return Batch(**(columns | {"actions": actions[:, 0] if single else actions}))


def _stacked(values: list[Any]) -> np.ndarray:
    return np.stack(
        [value.numpy(force=True) if isinstance(value, torch.Tensor) else np.asarray(value) for value in values]
    )
