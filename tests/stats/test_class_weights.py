"""Weights by a power of the class count."""

import numpy as np
import pytest
from hypothesis import given, strategies as st
from sklearn.utils.class_weight import compute_class_weight

from imblab.stats.probabilities import power_weights, relative_weight

COUNTS = st.lists(st.integers(1, 100_000), min_size=2, max_size=30).map(np.array)


@given(COUNTS, st.floats(0, 5))
def test_rows_weigh_one_on_average_and_classes_by_the_power_of_their_count(counts, power):
    weights = power_weights(counts, power)
    assert counts @ weights == pytest.approx(counts.sum(), rel=1e-12)
    # By the definition: n_c^-a, scaled by one factor.
    np.testing.assert_allclose(weights / weights[0], (counts / counts[0]) ** -power, rtol=1e-10)


@given(COUNTS)
def test_the_power_1_is_balanced_and_the_power_0_is_no_weight(counts):
    y = np.repeat(np.arange(len(counts)), np.minimum(counts, 50))
    counts = np.bincount(y)
    balanced = compute_class_weight("balanced", classes=np.arange(len(counts)), y=y)
    np.testing.assert_allclose(power_weights(counts, 1), balanced, rtol=1e-12)
    assert power_weights(counts, 0).tolist() == pytest.approx([1.0] * len(counts), rel=1e-15)


@given(COUNTS, st.floats(0, 5), st.randoms())
def test_the_order_of_the_classes_changes_nothing(counts, power, random):
    order = [*range(len(counts))]
    random.shuffle(order)
    np.testing.assert_allclose(power_weights(counts[order], power), power_weights(counts, power)[order], rtol=1e-12)


def test_a_large_power_gives_finite_weights():
    weights = power_weights(np.array([1_000_000, 10, 10]), 1e6)
    assert weights.tolist() == [0.0, 50_001.0, 50_001.0]


@given(st.integers(1, 10_000), st.integers(1, 10_000), st.floats(0, 5))
def test_with_two_classes_the_relative_weight_is_that_of_a_positive_row(negatives, positives, power):
    one, other = power_weights(np.array([negatives, positives]), power)
    assert relative_weight(negatives, positives, power) == pytest.approx(other / one, rel=1e-10)
