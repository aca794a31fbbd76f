"""Formulas of measures: scikit-learn and imbalanced-learn as the witness, brute force, and laws."""

import itertools
import math
import timeit
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, strategies as st
from imblearn.metrics import geometric_mean_score
from sklearn import metrics as sk

from imblab.core import measures

HOME = "imblab.core.measures."
EXACT = {"rtol": 0, "atol": 1e-12}


@st.composite
def rankings(draw, max_size=40):
    """Both classes, and scores on a coarse lattice so that ties are common."""
    n = draw(st.integers(2, max_size))
    y = draw(st.lists(st.integers(0, 1), min_size=n, max_size=n).filter(lambda v: 0 < sum(v) < len(v)))
    steps = draw(st.lists(st.integers(0, 16), min_size=n, max_size=n))
    return np.array(y), np.array(steps) / 16


tables = st.tuples(*[st.integers(0, 10**6)] * 4)

# ------------------------------------------------------------------------------------------------------------- counts


@pytest.mark.sampled(29)
def test_counts_are_those_of_a_loop_and_of_scikit_learn(sample):
    y, p = sample
    cuts = np.concatenate([p[:5], np.nextafter(p[:5], 2), np.nextafter(p[:5], -2), [0.0, 0.5, 1.0, -1.0, 2.0]])
    found = measures.counts_at(y, p, cuts)
    for i, cut in enumerate(cuts):
        said = sk.confusion_matrix(y, (p >= cut).astype(int), labels=[0, 1]).ravel().tolist()
        loop = [sum(1 for a, b in zip(y, p, strict=True) if (a, b >= cut) == w) for w in PLACES]
        assert [int(c[i]) for c in (found.tn, found.fp, found.fn, found.tp)] == said == loop


PLACES = ((0, False), (0, True), (1, False), (1, True))


def test_counts_keep_the_shape_and_order_of_the_thresholds(draw_sample):
    y, p = draw_sample(3)
    cuts = np.array([[0.9, 0.1, 0.5], [0.2, 0.2, 0.7]])
    found = measures.counts_at(y, p, cuts)
    assert found.tp.shape == (2, 3)
    for place in np.ndindex(2, 3):
        assert found.tp[place] == measures.counts_at(y, p, cuts[place]).tp
    assert np.ndim(measures.counts_at(y, p, 0.5).fn) == 0


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64, np.float64])
def test_counts_do_not_depend_on_the_type_of_the_labels(dtype, draw_sample):
    y, p = draw_sample(1, "tied")
    assert measures.counts_at(y.astype(dtype), p, 0.3) == measures.counts_at(y, p, 0.3)


@given(rankings(), rankings())
def test_counts_of_two_sets_of_rows_add_up(one, other):
    cuts = np.arange(17) / 16
    both = measures.counts_at(*(np.concatenate(pair) for pair in zip(one, other, strict=True)), cuts)
    summed = measures.counts_at(*one, cuts) + measures.counts_at(*other, cuts)
    for name in ("tn", "fp", "fn", "tp"):
        np.testing.assert_array_equal(getattr(both, name), getattr(summed, name))
    np.testing.assert_array_equal(both.tn + both.fp + both.fn + both.tp, len(one[0]) + len(other[0]))


def test_counts_and_mcc_of_99_cuts_cost_less_than_a_millisecond(draw_sample):
    y, p = draw_sample(0, n=300)
    cuts = np.arange(1, 100) / 100

    def once():
        found = measures.counts_at(y, p, cuts)
        return measures.mcc(found.tn, found.fp, found.fn, found.tp)

    assert min(timeit.repeat(once, number=5, repeat=40)) / 5 < 1e-3


# ------------------------------------------------------------------------------------------------------ label measures

WITNESS = {
    "mcc": sk.matthews_corrcoef,
    "recall": lambda y, c: sk.recall_score(y, c, zero_division=np.nan),
    "precision": lambda y, c: sk.precision_score(y, c, zero_division=np.nan),
    "f_beta": lambda y, c: sk.f1_score(y, c, zero_division=np.nan),
    "specificity": lambda y, c: sk.recall_score(y, c, pos_label=0, zero_division=np.nan),
    "g_mean": lambda y, c: geometric_mean_score(y, c, average="binary"),
    "recall_min": lambda y, c: sk.recall_score(y, c, average=None, labels=[0, 1], zero_division=np.nan).min(),
    "balanced_accuracy": sk.balanced_accuracy_score,
    "accuracy": sk.accuracy_score,
    "accuracy_baseline": lambda y, c: sk.accuracy_score(y, np.full(len(y), np.argmax(np.bincount(y, minlength=2)))),
}


@pytest.mark.sampled(14)
@pytest.mark.parametrize("name", WITNESS)
def test_label_measures_are_scikit_learns_at_every_cut(name, sample_kind, draw_sample):
    for seed in range(6):
        y, p = draw_sample(seed, sample_kind)
        cuts = np.array([0.0, 0.05, 0.3, 0.5, 0.7, 1.0, 2.0])
        found = measures.counts_at(y, p, cuts)
        values = getattr(measures, name)(found.tn, found.fp, found.fn, found.tp)
        assert values.dtype == np.float64
        assert values.shape == cuts.shape
        expected = [WITNESS[name](y, (p >= cut).astype(int)) for cut in cuts]
        np.testing.assert_allclose(values, expected, **EXACT)


@pytest.mark.parametrize("beta", [0.5, 1.0, 2.0, 3])
def test_f_beta_is_scikit_learns(beta, draw_sample):
    for seed in range(20):
        y, p = draw_sample(seed)
        called = (p >= 0.4).astype(int)
        found = measures.counts_at(y, p, 0.4)
        expected = sk.fbeta_score(y, called, beta=beta, zero_division=np.nan)
        value = measures.f_beta(found.tn, found.fp, found.fn, found.tp, beta=beta)
        np.testing.assert_allclose(value, expected, **EXACT)


UNDEFINED = {
    (5, 0, 0, 0): {"recall", "precision", "f_beta", "g_mean", "recall_min", "balanced_accuracy"},
    (3, 2, 0, 0): {"recall", "g_mean", "recall_min", "balanced_accuracy"},
    (0, 0, 3, 2): {"specificity", "g_mean", "recall_min", "balanced_accuracy"},
    (0, 0, 5, 0): {"specificity", "precision", "g_mean", "recall_min", "balanced_accuracy"},
    (4, 0, 1, 0): {"precision"},
    (0, 4, 0, 1): set(),
    (0, 0, 0, 0): set(WITNESS) - {"mcc"},
}


@pytest.mark.parametrize("counts", UNDEFINED, ids=str)
def test_a_measure_without_its_denominator_is_undefined_and_never_zero(counts):
    nan = {name for name in WITNESS if np.isnan(getattr(measures, name)(*counts))}
    assert nan == UNDEFINED[counts]


@pytest.mark.parametrize(
    ("tn", "fp", "fn", "tp", "mcc", "f1", "accuracy"),
    [(0, 9, 1, 90, -0.03, 0.95, 0.90), (19, 6, 70, 5, -0.24, 0.12, 0.24), (5, 45, 3, 47, 0.07, 0.66, 0.52)],
)
def test_the_published_cases_in_which_mcc_and_f1_disagree(tn, fp, fn, tp, mcc, f1, accuracy):
    """Chicco and Jurman 2020, BMC Genomics 21, 6: use cases A1, A2 and B1."""
    found = [f(tn, fp, fn, tp) for f in (measures.mcc, measures.f_beta, measures.accuracy)]
    assert [round(float(value), 2) for value in found] == [mcc, f1, accuracy]


@pytest.mark.parametrize("counts", [c for c in UNDEFINED], ids=str)
def test_mcc_with_an_empty_row_or_column_is_zero(counts):
    assert measures.mcc(*counts) == 0.0


@given(tables)
def test_mcc_is_the_exact_one_of_large_counts(counts):
    tn, fp, fn, tp = (1000 * c for c in counts)
    scale = (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)
    above = tp * tn - fp * fn
    expected = math.copysign(math.sqrt(Fraction(above * above, scale)), above) if scale else 0.0
    assert measures.mcc(tn, fp, fn, tp) == pytest.approx(expected, rel=0, abs=1e-12)
    assert measures.mcc(*np.array([tn, fp, fn, tp], dtype=np.int64)) == measures.mcc(tn, fp, fn, tp)


@given(tables)
def test_mcc_changes_sign_with_the_calls_and_keeps_it_with_both_classes(counts):
    tn, fp, fn, tp = counts
    assert measures.mcc(fp, tn, tp, fn) == -measures.mcc(tn, fp, fn, tp)
    assert measures.mcc(tp, fn, fp, tn) == measures.mcc(tn, fp, fn, tp)


@given(st.integers(1, 10**6), st.integers(1, 10**6))
def test_perfect_and_reversed_calls_are_the_ends_of_the_range_exactly(negatives, positives):
    assert measures.mcc(negatives, 0, 0, positives) == 1.0
    assert measures.mcc(0, negatives, positives, 0) == -1.0
    assert measures.f_beta(negatives, 0, 0, positives, beta=2) == measures.g_mean(negatives, 0, 0, positives) == 1.0


@given(rankings(), st.lists(st.floats(-0.5, 1.5), min_size=2, max_size=20))
def test_a_higher_threshold_never_raises_recall_nor_lowers_specificity(ranking, cuts):
    found = measures.counts_at(*ranking, np.sort(cuts))
    four = (found.tn, found.fp, found.fn, found.tp)
    assert (np.diff(measures.recall(*four)) <= 0).all()
    assert (np.diff(measures.specificity(*four)) >= 0).all()


@given(tables.filter(lambda c: c[3] > 0))
def test_f1_is_the_harmonic_mean_and_balanced_accuracy_bounds_g_mean(counts):
    one, other = measures.recall(*counts), measures.precision(*counts)
    np.testing.assert_allclose(measures.f_beta(*counts), 2 * one * other / (one + other), rtol=1e-12)
    if counts[0] + counts[1]:
        assert measures.g_mean(*counts) <= measures.balanced_accuracy(*counts) + 1e-15


# ------------------------------------------------------------------------------------------------------ score measures


def test_ranking_measures_are_scikit_learns(sample):
    y, p = sample
    assert measures.average_precision(y, p) == pytest.approx(sk.average_precision_score(y, p), rel=0, abs=1e-12)
    assert measures.roc_auc(y, p) == pytest.approx(sk.roc_auc_score(y, p), rel=0, abs=1e-12)
    precision, recall, _ = sk.precision_recall_curve(y, p)
    for level in (0.1, 0.5, 0.9, 1.0):
        reached = recall[:-1][precision[:-1] >= level]
        assert measures.recall_at_precision(y, p, level) == pytest.approx(reached.max(initial=0.0), rel=0, abs=1e-12)


def test_probability_measures_are_scikit_learns(sample):
    y, p = sample
    assert measures.brier(y, p) == pytest.approx(sk.brier_score_loss(y, p), rel=0, abs=1e-12)
    assert measures.log_loss(y, p) == pytest.approx(sk.log_loss(y, p), rel=0, abs=1e-12)


@pytest.mark.parametrize("only", [0, 1])
def test_probability_measures_are_defined_with_one_class(only):
    p = np.array([0.0, 1e-20, 0.3, 1.0])
    y = np.full(4, only)
    assert measures.brier(y, p) == pytest.approx(sk.brier_score_loss(y, p, labels=[0, 1]), rel=0, abs=1e-12)
    assert measures.log_loss(y, p) == pytest.approx(sk.log_loss(y, p, labels=[0, 1]), rel=0, abs=1e-12)


@given(rankings(max_size=15))
def test_roc_auc_counts_pairs(ranking):
    y, p = ranking
    won = [(a > b) + (a == b) / 2 for a in p[y == 1] for b in p[y == 0]]
    assert measures.roc_auc(y, p) == pytest.approx(np.mean(won), rel=0, abs=1e-12)
    assert measures.roc_auc(y, -p) == pytest.approx(1 - np.mean(won), rel=0, abs=1e-12)


def test_a_constant_score_ranks_at_chance():
    y = np.array([0, 1, 0, 0, 1, 0, 0, 0, 0, 0])
    p = np.full(10, 0.3)
    assert measures.average_precision(y, p) == measures.precision_at(y, p, 0.25) == pytest.approx(0.2, abs=1e-15)
    assert measures.roc_auc(y, p) == 0.5
    assert measures.recall_at(y, p, 0.25) == pytest.approx(0.25, abs=1e-15)
    assert measures.recall_at_precision(y, p, 0.9) == 0.0


RANKING = {
    "average_precision": measures.average_precision,
    "roc_auc": measures.roc_auc,
    "recall_at": lambda y, p: measures.recall_at(y, p, 0.13),
    "precision_at": lambda y, p: measures.precision_at(y, p, 0.13),
    "recall_at_precision": lambda y, p: measures.recall_at_precision(y, p, 0.6),
}


@pytest.mark.sampled(3)
@pytest.mark.parametrize("name", RANKING)
@given(ranking=rankings(), seed=st.integers(0, 99))
def test_a_ranking_measure_reads_the_ranking_alone(name, ranking, seed):
    y, p = ranking
    value = RANKING[name](y, p)
    assert RANKING[name](y, p**3 + p) == value
    assert RANKING[name](y, 40 * p - 30) == value
    order = np.random.default_rng(seed).permutation(len(y))
    assert RANKING[name](y[order], p[order]) == value
    assert RANKING[name](y.astype(bool), p) == value
    assert 0 <= value <= 1


@pytest.mark.parametrize("name", RANKING)
def test_a_ranking_measure_without_positives_is_undefined(name):
    y, p = np.zeros(6, dtype=int), np.arange(6.0)
    assert np.isnan(RANKING[name](y, p))
    assert np.isnan(RANKING[name](1 - y, p)) == (name == "roc_auc")


@given(rankings(max_size=6), st.floats(0.01, 1))
def test_the_alert_desk_is_the_mean_over_every_order_of_tied_rows(ranking, share):
    y, p = ranking
    desk = share * len(y)
    whole, part = int(desk), desk - int(desk)
    caught = []
    for order in itertools.permutations(range(len(y))):
        if all(p[a] >= p[b] for a, b in itertools.pairwise(order)):
            ranked = y[list(order)]
            caught.append(ranked[:whole].sum() + (part * ranked[whole] if part else 0))
    assert measures.recall_at(y, p, share) == pytest.approx(np.mean(caught) / y.sum(), rel=0, abs=1e-12)
    assert measures.precision_at(y, p, share) == pytest.approx(np.mean(caught) / desk, rel=0, abs=1e-12)


def test_the_alert_desk_takes_its_last_row_in_part():
    y, p = np.array([0, 1, 1, 0]), np.array([0.4, 0.9, 0.6, 0.2])
    assert measures.recall_at(y, p, 0.375) == 0.75  # one row and a half: 1 + 0.5 of 2 positives
    assert measures.precision_at(y, p, 0.375) == 1.0
    assert measures.recall_at(y, p, 1) == 1.0
    assert measures.precision_at(y, p, 1.0) == 0.5


def test_a_precision_that_is_the_level_reaches_it():
    for hundredths in range(1, 101):
        y = np.repeat([1, 0], [hundredths, 100 - hundredths])
        assert measures.recall_at_precision(y, np.full(100, 0.5), hundredths / 100) == 1.0
