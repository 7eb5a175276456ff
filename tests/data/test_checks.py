"""Each check finds its own defect in data that are otherwise sound, and nothing in sound data."""

import dataclasses
import json

import numpy as np
import pytest

from seemrl.data.checks import check_dataset
from seemrl.data.dataset import Dataset
from seemrl.data.duplicates import count_duplicates
from seemrl.data.embedded import load_embedded_hopper
from seemrl.errors import InputError

EPISODES, STEPS = 20, 50
ROWS = EPISODES * STEPS


def sound() -> Dataset:
    """Twenty episodes: the odd ones cut short after 50 steps, the even ones terminal after 30 to 48."""
    random = np.random.default_rng(0)
    lengths = [STEPS if episode % 2 else 30 + episode for episode in range(EPISODES)]
    rows = sum(lengths)
    last = np.isin(np.arange(rows), np.cumsum(lengths) - 1)
    odd = np.repeat(np.arange(EPISODES) % 2 == 1, lengths)
    observations = random.normal(size=(rows + 1, 3)).astype(np.float32)
    following = observations[1:].copy()
    following[last] = random.normal(size=(last.sum(), 3))
    return Dataset(
        observations=observations[:-1],
        actions=random.uniform(-0.99, 0.99, size=(rows, 2)).astype(np.float32),
        rewards=random.normal(size=rows).astype(np.float32),
        next_observations=following,
        terminals=last & ~odd,
        timeouts=last & odd,
        environment=None,
        source="sound",
    )


def changed(**change):
    def apply(data: Dataset) -> Dataset:
        arrays = {key: array.copy() for key, array in data.arrays().items()}
        return dataclasses.replace(data, **{key: make(arrays) for key, make in change.items()})

    return apply


def with_value(key, place, value):
    def make(arrays):
        arrays[key][place] = value
        return arrays[key]

    return changed(**{key: make})


def repeated(data: Dataset) -> Dataset:
    return dataclasses.replace(data, **{key: np.concatenate([a, a[:50]]) for key, a in data.arrays().items()})


def shuffled(data: Dataset) -> Dataset:
    order = np.random.default_rng(1).permutation(len(data))
    return dataclasses.replace(data, **{key: array[order] for key, array in data.arrays().items()})


def nothing_set(arrays):
    return np.zeros_like(arrays["terminals"])


DEFECTS = {
    "timeouts_as_terminals": (
        changed(terminals=lambda a: a["terminals"] | a["timeouts"], timeouts=nothing_set),
        "10 of 20 terminal episodes end after exactly 50 steps",
    ),
    "no_ends": (changed(terminals=nothing_set, timeouts=nothing_set), "no row is marked"),
    "discontinuities": (changed(timeouts=nothing_set), "after 9 rows without a flag"),
    "constant_dimensions": (with_value("observations", (slice(None), 1), 2.0), "entries that never change: 1"),
    "badly_scaled_dimensions": (
        changed(observations=lambda a: a["observations"] * np.array([1, 1, 5000], np.float32)),
        "(entry 2), a factor of",
    ),
    "reward_outliers": (with_value("rewards", 7, -250.0), "the farthest -250"),
    "constant_rewards": (with_value("rewards", slice(None), 1.0), "every reward is 1"),
    "actions_beyond_box": (with_value("actions", (3, 1), 1.5), "1 rows have an action outside [-1, 1]"),
    "saturated_actions": (
        with_value("actions", (slice(None, 200), 0), 1.0),
        "of the action entries lie at or beyond an end",
    ),
    "duplicates": (repeated, "50 of"),
}


def test_sound_data_has_no_finding():
    assert check_dataset(sound()) == ()


@pytest.mark.parametrize("name", DEFECTS)
def test_each_defect_is_found_by_name_and_number(name):
    spoil, words = DEFECTS[name]
    found = {finding.name: finding for finding in check_dataset(spoil(sound()))}
    assert name in found
    finding = found[name]
    assert words in finding.problem
    assert finding.count >= 1
    assert all((finding.problem, finding.consequence, finding.remedy))
    assert json.loads(json.dumps(finding.to_dict()))["name"] == name


@pytest.mark.parametrize(
    ("name", "row"), [("timeouts_as_terminals", 79), ("discontinuities", 79), ("reward_outliers", 7)]
)
def test_the_first_row_is_named(name, row):
    assert next(f for f in check_dataset(DEFECTS[name][0](sound())) if f.name == name).row == row


def test_shuffled_rows_are_a_note_where_unmarked_ends_are_a_warning():
    severity = {
        case: next(f.severity for f in check_dataset(data) if f.name == "discontinuities")
        for case, data in {"shuffled": shuffled(sound()), "unmarked": DEFECTS["discontinuities"][0](sound())}.items()
    }
    assert severity == {"shuffled": "note", "unmarked": "warning"}


def test_warnings_come_first():
    data = with_value("observations", (slice(None), 1), 2.0)(DEFECTS["reward_outliers"][0](sound()))
    assert [finding.severity for finding in check_dataset(data)] == ["warning", "note", "note"]


def test_sparse_rewards_are_no_outliers():
    sparse = changed(rewards=lambda a: (np.arange(len(a["rewards"])) % 300 == 0).astype(np.float32))(sound())
    assert check_dataset(sparse) == ()


def test_short_episodes_of_one_length_are_no_time_limit():
    terminals = np.arange(100) % 5 == 4
    data = dataclasses.replace(
        sound(),
        **{key: array[:100] for key, array in sound().arrays().items() if key not in ("terminals", "timeouts")},
        terminals=terminals,
        timeouts=np.zeros(100, dtype=np.bool_),
    )
    assert "timeouts_as_terminals" not in {finding.name for finding in check_dataset(data)}


def test_the_box_decides_what_is_beyond_and_at_its_ends():
    data = DEFECTS["actions_beyond_box"][0](sound())
    assert check_dataset(data, -2.0, 2.0) == ()
    assert "saturated_actions" in {f.name for f in check_dataset(DEFECTS["saturated_actions"][0](sound()), -1, 1)}


def test_discrete_actions_have_no_box():
    discrete = changed(actions=lambda a: np.arange(len(a["rewards"])) % 7)(sound())
    assert check_dataset(discrete) == ()


def test_embedded_random_data_needs_no_warning():
    assert [finding for finding in check_dataset(load_embedded_hopper()) if finding.severity == "warning"] == []


# Duplicates


def test_duplicates_are_counted_exactly():
    data = repeated(repeated(sound()))
    assert count_duplicates(data) == 100
    assert count_duplicates(sound()) == 0


@pytest.mark.parametrize("key", ["observations", "actions", "rewards", "next_observations", "terminals"])
def test_rows_that_differ_in_one_array_are_no_duplicates(key):
    data = sound()
    two = {name: np.concatenate([array[:1], array[:1]]) for name, array in data.arrays().items()}
    if two[key].dtype == np.bool_:
        two[key][1] = ~two[key][1]
    else:
        two[key][1] += 1
    assert count_duplicates(dataclasses.replace(data, **two)) == 0


def test_one_row_has_no_duplicate():
    assert count_duplicates(dataclasses.replace(sound(), **{k: a[:1] for k, a in sound().arrays().items()})) == 0


def test_an_empty_data_set_never_gets_here():
    with pytest.raises(InputError):
        dataclasses.replace(sound(), **{key: array[:0] for key, array in sound().arrays().items()})
