"""Runs of the toy maze whose fate theory names: blow-up in finite time, powers of time, swings, and none at all."""

from collections.abc import Iterator
from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest

from seemrl.agents.config import QLearningConfig
from seemrl.agents.q_learning import QLearning, learn
from seemrl.instrument.forecast import forecast, signs_of_a_bug
from seemrl.instrument.forecast.track import Track
from seemrl.instrument.reading import Reading
from toy_runs import CHOICES, TRANSITIONS, read

BOUND = 100.0


def readings(config: QLearningConfig, every: int, until: int, seed: int = 0) -> Iterator[Reading]:
    agent = QLearning.create(config, 2, 2, seed)
    for _ in range(until // every):
        agent = learn(TRANSITIONS, CHOICES, agent, jnp.asarray(every))
        reading = read(agent, config)
        yield reading
        if not reading.finite or reading.q_mean > 10 * BOUND:
            return


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_sgd_blows_up_at_the_step_that_is_forecast(seed):
    """Values are a hundredth of the bound for most of the time: no alarm yet, but a crash step."""
    history = list(readings(QLearningConfig(), 20, 5000, seed))
    crash = history[-1].step
    assert crash < 5000
    for part, tolerance in ((0.75, 0.06), (0.9, 0.03)):
        known = [reading for reading in history if reading.step <= part * crash]
        made = forecast(known, reward_bound=BOUND, optimizer="sgd", depth=2)
        assert made.verdict in ("watch", "diverging") and made.law == "finite-time"
        assert made.crash_step == pytest.approx(crash, rel=tolerance)
    assert "too early" in forecast(history[:2], reward_bound=BOUND, optimizer="sgd", depth=2).law_text
    near = next(reading for reading in history if reading.step >= 0.95 * crash)  # the theorem, and one reading alone
    assert near.step + 2 / (2 * (near.rate or 0.0)) == pytest.approx(crash, rel=0.03)


@pytest.mark.parametrize("depth", [2, 3])
def test_adam_grows_as_foretold(depth):
    config = QLearningConfig(hidden_sizes=(64,) * (depth - 1), optimizer="adam", learning_rate=1e-3)
    history = list(readings(config, 20, 2000))
    for number in range(8, len(history) - 1):
        track = Track.of(history[: number + 1], "adam", depth)
        seen = np.log(history[number + 1].q_mean / history[number].q_mean)
        assert track is not None and track.growth(20.0) == pytest.approx(seen, rel=0.08, abs=0.005)
    assert forecast(history[:-1], reward_bound=BOUND, optimizer="adam", depth=depth).verdict == "diverging"


def test_too_large_a_step_swings_while_nothing_feeds_itself():
    config = QLearningConfig(discount=0.0, learning_rate=0.2)
    agent = learn(TRANSITIONS, CHOICES, QLearning.create(config, 2, 2, 0), jnp.asarray(1))
    reading = read(agent, config)
    assert reading.seem <= 1e-9 and reading.spectral_radius is not None and reading.spectral_radius > 1
    assert reading.oscillation is not None and reading.oscillation > 0
    made = forecast([reading], reward_bound=BOUND, optimizer="sgd", depth=2)
    assert any(reason.startswith("values swing") for reason in made.reasons)
    assert [sign.name for sign in signs_of_a_bug(reading=reading)] == ["the learning rate is beyond the stable step"]
    later = read(learn(TRANSITIONS, CHOICES, agent, jnp.asarray(2)), config)
    assert later.td_error > 1.2 * reading.td_error
    calm = replace(config, learning_rate=1e-3)
    quiet = read(learn(TRANSITIONS, CHOICES, QLearning.create(calm, 2, 2, 0), jnp.asarray(1)), calm)
    assert quiet.spectral_radius == pytest.approx(1.0, abs=1e-6)


def test_a_small_discount_converges_and_is_never_called():
    history = list(readings(QLearningConfig(discount=0.5, hidden_sizes=(64, 64)), 200, 4000))
    assert history[-1].q_mean < 0.25 * history[0].q_mean
    for count in range(1, len(history) + 1):
        assert forecast(history[:count], reward_bound=BOUND, optimizer="sgd", depth=3).verdict == "stable"


def test_a_normalised_critic_may_spike_and_is_never_called():
    config = QLearningConfig(critic_norm="layer", optimizer="adam", learning_rate=1e-3, discount=0.9)
    history = list(readings(config, 100, 3000))
    assert max(reading.normalized for reading in history) > 0.0005
    assert max(reading.q_mean for reading in history) < BOUND
    verdicts = [forecast(history[:count], reward_bound=BOUND).verdict for count in range(1, len(history) + 1)]
    assert set(verdicts) <= {"stable", "watch"}
