import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st

from seemrl.instrument import spectrum as module
from seemrl.instrument.spectrum import numerical_abscissa, range_basis, spectrum

ACCURACY = 1e-4


@pytest.fixture
def compressible_size(monkeypatch) -> int:
    """A size at which compression is tried: lowered here, so that LAPACK can answer for the whole matrix in no time."""
    monkeypatch.setattr(module, "_SMALL", 200)
    return 240


def low_rank_with_noise(noise: float, size: int, rank: int = 20, seed: int = 0) -> np.ndarray:
    """Not normal, of numerical rank ``rank``; the noise has the given Frobenius norm relative to the whole."""
    random = np.random.default_rng(seed)
    left, right = random.normal(size=(2, size, rank)) / np.sqrt(size)
    matrix = left @ random.normal(size=(rank, rank)) @ right.T + left @ np.diag(random.normal(size=rank)) @ left.T
    rest = random.normal(size=(size, size))
    return matrix + rest * (noise * np.linalg.norm(matrix) / np.linalg.norm(rest))


def rightmost_and_condition(matrix: np.ndarray) -> tuple[float, float]:
    """By LAPACK: the largest real part, and by how much a change of the matrix can move that eigenvalue."""
    values, left, right = scipy.linalg.eig(matrix, left=True)
    first = int(np.argmax(values.real))
    return values[first].real, 1 / abs(np.vdot(left[:, first], right[:, first]))


@pytest.mark.parametrize(("noise", "seed"), [(1e-5, 0), (1e-5, 1), (5e-5, 2), (0.0, 3)])
def test_a_compressed_spectrum_is_as_near_as_its_residual_says(noise, seed, compressible_size):
    matrix = low_rank_with_noise(noise, compressible_size, seed=seed)
    found = spectrum(matrix, ACCURACY)
    assert len(found.eigenvalues) < len(matrix) // 3, "it was not compressed"
    assert noise / 2 <= found.residual <= ACCURACY
    wanted, condition = rightmost_and_condition(matrix)
    allowed = max(2 * condition * found.residual, 1e-12) * np.linalg.norm(matrix)
    assert abs(found.rightmost - wanted) <= allowed


def test_matrices_above_the_threshold_are_compressed():
    random = np.random.default_rng(0)
    left, right = random.normal(size=(2, module._SMALL + 100, 20))
    found = spectrum(left @ right.T)
    assert len(found.eigenvalues) < len(left) // 3
    assert found.rightmost == pytest.approx(np.linalg.eigvals(right.T @ left).real.max(), rel=1e-9)


@pytest.mark.parametrize("noise", [1.0, 2e-4])
def test_a_matrix_that_does_not_compress_is_solved_whole(noise, compressible_size):
    matrix = low_rank_with_noise(noise, compressible_size)
    found = spectrum(matrix, ACCURACY)
    assert len(found.eigenvalues) == len(matrix)
    assert found.residual < 1e-12
    assert found.rightmost == pytest.approx(rightmost_and_condition(matrix)[0], rel=1e-10)


def test_the_same_matrix_gives_the_same_answer(compressible_size):
    matrix = low_rank_with_noise(1e-5, compressible_size)
    first, second = spectrum(matrix), spectrum(matrix.copy())
    np.testing.assert_array_equal(first.eigenvalues, second.eigenvalues)


def test_one_basis_holds_the_range_of_both_matrices(compressible_size):
    matrices = [low_rank_with_noise(1e-6, compressible_size, seed=seed) for seed in (0, 1)]
    basis, residual = range_basis(matrices, ACCURACY)
    assert basis is not None
    np.testing.assert_allclose(basis.T @ basis, np.eye(basis.shape[1]), atol=1e-12)
    distances = [np.linalg.norm(m - basis @ (basis.T @ m)) / np.linalg.norm(m) for m in matrices]
    assert max(distances) == pytest.approx(residual) and residual <= ACCURACY


def test_what_a_compression_leaves_out_is_zero(compressible_size):
    factor = low_rank_with_noise(0.0, compressible_size)
    found = spectrum(-factor @ factor.T, ACCURACY)  # no eigenvalue above zero
    assert found.rightmost == pytest.approx(0, abs=1e-12)


matrices = st.tuples(st.integers(1, 7), st.integers(0, 2**32 - 1), st.sampled_from([1.0, 1e-3])).map(
    lambda drawn: np.random.default_rng(drawn[1]).normal(size=(drawn[0], drawn[0])) * drawn[2]
)


@settings(max_examples=60, deadline=None)
@given(matrices)
def test_small_matrices_have_all_their_eigenvalues_in_order(matrix):
    found = spectrum(matrix)
    wanted = np.linalg.eigvals(matrix)
    norm = float(np.linalg.norm(matrix))
    assert found.rightmost == pytest.approx(wanted.real.max(), abs=1e-10 * norm)
    assert np.all(np.diff(np.real(found.eigenvalues)) <= 0)
    assert found.eigenvalues.sum() == pytest.approx(np.trace(matrix), abs=1e-10 * norm)
    assert 0 <= found.residual < 1e-12


@settings(max_examples=60, deadline=None)
@given(matrices)
def test_the_numerical_abscissa_is_the_growth_of_the_fastest_direction(matrix):
    abscissa = numerical_abscissa(matrix)
    norm = float(np.linalg.norm(matrix))
    random = np.random.default_rng(0)
    directions = random.normal(size=(200, len(matrix)))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    growth = np.einsum("ni,ij,nj->n", directions, matrix, directions)
    assert growth.max() <= abscissa + 1e-12 * norm
    assert abscissa == pytest.approx(np.linalg.eigvalsh((matrix + matrix.T) / 2)[-1], abs=1e-12 * norm)
    assert spectrum(matrix).rightmost <= abscissa + 1e-10 * norm


@pytest.mark.parametrize("factor", [1e-200, 1e200, -1e200, 1e306])
@pytest.mark.parametrize("size", [1, 8])
def test_numbers_scale_with_the_matrix_without_overflow(factor, size):
    matrix = np.random.default_rng(1).normal(size=(size, size))
    wanted = spectrum(matrix * np.sign(factor))
    found = spectrum(matrix * factor)
    assert found.rightmost / abs(factor) == pytest.approx(wanted.rightmost, rel=1e-12)
    assert numerical_abscissa(matrix * factor) / abs(factor) == pytest.approx(
        numerical_abscissa(matrix * np.sign(factor)), rel=1e-12
    )


@pytest.mark.parametrize("size", [1, 5, module._SMALL + 1])
def test_a_matrix_of_zeros_has_nothing(size):
    found = spectrum(np.zeros((size, size)))
    assert (found.rightmost, found.residual) == (0.0, 0.0)
    assert numerical_abscissa(np.zeros((size, size))) == 0.0


@pytest.mark.parametrize("value", [-2.5, 0.0, 3.0])
def test_a_matrix_of_one_number_is_that_number(value):
    found = spectrum(np.array([[value]]))
    assert found.rightmost == value == numerical_abscissa(np.array([[value]]))
    assert found.residual == 0.0


def test_a_complex_pair_counts_by_its_real_part():
    found = spectrum(np.array([[0.5, -3.0, 0.0], [3.0, 0.5, 0.0], [0.0, 0.0, 0.2]]))
    assert found.rightmost == pytest.approx(0.5)
    assert abs(found.eigenvalues[0].imag) == pytest.approx(3.0)
