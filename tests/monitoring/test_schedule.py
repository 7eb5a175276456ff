"""When readings are taken: the stated share of the time holds after every reading but the first."""

import subprocess
import sys
import time

import numpy as np
import pytest

from monitoring.monitored_loops import Loop
from seemrl.monitoring.compiling import covered
from seemrl.monitoring.schedule import Schedule


class Clock:
    """Goes only when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def taken(costs, share=0.01, seconds=3000.0, updates=3000):
    """Times of the readings of a training of equal updates, whose readings cost this, and spent over elapsed then."""
    clock = Clock()
    schedule = Schedule(1, share, clock)
    times, shares = [], []
    for step in range(1, updates):
        clock.now += seconds / updates
        if clock.now - 100 >= seconds:
            break
        if schedule.due(step):
            with schedule.timed():
                clock.now += next(costs)
            schedule.after(step, None)
            times.append(clock.now - 100)
            shares.append(schedule.share)
    return times, shares


def noisy(first, cost, seed=0, noise=0.1):
    random = np.random.default_rng(seed)
    yield first
    while True:
        yield cost * random.uniform(1 - noise, 1 + noise)


@pytest.mark.parametrize("share", [0.001, 0.01, 0.2])
@pytest.mark.parametrize("first", [0.5, 0.8, 5.0])
def test_the_share_holds_after_every_reading_past_the_first_however_short_the_run(share, first):
    for seed in range(3):
        times, shares = taken(noisy(first, 0.5, seed), share, seconds=10 / share)
        assert shares[0] == 0 and len(times) > 1
        assert max(shares) <= share


def test_nothing_but_the_first_is_read_in_a_run_too_short_for_a_second():
    times, shares = taken(noisy(0.5, 0.5), seconds=39)
    assert len(times) == 1 and shares == [0]


def test_a_long_run_uses_its_share():
    times, shares = taken(noisy(3.0, 0.5), seconds=3000)
    assert times[1] == pytest.approx((1.25 * 3.0 + 0.06) / 0.01, rel=0.01)  # at what the first may at most have cost
    assert 0.009 <= shares[-1] <= 0.01
    assert np.median(np.diff(times[-10:])) == pytest.approx(50, rel=0.1)


def test_a_first_reading_of_minutes_silences_for_half_an_hour_at_most():
    times, shares = taken(noisy(400.0, 0.5), seconds=2500)
    assert 1800 <= times[1] < 1805
    assert max(shares) <= 0.01


def test_a_reading_that_cost_more_is_made_up_for_before_the_next():
    def costs():
        yield from (0.5, 0.5, 0.5, 3.0)
        while True:
            yield 0.5

    times, shares = taken(costs(), seconds=2000)
    dear = shares.index(max(shares))
    assert max(shares) > 0.01 and dear == 3
    assert max(shares[dear + 1 :]) <= 0.01
    assert times[dear + 1] - times[dear] > 200


def test_without_a_share_every_reading_is_taken_when_due():
    clock = Clock()
    schedule = Schedule(3, None, clock)
    due = []
    for step in range(1, 13):
        if schedule.due(step):
            due.append(step)
            with schedule.timed():
                clock.now += 1000
            schedule.after(step, None)
    assert due == [3, 6, 9, 12]


def test_real_readings_keep_to_the_share():
    loop = Loop()
    monitor = loop.monitor()
    monitor._schedule = Schedule(1, 0.2, time.process_time)  # the wall's clock also sees other work on the machine
    shares: list[float] = []

    def after(step):
        if monitor.update(step) is not None:
            shares.append(monitor.time_share)

    for turn in range(20):  # until there were some, however long one takes here
        loop.train(500, after, first=500 * turn + 1)
        if len(shares) >= 3:
            break
    assert len(shares) >= 3 and shares[0] == 0
    assert max(shares) <= 0.2


@pytest.mark.parametrize(
    ("spans", "length"),
    [
        ([], 0),
        ([(0, 1), (2, 4)], 3),
        ([(0, 10), (1, 2), (3, 4)], 10),
        ([(1, 3), (0, 2)], 3),
    ],
)
def test_spans_that_lie_in_one_another_are_counted_once(spans, length):
    assert covered(spans) == length


def test_what_jax_compiles_in_the_first_reading_does_not_put_off_the_second():
    """In a process of its own, where nothing was compiled before."""
    code = """
import time
import jax, jax.numpy as jnp
from seemrl.monitoring.schedule import Schedule

def slow_to_compile(x):
    for _ in range(300):
        x = jnp.sin(x) @ x
    return x

compiled, schedule, costs = jax.jit(slow_to_compile), Schedule(1, 0.5), []
for _ in range(2):
    started = time.perf_counter()
    with schedule.timed():
        compiled(jnp.eye(4)).block_until_ready()
    costs.append(time.perf_counter() - started)
    if len(costs) == 1:
        print(schedule._first_cost)
print(*costs)
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    known, first, second = map(float, said)
    assert second < 0.5 * first
    assert known < 0.5 * first
