"""`forecast_curve`: what any curve must obey, laws known exactly, and curves of real runs."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recorded_curves import STEPS, exponential, filling, finite_time, power, recorded

import seemrl
from seemrl import InputError, forecast_curve
from seemrl.instrument.forecast.curve import curve_verdicts
from seemrl.instrument.forecast.curve_input import thinned

RECORDED = recorded()
DIVERGING = ("td3_plus_bc walker2d-random", "sac hopper-medium-replay", "td3 hopper-medium")
HONEST_BOUND = 1.2e3


def judged(steps, q_values, discount=0.99, **options: Any):
    return forecast_curve(steps, q_values, discount=discount, **options)


def words(steps, q_values, **options):
    return curve_verdicts(steps, q_values, **{"discount": 0.99} | options).verdicts


# Properties


@settings(deadline=None, max_examples=20)
@given(name=st.sampled_from(sorted(RECORDED)), scale=st.floats(1e-6, 1e6), rows=st.integers(20, 120))
def test_scaling_q_scales_the_forecast_and_changes_nothing_else(name, scale, rows):
    steps, q_values = RECORDED[name][0][:rows], RECORDED[name][1][:rows]
    plain, scaled = judged(steps, q_values), judged(steps, -scale * q_values)
    assert (scaled.verdict, scaled.law) == (plain.verdict, plain.law)
    assert plain.curve is not None
    assert scaled.curve is not None
    for column in ("low", "middle", "high"):
        np.testing.assert_allclose(
            np.log(getattr(scaled.curve, column)), np.log(getattr(plain.curve, column)) + math.log(scale), rtol=1e-6
        )


@pytest.mark.parametrize("name", RECORDED)
def test_steps_counted_in_other_units_change_nothing_else(name):
    steps, q_values = RECORDED[name]
    plain, other = judged(steps, q_values), judged(steps * 10, q_values, target_rate=0.0005)
    assert other.verdict == plain.verdict
    assert plain.curve is not None
    assert other.curve is not None
    np.testing.assert_allclose(other.curve.middle, plain.curve.middle, rtol=1e-6)
    assert (other.rate or 0) * 10 == pytest.approx(plain.rate or 0)


@pytest.mark.parametrize("name", RECORDED)
@pytest.mark.parametrize("bound", [None, HONEST_BOUND])
def test_what_is_called_at_a_row_does_not_depend_on_later_rows(name, bound):
    steps, q_values = RECORDED[name]
    whole = words(steps, q_values, reward_bound=bound)
    for rows in (6, 17, 40, 77, len(steps)):
        assert words(steps[:rows], q_values[:rows], reward_bound=bound) == whole[:rows]
        assert judged(steps[:rows], q_values[:rows], reward_bound=bound).verdict == whole[rows - 1]


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**32 - 1), noise=st.floats(0, 0.3), horizon=st.floats(5e3, 8e4), level=st.floats(1e-3, 1e5))
def test_a_noisy_healthy_plateau_never_alarms(seed, noise, horizon, level):
    random = np.random.default_rng(seed)
    q_values = level * -np.expm1(-STEPS / horizon) * np.exp(noise * random.standard_normal(len(STEPS)))
    assert not {"diverging", "diverged"} & set(words(STEPS, q_values))


@settings(deadline=None, max_examples=25)
@given(start=st.integers(40, 150), rows=st.floats(8, 20))
def test_exponential_growth_out_of_a_plateau_alarms_within_a_few_folds(start, rows):
    q_values = np.where(np.arange(200) < start, 100.0, 100 * np.exp((np.arange(200) - start) / rows))
    called = words(STEPS, q_values)
    assert "diverging" not in called[:start]
    first = called.index("diverging")
    assert q_values[first] < 100 * 8


def test_the_band_widens_and_holds_its_median():
    for steps, q_values in RECORDED.values():
        curve = judged(steps, q_values).curve
        assert curve is not None
        assert curve.steps[0] == steps[-1]
        assert curve.steps[-1] == 2 * steps[-1]
        low, middle, high = (np.log(column) for column in (curve.low, curve.middle, curve.high))
        assert (low <= middle).all()
        assert (middle <= high).all()
        assert (np.diff(high - low) >= -1e-9).all()


def test_a_later_horizon_only_goes_on():
    steps, q_values = RECORDED["sac hopper-medium-replay"]
    near, far = judged(steps, q_values).curve, judged(steps, q_values, horizon=4 * steps[-1]).curve
    assert near is not None
    assert far is not None
    assert far.steps[-1] == 4 * steps[-1]
    assert np.interp(near.steps[-1], far.steps, np.log(far.middle)) == pytest.approx(
        math.log(near.middle[-1]), rel=1e-2
    )


# Laws known exactly


@pytest.mark.parametrize("exponent", [2, 3, 4, 6])
def test_a_power_law_is_recovered_and_continued(exponent):
    made = judged(STEPS, power(exponent))
    assert made.law == "power"
    assert made.law_text.endswith(f"|Q| ~ t^{exponent:.1f}")
    assert made.curve is not None
    assert made.curve.middle[-1] / power(exponent)[-1] == pytest.approx(2**exponent, rel=0.15)


def test_exponential_growth_is_recovered_and_continued():
    q_values = exponential(10_000)
    made = judged(STEPS, q_values)
    assert made.law == "exponential"
    assert made.rate == pytest.approx(1e-4, rel=1e-6)
    assert made.verdict == "diverging"
    assert made.curve is not None
    assert math.log(made.curve.middle[-1] / q_values[-1]) == pytest.approx(20, rel=0.05)


def test_a_blow_up_in_finite_time_is_recovered_and_dated():
    made = judged(STEPS, finite_time(230_000), reward_bound=1e3, horizon=300_000)
    assert made.law == "finite-time"
    assert "slope -1.0" in made.law_text
    assert made.curve is not None
    steps, middle = np.array(made.curve.steps), np.array(made.curve.middle)
    assert np.isfinite(middle[steps < 222_000]).all()
    assert np.isinf(middle[steps > 240_000]).all()


@pytest.mark.parametrize("horizon", [30_000, 60_000, 150_000])
def test_values_that_fill_up_are_recovered_and_continued(horizon):
    made = judged(STEPS, filling(horizon), target_rate=100 / horizon)
    assert (made.verdict, made.law) == ("stable", "saturating")
    assert made.curve is not None
    assert made.curve.middle[-1] == pytest.approx(-300 * math.expm1(-400_000 / horizon), rel=0.02)


def test_the_crash_of_an_exponential_is_dated():
    q_values = exponential(10_000)
    made = judged(STEPS[:80], q_values[:80], reward_bound=1e3)
    assert made.verdict == "diverging"
    truth = 10_000 * math.log(1e4)
    assert made.crash_step == pytest.approx(truth, rel=0.05)
    assert made.crash_interval is not None
    low, high = made.crash_interval
    assert low < truth
    assert high is None or high > truth


def test_without_a_bound_or_without_an_alarm_there_is_no_crash_step():
    assert judged(STEPS[:80], exponential(10_000)[:80]).crash_step is None
    assert judged(STEPS, filling(30_000), reward_bound=1e3).crash_step is None


# Curves of real runs


@pytest.mark.parametrize("name", DIVERGING)
def test_runs_that_diverge_are_called_before_four_honest_bounds(name):
    steps, q_values = RECORDED[name]
    late = int(np.argmax(np.abs(q_values) > 4 * HONEST_BOUND))
    for bound in (None, HONEST_BOUND):
        assert "diverging" in words(steps[:late], q_values[:late], reward_bound=bound)
    assert words(steps, q_values, reward_bound=HONEST_BOUND)[-1] == "diverged"


@pytest.mark.parametrize("name", ["iql hopper-medium", "plas hopper-medium"])
def test_healthy_runs_are_never_called(name):
    for bound in (None, HONEST_BOUND):
        assert not {"diverging", "diverged"} & set(words(*RECORDED[name], reward_bound=bound))


def test_a_long_flat_beginning_is_not_taken_for_the_level_from_which_values_grow():
    steps, q_values = RECORDED["plas hopper-medium"]
    jump = int(np.argmax(np.abs(q_values) > 10 * np.abs(q_values[0])))
    assert jump > 50
    assert np.abs(q_values[-1] / q_values[0]) > 100
    whole = words(steps, q_values)
    assert set(whole) == {"stable"}
    assert [words(steps[:rows], q_values[:rows])[-1] for rows in range(jump - 3, jump + 12)] == whole[:15]
    after = judged(steps[: jump + 30], q_values[: jump + 30]).curve
    assert after is not None
    assert after.high[-1] < 1.5 * after.middle[-1]  # what came before the jump does not widen the band


def test_growth_that_comes_back_ends_the_alarm():
    steps, q_values = RECORDED["crr halfcheetah-medium-expert"]
    called = words(steps, q_values, reward_bound=HONEST_BOUND)
    assert "diverging" in called
    assert called[-1] in ("stable", "watch")


def test_reasons_cite_metric_value_and_step_and_say_what_a_curve_cannot_tell():
    steps, q_values = RECORDED["sac hopper-medium-replay"]
    rows = int(np.argmax(steps >= 260_000))
    reasons = judged(steps[:rows], q_values[:rows], reward_bound=HONEST_BOUND).reasons
    assert any(reason.startswith("mean |Q| = ") and f"at step {steps[rows - 1]:g}" in reason for reason in reasons)
    assert any(reason.startswith("steepness = ") and "at step" in reason for reason in reasons)
    assert any(reason.startswith("first called diverging at step") for reason in reasons)
    assert any("the alarm would end" in reason for reason in reasons)
    assert "nothing before it" in reasons[-1]


# Edges and refusals


def test_a_curve_that_ends_in_infinities_has_diverged():
    made = judged([1, 2, 3, 4, 5, 6], [1.0, 2.0, 4.0, 8.0, math.inf, -math.inf])
    assert (made.verdict, made.law, made.curve) == ("diverged", "none", None)
    assert made.reasons == ["mean Q is not finite from step 5 on; the last finite |Q| is 8 at step 4"]
    assert words([1, 2, 3, 4, 5, 6], [1.0, 2.0, 4.0, 8.0, math.inf, -math.inf])[-2:] == ["diverged"] * 2


@pytest.mark.parametrize("q_values", [[0.0] * 30, [5.0] * 30, list(range(30)), [-1.0, 1.0] * 15, [1e300] * 30])
def test_curves_without_a_shape_are_stable(q_values):
    made = judged(range(30), q_values)
    assert made.verdict in ("stable", "watch")
    assert made.curve is not None
    assert np.isfinite(made.curve.middle).all()


def test_very_long_curves_are_averaged_and_judged_alike():
    steps = np.arange(1, 20_001) * 10.0
    q_values = np.exp(steps / 10_000)
    fewer, means = thinned(steps, q_values)
    assert len(fewer) <= 4001
    assert (fewer[-1], means[-1]) == (steps[-1], q_values[-1])
    made = judged(steps, q_values)
    assert (made.verdict, made.law) == ("diverging", "exponential")
    assert made.rate == pytest.approx(1e-4, rel=1e-3)


GOOD = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]


@pytest.mark.parametrize(
    ("steps", "q_values", "options", "said"),
    [
        (GOOD, GOOD[:-1], {}, "6 steps but 5 q_values"),
        (GOOD[:3], GOOD[:3], {}, "3 rows are no curve; at least 5"),
        ([1, 2, 2, 4, 5, 6], GOOD, {}, "row 2 is step 2 after step 2; sort the rows"),
        ([1, 2, math.nan, 4, 5, 6], GOOD, {}, "step of row 2 is not finite"),
        (GOOD, [1, 2, math.nan, 4, 5, 6], {}, r"q_values of row 2 \(step 3\) is nan"),
        (GOOD, [1, 2, math.inf, 4, 5, 6], {}, r"q_values of row 2 \(step 3\) is inf"),
        (GOOD, [1, 2, 3, 4, 5, math.nan], {}, r"q_values of row 5 \(step 6\) is nan; .* end the curve with inf"),
        ([GOOD], GOOD, {}, "must be plain lists"),
        (["a"] * 6, GOOD, {}, "must be lists of numbers"),
        (GOOD, GOOD, {"discount": 1.0}, r"discount 1 is not in \[0, 1\)"),
        (GOOD, GOOD, {"reward_bound": 0.0}, "reward_bound 0 is not above 0"),
        (GOOD, GOOD, {"reward_bound": math.nan}, "reward_bound nan is not above 0"),
        (GOOD, GOOD, {"target_rate": 0.0}, "target_rate 0 is not in"),
        (GOOD, GOOD, {"depth": 0}, "depth 0 is not at least 1"),
        (GOOD, GOOD, {"horizon": 6.0}, "horizon 6 is not past the last step 6"),
    ],
)
def test_bad_input_is_refused_in_one_line(steps, q_values, options, said):
    with pytest.raises(InputError, match=f"^forecast_curve: .*{said}") as refused:
        judged(steps, q_values, **options)
    assert "\n" not in str(refused.value)


def test_it_is_a_public_name():
    assert seemrl.forecast_curve is forecast_curve
