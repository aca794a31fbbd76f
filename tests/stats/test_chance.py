"""Chance lines: every permutation of small samples, and many of real ones."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from imblab.stats import curves


def by_enumeration(p, positives):
    """The mean over every way to deal the labels."""
    n, found = len(p), []
    for chosen in combinations(range(n), positives):
        y = np.zeros(n, dtype=int)
        y[list(chosen)] = 1
        found.append(average_precision_score(y, p))
    return np.mean(found)


@settings(max_examples=50)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=8), st.data())
def test_the_mean_over_all_labelings_ties_included(levels, data):
    positives = data.draw(st.integers(1, len(levels)))
    p = np.array(levels) / 4
    assert curves.chance_average_precision_of(p, positives) == pytest.approx(by_enumeration(p, positives), rel=1e-12)


@pytest.mark.parametrize(("n", "m"), [(5, 1), (9, 3), (600, 30), (200, 200)])
def test_without_ties_it_is_the_published_sum(n, m):
    """Bestgen (2015): the i-th of n ranks holds a relevant row with probability m/n, with (i-1)(m-1)/(n-1) above it."""
    expected = sum((1 + (i - 1) * (m - 1) / (n - 1)) / i for i in range(1, n + 1)) / n
    assert curves.chance_average_precision(n, m) == pytest.approx(expected, rel=1e-12)
    assert curves.chance_average_precision(n, m) >= m / n


@pytest.mark.parametrize("decimals", [1, 2, 8])
def test_a_thousand_permutations_agree(decimals):
    rng = np.random.default_rng(decimals)
    p = np.round(rng.beta(1, 6, 300), decimals)
    y = (np.arange(300) < 12).astype(int)
    found = [average_precision_score(rng.permutation(y), p) for _ in range(1000)]
    error = np.std(found) / np.sqrt(len(found))
    assert curves.chance_average_precision_of(p, 12) == pytest.approx(np.mean(found), abs=4 * error)


def test_one_value_for_all_is_the_prevalence():
    assert curves.chance_average_precision_of(np.full(40, 0.3), 7) == pytest.approx(7 / 40, rel=1e-12)


@pytest.mark.parametrize(("rows", "positives"), [(5, 0), (0, 0), (3, 4)])
def test_without_positives_there_is_no_chance(rows, positives):
    assert np.isnan(curves.chance_average_precision_of(np.zeros(rows), positives))


def test_a_single_row():
    assert curves.chance_average_precision(1, 1) == 1.0
