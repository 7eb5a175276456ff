"""Each mistake is planted in real data and told, with its row; where it is not, nothing is said of it."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from cases import policy, transitions, twin
from seemrl import Batch, Dataset, InputError, measure, signs_of_a_bug
from seemrl.data.embedded import load_embedded_hopper

DATA = load_embedded_hopper()
MILLIMETRES = np.array([1000.0] + 10 * [1.0], np.float32)  # the first entry is a height
BOX: dict[str, Any] = {"action_low": -1.0, "action_high": 1.0}


def changed(**arrays: np.ndarray) -> Dataset:
    return replace(DATA, **arrays)


def with_entry(name: str, index: Any, value: Any) -> Dataset:
    array = getattr(DATA, name).copy()
    array[index] = value
    return changed(**{name: array})


def cut_into(length: int) -> Dataset:
    """The same rows, said to be cut short every so many steps, and each cut called terminal."""
    limits = np.zeros(len(DATA), bool)
    start = 0
    for end in np.flatnonzero(DATA.terminals | DATA.timeouts):
        limits[start + length - 1 : end : length] = True
        start = end + 1
    return changed(terminals=DATA.terminals | limits)


PLANTED: dict[str, tuple[Callable[[], Dataset], str, int | None]] = {
    "terminals dropped": (
        lambda: changed(terminals=np.zeros(len(DATA), bool)),
        "ends of episodes are not marked",
        int(np.flatnonzero(DATA.terminals)[0]),
    ),
    "timeouts as terminals": (lambda: cut_into(12), "timeouts are marked as terminals", None),
    "terminals as timeouts": (
        lambda: changed(terminals=np.zeros(len(DATA), bool), timeouts=DATA.terminals | DATA.timeouts),
        "terminals are marked as timeouts",
        int(np.flatnonzero(DATA.terminals | DATA.timeouts)[0]),
    ),
    "one reward in other units": (lambda: with_entry("rewards", 777, 5e4), "a reward is out of all proportion", 777),
    "all rewards in other units": (lambda: changed(rewards=1000 * DATA.rewards), "rewards are very large", None),
    "rewards divided twice": (lambda: changed(rewards=DATA.rewards / 1e5), "rewards are very small", None),
    "no rewards": (lambda: changed(rewards=np.zeros(len(DATA), np.float32)), "every reward is the same", 0),
    "an action in other units": (lambda: with_entry("actions", (41, 2), 1.5), "actions lie outside the box", 41),
    "actions clipped": (lambda: changed(actions=np.clip(4 * DATA.actions, -1, 1)), "actions are saturated", None),
    "a missing action": (lambda: with_entry("actions", (slice(None), 1), 0.25), "an action never changes", 0),
    "a constant observation": (
        lambda: with_entry("observations", (slice(None), 4), 0.5),
        "observation entries never change",
        0,
    ),
    "an observation in millimetres": (
        lambda: changed(
            observations=DATA.observations * MILLIMETRES, next_observations=DATA.next_observations * MILLIMETRES
        ),
        "observations are not normalised",
        None,
    ),
}


@pytest.mark.parametrize("mistake", PLANTED)
def test_a_planted_mistake_is_told_and_nothing_else(mistake):
    plant, name, row = PLANTED[mistake]
    signs = {sign.name: sign for sign in signs_of_a_bug(plant(), **BOX)}
    extra = {"a constant observation": {"ends of episodes are not marked"}}.get(mistake, set())
    assert signs.keys() - extra == {name}
    sign = signs[name]
    assert sign.seen and sign.why and sign.action and sign.metric
    assert row is None or ((sign.row == row and f"row {row}" in sign.seen) or row == 0)
    assert sign.to_dict() == json.loads(json.dumps(sign.to_dict()))


def test_nothing_is_said_of_sound_data():
    assert signs_of_a_bug(DATA, **BOX) == []
    rows = DATA.batch_rows(64, seed=0)
    columns = ("observations", "actions", "rewards", "next_observations", "terminals")
    assert signs_of_a_bug(Batch(*(getattr(DATA, name)[rows] for name in columns)), **BOX) == []


def test_the_first_row_of_a_planted_limit_is_named():
    (sign,) = signs_of_a_bug(cut_into(12))
    found = cut_into(12)
    ends = np.flatnonzero(found.terminals | found.timeouts)
    lengths = np.diff(ends, prepend=-1)
    assert sign.row == ends[lengths == 12][0]
    assert sign.value == (lengths == 12).sum() and "exactly 12 steps" in sign.seen


def test_real_time_limits_marked_as_timeouts_are_sound():
    found = cut_into(12)
    limits = found.terminals & ~DATA.terminals
    assert signs_of_a_bug(changed(timeouts=DATA.timeouts | limits)) == []


def test_shuffled_rows_have_no_episodes_to_judge():
    order = np.random.default_rng(0).permutation(len(DATA))
    assert signs_of_a_bug(changed(**{name: array[order] for name, array in DATA.arrays().items()})) == []


def test_without_a_box_nothing_is_said_of_it_and_one_that_does_not_fit_is_refused():
    assert signs_of_a_bug(with_entry("actions", (41, 2), 1.5)) == []
    with pytest.raises(InputError, match=r"action box: its ends have shape \(2,\) but actions have 3"):
        signs_of_a_bug(DATA, action_low=[-1, -1])


def test_a_learning_rate_beyond_the_stable_step_is_told_from_self_excitation():
    critic, batch = twin((8,)), transitions(16)
    calm = measure(critic, batch, policy, discount=0.0, learning_rate=1e-3)
    assert calm.spectral_radius is not None and calm.spectral_radius <= 1
    assert signs_of_a_bug(reading=calm) == []
    wild = measure(critic, batch, policy, discount=0.0, learning_rate=10.0)
    (sign,) = signs_of_a_bug(reading=wild)
    assert sign.name == "the learning rate is beyond the stable step" and sign.value == wild.spectral_radius
    factor = 2 / (1 + sign.value)
    edge = measure(critic, batch, policy, discount=0.0, learning_rate=10.0 * factor)
    assert edge.spectral_radius == pytest.approx(1, abs=1e-6)
    excited = replace(wild, seem=1.0, normalized=0.1)
    assert signs_of_a_bug(reading=excited) == []
