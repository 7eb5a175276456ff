"""What is read: a critic in training, the fixed rows, the policy, and how the critic is updated."""

import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from inspect import signature
from typing import Any, Literal

from seemrl.errors import InputError
from seemrl.instrument.batch import Batch
from seemrl.instrument.forecast.reach import OptimizerKind
from seemrl.instrument.forecast.remedies import advise
from seemrl.instrument.forecast.remedy import Remedy
from seemrl.instrument.kernels import open_critic
from seemrl.instrument.measure import measure
from seemrl.instrument.optimizers import NO_STEP
from seemrl.instrument.points import Policy
from seemrl.instrument.reading import Reading
from seemrl.monitoring.randomness import own_randomness

_TRIED_ROWS = 4


@dataclass
class Subject:
    """A critic in training, read without leaving a trace in it.

    Random states of Python, NumPy and torch come out as they went in, and torch modules in the mode they were in; while
    they are read they are in eval mode. Attributes are the arguments of `measure`.
    """

    critic: Any
    batch: Batch
    policy: Policy | Literal["greedy"]
    optimizer: Any
    target_critic: Any
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def replace(self, **present: Any) -> None:
        """Take the present objects where they are given (not None)."""
        for name, value in present.items():
            if value is not None:
                setattr(self, name, value)

    def described(self) -> dict[str, Any]:
        """Every option of `measure` that JSON can hold, as it is used, and what is read."""
        usual = {name: option.default for name, option in signature(measure).parameters.items()}
        used = {name: value for name, value in (usual | dict(self.options)).items() if _plain(value)}
        del used["step"]
        one = next(iter(self.optimizer), None) if isinstance(self.optimizer, list) else self.optimizer
        optimizer = None if one is None else type(one).__name__
        return {"critic": type(self.critic).__name__, "optimizer": optimizer} | {
            name: value for name, value in used.items() if name not in ("optimizer", "target_critic")
        }

    def check(self) -> None:
        """Try everything on a few rows.

        Raises:
            InputError: something does not fit; as `measure` says it.
        """
        if not isinstance(self.batch, Batch):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InputError(f"batch: a {type(self.batch).__name__} is no seemrl.Batch; make one of fixed transitions")
        unknown = self.options.keys() - signature(measure).parameters.keys() | self.options.keys() & {"step"}
        if unknown:
            raise InputError(f"{min(unknown)}: neither seemrl.Monitor nor seemrl.measure has such an option")
        few = _first_rows(self.batch, _TRIED_ROWS)
        untrained = {name: value for name, value in self.options.items() if name != "population"}
        with self._at_rest():
            measure(self.critic, few, self.policy, target_critic=self.target_critic, **untrained)
            _ = self.kind

    def measure(self, step: int) -> Reading:
        """A reading now."""
        with self._at_rest():
            return measure(self.critic, self.batch, self.policy, step=step, **self._update(), **self.options)

    def advise(self, step: int, **more: Any) -> list[Remedy]:
        """What would end self-excitation, measured on the critic now; ``more`` as for `advise`."""
        options = {name: value for name, value in self.options.items() if name in signature(advise).parameters}
        with self._at_rest():
            return advise(self.critic, self.batch, self.policy, step=step, **self._update(), **options, **more)

    def settle(self) -> None:
        """Wait until updates that run behind the program are done, so that their time does not count as a reading's."""
        torch: Any = sys.modules.get("torch")
        jax: Any = sys.modules.get("jax")
        if torch is not None and torch.cuda.is_initialized():
            torch.cuda.synchronize()
        if jax is not None and not _is_module(self.critic):
            jax.block_until_ready(jax.tree.leaves(self.critic))

    @property
    def kind(self) -> OptimizerKind:
        """Whether steps are preconditioned, as the growth laws ask; Adam where nothing is known."""
        if self.optimizer is None:
            return "adam" if self.options.get("learning_rate") is None else "sgd"
        try:
            rule = self._opened().step_rule(self.optimizer, self.options.get("learning_rate"))
        except InputError as error:
            if str(error) != NO_STEP:
                raise
            return "adam"  # the loop has not begun; plain gradient steps need none to be known
        return "sgd" if rule.preconditioner is None else "adam"

    def depth(self) -> int | None:
        """Layers with weights of a critic in which nothing is called a normaliser, or None.

        Of separate heads one counts. A normaliser that is a bare function is not seen.
        """
        if _normalised(self.critic):
            return None
        opened, few = self._opened(), _first_rows(self.batch, 1)
        with self._at_rest():
            values = opened.action_values(few.observations) if few.discrete else opened(few.observations, few.actions)
        heads = len(values)
        stacked = sum(leaf.ndim == 3 and leaf.shape[0] == heads for leaf in opened.leaves)  # heads x inputs x outputs
        return stacked or max(sum(leaf.ndim >= 2 for leaf in opened.leaves) // heads, 1)

    def _opened(self) -> Any:
        return open_critic(self.critic, self.batch.discrete)

    def _update(self) -> dict[str, Any]:
        return {"optimizer": self.optimizer, "target_critic": self.target_critic}

    @contextmanager
    def _at_rest(self) -> Generator[None]:
        modules: list[Any] = [part for part in (self.critic, self.target_critic, self.policy) if _is_module(part)]
        modes = [(part, part.training) for module in modules for part in module.modules()]
        try:
            for part, _ in modes:
                part.training = False  # without calling eval(), which modules may have overridden
            with own_randomness():
                yield
        finally:
            for part, training in modes:
                part.training = training


def _first_rows(batch: Batch, count: int) -> Batch:
    actions = batch.actions[:count]
    return Batch(
        batch.observations[:count],
        actions[:, 0].astype(int) if batch.discrete else actions,
        batch.rewards[:count],
        batch.next_observations[:count],
        batch.terminals[:count],
    )


def _is_module(value: Any) -> bool:
    torch: Any = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.nn.Module)


def _normalised(critic: Any) -> bool:
    """Whether a part of it, or a parameter of a JAX critic, is named after a normaliser."""
    if _is_module(critic):
        return any("norm" in type(part).__name__.lower() for part in critic.modules())
    import jax

    inside = (critic.args, critic.keywords) if hasattr(critic, "keywords") else critic
    parts = jax.tree.leaves(inside, is_leaf=lambda part: "norm" in type(part).__name__.lower())
    named = jax.tree_util.tree_leaves_with_path(inside)
    paths = [jax.tree_util.keystr(path).lower() for path, leaf in named if hasattr(leaf, "shape")]
    return any("norm" in type(part).__name__.lower() for part in parts) or any("norm" in path for path in paths)


def _plain(value: Any) -> bool:
    return value is None or isinstance(value, bool | int | float | str)
