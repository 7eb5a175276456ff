import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seemrl.data.dataset import Dataset
from seemrl.data.embedded import load_embedded_hopper
from seemrl.data.subsets import subset_rows
from seemrl.errors import InputError


@pytest.fixture(scope="module")
def hopper() -> Dataset:
    return load_embedded_hopper()


@pytest.mark.parametrize(("percent", "count"), [(1, 200), (10, 2000), (0.1, 20), (33.333, 6667), (100, 20_000)])
def test_transitions_are_counted_exactly(hopper, percent, count):
    assert len(hopper.subset(percent)) == count


def test_there_is_at_least_one(hopper):
    assert len(hopper.subset(1e-6)) == 1
    assert len(hopper.subset(1e-6, by="episodes").episodes()) == 1


@given(
    st.floats(0.01, 100), st.floats(0.01, 100), st.integers(0, 2**63 - 1), st.sampled_from(["transitions", "episodes"])
)
def test_a_smaller_part_lies_inside_a_larger_one_of_the_same_seed(first, second, seed, by):
    data = load_small()
    smaller, larger = (set(subset_rows(data, part, by, seed)) for part in sorted((first, second)))
    assert smaller <= larger


def load_small() -> Dataset:
    rows = np.arange(97)
    return Dataset(
        observations=rows[:, None].astype(np.float32),
        actions=rows % 5,
        rewards=np.zeros(97, np.float32),
        next_observations=(rows[:, None] + 1).astype(np.float32),
        terminals=rows % 10 == 9,
        timeouts=np.zeros(97, np.bool_),
        environment=None,
        source="small",
    )


def test_rows_are_distinct_and_keep_their_order(hopper):
    rows = subset_rows(hopper, 10, "transitions", 3)
    assert (np.diff(rows) > 0).all()


def test_the_subset_is_the_same_on_every_platform():
    """Sorting Philox's raw output, published test vectors of which NumPy is bound to, gives these rows."""
    np.testing.assert_array_equal(subset_rows(load_small(), 8, "transitions", 0), [0, 21, 38, 43, 54, 66, 69, 91])
    np.testing.assert_array_equal(subset_rows(load_small(), 8, "transitions", 1), [3, 5, 24, 27, 54, 66, 78, 90])


def test_episodes_stay_whole(hopper):
    part = hopper.subset(10, by="episodes")
    assert len(part.episodes()) == round(len(hopper.episodes()) / 10)
    whole = {tuple(hopper.observations[start]): stop - start for start, stop in hopper.episodes()}
    for start, stop in part.episodes():
        assert whole[tuple(part.observations[start])] == stop - start


def test_the_part_says_what_it_is(hopper):
    assert hopper.subset(10, seed=4).source == f"{hopper.source} (10% of transitions, seed 4)"
    assert hopper.subset(100) is hopper


def test_every_row_is_as_likely(hopper):
    """4,000 draws of 10%: each row of 97 is in 10 of 97 parts, give or take five standard errors."""
    data = load_small()
    counts = np.zeros(97)
    for seed in range(4000):
        counts[subset_rows(data, 10, "transitions", seed)] += 1
    share = 10 / 97
    assert np.abs(counts / 4000 - share).max() < 5 * np.sqrt(share * (1 - share) / 4000)


@pytest.mark.parametrize(
    ("percent", "seed", "words"),
    [
        (0, 0, "a subset of 0% has no meaning"),
        (100.5, 0, "a subset of 100.5% has no meaning"),
        (float("nan"), 0, "has no meaning"),
        (10, -1, "subset seed -1 is out of range"),
        (10, 2**63, "out of range"),
    ],
)
def test_senseless_subsets_are_refused(percent, seed, words):
    with pytest.raises(InputError, match=words):
        dataclasses.replace(load_small()).subset(percent, seed=seed)
