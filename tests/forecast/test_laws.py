"""The family of growth laws d(1/rate)/dt = slope: against the paper's theorems and against exact growth curves."""

import math

import numpy as np
import pytest

from seemrl.instrument.forecast.laws import GrowthLaw, fit_law

QUANTILES = (0.05, 0.5, 0.95)


def _exact_law(rate: float, slope: float, log_q: float = 0.0) -> GrowthLaw:
    return GrowthLaw("power", log_q, np.full(3, rate), np.full(3, slope))


@pytest.mark.parametrize("depth", [2, 3, 4])
@pytest.mark.parametrize("rate", [1e-5, 3e-3])
def test_sgd_blows_up_after_the_time_of_the_papers_theorem(depth: int, rate: float) -> None:
    law = _exact_law(rate, -(2 * depth - 2) / depth)
    (steps,) = law.steps_until(1e4, [0.5])  # log|Q| of 1e4 stands for infinity
    assert steps == pytest.approx(depth / ((2 * depth - 2) * rate), rel=1e-9)
    assert law.log_q_after(steps * 1.01, [0.5]) == [math.inf]


@pytest.mark.parametrize("depth", [2, 3, 4])
def test_adam_grows_as_a_power_of_time(depth: int) -> None:
    age = 500.0  # |Q| = t^L has rate L / t
    law = _exact_law(depth / age, 1 / depth, log_q=depth * math.log(age))
    for later in (100.0, 1e3, 1e5):
        assert law.log_q_after(later, [0.5])[0] == pytest.approx(depth * math.log(age + later))


def test_a_slope_of_zero_is_exponential_growth() -> None:
    law = _exact_law(1e-3, 1e-6)
    assert law.log_q_after(2000.0, [0.5])[0] == pytest.approx(2.0, rel=1e-3)


@pytest.mark.parametrize("slope", [-4 / 3, -1.0, 0.05, 1 / 3, 0.6])
def test_steps_until_and_log_q_after_are_inverse(slope: float) -> None:
    law = _exact_law(2e-3, slope, log_q=1.0)
    (steps,) = law.steps_until(4.0, [0.5])
    assert law.log_q_after(steps, [0.5])[0] == pytest.approx(4.0, rel=1e-9)


def test_a_level_already_passed_needs_no_step() -> None:
    assert _exact_law(1e-3, 0.3, log_q=2.0).steps_until(1.0, QUANTILES) == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("depth", [2, 3, 4])
def test_the_crash_of_an_exact_sgd_run_is_inside_its_interval_and_sharpens(depth: int) -> None:
    slope, crash = -(2 * depth - 2) / depth, 5000.0
    widths = []
    for now in (1000, 2500, 4000):
        steps = list(range(500, now + 1, 100))
        rates = [1 / (-slope * (crash - step)) for step in steps]
        law = fit_law(steps, 0.0, rates, optimizer="sgd", depth=depth)
        low, middle, high = (now + ahead for ahead in law.steps_until(1e4, QUANTILES))
        assert law.name == "finite-time"
        assert low < crash < high
        assert middle == pytest.approx(crash, rel=0.03)
        widths.append(high - low)
    assert widths == sorted(widths, reverse=True)


@pytest.mark.parametrize("slope", [1 / 3, 0.5])
def test_readings_overrule_the_prior_slope_under_adam(slope: float) -> None:
    steps = list(range(500, 5001, 100))
    rates = [1 / (300 + slope * (step - 500)) for step in steps]
    law = fit_law(steps, 3.0, rates, optimizer="adam", depth=3)
    assert law.name == "power"
    assert float(np.median(law.slopes)) == pytest.approx(slope, abs=0.03)


def test_a_rising_rate_under_adam_is_no_law_yet_and_widens_the_interval() -> None:
    steps = list(range(100, 800, 100))
    rising = fit_law(steps, 0.0, [1e-4 * step / 100 for step in steps], optimizer="adam", depth=3)
    falling = fit_law(steps, 0.0, [7e-4 * 100 / step for step in steps], optimizer="adam", depth=3)

    def spread(law: GrowthLaw) -> float:
        low, _, high = law.steps_until(3.0, QUANTILES)
        return high / low

    assert rising.name == "unsettled"
    assert falling.name == "power"
    assert spread(rising) > 2 * spread(falling)


def test_the_same_readings_give_the_same_forecast() -> None:
    arguments = ([100, 200, 300, 400], 1.0, [4e-3, 3e-3, 2.5e-3, 2e-3])
    first, second = (fit_law(*arguments, optimizer="adam", depth=None) for _ in range(2))
    assert first.steps_until(5.0, QUANTILES) == second.steps_until(5.0, QUANTILES)
