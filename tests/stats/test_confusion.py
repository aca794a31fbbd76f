"""Confusion matrices of several classes and their measures: scikit-learn as the witness, brute force, and laws."""

import warnings
from functools import partial

import numpy as np
import pytest
from hypothesis import example, given, strategies as st
from imblearn.metrics import geometric_mean_score
from sklearn import metrics as sk

from imblab.stats import counts

EXACT = {"rtol": 0, "atol": 1e-12}
COUNTS = st.integers(0, 10**6)


@st.composite
def decisions(draw, every_class=True):
    """Classes of which some are rare, and decisions that are right more often than not."""
    n_classes = draw(st.integers(2, 12))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n_rows = draw(st.integers(n_classes, 80))
    y = np.minimum(rng.geometric(0.4, n_rows) - 1, n_classes - 1)
    if every_class:
        y[rng.permutation(n_rows)[:n_classes]] = np.arange(n_classes)
    n_decided = draw(st.integers(1, n_classes))  # some classes may never be decided
    wrong = rng.integers(0, n_decided, n_rows)
    return y, np.where(rng.random(n_rows) < draw(st.sampled_from([0.0, 0.5, 0.9, 1.0])), y, wrong), n_classes


def matrix_of(sample):
    return counts.confusion_matrices(*sample)


# ----------------------------------------------------------------------------------------------------------- matrices


@given(decisions(every_class=False))
def test_matrices_are_those_of_a_loop_and_of_scikit_learn(sample):
    y, decided, n_classes = sample
    loop = np.zeros((n_classes, n_classes), dtype=int)
    for true, called in zip(y, decided, strict=True):
        loop[true, called] += 1
    np.testing.assert_array_equal(matrix_of(sample), loop)
    np.testing.assert_array_equal(matrix_of(sample), sk.confusion_matrix(y, decided, labels=np.arange(n_classes)))


@given(decisions(), st.integers(0, 100))
def test_many_decisions_of_the_same_rows_are_counted_one_by_one(sample, seed):
    y, _, n_classes = sample
    decided = np.random.default_rng(seed).integers(0, n_classes, (2, 3, len(y)))
    found = counts.confusion_matrices(y, decided, n_classes)
    assert found.shape == (2, 3, n_classes, n_classes)
    for place in np.ndindex(2, 3):
        np.testing.assert_array_equal(found[place], counts.confusion_matrices(y, decided[place], n_classes))


@given(decisions())
def test_each_class_against_the_rest_has_the_counts_of_its_indicator(sample):
    y, decided, n_classes = sample
    found = counts.class_counts(matrix_of(sample))
    for c in range(n_classes):
        expected = counts.counts_at(y == c, (decided == c).astype(float), 0.5)
        assert [int(count[c]) for count in found] == [int(count) for count in expected]


# ----------------------------------------------------------------------------------------------------------- measures


def per_class(function, matrix):
    return function(*counts.class_counts(matrix))


MACRO = {
    "class_mcc": (counts.class_mcc, lambda y, d, labels: sk.matthews_corrcoef(y, d)),
    "macro_recall": (counts.macro_recall, lambda y, d, labels: sk.recall_score(y, d, labels=labels, average="macro")),
    "macro_precision": (
        counts.macro_precision,
        lambda y, d, labels: sk.precision_score(y, d, labels=labels, average="macro", zero_division=0),
    ),
    "macro_f1": (
        partial(counts.macro_of_counts, function=counts.f_beta),
        lambda y, d, labels: sk.f1_score(y, d, labels=labels, average="macro"),
    ),
    "macro_f2": (
        partial(counts.macro_of_counts, function=partial(counts.f_beta, beta=2)),
        lambda y, d, labels: sk.fbeta_score(y, d, beta=2, labels=labels, average="macro"),
    ),
    "macro_specificity": (
        partial(counts.macro_of_counts, function=counts.specificity),
        lambda y, d, labels: np.mean([sk.recall_score(y != c, d != c) for c in labels]),
    ),
    "class_recall_min": (
        counts.class_recall_min,
        lambda y, d, labels: sk.recall_score(y, d, labels=labels, average=None).min(),
    ),
    "recall_g_mean": (counts.recall_g_mean, lambda y, d, labels: geometric_mean_score(y, d, labels=labels)),
    "balanced_accuracy": (counts.macro_recall, lambda y, d, labels: sk.balanced_accuracy_score(y, d)),
    "class_accuracy": (counts.class_accuracy, lambda y, d, labels: sk.accuracy_score(y, d)),
    "largest_class_share": (
        counts.largest_class_share,
        lambda y, d, labels: sk.accuracy_score(y, np.full(len(y), np.bincount(y).argmax())),
    ),
}
PER_CLASS = {
    "recall": (counts.recall, partial(sk.recall_score, zero_division=np.nan)),
    "precision": (counts.precision, partial(sk.precision_score, zero_division=np.nan)),
    "f1": (counts.f_beta, partial(sk.f1_score, zero_division=np.nan)),
}


@pytest.mark.slow
@given(sample=decisions())
def test_measures_of_all_classes_are_scikit_learns(sample):
    y, decided, n_classes = sample
    for name, (function, witness) in MACRO.items():
        value = function(matrix_of(sample))
        assert value.dtype == np.float64
        assert value.shape == ()
        np.testing.assert_allclose(value, witness(y, decided, np.arange(n_classes)), **EXACT, err_msg=name)


@given(sample=decisions(every_class=False))
def test_values_per_class_are_scikit_learns_null_where_undefined(sample):
    y, decided, n_classes = sample
    for name, (function, witness) in PER_CLASS.items():
        expected = witness(y, decided, labels=np.arange(n_classes), average=None)
        np.testing.assert_allclose(per_class(function, matrix_of(sample)), expected, **EXACT, err_msg=name)


@given(sample=decisions(), seed=st.integers(0, 1000))
def test_the_order_of_the_classes_does_not_matter(sample, seed):
    y, decided, n_classes = sample
    new = np.random.default_rng(seed).permutation(n_classes)
    for name, (function, _) in MACRO.items():
        swapped = function(counts.confusion_matrices(new[y], new[decided], n_classes))
        np.testing.assert_allclose(swapped, function(matrix_of(sample)), **EXACT, err_msg=name)


@given(sample=decisions(), seed=st.integers(0, 1000))
def test_many_matrices_at_once_have_the_values_of_one_by_one(sample, seed):
    matrix = matrix_of(sample)
    matrices = np.random.default_rng(seed).permuted(np.broadcast_to(matrix, (9, *matrix.shape)), axis=2)
    for name, (function, _) in MACRO.items():
        assert function(matrices[None]).tolist() == [[function(each).item() for each in matrices]], name


@given(tn=COUNTS, fp=COUNTS, fn=COUNTS, tp=COUNTS)
def test_with_two_classes_the_values_are_those_of_two_classes_to_the_last_bit(tn, fp, fn, tp):
    matrix = np.array([[tn, fp], [fn, tp]])
    table = (tn, fp, fn, tp)
    pairs = [
        (counts.class_mcc(matrix), counts.mcc(*table)),
        (counts.macro_recall(matrix), counts.balanced_accuracy(*table)),
        (counts.recall_g_mean(matrix), counts.g_mean(*table)),
        (counts.class_recall_min(matrix), counts.recall_min(*table)),
        (counts.class_accuracy(matrix), counts.accuracy(*table)),
        (counts.largest_class_share(matrix), counts.accuracy_baseline(*table)),
        *((per_class(f, matrix)[1], f(*table)) for f in (counts.recall, counts.precision, counts.f_beta)),
    ]
    for found, expected in pairs:
        np.testing.assert_array_equal(found, expected)


@example(np.outer([30_000, 20_000, 1_001], [10_007, 3_001, 997]) + np.diag([1, 0, 0]))  # all but independent
@given(st.lists(st.integers(0, 10**8), min_size=9, max_size=9).map(lambda cells: np.reshape(cells, (3, 3))))
def test_the_correlation_is_exact_for_large_counts(matrix):
    """Whole numbers of any size in Python, a single root at the end."""
    rows, columns, total = matrix.sum(axis=1).tolist(), matrix.sum(axis=0).tolist(), int(matrix.sum())
    upper = total * int(np.trace(matrix)) - sum(r * c for r, c in zip(rows, columns, strict=True))
    lower = (total**2 - sum(r * r for r in rows)) * (total**2 - sum(c * c for c in columns))
    expected = upper / lower**0.5 if lower else 0.0
    found = counts.class_mcc(matrix).item()
    assert found == pytest.approx(expected, rel=1e-14, abs=0)
    assert -1 <= found <= 1
    np.testing.assert_allclose(counts.class_mcc(matrix.astype(float)), found, **EXACT)


def test_the_correlation_may_fall_when_a_wrong_decision_is_corrected():
    """Why no candidate is pruned: with two classes it cannot, and the remaining rows decided correctly are a bound."""
    wrong, corrected = np.array([[0, 8, 0], [0, 1, 0], [0, 0, 2]]), np.array([[1, 7, 0], [0, 1, 0], [0, 0, 2]])
    assert counts.class_mcc(wrong) == pytest.approx(20 / (52 * 36) ** 0.5)
    assert counts.class_mcc(corrected) == pytest.approx(24 / 52)
    assert counts.class_mcc(corrected) < counts.class_mcc(wrong)


@pytest.mark.parametrize("n_classes", [2, 3, 10])
def test_the_correlation_of_perfect_decisions_is_exactly_one(n_classes):
    for seed in range(50):
        sizes = np.random.default_rng(seed).integers(1, 10**6, n_classes)
        assert counts.class_mcc(np.diag(sizes)).item() == 1.0


def test_a_macro_value_is_null_where_one_class_is_and_precision_counts_a_class_never_decided_as_zero():
    absent = np.array([[5, 0, 0], [1, 3, 0], [0, 0, 0]])  # class 2 has no row and is never decided
    with warnings.catch_warnings(action="error"):
        assert np.isnan(counts.macro_recall(absent))
        assert np.isnan(counts.class_recall_min(absent))
        assert np.isnan(counts.recall_g_mean(absent))
        assert np.isnan(counts.macro_of_counts(absent, counts.f_beta))
        assert counts.class_mcc(absent) > 0.7
        never = np.array([[5, 0, 0], [0, 3, 0], [1, 0, 0]])
        assert np.isnan(per_class(counts.precision, never)).tolist() == [False, False, True]
        assert counts.macro_precision(never).item() == pytest.approx((5 / 6 + 1) / 3)
        assert per_class(counts.f_beta, never)[2] == 0
        empty = np.zeros((3, 3), dtype=int)
        assert counts.class_mcc(empty) == 0
        assert np.isnan([counts.class_accuracy(empty), counts.largest_class_share(empty)]).all()


def test_the_correlation_is_zero_where_all_rows_are_decided_alike_or_are_of_one_class():
    assert counts.class_mcc(np.array([[4, 0, 0], [3, 0, 0], [1, 0, 0]])) == 0
    assert counts.class_mcc(np.array([[4, 2, 1], [0, 0, 0], [0, 0, 0]])) == 0


# -------------------------------------------------------------------------------------------------------------- costs


@given(decisions(), st.integers(0, 1000))
def test_the_expected_cost_is_the_mean_over_rows(sample, seed):
    y, decided, n_classes = sample
    costs = np.random.default_rng(seed).uniform(0, 9, (n_classes, n_classes))
    np.fill_diagonal(costs, -1.0)
    paid = [costs[true][called] for true, called in zip(y, decided, strict=True)]
    matrix = matrix_of(sample)
    assert counts.expected_class_cost(matrix, costs.tolist()).item() == counts.expected_class_cost(matrix, costs).item()
    assert counts.expected_class_cost(matrix, costs).item() == pytest.approx(np.mean(paid), rel=1e-12, abs=1e-12)


@given(tn=COUNTS, fp=COUNTS, fn=COUNTS, tp=COUNTS)
def test_costs_of_two_classes_are_those_of_their_mapping(tn, fp, fn, tp):
    named = {"fn": 10, "fp": 1.5, "tp": 0.5, "tn": -0.25}
    table = [[named["tn"], named["fp"]], [named["fn"], named["tp"]]]
    found = counts.expected_class_cost(np.array([[tn, fp], [fn, tp]]), table)
    np.testing.assert_allclose(found, counts.expected_cost(tn, fp, fn, tp, named), rtol=1e-12)


def test_no_rows_have_no_expected_cost():
    assert np.isnan(counts.expected_class_cost(np.zeros((3, 3), dtype=int), 1 - np.eye(3)))


@pytest.mark.parametrize(
    ("costs", "reason"),
    [
        (None, "is a list of 3 rows"),
        ({"fn": 1, "fp": 1}, "is a list of 3 rows"),
        ([[0, 1], [1, 0]], "is a list of 3 rows"),
        ([[0, 1, 1], [1, 0], [1, 1, 0]], "is a list of 3 rows"),
        ([[0, 1, 1], 7, [1, 1, 0]], "is a list of 3 rows"),
        (np.zeros(3), "is a list of 3 rows"),
        ([[0, 1, 1], [1, 0, float("inf")], [1, 1, 0]], "finite number"),
        ([[0, 1, 1], [1, 0, "2"], [1, 1, 0]], "finite number"),
        ([[0, 1, 1], [1, 0, True], [1, 1, 0]], "finite number"),
        ([[2, 1, 3], [1, 0, 1], [1, 1, 0]], "at least as much as the correct one"),
        ([[0, 0, 0]] * 3, "one of them more"),
    ],
)
def test_what_is_not_a_cost_matrix_is_said(costs, reason):
    assert reason in counts.invalid_class_costs_reason(costs, 3)
    with pytest.raises(ValueError, match="costs is"):
        counts.expected_class_cost(np.eye(3), costs)


def test_a_cost_matrix_may_hold_gains_and_free_mistakes():
    assert counts.invalid_class_costs_reason([[-5, 0, 0], [1, 0, 0.0], [9, 2, 1]], 3) is None
    assert counts.invalid_class_costs_reason(np.array([[0, 1], [9, 0]])) is None
    assert "is a list of n rows" in counts.invalid_class_costs_reason([[0]])
