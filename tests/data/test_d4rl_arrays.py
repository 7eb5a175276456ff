"""Arrays in D4RL's layout that cannot be used: refused in one line that names key and row."""

import h5py
import numpy as np
import pytest
from d4rl_files import ROWS, refusal_of, transitions, write

# Arrays that cannot be used


def changed(key, place, value):
    def change(arrays):
        arrays[key] = arrays[key].copy()
        arrays[key][place] = value

    return change


def replaced(key, function):
    def change(arrays):
        arrays[key] = function(arrays[key])

    return change


def without(key):
    return lambda arrays: arrays.pop(key)


def only_rows(rows):
    return lambda arrays: arrays.update({key: array[rows] for key, array in arrays.items()})


def every_row_cut(arrays):
    del arrays["next_observations"]
    arrays |= {"timeouts": np.ones(ROWS, dtype=np.bool_), "terminals": np.zeros(ROWS, dtype=np.bool_)}


def structured(array):
    return np.zeros(len(array), dtype=[("x", np.float32)])


BAD_ARRAYS = [
    (
        without("rewards"),
        "rewards: key is missing (found: actions, next_observations, observations, terminals, timeouts)",
    ),
    (without("terminals"), "terminals: key is missing"),
    (replaced("rewards", lambda a: a[:-1]), "rewards: 9 rows but observations has 10; make all keys equally long"),
    (replaced("timeouts", lambda a: a[:-2]), "timeouts: 8 rows"),
    (replaced("observations", lambda a: a[:, 0]), "observations: shape (10,) where (rows, size of one)"),
    (replaced("actions", lambda a: a[:, :, None]), "actions: shape (10, 2, 1)"),
    (replaced("rewards", lambda a: np.stack([a, a], 1)), "rewards: shape (10, 2) where (rows,)"),
    (replaced("terminals", lambda a: a[:, None, None]), "terminals: shape (10, 1, 1)"),
    (replaced("rewards", lambda a: a[0]), "rewards: shape ()"),
    (replaced("rewards", lambda a: h5py.Empty("f4")), "rewards: shape ()"),
    (
        replaced("next_observations", lambda a: a[:, :2]),
        "next_observations: shape (10, 2) but observations has (10, 3)",
    ),
    (only_rows(slice(0)), "holds no values; give at least one transition"),
    (changed("rewards", 7, np.nan), "rewards: row 7 is nan"),
    (changed("observations", (2, 1), np.inf), "observations: row 2, column 1 is inf"),
    (changed("actions", (0, 0), -np.inf), "actions: row 0, column 0 is -inf"),
    (changed("next_observations", (9, 2), np.nan), "next_observations: row 9, column 2 is nan"),
    (replaced("rewards", lambda a: a.astype(np.float64) * 1e300), "rewards: row 0 is inf, not a finite float32"),
    (replaced("observations", lambda a: a.astype(np.int64) + 2**24 + 2), "observations: row 0 is 16777218, an integer"),
    (replaced("actions", lambda a: a.astype(np.int32)), "actions: 2 integers a row, where a discrete action is one"),
    (replaced("actions", lambda a: np.arange(ROWS) - 1), "actions: row 0 is -1; number discrete actions 0, 1, 2"),
    (replaced("actions", lambda a: np.full(ROWS, 2**40)), "actions: row 0 is 1099511627776; number discrete actions"),
    (replaced("rewards", lambda a: a > 0), "rewards: type bool where floats belong"),
    (replaced("rewards", lambda a: a.astype("S8")), "rewards: type |S8 where floats belong"),
    (
        replaced("rewards", lambda a: np.array(["x"] * ROWS, dtype=object)),
        "rewards: type object, whose values",
    ),
    (replaced("rewards", lambda a: a.astype(np.complex64)), "rewards: type complex64 where floats belong"),
    (replaced("rewards", structured), "rewards: type"),
    (
        replaced("terminals", lambda a: np.array(["no"] * ROWS, dtype=object)),
        "terminals: type object, whose values",
    ),
    (replaced("terminals", lambda a: np.arange(ROWS)), "terminals: row 2 is 2, neither 0 nor 1"),
    (replaced("timeouts", lambda a: np.where(np.arange(ROWS) == 4, np.nan, 0)), "timeouts: row 4 is nan, neither"),
    (every_row_cut, "observations: no row has a known next observation"),
]


@pytest.mark.parametrize(("change", "words"), BAD_ARRAYS, ids=[words[:40] for _, words in BAD_ARRAYS])
def test_unusable_arrays_are_refused(tmp_path, change, words):
    arrays = transitions()
    change(arrays)
    assert words in refusal_of(write(tmp_path / "a.hdf5", arrays))


def test_an_environment_that_is_no_text_is_refused(tmp_path):
    assert "attribute environment: 5" in refusal_of(write(tmp_path / "a.hdf5", transitions(), environment=5))


def test_hostile_keys_stay_on_one_line(tmp_path):
    path = write(tmp_path / "a.hdf5", {"two\nlines\x1b[31m" + "x" * 500: np.zeros(1)})
    assert len(refusal_of(path)) < 300 + len(str(path))
