"""Flows that are run through at another pace, and corrected by how they came true."""

import math
from dataclasses import replace

import numpy as np
import pytest
from known_runs import flowing, reading

from seemrl.instrument.forecast.path import ahead, known, paced, recent_known
from seemrl.instrument.forecast.track import Track


@pytest.mark.parametrize("depth", [2, 3, 4])
def test_a_kernel_that_grows_with_q_makes_the_finite_time_blow_up_of_the_theorem(depth: int) -> None:
    exponent, rate = (2 * depth - 2) / depth, 1e-3
    now = flowing(100, 1.0, rate)
    for part in (0.3, 0.6, 0.9):
        steps = part / (exponent * rate)
        assert ahead(now, steps, exponent) == pytest.approx(-math.log(1 - part) / exponent, rel=0.02)
    assert ahead(now, 1.01 / (exponent * rate), exponent) > 10


@pytest.mark.parametrize("depth", [2, 3])
def test_a_kernel_that_shrinks_beside_q_makes_a_power_law(depth: int) -> None:
    rate = depth / 1000  # |Q| = t^L at t = 1000
    now = flowing(1000, 1.0, rate)
    for later in (1100, 2000, 5000):
        assert ahead(now, later - 1000, -1 / depth) == pytest.approx(depth * math.log(later / 1000), rel=0.03)


def test_a_rate_that_is_capped_takes_no_notice_of_its_kernels() -> None:
    now = flowing(100, 1.0, 1e-3, elasticity=0.0)
    steps, growth = paced(now, lambda grown: np.exp(-2 * grown))
    np.testing.assert_allclose(steps, 1e3 * growth)


def test_the_exponent_and_the_share_are_read_off_the_readings() -> None:
    """A critic with a normaliser: half of the exponent that the kernel's norm had, and a factor for the rest."""
    history = [
        flowing(step, (step / 1000) ** 3, 1.25 * 3.0 / step, kernel_norm=1 / step) for step in range(1000, 2001, 100)
    ]
    track = Track.of(history, "adam", None)
    assert track is not None
    assert track.measured_exponent() == pytest.approx(-1 / 3)
    assert track.share == pytest.approx(1 / 1.25, rel=0.05)
    assert track.growth(100) == pytest.approx(3 * math.log(2100 / 2000), rel=0.03)
    assert track.path(np.array([0.0, 100.0]))[0] == 0


def test_without_a_flow_the_mode_is_followed_and_without_both_nothing_is_known() -> None:
    plain = reading(100, 1.0, 2e-3)
    assert ahead(plain, 50) == pytest.approx(0.1)
    assert not known(reading(100, 1.0, None)) and not known(reading(100, math.nan, 1e-3, q_max=math.nan))
    history = [plain, reading(200, 1.0, None), reading(300, 1.0, 1e-3), reading(400, 1.1, 1e-3)]
    assert [item.step for item in recent_known(history)] == [300, 400]
    assert Track.of([plain, reading(200, 1.0, None)], "adam", 3) is None


def test_a_flow_that_ends_stays_there() -> None:
    now = replace(reading(100, 1.0, 1e-3), flow=((8.0, 0.1), (16.0, 0.15)))
    assert ahead(now, 1e6) == pytest.approx(0.15)
    np.testing.assert_allclose(ahead(now, 12), 0.125)
