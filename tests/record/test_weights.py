"""What is measured of weights: kurtosis, symmetry, copies."""

import numpy as np
import pytest

from evenflow.record.weights import measure_weight


def normal(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def test_kurtosis_tells_distributions_apart():
    rng = np.random.default_rng(0)
    uniform = rng.uniform(-1, 1, (500, 400))
    z = rng.normal(size=400_000)
    truncated = z[np.abs(z) < 2][:200_000].reshape(500, 400)
    assert measure_weight(uniform).kurtosis == pytest.approx(9 / 5, rel=0.01)
    assert measure_weight(truncated).kurtosis == pytest.approx(2.3655, rel=0.01)
    assert measure_weight(normal((500, 400))).kurtosis == pytest.approx(3, rel=0.02)


def test_kurtosis_of_signs_is_one_and_of_zeros_undefined():
    assert measure_weight(np.array([1.0, -1.0, 1.0])).kurtosis == 1
    assert np.isnan(measure_weight(np.zeros(3)).kurtosis)


def test_equal_rows_are_counted():
    w = normal((8, 5))
    assert measure_weight(w).row_duplicates == 0
    w[3] = w[0]
    assert measure_weight(w).row_duplicates == 2 / 8
    w[5] = w[0]
    assert measure_weight(w).row_duplicates == 3 / 8
    assert measure_weight(np.full((4, 3), 0.1)).row_duplicates == 1


def test_equal_experts_are_equal_rows():
    experts = np.broadcast_to(normal((1, 6, 4)), (3, 6, 4))
    assert measure_weight(experts).row_duplicates == 1


def test_rows_need_a_matrix():
    assert np.isnan(measure_weight(np.ones(5)).row_duplicates)
    assert np.isnan(measure_weight(np.ones((1, 5))).row_duplicates)


def test_digests_tell_values_types_and_shapes_apart():
    w = normal((4, 6))
    same = measure_weight(w.copy()).digest
    assert measure_weight(np.asfortranarray(w)).digest == same
    others = [w + 1e-6, w.reshape(6, 4), w.astype(np.float64)]
    assert same not in {measure_weight(other).digest for other in others}
