"""Who acts while data are collected: nobody in particular, a waypoint controller, a clinician."""

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from seemrl.data.environments import Task
from seemrl.data.refusals import refusal

PolicyName = Literal["random", "waypoint", "clinician"]
Goals = Literal["diverse", "play"]
Cell = tuple[int, int]

POSITION_GAIN, VELOCITY_GAIN = 10.0, 1.0
"""Of the waypoint controller, those of D4RL's Maze2d (Fu et al., 2020)."""


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


class WaypointBehaviour:
    """Walks a maze from cell to cell on a shortest way to the goal: a proportional-derivative controller with noise.

    Args:
        task: A PointMaze of Gymnasium-Robotics.
        seed: Of the noise, the starts and the goals.
        noise: Standard deviation of the Gaussian noise on the actions, which are clipped to the box.
        goals: Starts and goals are drawn among all free cells ("diverse") or among the maze's dead ends and corners
            ("play").
    """

    def __init__(self, task: Task, seed: int, noise: float, goals: Goals) -> None:
        self._environment = task.simulator.unwrapped
        if not hasattr(self._environment, "maze") or not task.name.startswith("PointMaze"):
            raise refusal(task.name, "no PointMaze, which --policy waypoint needs; give PointMaze_UMaze-v3 for example")
        self._maze = self._environment.maze
        self._random = np.random.Generator(np.random.PCG64(seed))
        self._noise = noise
        self._free = [(i, j) for i, row in enumerate(self._maze.maze_map) for j, kind in enumerate(row) if kind != 1]
        self._places = self._free if goals == "diverse" else self._fixed_places()
        self._distances: dict[Cell, dict[Cell, int]] = {}

    def reset_options(self) -> Mapping[str, Any]:
        """A start and another goal."""
        start, goal = self._random.permutation(len(self._places))[:2]
        return {"reset_cell": np.array(self._places[start]), "goal_cell": np.array(self._places[goal])}

    def act(self, observation: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float32]:
        """Accelerate towards the middle of the next cell, or in the goal's cell towards the goal."""
        position, velocity = observation["observation"][:2], observation["observation"][2:]
        goal = observation["desired_goal"]
        target = self._waypoint(self._cell(position), self._cell(goal), goal)
        wanted = POSITION_GAIN * (target - position) - VELOCITY_GAIN * velocity
        noisy = wanted + self._noise * self._random.standard_normal(2)
        return np.clip(noisy, -1, 1).astype(np.float32)

    def _waypoint(self, cell: Cell, goal_cell: Cell, goal: NDArray[np.float64]) -> NDArray[np.float64]:
        if cell == goal_cell:
            return goal
        distances = self._distances.setdefault(goal_cell, self._distances_to(goal_cell))
        following = min(self._neighbours(cell), key=lambda near: distances.get(near, len(self._free)))
        return self._maze.cell_rowcol_to_xy(np.array(following))

    def _distances_to(self, goal: Cell) -> dict[Cell, int]:
        distances, waiting = {goal: 0}, deque([goal])
        while waiting:
            cell = waiting.popleft()
            for near in self._neighbours(cell):
                if near not in distances:
                    distances[near] = distances[cell] + 1
                    waiting.append(near)
        return distances

    def _neighbours(self, cell: Cell) -> list[Cell]:
        i, j = cell
        return [near for near in ((i - 1, j), (i + 1, j), (i, j - 1), (i, j + 1)) if near in self._free]

    def _cell(self, position: NDArray[np.float64]) -> Cell:
        i, j = self._maze.cell_xy_to_rowcol(position)
        return int(i), int(j)

    def _fixed_places(self) -> list[Cell]:
        """Dead ends, and corners: two free neighbours that do not face each other."""

        def is_corner(neighbours: list[Cell]) -> bool:
            rows, columns = zip(*neighbours, strict=True)
            return len(neighbours) == 2 and len(set(rows)) == 2 and len(set(columns)) == 2

        near = {cell: self._neighbours(cell) for cell in self._free}
        return [cell for cell in self._free if len(near[cell]) == 1 or is_corner(near[cell])]


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


def make_behaviour(name: PolicyName, task: Task, seed: int, noise: float, goals: Goals) -> Behaviour:
    """The behaviour of this name.

    Raises:
        InputError: It does not act in this environment.
    """
    makers: dict[PolicyName, Callable[[], Behaviour]] = {
        "random": lambda: RandomBehaviour(task, seed),
        "waypoint": lambda: WaypointBehaviour(task, seed, noise, goals),
        "clinician": lambda: ClinicianBehaviour(task, seed),
    }
    return makers[name]()
