"""However many rows are looked at together, and wherever they lie, the same transitions come out."""

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seemrl.data import completing
from seemrl.data.columns import columns
from seemrl.data.completing import completed
from seemrl.data.d4rl import load_d4rl, read_d4rl
from seemrl.data.npz import read_npz
from seemrl.errors import InputError


def expected_rows(terminals, timeouts):
    """Row by row, as the documentation says: rows kept, the row each goes to, and the timeouts of those kept."""
    rows, after, cut = [], [], []
    for row, (terminal, timeout) in enumerate(zip(terminals, timeouts, strict=True)):
        last = row + 1 == len(terminals)
        if terminal or not (timeout or last):
            rows.append(row)
            after.append(row if terminal else row + 1)
            before_dropped = not last and not terminal and timeouts[row + 1] and not terminals[row + 1]
            cut.append(timeout or before_dropped)
    return rows, after, cut


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=2, max_size=40), st.integers(1, 9), st.booleans())
def test_rows_and_what_follows_them_are_as_documented(flags, rows_in_cache, writeable):
    terminals, timeouts = np.array(flags).T.copy()
    rows, after, cut = expected_rows(terminals, timeouts)
    observations = np.arange(2 * len(flags), dtype=np.float32).reshape(-1, 2)
    kept_whole = observations.copy()
    observations.setflags(write=writeable)
    arrays = {
        "observations": observations,
        "actions": kept_whole[:, :1] + 0.5,
        "rewards": kept_whole[:, 0].copy(),
        "terminals": terminals,
        "timeouts": timeouts,
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(completing, "ROWS_IN_CACHE", rows_in_cache)
        if not rows:
            with pytest.raises(InputError, match="no row has a known next observation"):
                completed("made", arrays, np.empty)
            return
        found = completed("made", arrays, np.empty).arrays
    np.testing.assert_array_equal(found["observations"], kept_whole[rows])
    np.testing.assert_array_equal(found["actions"], kept_whole[rows, :1] + 0.5)
    np.testing.assert_array_equal(found["rewards"], kept_whole[rows, 0])
    np.testing.assert_array_equal(found["next_observations"], kept_whole[after])
    np.testing.assert_array_equal(found["terminals"], terminals[rows])
    np.testing.assert_array_equal(found["timeouts"], cut)


def some_arrays(rows, **changed):
    random = np.random.default_rng(0)
    return {
        "observations": random.normal(size=(rows, 3)),
        "actions": random.uniform(-1, 1, (rows, 2)),
        "rewards": random.normal(size=rows),
        "terminals": random.random(rows) < 0.1,
        "timeouts": random.random(rows) < 0.1,
    } | changed


@pytest.mark.parametrize("kind", ["<f2", "<f4", ">f4", "<f8", ">f8"])
@pytest.mark.parametrize("stored", [{}, {"chunks": (7, 1)}, {"chunks": (50, 2), "compression": "gzip"}], ids=str)
def test_a_file_gives_the_same_however_it_is_stored(tmp_path, monkeypatch, kind, stored):
    arrays = some_arrays(101)
    floats = {key: array.astype(kind) for key, array in arrays.items() if array.dtype.kind == "f"}
    with h5py.File(tmp_path / "x.hdf5", "w") as file:
        for key, array in (arrays | floats).items():
            file.create_dataset(key, data=array, **(stored if array.ndim == 2 else {}))
    np.savez(tmp_path / "x.npz", **arrays | floats)
    whole = read_npz(tmp_path / "x.npz").dataset()
    monkeypatch.setattr(completing, "ROWS_IN_CACHE", 8)
    assert load_d4rl(tmp_path / "x.hdf5").fingerprint() == whole.fingerprint()


@pytest.mark.parametrize("complete", [True, False])
def test_every_value_that_is_not_finite_is_counted_and_the_first_named_by_its_row_in_the_file(
    tmp_path, monkeypatch, complete
):
    arrays = some_arrays(60, terminals=np.zeros(60, dtype=bool), timeouts=np.arange(60) % 10 == 9)
    arrays["observations"][[9, 33, 33, 59], [0, 1, 2, 0]] = np.nan, np.inf, 1e300, -np.inf
    arrays["actions"][20] = np.nan
    if complete:
        arrays["next_observations"] = np.zeros((60, 3))
    with h5py.File(tmp_path / "x.hdf5", "w") as file:
        for key, array in arrays.items():
            file[key] = array
    monkeypatch.setattr(completing, "ROWS_IN_CACHE", 16)
    found = read_d4rl(tmp_path / "x.hdf5")
    assert (found.not_finite["observations"], found.not_finite["actions"]) == (4, 2)
    assert (found.sizes["observations"], found.sizes["actions"], found.sizes["rewards"]) == (180, 120, 60)
    with pytest.raises(InputError, match="observations: row 9, column 0 is nan"):
        found.dataset()
    # a broken row goes, and one that leads to a broken observation; dropped rows are gone already
    assert len(found.finite_part()) == (56 if complete else 54 - len({20, 33, 32, 8, 58}))


def test_what_was_read_is_validated_but_for_its_values():
    arrays = {
        key: array.astype(np.float32) if array.dtype.kind == "f" else array for key, array in some_arrays(9).items()
    }
    with pytest.raises(InputError, match="environment is a field of its own"):
        columns("made", "none", arrays, attributes={"environment": "Hopper-v5"}).dataset()
