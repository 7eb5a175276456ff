"""From readings to a verdict: persistence, spikes, bounds, and what a forecast says of itself."""

import json
import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from known_runs import SETTLED, adam_run, flowing, reading, sgd_run

from seemrl import Forecast, InputError, Reading, forecast
from seemrl.files import strict
from seemrl.instrument.forecast.verdict import PERSISTENCE_NORMALISED, QUIET, critical_point, judge
from seemrl.instrument.reading import pack_fingerprint

BOUND = 300.0


def grown(rates: Sequence[float], seen: Sequence[float], every: int = 100, start: float = 100.0) -> list[Reading]:
    """Readings from step 1,000 on whose log|Q| grows by ``seen`` between them."""
    levels = start * np.exp(np.concatenate([[0.0], np.cumsum(seen)]))
    return [reading(1000 + i * every, float(q), rate) for i, (rate, q) in enumerate(zip(rates, levels, strict=True))]


def verdicts(history: list[Reading], homogeneous: bool = True) -> list[str]:
    return [judge(history[: n + 1], BOUND, homogeneous=homogeneous)[0] for n in range(len(history))]


def test_growth_that_was_foretold_is_called_after_a_row_of_it_and_not_before() -> None:
    history = grown([2e-3] * 8, [0.1] * 7)
    assert verdicts(history) == ["stable", *["diverging"] * 7]
    cautious = verdicts(history, homogeneous=False)  # a normalised critic must show it for longer, and reach further
    assert "diverging" not in cautious[: PERSISTENCE_NORMALISED + 1]


def test_a_normalised_critic_is_called_where_its_flow_reaches_the_bound_along_a_line() -> None:
    history = grown([8e-3] * 8, [0.25] * 7, every=50)
    assert verdicts(history, homogeneous=False)[: PERSISTENCE_NORMALISED + 1] == [
        "stable",
        *["watch"] * (PERSISTENCE_NORMALISED - 2),
        *["diverging"] * 2,
    ]


@pytest.mark.parametrize(
    ("rates", "seen", "why"),
    [
        ([1e-5] * 12, [0.2] * 11, "rewards move the values: nothing of it was foretold"),
        ([-1e-3] * 12, [0.2] * 11, "a contraction"),
        ([1e-2] * 12, [0.05] * 11, "the values do not follow"),
        ([4e-4] * 12, [0.005] * 11, "too little to be worth a word"),
        ([2e-3] * 12, [-0.1] * 11, "the values fall"),
        ([2e-3 if i % 4 == 0 else -1e-3 for i in range(12)], [0.1] * 11, "isolated spikes"),
    ],
)
def test_no_alarm(rates: list[float], seen: list[float], why: str) -> None:
    assert all(word in ("stable", "watch", "diverged") for word in verdicts(grown(rates, seen, start=10.0))), why


@pytest.mark.parametrize(
    "changes", [{"normalized": 5e-4}, {"q_mean": 1.0}, {"flow": ((64.0, 0.13), (65536.0, 0.5))}, {"rate": -1e-5}]
)
def test_each_thing_that_a_blow_up_must_show_can_be_missing(changes: dict[str, object]) -> None:
    history = grown([2e-3] * 8, [0.1] * 7)
    assert verdicts(history)[-1] == "diverging"
    if "q_mean" in changes:  # far below the bound, growing as fast
        changed = grown([2e-3] * 8, [0.1] * 7, start=0.5)
    else:
        changed = [replace(item, **changes) for item in history]
    assert set(verdicts(changed)) <= {"stable", "watch"}


def test_an_alarm_outlives_one_quiet_reading_and_ends_after_a_row_of_them() -> None:
    history = grown([2e-3] * 8 + [-1e-3] * 8, [0.1] * 8 + [0.01] * 7)
    told = verdicts(history)
    assert told[8 : 8 + QUIET - 1] == ["diverging"] * (QUIET - 1)
    assert told[-1] in ("stable", "watch")


def test_dense_readings_add_up_to_the_same_alarm() -> None:
    """However close the readings: growth counts since it was last worth a word."""
    dense = grown([2e-3] * 24, [0.02] * 23, every=10)
    told = verdicts(dense)
    assert told[-1] == "diverging" and "diverging" not in told[:3]
    still = grown([2e-3] * 24, [0.001] * 23, every=10)
    assert set(verdicts(still)) == {"stable"}


def test_the_chance_rises_with_what_the_flow_reaches_and_needs_a_bound() -> None:
    chances = [
        forecast(grown([rate] * 8, [0.1] * 7), reward_bound=BOUND, depth=3).probability for rate in (-1e-3, 2e-4, 2e-3)
    ]
    falling, slow, fast = (chance or 0.0 for chance in chances)
    assert 0 < falling < slow < fast < 1
    normalised = forecast(grown([2e-3] * 8, [0.1] * 7), reward_bound=BOUND).probability
    assert normalised is not None and normalised < fast
    assert forecast(grown([2e-3] * 8, [0.1] * 7)).probability is None
    assert forecast([reading(100, 1.0, 1e-3)], reward_bound=BOUND).probability is None
    assert forecast([reading(100, 11 * BOUND, 1e-3)], reward_bound=BOUND).probability == 1.0


def test_the_flow_goes_before_the_mode() -> None:
    """A mode that grows is no alarm where the present errors do not lie along it."""
    flow = tuple((8.0 * 2**k, 0.05) for k in range(14))
    history = [replace(item, flow=flow) for item in grown([5e-3] * 8, [0.05] * 7)]
    assert set(verdicts(history)) == {"stable"}


@pytest.mark.parametrize(
    ("q_mean", "verdict"), [(299.0, "stable"), (301.0, "watch"), (2999.0, "watch"), (3001.0, "diverged")]
)
def test_the_reward_bound_decides_without_any_rate(q_mean: float, verdict: str) -> None:
    assert judge([reading(100, q_mean, None, normalized=0.0)], BOUND)[0] == verdict


@pytest.mark.parametrize("lost", [math.nan, math.inf])
def test_values_that_are_not_finite_have_diverged_whatever_the_bound(lost: float) -> None:
    history = [*grown([2e-3] * 3, [0.1] * 2), reading(1400, lost, math.nan, q_max=lost, seem=lost)]
    result = forecast(history)
    assert result.verdict == "diverged"
    assert "not finite" in result.reasons[0]


def test_without_a_learning_rate_a_persistent_normalized_seem_stands_in() -> None:
    history = [replace(item, rate=None) for item in grown([0.0] * 8, [0.2] * 7, start=50.0)]
    assert verdicts(history) == ["stable", *["watch"] * 3, *["diverging"] * 4]
    calm = [replace(item, normalized=1e-3) for item in history]
    assert judge(calm, BOUND)[0] == "stable"


def test_the_critical_point_is_where_the_kernel_stops_turning_for_good() -> None:
    turned = pack_fingerprint(np.diag([1.0, 0.0, 0.0, 0.0])[None])
    prints = [SETTLED, SETTLED, turned, SETTLED, SETTLED, SETTLED]
    history = [reading((i + 1) * 100, 1.0, None, fingerprint=item) for i, item in enumerate(prints)]
    assert critical_point(history) == 400
    assert critical_point(history[:3]) is None
    assert critical_point(history[:1]) is None


def test_a_power_law_run_is_forecast_within_its_interval() -> None:
    whole = adam_run(3, range(100, 3001, 50), size=0.005)
    history = [item for item in whole if item.step <= 1000]
    bound = 600.0
    result = forecast(history, reward_bound=bound, optimizer="adam", depth=3)
    next_one = whole[len(history)]
    assert result.growth_rate == pytest.approx(math.log(next_one.q_mean / history[-1].q_mean) / 50, rel=0.02)
    crash = next(item.step for item in whole if item.q_mean > 10 * bound)
    assert result.verdict == "diverging"
    assert result.law == "power"
    assert result.crash_step == pytest.approx(crash, rel=0.05)
    assert result.crash_interval is not None and result.crash_interval[1] is not None
    assert result.crash_interval[0] < crash < result.crash_interval[1]
    assert result.curve is not None
    assert result.curve.steps[0] == 1000
    assert all(low <= mid <= high for low, mid, high in zip(*_band(result), strict=True))
    assert any("normalized SEEM" in reason and "step 1000" in reason for reason in result.reasons)


def test_a_law_says_which_of_its_conditions_hold() -> None:
    history = [item for item in adam_run(3, range(100, 2001, 100), size=0.005) if item.step >= 500]
    told = _conditions(history, depth=3)
    assert "no normaliser" in told and "since step 500" in told and "settled policy" in told
    assert "Adam's steps are" in told and "target averaging" not in told
    capped = [replace(item, elasticity=0.2) for item in history]
    assert "of whose growth target averaging lets through 20%" in _conditions(capped, depth=3)
    assert "no theorem" in _conditions(grown([8e-3] * 8, [0.25] * 7, every=50), depth=None, bound=BOUND)
    turned = pack_fingerprint(np.diag([1.0, 0.0, 0.0, 0.0])[None])
    assert "still turns (cosine 0.500 at step 2000)" in _conditions(
        [*history[:-1], replace(history[-1], fingerprint=turned)], depth=3
    )
    slower = [flowing(item.step, item.q_mean, 2 * (item.rate or 0.0), kernel_norm=item.kernel_norm) for item in history]
    assert "may still move" in _conditions(slower, depth=3)


def _conditions(history: list[Reading], depth: int | None, bound: float = 2000.0) -> str:
    reasons = forecast(history, reward_bound=bound, depth=depth).reasons
    return next(reason for reason in reasons if reason.startswith("the law's conditions"))


def _band(result: Forecast) -> tuple[list[float], list[float], list[float]]:
    assert result.curve is not None
    return result.curve.low, result.curve.middle, result.curve.high


def test_without_a_bound_there_is_a_law_but_no_crash_step() -> None:
    result = forecast(grown([2e-3] * 8, [0.2] * 7), depth=3)
    assert result.verdict == "diverging"
    assert result.rate is not None
    assert result.crash_step is None and result.crash_interval is None


def test_a_healthy_run_has_neither_law_nor_crash() -> None:
    result = forecast(grown([1e-6] * 8, [0.1] * 7), reward_bound=BOUND)
    assert (result.verdict, result.law, result.crash_step, result.curve) == ("stable", "none", None, None)


def test_a_law_is_given_before_the_alarm_where_values_are_small() -> None:
    """Under SGD most of a blow-up's time passes far below the bound: there is no alarm yet, but a crash step."""
    history = sgd_run(2, 5000.0, range(500, 2501, 100))
    bound = 100 * history[-1].q_mean
    early = forecast(history, reward_bound=bound, optimizer="sgd", depth=2)
    assert (early.verdict, early.law) == ("watch", "finite-time")
    assert early.crash_step == pytest.approx(5000, rel=0.02)
    assert any("above 0.05 reward bounds" in reason for reason in early.reasons)
    assert forecast(history, reward_bound=bound / 10, optimizer="sgd", depth=2).verdict == "diverging"


def test_a_flow_that_comes_to_rest_is_a_law_of_its_own() -> None:
    flow = tuple((8.0 * 2**k, 1.5 * (1 - math.exp(-8.0 * 2**k / 500))) for k in range(14))
    result = forecast([replace(item, flow=flow) for item in grown([-1e-4] * 8, [0.1] * 7)], reward_bound=BOUND)
    assert (result.verdict, result.law, result.crash_step) == ("stable", "saturating", None)
    assert f"levels off at {100 * math.exp(0.7 + 1.5):.3g}" in result.law_text


@pytest.mark.parametrize(
    ("history", "says"),
    [
        (grown([2e-3] * 8, [0.1] * 7), "the alarm would end after"),
        (grown([1e-6] * 8, [0.0] * 7), "an alarm takes 2 readings in a row"),
        ([replace(item, rate=None) for item in grown([0.0] * 4, [0.0] * 3)], "without a learning rate an alarm takes"),
        ([reading(100, 11 * BOUND, 1e-3)], f"came back below {10 * BOUND:.4g}"),
        ([reading(100, math.nan, math.nan, q_max=math.nan)], "only a checkpoint from before"),
    ],
)
def test_every_verdict_says_what_would_change_it(history: list[Reading], says: str) -> None:
    assert says in forecast(history, reward_bound=BOUND, depth=3).reasons[-1]


def test_a_forecast_is_strict_json() -> None:
    result = forecast(grown([2e-3] * 8, [0.1] * 7), reward_bound=BOUND, depth=3)
    assert json.loads(json.dumps(strict(result.to_dict()), allow_nan=False))["verdict"] == "diverging"


@pytest.mark.parametrize("history", [[], [reading(100, 1.0, None), reading(100, 1.0, None)]])
def test_a_history_without_rising_steps_is_refused(history: list[Reading]) -> None:
    with pytest.raises(InputError, match=r"^forecast: "):
        forecast(history)
