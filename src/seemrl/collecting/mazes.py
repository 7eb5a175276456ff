"""Controllers that walk a maze from waypoint to waypoint: a point mass, and an ant with a gait found by search."""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from seemrl.collecting.gait import Gait, stored_gait
from seemrl.data.environments import Task
from seemrl.data.refusals import refusal

Goals = Literal["diverse", "play"]
Cell = tuple[int, int]
Observation = Mapping[str, NDArray[np.float64]]

POSITION_GAIN, VELOCITY_GAIN = 10.0, 1.0
"""Of the point mass's controller, those of D4RL's Maze2d (Fu et al., 2020)."""
REACHED = 1.0
"""Metres from the middle of a cell at which the ant turns to the next; corridors are 4 wide."""
SLOWING = 1.5
"""Metres from its goal within which the ant takes shorter steps."""


class MazeBehaviour(ABC):
    """Walks from cell to cell on a shortest way to the goal, with noise.

    Args:
        task: A maze of Gymnasium-Robotics.
        seed: Of the noise, the starts and the goals.
        noise: Standard deviation of the Gaussian noise on the actions, which are clipped to the box; None: what the
            controller bears well, 0.5 for the point mass and 0.2 for the ant.
        goals: Starts and goals are drawn among all free cells ("diverse") or among the maze's dead ends and corners
            ("play").
    """

    usual_noise: ClassVar[float]

    def __init__(self, task: Task, seed: int, noise: float | None, goals: Goals) -> None:
        self._maze = task.simulator.unwrapped.maze
        self._random = np.random.Generator(np.random.PCG64(seed))
        self.noise = self.usual_noise if noise is None else noise
        self._free = [(i, j) for i, row in enumerate(self._maze.maze_map) for j, kind in enumerate(row) if kind != 1]
        self._places = self._free if goals == "diverse" else self._fixed_places()
        self._distances: dict[Cell, dict[Cell, int]] = {}

    def reset_options(self) -> Mapping[str, Any]:
        """A start and another goal."""
        start, goal = self._random.permutation(len(self._places))[:2]
        return {"reset_cell": np.array(self._places[start]), "goal_cell": np.array(self._places[goal])}

    def act(self, observation: Observation) -> NDArray[np.float32]:
        """Move towards the next waypoint, or in the goal's cell towards the goal."""
        wanted = self._wanted(observation)
        noisy = wanted + self.noise * self._random.standard_normal(len(wanted))
        return np.clip(noisy, -1, 1).astype(np.float32)

    @abstractmethod
    def _wanted(self, observation: Observation) -> NDArray[np.float64]:
        """The action without noise."""

    def _waypoint(self, cell: Cell, goal_cell: Cell, goal: NDArray[np.float64]) -> NDArray[np.float64]:
        return goal if cell == goal_cell else self._middle(self._following(cell, goal_cell))

    def _following(self, cell: Cell, goal_cell: Cell) -> Cell:
        distances = self._distances.setdefault(goal_cell, self._distances_to(goal_cell))
        return min(self._neighbours(cell), key=lambda near: distances.get(near, len(self._free)))

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

    def _middle(self, cell: Cell) -> NDArray[np.float64]:
        return self._maze.cell_rowcol_to_xy(np.array(cell))

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


class PointBehaviour(MazeBehaviour):
    """Accelerates a point mass towards the waypoint: a proportional-derivative controller."""

    usual_noise: ClassVar[float] = 0.5

    def _wanted(self, observation: Observation) -> NDArray[np.float64]:
        position, velocity = observation["observation"][:2], observation["observation"][2:]
        goal = observation["desired_goal"]
        target = self._waypoint(self._cell(position), self._cell(goal), goal)
        return POSITION_GAIN * (target - position) - VELOCITY_GAIN * velocity


class AntBehaviour(MazeBehaviour):
    """Walks an ant towards the waypoint, whichever way its body is turned.

    It turns to the next waypoint when it has come near the last one, not at the border of a cell, so as to keep clear
    of the walls' corners.
    """

    usual_noise: ClassVar[float] = 0.2

    def __init__(self, task: Task, seed: int, noise: float | None, goals: Goals) -> None:
        super().__init__(task, seed, noise, goals)
        self._gait: Gait = stored_gait()
        self._seconds_a_step = float(task.simulator.unwrapped.ant_env.dt)
        self._steps = 0
        self._last: Cell | None = None

    def reset_options(self) -> Mapping[str, Any]:
        """A start and another goal; the gait begins anew."""
        self._steps, self._last = 0, None
        return super().reset_options()

    def _wanted(self, observation: Observation) -> NDArray[np.float64]:
        position, goal = observation["achieved_goal"], observation["desired_goal"]
        target = self._waypoint(self._standing(position, self._cell(goal)), self._cell(goal), goal)
        x, y = target - position
        last_metres = float(np.hypot(*(goal - position)))
        seconds = self._steps * self._seconds_a_step
        self._steps += 1
        speed = min(1.0, last_metres / SLOWING)
        return self._gait.torques(observation["observation"], seconds, float(np.arctan2(y, x)), speed)

    def _standing(self, position: NDArray[np.float64], goal_cell: Cell) -> Cell:
        """The cell whose middle it came near to last; the one it is in where it has strayed from the way."""
        cell = self._cell(position)
        if self._last is None or (cell != self._last and cell not in self._neighbours(self._last)):
            self._last = cell
        following = self._last if self._last == goal_cell else self._following(self._last, goal_cell)
        if np.hypot(*(self._middle(following) - position)) < REACHED:
            self._last = following
        return self._last


def waypoint_behaviour(task: Task, seed: int, noise: float | None, goals: Goals) -> MazeBehaviour:
    """The controller for this maze.

    Raises:
        InputError: It is no maze of Gymnasium-Robotics with a point mass or an ant.
    """
    kind = {"PointMaze": PointBehaviour, "AntMaze": AntBehaviour}.get(task.name.split("_")[0])
    if kind is None or not hasattr(task.simulator.unwrapped, "maze"):
        remedy = "give PointMaze_UMaze-v3 or AntMaze_UMaze-v5 for example"
        raise refusal(task.name, f"no PointMaze or AntMaze, which --policy waypoint needs; {remedy}")
    return kind(task, seed, noise, goals)
