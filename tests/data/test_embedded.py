import subprocess
import sys
from importlib.resources import files

import numpy as np
import pytest

from seemrl.data.dataset import Dataset, check_actions_in_box
from seemrl.data.embedded import load_embedded_hopper


@pytest.fixture(scope="module")
def hopper() -> Dataset:
    return load_embedded_hopper()


def test_it_is_the_recorded_collection(hopper):
    assert (len(hopper), hopper.observation_size, hopper.action_size) == (20_000, 11, 3)
    assert hopper.environment == "Hopper-v5"
    assert hopper.source == "hopper-random (embedded)"
    recorded = {key: hopper.attributes[key] for key in ("policy", "seed", "mantissa_bits")}
    assert recorded == {"policy": "random", "seed": 0, "mantissa_bits": 15}


def test_the_file_is_small():
    with (files("seemrl.data") / "hopper-random.hdf5").open("rb") as file:
        assert file.seek(0, 2) <= 1_500_000


def test_values_are_those_of_hopper(hopper):
    for array in hopper.arrays().values():
        assert np.isfinite(array).all()
    check_actions_in_box(hopper, -1.0, 1.0)
    assert np.abs(hopper.observations).max() <= 10.0  # Hopper clips velocities there
    assert 1.0 < hopper.max_abs_reward < 3.5


def test_within_an_episode_the_next_observation_is_the_following_row(hopper):
    ends = hopper.terminals | hopper.timeouts
    follows = (hopper.next_observations[:-1] == hopper.observations[1:]).all(axis=1)
    np.testing.assert_array_equal(follows, ~ends[:-1])


def test_rows_in_a_terminal_state_are_unhealthy_as_hopper_says(hopper):
    height, angle = hopper.next_observations[:, 0], hopper.next_observations[:, 1]
    healthy = (height > 0.7) & (np.abs(angle) < 0.2)
    clear = (np.abs(height - 0.7) > 1e-4) & (np.abs(np.abs(angle) - 0.2) > 1e-4)
    np.testing.assert_array_equal(hopper.terminals[clear], ~healthy[clear])


def test_the_recorded_return_is_the_mean_over_finished_episodes(hopper):
    ends = np.flatnonzero(hopper.terminals | hopper.timeouts)
    totals = np.add.reduceat(hopper.rewards.astype(np.float64), np.r_[0, ends[:-1] + 1])
    totals[-1] = hopper.rewards[ends[-2] + 1 : ends[-1] + 1].sum()
    assert hopper.attributes["episodes"] == len(ends)
    assert hopper.attributes["behaviour_return"] == pytest.approx(totals.mean(), rel=1e-6)


def test_loading_imports_no_simulator():
    code = (
        "import sys; from seemrl.data.embedded import load_embedded_hopper; load_embedded_hopper(); "
        "sys.exit(bool({'gymnasium', 'mujoco'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
