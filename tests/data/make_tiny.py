"""Writes `tests/data/tiny`: the same few transitions in every format, where it exists by the format's own library.

python -m tests.data.make_tiny            all but d3rlpy's; needs the `test` extra
python -m tests.data.make_tiny d3rlpy     d3rlpy's; needs d3rlpy 2.8, in an environment of its own
"""

import importlib
import os
import shutil
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

TINY = Path(__file__).parent / "tiny"
LENGTHS = (5, 4, 6)
TERMINATED = (True, False, True)
"""How the episodes end; the second is cut short."""
ACTION_COUNT = 4
ENVIRONMENT = "CartPole-v1"


@dataclass(frozen=True)
class Episode:
    """T steps with T + 1 observations; the same numbers as continuous and as discrete actions."""

    observations: np.ndarray
    actions: np.ndarray
    discrete: np.ndarray
    rewards: np.ndarray
    terminated: bool

    @property
    def goals(self) -> dict[str, np.ndarray]:
        """The observations as those of a goal environment."""
        parts = {"observation": slice(2, 4), "desired_goal": slice(1, 2), "achieved_goal": slice(0, 1)}
        return {name: self.observations[:, part].astype(np.float64) for name, part in parts.items()}


def episodes() -> list[Episode]:
    """All of them; every number is a float32."""
    random = np.random.default_rng(5)
    return [
        Episode(
            observations=random.normal(size=(length + 1, 4)).astype(np.float32),
            actions=random.uniform(-1, 1, size=(length, 2)).astype(np.float32),
            discrete=random.integers(ACTION_COUNT, size=length),
            rewards=random.normal(size=length).astype(np.float32),
            terminated=terminated,
        )
        for length, terminated in zip(LENGTHS, TERMINATED, strict=True)
    ]


def arrays(*, discrete: bool = False) -> dict[str, Any]:
    """The transitions in the arrays of a `seemrl.Dataset`."""
    played = episodes()
    last = np.concatenate([np.arange(length) == length - 1 for length in LENGTHS])
    terminated = np.repeat(TERMINATED, LENGTHS)
    return {
        "observations": np.concatenate([episode.observations[:-1] for episode in played]),
        "actions": np.concatenate([episode.discrete if discrete else episode.actions for episode in played]),
        "rewards": np.concatenate([episode.rewards for episode in played]),
        "next_observations": np.concatenate([episode.observations[1:] for episode in played]),
        "terminals": last & terminated,
        "timeouts": last & ~terminated,
    }


def write_hdf5(directory: Path) -> None:
    """D4RL's layout, with and without next observations, and with discrete actions."""
    import h5py

    complete = arrays()
    following = {key: array for key, array in complete.items() if key != "next_observations"}
    doubles = {key: array if array.dtype == bool else array.astype(np.float64) for key, array in complete.items()}
    for name, stored in {
        "d4rl": complete,
        "d4rl-following": following,
        "d4rl-doubles": doubles,
        "d4rl-discrete": arrays(discrete=True),
    }.items():
        with h5py.File(directory / f"{name}.hdf5", "w") as file:
            for key, array in stored.items():
                file.create_dataset(key, data=array, track_times=False)
            file.create_dataset("infos/qpos", data=np.zeros((3, 2)), track_times=False)
            file.attrs["environment"] = np.bytes_(ENVIRONMENT)


def write_npz(directory: Path) -> None:
    """A plain archive, and OGBench's: the last row of a trajectory is a state that nothing starts from."""
    np.savez(directory / "plain.npz", **arrays())
    padded: dict[str, list[np.ndarray]] = {
        "observations": [],
        "actions": [],
        "rewards": [],
        "masks": [],
        "terminals": [],
    }
    for episode in episodes():
        steps = len(episode.rewards)
        padded["observations"].append(episode.observations)
        padded["actions"].append(np.concatenate([episode.actions, np.zeros((1, 2), np.float32)]))
        padded["rewards"].append(np.append(episode.rewards, np.float32(0)))
        padded["masks"].append(1.0 - (episode.terminated & (np.arange(steps + 1) == steps - 1)))
        padded["terminals"].append((np.arange(steps + 1) == steps).astype(np.float32))
    stored: dict[str, Any] = {key: np.concatenate(parts) for key, parts in padded.items()}
    np.savez_compressed(directory / "ogbench.npz", **stored)


def write_tables(directory: Path) -> None:
    """Parquet with a column a number and an episode's name; Arrow with lists."""
    import pyarrow as arrow
    import pyarrow.parquet

    stored = arrays()
    columns: dict[str, Any] = {"episode": [f"patient {i}" for i in np.repeat([7, 2, 9], LENGTHS)]}
    for key, name in {"observations": "observation", "next_observations": "next_observation"}.items():
        columns |= {
            f"{name}_{entry}": stored[key][:, i] for i, entry in enumerate(("age", "pulse", "pressure", "dose"))
        }
    columns |= {f"action_{i}": stored["actions"][:, i] for i in range(2)}
    columns |= {"reward": stored["rewards"], "terminated": stored["terminals"], "ward": ["x"] * sum(LENGTHS)}
    pyarrow.parquet.write_table(arrow.table(columns), directory / "table.parquet")
    lists = {key: list(array) if array.ndim == 2 else array for key, array in stored.items()}
    table = arrow.table(lists)
    with arrow.OSFile(str(directory / "table.arrow"), "wb") as sink, arrow.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    with (
        arrow.OSFile(str(directory / "stream.arrow"), "wb") as sink,
        arrow.ipc.new_stream(sink, table.schema) as writer,
    ):
        writer.write_table(table)


def write_minari(store: Path) -> None:
    """A box, a goal environment and discrete actions, in each of Minari's layouts, by Minari itself."""
    os.environ["MINARI_DATASETS_PATH"] = str(store)
    import minari
    from gymnasium.spaces import Box, Dict, Discrete
    from minari.data_collector import EpisodeBuffer

    numbers, single = Box(-np.inf, np.inf, (4,), np.float32), Box(-np.inf, np.inf, (1,), np.float64)
    goal = Dict(
        {"observation": Box(-np.inf, np.inf, (2,), np.float64), "desired_goal": single, "achieved_goal": single}
    )
    box = Box(-1, 1, (2,), np.float32)
    for layout in ("hdf5", "arrow", "parquet"):
        for name, observation_space, action_space in (
            ("box", numbers, box),
            ("goal", goal, box),
            ("discrete", numbers, Discrete(ACTION_COUNT, start=3)),
        ):
            buffers = [
                EpisodeBuffer(
                    observations=episode.goals if name == "goal" else episode.observations,
                    actions=episode.discrete + 3 if name == "discrete" else episode.actions,
                    rewards=episode.rewards,
                    terminations=np.arange(len(episode.rewards)) == len(episode.rewards) - 1
                    if episode.terminated
                    else np.zeros(len(episode.rewards), bool),
                    truncations=np.zeros(len(episode.rewards), bool)
                    if episode.terminated
                    else np.arange(len(episode.rewards)) == len(episode.rewards) - 1,
                )
                for episode in episodes()
            ]
            with warnings.catch_warnings(action="ignore"):  # about an author and a description
                minari.create_dataset_from_buffers(
                    f"{layout}/{name}-v0",
                    buffers,
                    env=ENVIRONMENT,
                    observation_space=observation_space,
                    action_space=action_space,
                    data_format=layout,
                )


def write_d3rlpy(directory: Path) -> None:
    """A replay buffer dumped by d3rlpy itself, with continuous and with discrete actions."""
    dataset = importlib.import_module("d3rlpy.dataset")
    for name, discrete in {"d3rlpy": False, "d3rlpy-discrete": True}.items():
        played = [
            dataset.Episode(
                episode.observations[:-1],
                episode.discrete[:, None] if discrete else episode.actions,
                episode.rewards[:, None],
                episode.terminated,
            )
            for episode in episodes()
        ]
        buffer = dataset.create_infinite_replay_buffer(played)
        with (directory / f"{name}.h5").open("w+b") as file:
            buffer.dump(file)


def main() -> None:
    TINY.mkdir(exist_ok=True)
    if sys.argv[1:] == ["d3rlpy"]:
        write_d3rlpy(TINY)
        return
    shutil.rmtree(TINY / "minari", ignore_errors=True)
    (TINY / "minari").mkdir()
    for write in (write_hdf5, write_npz, write_tables):
        write(TINY)
    write_minari(TINY / "minari")


if __name__ == "__main__":
    main()
