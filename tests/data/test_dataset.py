import dataclasses

import numpy as np
import pytest

from seemrl.data.dataset import Dataset, check_actions_in_box
from seemrl.errors import InputError

ROWS = 12


@pytest.fixture
def dataset() -> Dataset:
    random = np.random.default_rng(0)
    return Dataset(
        observations=random.normal(size=(ROWS, 3)).astype(np.float32),
        actions=random.uniform(-1, 1, size=(ROWS, 2)).astype(np.float32),
        rewards=random.normal(size=ROWS).astype(np.float32),
        next_observations=random.normal(size=(ROWS, 3)).astype(np.float32),
        terminals=np.arange(ROWS) % 5 == 4,
        timeouts=np.zeros(ROWS, dtype=np.bool_),
        environment="Toy-v0",
        source="toy",
        attributes={"seed": 3},
    )


def with_value(array, place, value):
    changed = array.copy()
    changed[place] = value
    return changed


def test_sizes(dataset):
    assert (len(dataset), dataset.observation_size, dataset.action_size) == (ROWS, 3, 2)


def test_reward_bound_is_the_geometric_sum_of_the_largest_reward(dataset):
    rewards = with_value(dataset.rewards, 7, -4.0)
    dataset = dataclasses.replace(dataset, rewards=rewards)
    assert dataset.max_abs_reward == 4.0
    assert dataset.reward_bound(0.0) == 4.0
    assert dataset.reward_bound(0.99) == pytest.approx(sum(4.0 * 0.99**k for k in range(5000)))


@pytest.mark.parametrize("discount", [1.0, -0.1, 1.5, float("nan")])
def test_reward_bound_refuses_a_discount_without_bound(dataset, discount):
    with pytest.raises(InputError, match="discount"):
        dataset.reward_bound(discount)


def test_standardised_observations_have_mean_zero_and_deviation_just_below_one(dataset):
    mean, deviation = dataset.observation_statistics()
    standardised = (dataset.observations - mean) / deviation
    assert mean.dtype == deviation.dtype == np.float32
    np.testing.assert_allclose(standardised.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(standardised.std(axis=0) * deviation + 1e-3, deviation, rtol=1e-5)


def test_a_constant_observation_has_the_floor_as_deviation(dataset):
    dataset = dataclasses.replace(dataset, observations=np.full((ROWS, 3), 1000.1, dtype=np.float32))
    mean, deviation = dataset.observation_statistics()
    np.testing.assert_array_equal(mean, dataset.observations[0])
    np.testing.assert_allclose(deviation, 1e-3, rtol=1e-6)


def test_fingerprint_depends_on_the_content_alone(dataset):
    elsewhere = dataclasses.replace(dataset, source="copy", environment=None, attributes={})
    in_columns = dataclasses.replace(dataset, observations=np.asfortranarray(dataset.observations))
    assert elsewhere.fingerprint() == in_columns.fingerprint() == dataset.fingerprint()
    assert len(dataset.fingerprint()) == 64


@pytest.mark.parametrize("key", ["observations", "actions", "rewards", "next_observations", "terminals", "timeouts"])
def test_fingerprint_changes_with_any_array(dataset, key):
    array = getattr(dataset, key)
    changed = ~array if array.dtype == np.bool_ else np.nextafter(array, np.float32(9))
    assert dataclasses.replace(dataset, **{key: changed}).fingerprint() != dataset.fingerprint()


def test_batch_rows_are_distinct_sorted_and_seeded(dataset):
    rows = dataset.batch_rows(6, seed=1)
    assert len(rows) == 6
    assert (np.diff(rows) > 0).all()
    assert rows.min() >= 0
    assert rows.max() < ROWS
    np.testing.assert_array_equal(rows, dataset.batch_rows(6, seed=1))
    assert any(not np.array_equal(rows, dataset.batch_rows(6, seed=seed)) for seed in range(2, 6))


def test_batch_rows_beyond_the_data_are_all_rows(dataset):
    np.testing.assert_array_equal(dataset.batch_rows(10 * ROWS, seed=0), np.arange(ROWS))


@pytest.mark.parametrize(("count", "seed"), [(0, 0), (-1, 0), (4, -1)])
def test_batch_rows_refuses_senseless_numbers(dataset, count, seed):
    with pytest.raises(InputError, match=f"cannot draw {count} rows with seed {seed}"):
        dataset.batch_rows(count, seed)


@pytest.mark.parametrize(
    ("key", "change", "words"),
    [
        ("observations", lambda a: with_value(a, (4, 1), np.nan), "observations: row 4, column 1 is nan"),
        ("next_observations", lambda a: with_value(a, (0, 2), -np.inf), "next_observations: row 0, column 2 is -inf"),
        ("actions", lambda a: with_value(a, (11, 0), np.inf), "actions: row 11, column 0 is inf"),
        ("rewards", lambda a: with_value(with_value(a, 9, np.nan), 3, np.nan), "rewards: row 3 is nan"),
        ("rewards", lambda a: a[:-1], "rewards: 11 rows but observations has 12"),
        ("timeouts", lambda a: a[:5], "timeouts: 5 rows"),
        ("rewards", lambda a: a[:, None], r"rewards: shape \(12, 1\) where \(rows,\)"),
        ("actions", lambda a: a[:, 0], r"actions: shape \(12,\)"),
        ("actions", lambda a: a[:, :0], r"actions: shape \(12, 0\) holds no values"),
        ("next_observations", lambda a: a[:, :2], r"next_observations: shape \(12, 2\) but observations has \(12, 3\)"),
        ("observations", lambda a: a.astype(np.float64), "observations: type float64 where float32 belongs"),
        ("terminals", lambda a: a.astype(np.int8), "terminals: type int8 where bool belongs"),
        ("rewards", lambda a: a.tolist(), "rewards: list where a NumPy array"),
        ("attributes", lambda a: {**a, "environment": "Other-v0"}, "attributes: environment"),
    ],
)
def test_construction_refuses_in_one_line(dataset, key, change, words):
    with pytest.raises(InputError, match=f"^toy: {words}") as caught:
        dataclasses.replace(dataset, **{key: change(getattr(dataset, key))})
    assert "\n" not in str(caught.value)


def test_construction_refuses_no_rows(dataset):
    with pytest.raises(InputError, match="holds no values; give at least one transition"):
        dataclasses.replace(dataset, **{key: array[:0] for key, array in dataset.arrays().items()})


def test_a_hostile_source_stays_on_one_line(dataset):
    with pytest.raises(InputError) as caught:
        dataclasses.replace(dataset, source="two\nlines\x1b[31m", rewards=dataset.rewards[:-1])
    assert str(caught.value).isprintable()


def test_actions_on_the_border_of_the_box_are_inside(dataset):
    actions = with_value(dataset.actions * np.float32(0.4), (5, 1), 0.4)
    check_actions_in_box(dataclasses.replace(dataset, actions=actions), -0.4, [0.4, 0.4])  # float32(0.4) > 0.4


def test_the_first_action_outside_the_box_is_named(dataset):
    actions = with_value(with_value(dataset.actions, (8, 0), -3.0), (5, 1), 1.25)
    with pytest.raises(InputError, match=r"^toy: actions: row 5, dimension 1 is 1.25, outside \[-1, 1\]; \w+"):
        check_actions_in_box(dataclasses.replace(dataset, actions=actions), [-1, -1], np.ones(2))


def test_a_box_of_another_size_is_refused(dataset):
    with pytest.raises(InputError, match=r"actions: 2 dimensions but the action space has shape \(3,\)"):
        check_actions_in_box(dataset, -np.ones(3), np.ones(3))


# Discrete actions


def test_discrete_actions_are_counted_and_one_hot(dataset):
    discrete = dataclasses.replace(dataset, actions=np.arange(ROWS) % 3)
    assert (discrete.discrete, discrete.action_size, discrete.action_count) == (True, 1, 3)
    wider = dataclasses.replace(discrete, attributes={"action_count": 5})
    assert wider.action_count == 5
    np.testing.assert_array_equal(wider.one_hot_actions().argmax(axis=1), discrete.actions)
    np.testing.assert_array_equal(wider.one_hot_actions().sum(axis=1), np.ones(ROWS))
    assert wider.one_hot_actions().shape == (ROWS, 5)


def test_continuous_actions_have_no_count(dataset):
    with pytest.raises(InputError, match="actions: continuous, so their number is not defined"):
        dataset.one_hot_actions()


@pytest.mark.parametrize(
    ("actions", "words"),
    [
        (np.arange(ROWS, dtype=np.int32), "actions: type int32 where int64 belongs"),
        (np.arange(ROWS)[:, None], r"actions: shape \(12, 1\) where \(rows,\)"),
        (np.arange(ROWS) - 2, "actions: row 0 is -2; number discrete actions"),
    ],
)
def test_construction_refuses_discrete_actions_that_are_none(dataset, actions, words):
    with pytest.raises(InputError, match=words):
        dataclasses.replace(dataset, actions=actions)


def test_discrete_actions_are_in_no_box(dataset):
    with pytest.raises(InputError, match=r"actions: discrete \(integers\), where continuous ones belong"):
        check_actions_in_box(dataclasses.replace(dataset, actions=np.arange(ROWS)), -1, 1)


# Episodes


def in_order(dataset, ends, *, terminal=()):
    """The data with consecutive rows, but for the ends given, which are cut short or terminal."""
    following = np.concatenate([dataset.observations[1:], dataset.observations[:1] + 9])
    following[list(ends)] += 5
    flagged = np.isin(np.arange(ROWS), list(ends))
    terminals = np.isin(np.arange(ROWS), list(terminal))
    return dataclasses.replace(dataset, next_observations=following, terminals=terminals, timeouts=flagged & ~terminals)


def test_episodes_end_at_flags_and_with_the_data(dataset):
    ordered = in_order(dataset, [3, 8], terminal=[8])
    np.testing.assert_array_equal(ordered.episodes(), [[0, 4], [4, 9], [9, 12]])


def test_episodes_end_where_the_next_observation_is_not_the_following_row(dataset):
    ordered = in_order(dataset, [3, 8])
    unmarked = dataclasses.replace(ordered, timeouts=np.zeros(ROWS, dtype=np.bool_))
    np.testing.assert_array_equal(unmarked.episodes(), ordered.episodes())
