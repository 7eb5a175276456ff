"""Who acts while data are collected: nobody in particular, a waypoint controller, a clinician."""

from collections.abc import Callable, Mapping
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np

from seemrl.collecting.mazes import Goals, waypoint_behaviour
from seemrl.data.environments import Task
from seemrl.data.refusals import refusal

PolicyName = Literal["random", "waypoint", "clinician"]


@runtime_checkable
class Behaviour(Protocol):
    """A policy that may choose where an episode begins."""

    def reset_options(self) -> Mapping[str, Any] | None:
        """Options for the environment's reset."""
        ...

    def act(self, observation: Any) -> Any:
        """The action at an observation as the environment gives it."""
        ...


class RandomBehaviour:
    """Uniformly random actions."""

    def __init__(self, task: Task, seed: int) -> None:
        self._space = task.simulator.action_space
        self._space.seed(seed)

    def reset_options(self) -> None:
        """The environment chooses."""

    def act(self, observation: Any) -> Any:
        """A random action."""
        return self._space.sample()


class ClinicianBehaviour:
    """What clinicians did in the intensive-care records that ICU-Sepsis is estimated from.

    Choudhary et al., *ICU-Sepsis: A Benchmark MDP Built from Real Medical Data*, 2024, arXiv 2406.05646.
    """

    def __init__(self, task: Task, seed: int) -> None:
        policy = getattr(task.simulator.unwrapped, "expert_policy", None)
        if policy is None:
            raise refusal(task.name, "no ICU-Sepsis, which --policy clinician needs; give Sepsis/ICU-Sepsis-v2")
        self._cumulative = np.cumsum(policy, axis=1)
        self._random = np.random.Generator(np.random.PCG64(seed))

    def reset_options(self) -> None:
        """The environment chooses."""

    def act(self, observation: int) -> int:
        """A draw from the clinicians' distribution in this state."""
        levels = self._cumulative[observation]
        drawn = int(np.searchsorted(levels, self._random.random() * levels[-1], side="right"))
        return min(drawn, len(levels) - 1)  # the product may round up to the last level


def make_behaviour(name: PolicyName, task: Task, seed: int, noise: float | None, goals: Goals) -> Behaviour:
    """The behaviour of this name.

    Raises:
        InputError: It does not act in this environment.
    """
    makers: dict[PolicyName, Callable[[], Behaviour]] = {
        "random": lambda: RandomBehaviour(task, seed),
        "waypoint": lambda: waypoint_behaviour(task, seed, noise, goals),
        "clinician": lambda: ClinicianBehaviour(task, seed),
    }
    return makers[name]()
