"""Arrays that stay on the disk hold the same transitions, whatever file they come from, and harm nobody."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from make_tiny import TINY

import seemrl
from seemrl.data import arrays, completing
from seemrl.data.mapped import map_d4rl, save_mapped
from seemrl.errors import InputError
from seemrl_process import EMBEDDED
from seemrl_process import seemrl as run_seemrl

D4RL = sorted(path.name for path in TINY.glob("d4rl*.hdf5"))


@pytest.fixture(autouse=True)
def few_rows_in_a_block(monkeypatch):
    """So that tiny files have many blocks."""
    monkeypatch.setattr(arrays, "ROWS_IN_BLOCK", 4)
    monkeypatch.setattr(completing, "ROWS_IN_CACHE", 4)


@pytest.mark.parametrize("name", D4RL)
def test_a_file_is_mapped_to_what_is_read_of_it(tmp_path, name):
    mapped, read = map_d4rl(TINY / name, tmp_path / "mapped"), seemrl.load(TINY / name)
    assert mapped.fingerprint() == read.fingerprint()
    assert (mapped.environment, mapped.attributes) == (read.environment, read.attributes)
    assert mapped.action_count == read.action_count if mapped.discrete else True
    for mean, other in zip(mapped.observation_statistics(), read.observation_statistics(), strict=True):
        np.testing.assert_array_equal(mean, other)
    np.testing.assert_array_equal(mapped.episodes(), read.episodes())
    assert [path.name for path in tmp_path.iterdir()] == ["mapped"]  # nothing else is left


def test_arrays_are_mapped_and_not_read(tmp_path):
    save_mapped(seemrl.load(TINY / "plain.npz"), tmp_path / "mapped")
    for array in seemrl.load(tmp_path / "mapped").arrays().values():
        assert isinstance(array, np.memmap) and not array.flags.writeable


def test_statistics_are_those_of_all_rows_at_once():
    data = seemrl.load(EMBEDDED)
    mean, deviation = data.observation_statistics()
    np.testing.assert_allclose(mean, data.observations.mean(axis=0, dtype=np.float64), rtol=1e-6)
    np.testing.assert_allclose(deviation, data.observations.std(axis=0, dtype=np.float64) + 1e-3, rtol=1e-6)


def test_a_value_that_is_not_finite_is_named_by_its_row_and_nothing_is_left(tmp_path):
    path = tmp_path / "bad.hdf5"
    path.write_bytes((TINY / "d4rl.hdf5").read_bytes())
    with h5py.File(path, "r+") as file:
        file["observations"][6, 1] = np.nan
    with pytest.raises(InputError, match=r"bad.hdf5: observations: row 6, column 1 is nan"):
        map_d4rl(path, tmp_path / "mapped")
    assert [path.name for path in tmp_path.iterdir()] == ["bad.hdf5"]


def test_what_is_there_already_is_left_alone(tmp_path):
    (tmp_path / "thesis").mkdir()
    data = seemrl.load(TINY / "plain.npz")
    for make in (lambda place: map_d4rl(TINY / "d4rl.hdf5", place), lambda place: save_mapped(data, place)):
        with pytest.raises(InputError, match="exists already"):
            make(tmp_path / "thesis")
    assert not list((tmp_path / "thesis").iterdir())


def _shorter(place: Path) -> None:
    np.save(place / "rewards.npy", np.load(place / "rewards.npy")[:-1])


def _cut(place: Path) -> None:
    (place / "actions.npy").write_bytes((place / "actions.npy").read_bytes()[:-8])


def _about(**changes: object):
    def change(place: Path) -> None:
        about = json.loads((place / "arrays.json").read_text())
        (place / "arrays.json").write_text(json.dumps(about | changes))

    return change


DAMAGES = {
    "an array is missing": (lambda place: (place / "timeouts.npy").unlink(), "timeouts.npy: no such file"),
    "an array is cut short": (_cut, "actions.npy: not a NumPy array of numbers"),
    "arrays differ in their rows": (_shorter, "its arrays differ in their rows"),
    "objects": (
        lambda place: np.save(place / "rewards.npy", np.array([{}], object), allow_pickle=True),
        "rewards.npy: not a NumPy array of numbers",
    ),
    "columns one after another": (
        lambda place: np.save(place / "actions.npy", np.asfortranarray(np.load(place / "actions.npy"))),
        "actions.npy: not an array of rows",
    ),
    "another type": (
        lambda place: np.save(place / "rewards.npy", np.load(place / "rewards.npy").astype(np.float64)),
        "rewards: type float64 where float32 belongs",
    ),
    "another format": (_about(version=2), "arrays.json: not what seemrl data map wrote"),
    "attributes that are no numbers or texts": (_about(attributes={"a": []}), "arrays.json: not what seemrl data map"),
    "no JSON": (lambda place: (place / "arrays.json").write_text("{"), "arrays.json: not what seemrl data map wrote"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_directory_is_refused_in_one_line(tmp_path, damage):
    make, words = DAMAGES[damage]
    save_mapped(seemrl.load(TINY / "plain.npz"), tmp_path / "mapped")
    make(tmp_path / "mapped")
    with pytest.raises(InputError) as caught:
        seemrl.load(tmp_path / "mapped")
    assert words in str(caught.value) and str(caught.value).isprintable()


def test_the_command_maps_files_of_any_format(tmp_path):
    for number, name in enumerate(("d4rl.hdf5", "table.parquet")):
        ended = run_seemrl("data", "map", TINY / name, "--out", str(number), cwd=tmp_path)
        assert (ended.returncode, ended.stderr) == (0, "")
        assert seemrl.load(tmp_path / str(number)).fingerprint() == seemrl.load(TINY / name).fingerprint()
    ended = run_seemrl("data", "map", tmp_path / "no.hdf5", "--out", "x", cwd=tmp_path)
    assert ended.returncode == 2 and ended.stderr.count("\n") == 1 and not (tmp_path / "x").exists()
