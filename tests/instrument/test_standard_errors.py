"""How a number read on some rows would have come out on others: derivatives by the rows' weights, and what follows."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from cases import CASES, policy, transitions
from oracles import moving_update
from seemrl.instrument import growth as growth_module
from seemrl.instrument import spectrum as spectrum_module
from seemrl.instrument.dynamics import Dynamics
from seemrl.instrument.growth import growth
from seemrl.instrument.measure import _normalized_error, measure
from seemrl.instrument.modes import Update
from seemrl.instrument.sampling import influence_error, left_out_changes, left_out_error
from seemrl.instrument.spectrum import eigenvectors, spectrum

STEP = 0.02
SLOW = 0.1


def random_dynamics(seed: int, rows: int = 7, heads: int = 1) -> Dynamics:
    """Kernels of random features; the fastest mode grows."""
    random = np.random.default_rng(seed)
    features = random.normal(size=(heads * rows, heads * rows + 3)) / rows
    targets = 1.3 * features[:rows] + 0.5 * random.normal(size=(rows, features.shape[1])) / rows
    return Dynamics(targets @ features.T, features @ features.T)


def large_dynamics(seed: int, rows: int = 260) -> Dynamics:
    """The same with more rows than there are features."""
    random = np.random.default_rng(seed)
    features = random.normal(size=(rows, 12)) * np.geomspace(1, 0.03, 12) / rows**0.5
    targets = 1.2 * features + 0.3 * random.normal(size=features.shape) * np.geomspace(1, 0.03, 12) / rows**0.5
    return Dynamics(targets @ features.T, features @ features.T)


def differences(number: Callable[[np.ndarray], float], size: int, chosen: np.ndarray) -> np.ndarray:
    """Central differences of a function of the weights, at weights of one."""
    found: list[float] = []
    for position in chosen:
        change = np.zeros(size)
        change[position] = 1e-5
        found.append((number(1 + change) - number(1 - change)) / 2e-5)
    return np.array(found)


def rate_with(dynamics: Dynamics, target_rate: float) -> Callable[[np.ndarray], float]:
    """The rate where each row's gradient has a weight, from all modes of the whole update."""

    def rate(weights: np.ndarray) -> float:
        cross, gram = (STEP * part * weights for part in (dynamics.targets, dynamics.gram))
        moves = np.eye(len(gram)) + cross - gram if target_rate == 1 else moving_update(cross, gram, target_rate)
        modes = np.linalg.eigvals(moves)
        return math.log(modes[(np.abs(np.angle(modes)) <= SLOW) & (modes.real > 0)].real.max())

    return rate


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("heads", [1, 2])
def test_the_influence_on_the_rightmost_eigenvalue_is_its_derivative(seed, heads):
    A = random_dynamics(seed, heads=heads).matrix
    wanted = differences(lambda w: np.linalg.eigvals(A * w).real.max(), len(A), np.arange(len(A)))
    np.testing.assert_allclose(np.asarray(spectrum(A).influence), wanted, atol=1e-5 * float(np.linalg.norm(A)))


@pytest.mark.parametrize("seed", range(2))
def test_on_a_subspace_it_is_the_same(seed, monkeypatch):
    monkeypatch.setattr(spectrum_module, "LARGEST_DENSE", 200)
    A = large_dynamics(seed).matrix
    found, chosen = spectrum(A), np.arange(0, len(A), 29)
    assert len(found.eigenvalues) < len(A) and found.influence is not None
    wanted = differences(lambda w: np.linalg.eigvals(A * w).real.max(), len(A), chosen)
    np.testing.assert_allclose(found.influence[chosen], wanted, atol=1e-5 * float(np.linalg.norm(A)))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("heads", [1, 2])
@pytest.mark.parametrize("target_rate", [1.0, 0.3, 0.01])
def test_the_influence_on_the_rate_is_its_derivative(seed, heads, target_rate):
    dynamics = random_dynamics(seed, heads=heads)
    found = growth(dynamics, STEP, Update(target_rate))
    rate = rate_with(dynamics, target_rate)
    assert found.rate == pytest.approx(rate(np.ones(dynamics.size)), rel=1e-9)
    wanted = differences(rate, dynamics.size, np.arange(dynamics.size))
    np.testing.assert_allclose(np.asarray(found.influence), wanted, rtol=1e-5, atol=1e-5 * float(np.abs(wanted).max()))


@pytest.mark.parametrize("target_rate", [1.0, 0.1])
def test_the_influence_on_a_rate_from_a_subspace_is_its_derivative(target_rate, monkeypatch):
    monkeypatch.setattr(growth_module, "LARGEST_DENSE", 200)
    dynamics, chosen = large_dynamics(0), np.arange(0, 260, 87)
    found = growth(dynamics, STEP, Update(target_rate))
    rate = rate_with(dynamics, target_rate)
    assert found.rate == pytest.approx(rate(np.ones(dynamics.size)), rel=1e-6)
    wanted = differences(rate, dynamics.size, chosen)
    assert found.influence is not None
    np.testing.assert_allclose(found.influence[chosen], wanted, atol=1e-4 * float(np.abs(wanted).max()))


@pytest.mark.parametrize("heads", [1, 2])
def test_the_error_of_normalized_is_that_of_its_derivative(heads):
    """Weights enter rows and columns alike: eigenvalues are those of A diag(w), the norm is that of w^1/2 A w^1/2."""
    A = random_dynamics(1, heads=heads).matrix
    rows = len(A) // heads

    def normalized(weights: np.ndarray) -> float:
        by_value = np.tile(weights, heads) ** 0.5
        weighed = by_value[:, None] * A * by_value
        return float(np.linalg.eigvals(weighed).real.max() / np.linalg.norm(weighed))

    by_row = differences(normalized, rows, np.arange(rows))
    wanted = math.sqrt(rows / (rows - 1) * np.sum((by_row - by_row.mean()) ** 2))
    assert _normalized_error(spectrum(A), None, rows, None) == pytest.approx(wanted, rel=1e-5)


def test_the_standard_error_of_a_mean_is_the_known_one():
    sample = np.random.default_rng(0).normal(size=30)
    assert influence_error(sample / 30, 30, None) == pytest.approx(sample.std(ddof=1) / math.sqrt(30))
    of_two_heads = np.concatenate([sample, 2 * sample]) / 30
    assert influence_error(of_two_heads, 30, None) == pytest.approx(3 * sample.std(ddof=1) / math.sqrt(30))
    half = influence_error(sample / 30, 30, 60)
    assert half == pytest.approx(sample.std(ddof=1) / math.sqrt(30) * math.sqrt(0.5))


def test_without_influence_or_with_one_row_nothing_is_known():
    assert influence_error(None, 30, None) is None
    assert influence_error(np.ones(2), 1, None) is None


def test_whoever_measures_all_rows_makes_no_error():
    batch = transitions()
    some, every = (
        measure(
            CASES["torch twin"].make(),
            batch,
            policy,
            discount=0.95,
            learning_rate=1e-3,
            target_rate=0.1,
            population=population,
        )
        for population in (None, len(batch))
    )
    assert every.normalized_error == 0 and every.rate_error == 0
    assert some.normalized_error is not None and some.normalized_error > 0
    assert some.rate_error is not None and some.rate_error > 0


def one_growing_mode(seed: int, rows: int = 60) -> Dynamics:
    """The targets move with the first feature more than the values do, and with every other one less."""
    random = np.random.default_rng(seed)
    features = random.normal(size=(rows, 8)) / rows**0.5
    gains = np.array([1.8, *random.uniform(0.2, 0.9, 7)])
    return Dynamics(
        (features * gains + 0.2 * random.normal(size=features.shape) / rows**0.5) @ features.T, features @ features.T
    )


@pytest.mark.parametrize("seed", range(4))
def test_leaving_a_row_out_moves_an_eigenvalue_that_stands_alone_as_deleting_it_does(seed):
    """To first order: one row of sixty changes little, and what is left is of the square of that."""
    A = one_growing_mode(seed).matrix
    value = np.linalg.eigvals(A).real.max()
    found = left_out_changes(A - value * np.eye(60), -np.eye(60), 60, eigenvectors(A, complex(value)))
    assert found is not None
    kept = [np.flatnonzero(np.arange(60) != row) for row in range(60)]
    wanted = np.array([np.linalg.eigvals(A[np.ix_(own, own)]).real.max() - value for own in kept])
    assert np.linalg.norm(found - wanted) <= 0.2 * np.linalg.norm(wanted)


@pytest.mark.parametrize("target_rate", [1.0, 0.3, 0.01])
def test_leaving_a_row_out_moves_the_rate_as_deleting_it_does(target_rate):
    dynamics = one_growing_mode(1)
    found = growth(dynamics, STEP, Update(target_rate))
    kept = [np.flatnonzero(np.arange(60) != row) for row in range(60)]
    without = [Dynamics(dynamics.cross[np.ix_(own, own)], dynamics.gram[np.ix_(own, own)]) for own in kept]
    wanted = np.array([growth(part, STEP, Update(target_rate)).rate - found.rate for part in without])
    assert found.left_out is not None
    assert np.linalg.norm(found.left_out - wanted) <= 0.3 * np.linalg.norm(wanted)


def test_both_heads_of_a_row_are_left_out_together():
    one = large_dynamics(2, rows=60)
    two = Dynamics(np.tile(one.cross, 2) / 2, np.tile(one.gram, (2, 2)) / 2)
    by_head = [growth(part, STEP, Update()).left_out for part in (one, two)]
    np.testing.assert_allclose(np.asarray(by_head[1]), np.asarray(by_head[0]), rtol=1e-6, atol=1e-12)


def test_heads_with_targets_of_their_own_are_left_out_together_too():
    """Of two heads that do not know of each other, the slower one says nothing of the rate."""
    one, zeros = one_growing_mode(3), np.zeros((60, 60))
    cross, gram = (np.block([[part, zeros], [zeros, part / 2]]) for part in (one.cross, one.gram))
    two = Dynamics(cross, gram, targets_each=2)
    assert two.rows == one.rows
    by_head = [growth(part, STEP, Update()).left_out for part in (one, two)]
    np.testing.assert_allclose(np.asarray(by_head[1]), np.asarray(by_head[0]), rtol=1e-6, atol=1e-12)


def test_leaving_rows_of_a_mean_out_gives_the_known_error():
    sample = np.random.default_rng(0).normal(size=30)
    changes = (sample.sum() - sample) / 29 - sample.mean()
    assert left_out_error(changes, None) == pytest.approx(sample.std(ddof=1) / math.sqrt(30))
    assert left_out_error(changes, 30) == 0
    assert left_out_error(None, None) is None
