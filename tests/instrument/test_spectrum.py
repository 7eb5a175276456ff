from dataclasses import dataclass

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st

from seemrl.errors import InputError
from seemrl.instrument import spectrum as module
from seemrl.instrument.spectrum import Matrix, eigenvectors, scaled_back, spectrum

ACCURACY = 2e-3


@pytest.fixture
def size(monkeypatch) -> int:
    """At which a subspace is tried: lowered here, so that LAPACK can answer for the whole matrix in no time."""
    monkeypatch.setattr(module, "LARGEST_DENSE", 200)
    return 500


def low_rank_with_noise(noise: float, size: int, rank: int = 20, seed: int = 0) -> np.ndarray:
    """Not normal, of numerical rank ``rank``; the noise has the given Frobenius norm relative to the whole."""
    random = np.random.default_rng(seed)
    left, right = random.normal(size=(2, size, rank)) / np.sqrt(size)
    matrix = left @ random.normal(size=(rank, rank)) @ right.T + left @ np.diag(random.normal(size=rank)) @ left.T
    rest = random.normal(size=(size, size))
    return matrix + rest * (noise * np.linalg.norm(matrix) / np.linalg.norm(rest))


def falling(size: int, seed: int = 0) -> np.ndarray:
    """Not normal, with singular values that fall like a power: what a kernel looks like."""
    random = np.random.default_rng(seed)
    left, right = (np.linalg.qr(random.normal(size=(size, size)))[0] for _ in range(2))
    mixed = np.linalg.qr(left + right)[0]  # so that the ranges of A and of its transpose overlap
    return left * np.arange(1.0, size + 1) ** -2 @ mixed.T


def rightmost_and_condition(matrix: np.ndarray) -> tuple[float, float]:
    """By LAPACK: the largest real part, and by how much a change of the matrix can move that eigenvalue."""
    values, left, right = scipy.linalg.eig(matrix, left=True)
    first = int(np.argmax(values.real))
    return values[first].real, 1 / abs(np.vdot(left[:, first], right[:, first]))


def abscissa(matrix: np.ndarray) -> float:
    return float(np.linalg.eigvalsh((matrix + matrix.T) / 2)[-1])


@dataclass
class Products:
    """An operator that hides its entries."""

    matrix: np.ndarray

    @property
    def size(self) -> int:
        return len(self.matrix)

    def times(self, vectors: np.ndarray) -> np.ndarray:
        return self.matrix @ vectors

    def transposed(self, vectors: np.ndarray) -> np.ndarray:
        return self.matrix.T @ vectors


# ------------------------------------------------------------------------------------------------ on a subspace

COMPRESSIBLE = {
    "rank 20": lambda size: low_rank_with_noise(0.0, size, seed=3),
    "noise 1e-5": lambda size: low_rank_with_noise(1e-5, size),
    "noise 1e-4": lambda size: low_rank_with_noise(1e-4, size, seed=1),
    "noise 1e-3": lambda size: low_rank_with_noise(1e-3, size, seed=2),
    "noise 0.1": lambda size: low_rank_with_noise(0.1, size),
    "falling": lambda size: falling(size),
    "falling, shifted": lambda size: falling(size, 1) - 1e-5 * np.eye(size),
    "duplicate rows": lambda size: np.tile(low_rank_with_noise(1e-3, size // 2, seed=4), (2, 2)),
    "negative": lambda size: -falling(size) @ falling(size).T,
}


@pytest.mark.parametrize("name", COMPRESSIBLE)
@pytest.mark.parametrize("entries", [True, False], ids=["entries", "products"])
def test_a_compressed_spectrum_is_as_near_as_its_residual_says(name, entries, size):
    matrix = COMPRESSIBLE[name](size)
    found = spectrum(matrix if entries else Products(matrix), ACCURACY)
    assert len(found.eigenvalues) < len(matrix), "it was not compressed"
    assert 0 <= found.residual <= ACCURACY
    wanted, condition = rightmost_and_condition(matrix)
    norm = float(np.linalg.norm(matrix))
    # What is clear of zero is as good as its backward error; among a cluster at zero the certificate bounds it.
    clear = abs(wanted) > 5 * ACCURACY * norm
    allowed = max(3 * condition * found.residual, 1e-9) if clear else max(found.residual, 1e-9)
    assert abs(found.rightmost - max(wanted, 0.0)) <= allowed * norm
    assert found.norm == pytest.approx(norm, rel=1e-12 if entries else 1e-4)
    assert abscissa(matrix) - 1e-9 * norm <= found.numerical_abscissa <= abscissa(matrix) + ACCURACY * norm
    assert np.all(np.diff(np.real(found.eigenvalues)) <= 1e-12 * norm)


def test_a_rightmost_pair_is_a_pair(size):
    """Whatever is done to sharpen the rightmost eigenvalue is done to its conjugate too."""
    matrix = low_rank_with_noise(0.1, size)
    first, second = spectrum(matrix, ACCURACY).eigenvalues[:2]
    assert abs(first.imag) > 0.1
    assert second == pytest.approx(first.conjugate(), rel=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_a_pair_that_stands_clear_is_sharpened(seed, size):
    """Its own remainder, as one more vector of the basis, brings it ten times nearer than the subspace has it."""
    matrix = low_rank_with_noise(0.1, size, seed=seed)
    found, (wanted, condition) = spectrum(matrix, ACCURACY), rightmost_and_condition(matrix)
    assert len(found.eigenvalues) < 100
    assert found.residual <= 1e-3 * ACCURACY
    assert found.rightmost == pytest.approx(wanted, abs=3 * condition * found.residual * found.norm)


def test_matrices_above_the_threshold_are_compressed():
    random = np.random.default_rng(0)
    left, right = random.normal(size=(2, module.LARGEST_DENSE + 100, 20))
    found = spectrum(left @ right.T)
    assert len(found.eigenvalues) < len(left)
    assert found.rightmost == pytest.approx(np.linalg.eigvals(right.T @ left).real.max(), rel=1e-9)


def test_a_matrix_that_does_not_compress_is_solved_whole(size):
    matrix = low_rank_with_noise(1.0, size)
    found = spectrum(matrix, ACCURACY)
    assert len(found.eigenvalues) == len(matrix)
    assert found.residual < 1e-12
    assert found.rightmost == pytest.approx(rightmost_and_condition(matrix)[0], rel=1e-10)


def test_products_that_do_not_compress_are_refused(size, monkeypatch):
    monkeypatch.setattr(module, "LARGEST_BASIS", 150)
    with pytest.raises(InputError, match=r"^accuracy: 0.002 is out of reach with 150 vectors; measure fewer rows"):
        spectrum(Products(low_rank_with_noise(1.0, size)), ACCURACY)


def test_products_of_few_rows_span_the_whole_space():
    matrix = np.random.default_rng(0).normal(size=(90, 90))
    found, wanted = spectrum(Products(matrix)), spectrum(matrix)
    assert found.rightmost == pytest.approx(wanted.rightmost, rel=1e-9)
    assert found.residual < 1e-9
    np.testing.assert_allclose(found.spread, wanted.spread, rtol=1e-9)
    assert found.influence is not None and wanted.influence is not None
    np.testing.assert_allclose(found.influence, wanted.influence, atol=1e-8 * found.norm)


@pytest.mark.parametrize("part", [0.5, 0.02, 0.01])
def test_a_small_growing_mode_beside_a_large_stable_part_is_not_overlooked(part, size):
    values = -np.linspace(1, 2, size) * (np.arange(size) < 40)
    norm = float(np.linalg.norm(values))
    values[-1] = part * norm
    rotation = np.linalg.qr(np.random.default_rng(0).normal(size=(size, size)))[0]
    found = spectrum(rotation * values @ rotation.T, ACCURACY)
    assert found.rightmost == pytest.approx(part * norm, abs=ACCURACY * norm)


def test_a_growing_mode_within_a_flat_stable_part_is_not_overlooked(size):
    values = -np.linspace(1, 1.5, size)
    values[-1] = 0.1
    rotation = np.linalg.qr(np.random.default_rng(0).normal(size=(size, size)))[0]
    assert spectrum(rotation * values @ rotation.T, 1e-3).rightmost == pytest.approx(0.1, rel=1e-9)


def test_the_same_matrix_gives_the_same_answer(size):
    matrix = low_rank_with_noise(1e-5, size)
    first, second = spectrum(matrix), spectrum(matrix.copy())
    np.testing.assert_array_equal(first.eigenvalues, second.eigenvalues)


def test_single_precision_is_as_good_as_its_entries(size):
    matrix = low_rank_with_noise(1e-4, size)
    single, double = spectrum(matrix.astype(np.float32)), spectrum(matrix)
    assert single.rightmost == pytest.approx(double.rightmost, abs=1e-5 * double.norm)
    assert single.numerical_abscissa == pytest.approx(double.numerical_abscissa, abs=ACCURACY * double.norm)
    assert single.norm == pytest.approx(double.norm, rel=1e-5)
    huge = scaled_back(single, 1e60)
    assert huge.rightmost == single.rightmost * 1e60 and np.isfinite(huge.spread).all()


# ------------------------------------------------------------------------------------------------ whole matrices

matrices = st.tuples(st.integers(1, 7), st.integers(0, 2**32 - 1), st.sampled_from([1.0, 1e-3])).map(
    lambda drawn: np.random.default_rng(drawn[1]).normal(size=(drawn[0], drawn[0])) * drawn[2]
)


@settings(max_examples=60, deadline=None)
@given(matrices)
def test_small_matrices_have_all_their_eigenvalues_in_order(matrix):
    found = spectrum(matrix)
    wanted = np.linalg.eigvals(matrix)
    norm = float(np.linalg.norm(matrix))
    assert found.norm == pytest.approx(norm)
    assert found.rightmost == pytest.approx(wanted.real.max(), abs=1e-10 * norm)
    assert np.all(np.diff(np.real(found.eigenvalues)) <= 0)
    assert found.eigenvalues.sum() == pytest.approx(np.trace(matrix), abs=1e-10 * norm)
    assert 0 <= found.residual < 1e-12


@settings(max_examples=60, deadline=None)
@given(matrices)
def test_the_numerical_abscissa_is_the_growth_of_the_fastest_direction(matrix):
    found = spectrum(matrix)
    norm = float(np.linalg.norm(matrix))
    random = np.random.default_rng(0)
    directions = random.normal(size=(200, len(matrix)))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    growth = np.einsum("ni,ij,nj->n", directions, matrix, directions)
    assert growth.max() <= found.numerical_abscissa + 1e-12 * norm
    assert found.numerical_abscissa == pytest.approx(abscissa(matrix), abs=1e-12 * norm)
    assert found.rightmost <= found.numerical_abscissa + 1e-10 * norm


@pytest.mark.parametrize("factor", [1e-200, 1e150, -1e150])
@pytest.mark.parametrize("size", [1, 8])
def test_numbers_scale_with_the_matrix_without_overflow(factor, size):
    matrix = np.random.default_rng(1).normal(size=(size, size))
    wanted = spectrum(matrix * np.sign(factor))
    found = spectrum(matrix * factor)
    assert found.rightmost / abs(factor) == pytest.approx(wanted.rightmost, rel=1e-12)
    assert found.numerical_abscissa / abs(factor) == pytest.approx(wanted.numerical_abscissa, rel=1e-12)
    assert found.norm / abs(factor) == pytest.approx(wanted.norm, rel=1e-12)


@pytest.mark.parametrize("size", [1, 5, module.LARGEST_DENSE + 1])
@pytest.mark.parametrize("precision", [np.float64, np.float32])
@pytest.mark.parametrize("wrapped", [np.asarray, Matrix, Products])
def test_a_matrix_of_zeros_has_nothing(size, precision, wrapped):
    found = spectrum(wrapped(np.zeros((size, size), precision)))
    assert (found.rightmost, found.residual, found.norm, found.numerical_abscissa) == (0.0, 0.0, 0.0, 0.0)


@pytest.mark.parametrize("value", [-2.5, 0.0, 3.0])
@pytest.mark.parametrize("wrapped", [np.asarray, Products])
def test_a_matrix_of_one_number_is_that_number(value, wrapped):
    found = spectrum(wrapped(np.array([[value]])))
    assert found.rightmost == pytest.approx(value) and found.numerical_abscissa == pytest.approx(value)
    assert found.residual == pytest.approx(0.0, abs=1e-15)


def test_a_complex_pair_counts_by_its_real_part():
    found = spectrum(np.array([[0.5, -3.0, 0.0], [3.0, 0.5, 0.0], [0.0, 0.0, 0.2]]))
    assert found.rightmost == pytest.approx(0.5)
    assert abs(found.eigenvalues[0].imag) == pytest.approx(3.0)


def test_every_vector_is_an_eigenvector_of_zeros():
    for vector in eigenvectors(np.zeros((3, 3)), 0j):
        assert np.linalg.norm(vector) == pytest.approx(1)
