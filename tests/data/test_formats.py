"""Every format gives the same transitions, on files that its own library wrote, and round trips are exact."""

import dataclasses
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from make_tiny import ACTION_COUNT, ENVIRONMENT, LENGTHS, TINY, arrays

import seemrl
from seemrl.data.dataset import Dataset
from seemrl.data.loading import read
from seemrl.errors import InputError, MissingPartError

MINARI_LAYOUTS = ("hdf5", "arrow", "parquet")

CUT = 8
"""The last row of the episode that was cut short."""


def complete(*, discrete: bool = False) -> dict[str, Any]:
    return arrays(discrete=discrete)


def following(*, discrete: bool = False) -> dict[str, np.ndarray]:
    """Without next observations: the row where an episode was cut short is dropped, a terminal keeps its own."""
    known = {key: array.copy() for key, array in arrays(discrete=discrete).items()}
    terminals = known["terminals"]
    known["next_observations"][terminals] = known["observations"][terminals]
    known["timeouts"][CUT - 1] = True
    return {key: np.delete(array, CUT, axis=0) for key, array in known.items()}


FORMATS = {
    "d4rl.hdf5": ("D4RL HDF5", complete()),
    "d4rl-following.hdf5": ("D4RL HDF5", following()),
    "d4rl-doubles.hdf5": ("D4RL HDF5", complete()),
    "d4rl-discrete.hdf5": ("D4RL HDF5", complete(discrete=True)),
    "plain.npz": ("npz", complete()),
    "ogbench.npz": ("OGBench npz", complete()),
    "table.parquet": ("Parquet", complete()),
    "table.arrow": ("Arrow", complete()),
    "stream.arrow": ("Arrow", complete()),
    "d3rlpy.h5": ("d3rlpy HDF5", following()),
    "d3rlpy-discrete.h5": ("d3rlpy HDF5", following(discrete=True)),
    **{
        f"minari/{layout}/{name}-v0": (f"Minari ({layout})", complete())
        for layout in MINARI_LAYOUTS
        for name in ("box", "goal")
    },
    **{f"minari/{layout}/discrete-v0": (f"Minari ({layout})", complete(discrete=True)) for layout in MINARI_LAYOUTS},
}


def assert_holds(data: Dataset, expected: dict[str, np.ndarray]) -> None:
    for key, array in data.arrays().items():
        np.testing.assert_array_equal(array, expected[key], err_msg=key)


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_same_transitions(name):
    format, expected = FORMATS[name]
    data = seemrl.load(TINY / name)
    assert_holds(data, expected)
    assert read(TINY / name).format == format
    assert data.source.startswith(str(TINY / name))


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("format", ["d4rl", "minari"])
def test_round_trips_are_exact(tmp_path, name, format):
    data = dataclasses.replace(seemrl.load(TINY / name), attributes={"seed": 3, "policy": "ü", "mean": 0.1})
    path = tmp_path / ("a.hdf5" if format == "d4rl" else "a-v3")
    data.save(path, format)
    again = seemrl.load(path)
    assert again.fingerprint() == data.fingerprint()
    assert (again.environment, again.attributes) == (data.environment, data.attributes)
    assert os.listdir(tmp_path) == [path.name]


def test_episodes_are_those_that_were_written():
    data = seemrl.load(TINY / "plain.npz")
    assert [stop - start for start, stop in data.episodes()] == list(LENGTHS)


def test_the_environment_comes_from_attributes_and_from_minari():
    assert seemrl.load(TINY / "d4rl.hdf5").environment == ENVIRONMENT
    assert seemrl.load(TINY / "minari/hdf5/box-v0").environment == ENVIRONMENT
    assert seemrl.load(TINY / "plain.npz").environment is None


def test_minari_tells_how_many_discrete_actions_there_are():
    assert seemrl.load(TINY / "minari/arrow/discrete-v0").action_count == ACTION_COUNT


# Minari itself


@pytest.fixture
def minari(monkeypatch, tmp_path):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "store"))
    (tmp_path / "store").mkdir()
    return pytest.importorskip("minari")


@pytest.mark.parametrize("discrete", [False, True])
def test_minari_reads_what_is_saved(minari, tmp_path, discrete):
    saved = seemrl.load(TINY / ("d4rl-discrete.hdf5" if discrete else "d4rl.hdf5"))
    saved.save(tmp_path / "store" / "mine-v1", "minari")
    read_back = minari.load_dataset("mine-v1")
    assert (read_back.total_episodes, read_back.total_steps) == (len(LENGTHS), sum(LENGTHS))
    assert read_back.env_spec.id == ENVIRONMENT
    played = list(read_back.iterate_episodes())
    stored: dict[str, list[Any]] = {
        "observations": [episode.observations[:-1] for episode in played],
        "next_observations": [episode.observations[1:] for episode in played],
        "actions": [episode.actions for episode in played],
        "rewards": [episode.rewards for episode in played],
        "terminals": [episode.terminations for episode in played],
        "timeouts": [episode.truncations for episode in played],
    }
    for key, values in stored.items():
        np.testing.assert_array_equal(np.concatenate(values), getattr(saved, key), err_msg=key)


def test_a_minari_set_opens_by_id_by_directory_and_by_file(monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(TINY / "minari"))
    by_id = seemrl.load("hdf5/box-v0")
    directory = TINY / "minari/hdf5/box-v0"
    for place in (directory, directory / "data", directory / "data/main_data.hdf5"):
        assert seemrl.load(place).fingerprint() == by_id.fingerprint()


def test_a_collected_minari_set_is_read_step_by_step(minari):
    """What DataCollector stores in a real environment is what the environment said."""
    import gymnasium

    environment = minari.DataCollector(gymnasium.make(ENVIRONMENT, max_episode_steps=12))
    seen: dict[str, list] = {
        key: [] for key in ("observations", "actions", "rewards", "next_observations", "terminals", "timeouts")
    }
    environment.action_space.seed(0)
    for seed in range(4):
        observation, _ = environment.reset(seed=seed)
        done = False
        while not done:
            action = environment.action_space.sample()
            reached, reward, terminated, truncated, _ = environment.step(action)
            for key, value in zip(seen, (observation, action, reward, reached, terminated, truncated), strict=True):
                seen[key].append(value)
            observation, done = reached, terminated or truncated
    environment.create_dataset("collected-v0", description="x", author="x", author_email="x")
    data = seemrl.load("collected-v0")
    assert data.discrete
    assert data.action_count == 2
    assert_holds(data, {key: np.array(values) for key, values in seen.items()})


def test_a_part_of_the_observations_may_be_called_observations(minari):
    from gymnasium.spaces import Box, Dict, Tuple
    from minari.data_collector import EpisodeBuffer

    part = Box(-1, 1, (2,), np.float32)
    space = Dict({"observations": Dict({"observations": part}), "a": Tuple((part, part))})
    first, second, third = (np.random.default_rng(seed).uniform(-1, 1, (4, 2)).astype(np.float32) for seed in range(3))
    buffer = EpisodeBuffer(
        observations={"observations": {"observations": third}, "a": (first, second)},
        actions=np.zeros((3, 2), np.float32),
        rewards=np.zeros(3),
        terminations=np.zeros(3, bool),
        truncations=np.arange(3) == 2,
    )
    for layout in MINARI_LAYOUTS:
        minari.create_dataset_from_buffers(
            f"{layout}-v0", [buffer], observation_space=space, action_space=part, data_format=layout
        )
        data = seemrl.load(f"{layout}-v0")
        np.testing.assert_array_equal(data.observations, np.concatenate([first, second, third], axis=1)[:-1])


def test_an_existing_minari_set_is_not_replaced(tmp_path):
    data = seemrl.load(TINY / "plain.npz")
    data.save(tmp_path / "a-v0", "minari")
    with pytest.raises(InputError, match="already exists, and Minari's data sets are not replaced"):
        data.save(tmp_path / "a-v0", "minari")


def test_a_name_that_tells_no_format_is_refused(tmp_path):
    with pytest.raises(InputError, match="the name tells no format"):
        seemrl.load(TINY / "plain.npz").save(tmp_path / "a")


def test_an_unfinished_episode_stays_unfinished(tmp_path):
    data = seemrl.load(TINY / "plain.npz")
    unfinished = dataclasses.replace(data, timeouts=np.zeros_like(data.timeouts))
    unfinished.save(tmp_path / "a-v0", "minari")
    assert seemrl.load(tmp_path / "a-v0").fingerprint() == unfinished.fingerprint()


# OGBench's other forms


def ogbench() -> dict[str, Any]:
    with np.load(TINY / "ogbench.npz") as file:
        return {key: file[key] for key in file.files}


def test_ogbench_in_its_compact_form(tmp_path):
    """As `load_dataset(compact_dataset=True)`: valids, and terminals at the last transition and the last state."""
    raw = ogbench()
    ends = raw["terminals"]
    compact = raw | {"valids": 1 - ends, "terminals": np.minimum(ends + np.append(ends[1:], 1), 1)}
    np.savez(tmp_path / "a.npz", **compact)
    assert_holds(seemrl.load(tmp_path / "a.npz"), complete())


def test_ogbench_with_next_observations(tmp_path):
    """As `load_dataset()` returns it: terminals at the last transition, masks where the task ended."""
    data = complete()
    ends = data["terminals"] | data["timeouts"]
    np.savez(tmp_path / "a.npz", **{**data, "terminals": ends.astype(np.float32), "masks": 1.0 - data["terminals"]})
    assert_holds(seemrl.load(tmp_path / "a.npz"), complete())


def test_an_ogbench_trajectory_that_is_cut_off_loses_its_last_row(tmp_path):
    np.savez(tmp_path / "a.npz", **{key: array[:-1] for key, array in ogbench().items()})
    data = seemrl.load(tmp_path / "a.npz")
    assert len(data) == sum(LENGTHS) - 1
    assert not data.terminals[-1]
    assert not data.timeouts[-1]


# Tables


def test_a_table_of_single_columns_and_gymnasiums_words(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    rows = 12
    columns = {
        "observation.10": np.arange(rows) + 0.5,
        "observation.9": np.arange(rows),
        "action": np.arange(rows) % 3,
        "reward": np.ones(rows, np.int8),
        "terminated": np.arange(rows) == 5,
        "truncated": np.arange(rows) == 8,
    }
    parquet.write_table(pyarrow.table(columns), tmp_path / "a.parquet")
    data = seemrl.load(tmp_path / "a.parquet")
    assert data.discrete
    assert data.action_count == 3
    np.testing.assert_array_equal(data.observations[:, 0], data.observations[:, 1] - 0.5)  # 9 before 10
    np.testing.assert_array_equal(np.flatnonzero(data.terminals), [5])
    np.testing.assert_array_equal(np.flatnonzero(data.timeouts), [7])
    assert len(data) == rows - 2


def test_missing_pyarrow_is_named_with_its_pip_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    for name in ("table.parquet", "table.arrow", "minari/arrow/box-v0"):
        with pytest.raises(MissingPartError, match=r"needs pyarrow.*pip install 'seemrl\[data\]'"):
            seemrl.load(TINY / name)


def test_reading_hdf5_and_npz_needs_neither_minari_nor_pyarrow(monkeypatch):
    for part in ("minari", "pyarrow", "PIL", "gymnasium"):
        monkeypatch.setitem(sys.modules, part, None)
    for name in ("d4rl.hdf5", "d3rlpy.h5", "plain.npz", "ogbench.npz", "minari/hdf5/goal-v0"):
        assert len(seemrl.load(TINY / name))


# d3rlpy 1


def test_a_flat_dump_of_d3rlpy_1(tmp_path):
    import h5py

    data = complete()
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for key in ("observations", "actions", "rewards", "terminals"):
            file[key] = data[key]
        file["episode_terminals"] = (data["terminals"] | data["timeouts"]).astype(np.float32)
        file["discrete_action"] = False
        file["version"] = "1.0"
    assert read(tmp_path / "a.h5").format == "d3rlpy HDF5, version 1"
    assert_holds(seemrl.load(tmp_path / "a.h5"), following())


def test_minari_attributes_that_are_not_ours_are_kept(tmp_path):
    shutil.copytree(TINY / "minari/hdf5/box-v0", tmp_path / "a")
    path: Path = tmp_path / "a/data/metadata.json"
    metadata = json.loads(path.read_text()) | {"algorithm_name": "SAC"}
    path.write_text(json.dumps(metadata))
    attributes = seemrl.load(tmp_path / "a").attributes
    assert attributes["algorithm_name"] == "SAC"
    assert attributes["dataset_id"] == "hdf5/box-v0"
