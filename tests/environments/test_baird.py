"""The linear case: what is measured is what happens, to the last digit."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seemrl.environments.baird import DISCOUNT, INITIAL_WEIGHTS, LEARNING_RATE, baird
from seemrl.instrument.batch import Batch
from seemrl.instrument.measure import measure
from seemrl.instrument.reading import Reading

DATA = baird()
FEATURES = DATA.observations.astype(np.float64)
NEXT = DATA.next_observations.astype(np.float64)


def critic(weights: jax.Array, observations: jax.Array, actions: jax.Array) -> jax.Array:
    return observations @ weights


def read(weights: np.ndarray, discount: float, target_rate: float, learning_rate: float = LEARNING_RATE) -> Reading:
    columns = (DATA.observations, DATA.actions, DATA.rewards, DATA.next_observations, DATA.terminals)
    with jax.enable_x64(True):
        return measure(
            partial(critic, jnp.asarray(weights)),
            Batch(*columns),
            lambda observations: np.zeros((len(observations), 1)),
            discount=discount,
            learning_rate=learning_rate,
            loss_scale=7.0,  # the sum of the states' updates, not their mean
            target_rate=target_rate,
        )


def weights_over_time(
    updates: int, discount: float, target_rate: float, learning_rate: float = LEARNING_RATE
) -> np.ndarray:
    """Expected updates of every state at once; the target's weights follow."""
    weights = target = INITIAL_WEIGHTS.astype(np.float64)
    history = []
    for _ in range(updates):
        errors = discount * NEXT @ target - FEATURES @ weights
        weights = weights + learning_rate * FEATURES.T @ errors
        target = (1 - target_rate) * target + target_rate * weights
        history.append(weights)
    return np.array(history)


def multiplier(history: np.ndarray) -> complex:
    """z of the mode that is left in the end: w'' = 2 Re(z) w' - |z|^2 w for a pair, w' = z w for a real one."""
    first, second, third = history[-3:] / np.abs(history[-1]).max()
    pair = np.stack([second, -first], axis=1)
    if np.linalg.cond(pair) > 1e8:
        return complex(third @ second / (second @ second))
    twice, square = np.linalg.lstsq(pair, third, rcond=None)[0]
    return complex(twice / 2, np.sqrt(max(square - twice**2 / 4, 0.0)))


@pytest.mark.parametrize(("discount", "target_rate"), [(DISCOUNT, 1.0), (DISCOUNT, 0.05), (0.95, 1.0)])
def test_predicted_and_simulated_growth_agree(discount, target_rate):
    reading = read(INITIAL_WEIGHTS, discount, target_rate)
    assert reading.seem > 0  # and yet: averaging the target damps a mode that turns
    assert reading.rate is not None and (reading.rate > 0) == (target_rate == 1)
    errors = weights_over_time(8_000, discount, target_rate) @ (FEATURES - discount * NEXT).T
    z = multiplier(errors)
    assert np.log(z.real) == pytest.approx(reading.rate, rel=1e-6)


def test_the_flow_follows_the_first_steps_too():
    settings = (DISCOUNT, 0.005, LEARNING_RATE / 10)  # in small steps, as a flow supposes
    reading = read(INITIAL_WEIGHTS, *settings)
    values = np.abs(weights_over_time(4096, *settings) @ FEATURES.T).mean(axis=1)
    for steps, growth in reading.flow[4:10]:  # 128 to 4,096 updates
        seen = np.log(values[int(steps) - 1] / np.abs(FEATURES @ INITIAL_WEIGHTS).mean())
        assert growth == pytest.approx(seen, abs=0.02)


def test_it_converges_where_the_discount_is_small():
    assert read(INITIAL_WEIGHTS, 0.5, 1.0).seem < 1e-9
    values = np.abs(weights_over_time(20_000, 0.5, 1.0) @ FEATURES.T).mean(axis=1)
    assert values[-1] < 1e-6 * values[0]
