"""Growth laws against the paper's theorems, Adam's own algorithm, and exact growth curves."""

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from known_runs import adam_run, flowing, sgd_run

from seemrl.instrument.forecast.lag import FIRST_DECAY, SECOND_DECAY, Moments
from seemrl.instrument.forecast.laws import GrowthLaw, fit_law
from seemrl.instrument.forecast.reach import OptimizerKind
from seemrl.instrument.forecast.track import Track
from seemrl.instrument.reading import Reading

QUANTILES = (0.05, 0.5, 0.95)


def track_of(history: list[Reading], optimizer: OptimizerKind, depth: int | None) -> Track:
    found = Track.of(history, optimizer, depth)
    assert found is not None
    return found


def law_of(history: list[Reading], optimizer: OptimizerKind, depth: int | None) -> GrowthLaw:
    found = fit_law(track_of(history, optimizer, depth), row=len(history))
    assert found is not None
    return found


@pytest.mark.parametrize("growth", [-2.0, 0.0, 0.03, 0.5])
@pytest.mark.parametrize("apart", [1, 40, 400])
def test_moments_are_those_of_the_algorithm(growth: float, apart: int) -> None:
    """Whatever the gap between two looks; a gradient that grows by ``growth`` every hundred updates."""
    first = second = 0.0
    found, step = Moments(), 0
    while step < 2000:
        for _ in range(apart):
            step += 1
            first = FIRST_DECAY * first * math.exp(-growth / 100) + 1 - FIRST_DECAY
            second = SECOND_DECAY * second * math.exp(-growth / 50) + 1 - SECOND_DECAY
        found = found.after(apart, growth * apart / 100)
    assert found.gradient == pytest.approx(first / (1 - FIRST_DECAY**step), rel=0.03)
    assert found.size == pytest.approx(math.sqrt(second / (1 - SECOND_DECAY**step)), rel=0.02)


def test_a_steady_gradient_makes_steady_steps_and_a_power_of_time_longer_ones() -> None:
    assert Moments().after(5000, 0.0).step == pytest.approx(1.0)
    power, found = 3, Moments()
    for before, after in pairwise(np.geomspace(1, 200, 100)):
        found = found.after(after - before, power * math.log(after / before))
    assert found.size == pytest.approx(1 / math.sqrt(2 * power + 1), rel=0.05)  # v is the mean over all updates
    assert found.gradient < 1 < found.step


@pytest.mark.parametrize("depth", [2, 3, 4])
def test_sgd_blows_up_after_the_time_of_the_papers_theorem(depth: int) -> None:
    """One reading: L / ((2L - 2) rate) updates from now."""
    rate = 2e-3
    course = track_of([flowing(100, 1.0, rate)], "sgd", depth).with_initial_part(0.0)
    assert course[0][-1] == pytest.approx(depth / ((2 * depth - 2) * rate), rel=0.01)


@pytest.mark.parametrize("depth", [2, 3, 4])
@pytest.mark.parametrize("until", [600, 1500, 3000])
def test_adam_goes_where_the_algorithm_goes(depth: int, until: int) -> None:
    """|Q| ~ t^L with the second moment's lag: nothing is fitted, and half of the steps so far are foretold to 3%."""
    whole = adam_run(depth, range(50, 4501, 50))
    known, later = ([item for item in whole if item.step <= limit] for limit in (until, 1.5 * until))
    seen = math.log(later[-1].q_mean / known[-1].q_mean)
    track = track_of(known, "adam", depth)
    assert np.interp(later[-1].step - until, *track.course()) == pytest.approx(seen, rel=0.03)
    assert track.share == pytest.approx(1.0, abs=0.03)


def test_the_lag_is_what_keeps_adam_from_its_power() -> None:
    """1/rate rises faster than on a line of slope 1/L until v has caught up, and then on it."""
    history = adam_run(2, range(50, 40_001, 50))

    def slope(at: int) -> float:
        before, after = (next(item for item in history if item.step >= step) for step in (at, 1.2 * at))
        assert before.rate and after.rate
        return (1 / after.rate - 1 / before.rate) / (after.step - before.step)

    assert slope(2000) > 0.6
    assert slope(30_000) == pytest.approx(0.5, abs=0.04)


@pytest.mark.parametrize("cap", [1e-3, 1e-2])
def test_target_averaging_turns_a_blow_up_into_exponential_growth(cap: float) -> None:
    """1/rate = a/kernels + 1/cap, kernels going like |Q|^k: followed exactly, and never faster than the cap."""
    rate, depth = 5e-4, 3
    now = flowing(1000, 1.0, rate, elasticity=1 - rate / cap)
    steps, growth = track_of([now], "sgd", depth).with_initial_part(0.0)
    exponent = (2 * depth - 2) / depth
    wanted = (1 - rate / cap) / rate * -np.expm1(-exponent * growth) / exponent + growth / cap
    np.testing.assert_allclose(steps, wanted, rtol=0.01)
    assert (np.diff(growth) <= 1.001 * cap * np.diff(steps)).all()
    history = [
        flowing(1000 + 100 * n, math.exp(0.099 * n), 0.99e-3, elasticity=0.01, kernel_norm=1.0) for n in range(6)
    ]
    assert law_of(history, "sgd", depth).name == "exponential"


@pytest.mark.parametrize("depth", [2, 3, 4])
def test_the_crash_of_an_exact_sgd_run_is_inside_its_interval_and_sharpens(depth: int) -> None:
    crash, widths = 5000.0, []
    for now in (1500, 2500, 4000):
        law = law_of(sgd_run(depth, crash, range(500, now + 1, 100)), "sgd", depth)
        low, middle, high = (now + ahead for ahead in law.steps_until(law.log_q + 30, QUANTILES))
        assert law.name == "finite-time"
        assert low < crash < high
        assert middle == pytest.approx(crash, rel=0.02)
        widths.append(high - low)
    assert widths == sorted(widths, reverse=True)


def test_the_initialisations_part_of_the_kernel_delays_the_blow_up_and_is_told() -> None:
    """Kernels of norm a + b |Q|^k: the crash lies between the one without a and the one with all of it."""
    depth, fixed, rates = 2, 2.0, 1e-3
    levels = np.exp(np.arange(0, 1.3, 0.2))
    kernels = (fixed + levels) / (fixed + 1)
    steps = np.cumsum(np.append(500, np.diff(np.log(levels)) / (rates * kernels[:-1]))).astype(int)
    history = [
        flowing(int(step), level, rates * kernel, kernel_norm=kernel)
        for step, level, kernel in zip(steps, levels, kernels, strict=True)
    ]
    track = track_of(history, "sgd", depth)
    assert track.initial_part() == pytest.approx(fixed / levels[-2], rel=0.25)
    crash = math.log(1 + fixed / levels[-1]) / (rates * fixed / (fixed + 1))  # of dQ/dt = rate Q (a + Q) / (a + 1)
    low, middle, high = law_of(history, "sgd", depth).steps_until(40.0, QUANTILES)
    assert low < crash < high
    assert middle < crash


@pytest.mark.parametrize("slope", [1 / 3, 0.5, 0.8])
def test_where_no_theorem_holds_measured_rates_are_put_on_a_line(slope: float) -> None:
    steps = range(500, 5001, 100)
    levels = np.cumsum([0.0, *(100 / (300 + slope * (step - 450)) for step in steps[1:])])
    history = [
        flowing(step, math.exp(level), 1 / (300 + slope * (step - 500)))
        for step, level in zip(steps, levels, strict=True)
    ]
    law = law_of(history, "adam", None)
    assert law.name == "power"
    assert law.slope == pytest.approx(slope, abs=0.05)


def test_a_rising_rate_under_adam_is_no_law_yet_and_widens_the_interval() -> None:
    rising = law_of([flowing(step, math.exp(5e-7 * step**2), 1e-6 * step) for step in range(100, 800, 100)], "adam", 3)
    falling = law_of(adam_run(3, range(100, 800, 100)), "adam", 3)

    def spread(law: GrowthLaw) -> float:
        low, _, high = law.steps_until(law.log_q + 1, QUANTILES)
        return high / low

    assert rising.name == "unsettled"
    assert falling.name == "power"
    assert spread(rising) > 2 * spread(falling)


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_steps_until_and_log_q_after_are_inverse(optimizer: OptimizerKind) -> None:
    history = adam_run(3, range(50, 1001, 50)) if optimizer == "adam" else sgd_run(3, 2000, range(500, 1001, 50))
    law = law_of(history, optimizer, 3)
    level = law.log_q + 1.5
    steps = law.steps_until(level, QUANTILES)
    back = law.log_q_after(np.array(steps), [1 - quantile for quantile in QUANTILES])
    np.testing.assert_allclose(np.diag(back), level, atol=0.01)
    band = law.log_q_after(np.linspace(0, 3000, 40), QUANTILES)
    with np.errstate(invalid="ignore"):  # from infinity to infinity
        assert not (np.diff(band, axis=1) < 0).any() and not (np.diff(band, axis=0) < 0).any()


def test_a_level_already_passed_needs_no_step() -> None:
    assert law_of(sgd_run(2, 2000, range(500, 1001, 50)), "sgd", 2).steps_until(1.0, QUANTILES) == [0.0, 0.0, 0.0]


def test_a_critic_that_does_not_grow_has_no_law() -> None:
    still = [replace(item, flow=((8.0, -0.1), (16.0, -0.2))) for item in sgd_run(2, 2000, range(500, 1001, 50))]
    assert fit_law(track_of(still, "sgd", 2), row=3) is None


def test_the_same_readings_give_the_same_forecast() -> None:
    first, second = (law_of(adam_run(3, range(50, 801, 50)), "adam", 3) for _ in range(2))
    assert first.steps_until(20.0, QUANTILES) == second.steps_until(20.0, QUANTILES)
