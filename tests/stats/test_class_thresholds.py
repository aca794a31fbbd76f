"""Thresholds of several classes: the fast search equals a plain loop bit for bit; laws of the decision."""

from functools import partial

import numpy as np
import pytest
from hypothesis import example, given, settings, strategies as st
from sklearn import metrics as sk

from imblab.stats import counts, probabilities

HUNDREDTHS = tuple(i / 100 for i in range(1, 100))
MEASURES = {
    "mcc": (counts.class_mcc, True),
    "recall": (counts.macro_recall, True),
    "precision": (counts.macro_precision, True),
    "f1": (partial(counts.macro_of_counts, function=counts.f_beta), True),
    "undefined at first": (partial(counts.macro_of_counts, function=counts.precision), True),
    "accuracy_loss": (lambda matrices: 1 - counts.class_accuracy(matrices), False),
}


@st.composite
def samples(draw):
    """Rows of several classes; probabilities on a coarse lattice tie with each other and with products of factors."""
    n_classes, n_rows = draw(st.integers(2, 6)), draw(st.integers(6, 30))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    y = np.minimum(rng.geometric(0.4, n_rows) - 1, n_classes - 1)
    y[:n_classes] = np.arange(n_classes)
    values = rng.dirichlet(np.full(n_classes, 0.7), n_rows) + 0.5 * np.eye(n_classes)[y]
    kind = draw(st.sampled_from(["fine", "tenths", "logistic", "zeros", "products"]))
    if kind == "tenths":
        values = np.round(values, 1)
    elif kind == "logistic":
        values = 1 / (1 + np.exp(-8 * (values - 0.5)))
    elif kind == "zeros":
        values = np.where(values < 0.3, 0.0, values)
    elif kind == "products":  # ties that only the factor of a threshold of the grid makes, but for rounding
        values = 1 / probabilities._class_multipliers(rng.choice(HUNDREDTHS, values.shape))
        values = np.where(rng.random(values.shape) < 0.5, 1.0, values)
    return y, values


@st.composite
def grids(draw):
    grid = draw(st.sampled_from([HUNDREDTHS, (0.5,), (0.2, 0.5, 0.8), tuple(i / 10 for i in range(1, 10))]))
    extra = draw(st.lists(st.floats(1e-6, 1 - 1e-6), max_size=3))
    return tuple(sorted({*grid, *extra}))


def decide_row(row, thresholds):
    """The class of the largest product, by the rule as it is written."""
    products = [(1 - t) / t * p for t, p in zip(thresholds, row, strict=True)]
    return max(c for c, product in enumerate(products) if product == max(products))


def plain_matrix(y, values, thresholds):
    matrix = np.zeros((values.shape[1],) * 2, dtype=np.int64)
    for true, row in zip(y.tolist(), values.tolist(), strict=True):
        matrix[true, decide_row(row, thresholds)] += 1
    return matrix


def plain_search(y, values, grid, measure, greater_is_better=True, bound=None):
    """The search as a plain loop over rounds, classes, thresholds and rows."""

    def score(thresholds):
        matrix = plain_matrix(y, values, thresholds)
        if bound is not None:
            name, c, level = bound
            of = matrix[c].sum() if name == "recall" else matrix[:, c].sum()
            if not (of and matrix[c, c] / of >= level):
                return None
        value = float(measure(matrix)) * (1 if greater_is_better else -1)
        return None if np.isnan(value) else value

    thresholds = [0.5] * values.shape[1]
    best = score(thresholds)
    for _ in range(10):
        before = best
        for c in range(len(thresholds)):
            scores = {t: score([*thresholds[:c], t, *thresholds[c + 1 :]]) for t in grid}
            known = {t: value for t, value in scores.items() if value is not None}
            if known:
                tied = [t for t, value in known.items() if max(known.values()) - value <= 1e-12]
                thresholds[c] = min(tied, key=lambda t: (round(abs(t - 0.5), 12), t))
                best = known[thresholds[c]]
        if best is None or (before is not None and best - before <= 1e-12):
            break
    return None if best is None else (tuple(thresholds), float(measure(plain_matrix(y, values, thresholds))))


# ------------------------------------------------------------------------------------------------------- the decision


@given(samples(), st.data())
def test_a_row_is_decided_by_the_written_rule(sample, data):
    _, values = sample
    many = data.draw(st.lists(st.tuples(*[st.sampled_from(HUNDREDTHS)] * values.shape[1]), min_size=1, max_size=3))
    found = probabilities.decide_by_thresholds(values, many)
    assert found.tolist() == [[decide_row(row, thresholds) for row in values.tolist()] for thresholds in many]


@given(samples())
def test_one_half_everywhere_is_the_largest_probability_ties_to_the_rarer_class(sample):
    _, values = sample
    found = probabilities.decide_by_thresholds(values, [0.5] * values.shape[1])
    assert found.tolist() == [max(c for c, p in enumerate(row) if p == max(row)) for row in values.tolist()]


@given(samples(), st.data())
def test_lowering_a_threshold_moves_rows_into_its_class_only(sample, data):
    _, values = sample
    thresholds = np.array(data.draw(st.tuples(*[st.sampled_from(HUNDREDTHS)] * values.shape[1])))
    c = data.draw(st.integers(0, values.shape[1] - 1))
    lower = thresholds.copy()
    lower[c] *= 0.8
    before, after = (probabilities.decide_by_thresholds(values, t) for t in (thresholds, lower))
    assert (after[before == c] == c).all()
    assert (after[before != c] == before[before != c])[after[before != c] != c].all()


@given(st.lists(st.floats(0.001, 0.999), min_size=1, max_size=30), st.sampled_from(HUNDREDTHS))
def test_with_two_classes_it_is_the_comparison_with_the_threshold_but_for_rounding(proba, threshold):
    p = np.array(proba)
    thresholds = probabilities.repeat_threshold(threshold, 2)
    found = probabilities.decide_by_thresholds(np.column_stack([1 - p, p]), thresholds)
    apart = np.abs(p - threshold) > 1e-12
    assert (found[apart] == (p >= threshold)[apart]).all()


@pytest.mark.parametrize("threshold", [0.0, 1.0, -0.1, 1.5, float("nan"), 5e-324])
def test_a_threshold_outside_the_open_interval_is_refused(threshold):
    with pytest.raises(ValueError, match=r"thresholds is .*; a threshold of a class must lie in \(0, 1\)"):
        probabilities._class_multipliers([0.5, threshold])


@given(samples(), st.integers(0, 1000))
def test_the_decision_of_least_expected_cost_is_that_of_a_loop(sample, seed):
    _, values = sample
    n_classes = values.shape[1]
    costs = np.random.default_rng(seed).integers(0, 4, (n_classes, n_classes)).astype(float)
    expected = []
    for row in values.tolist():
        risks = [sum(p * costs[i][j] for i, p in enumerate(row)) for j in range(n_classes)]
        expected.append(max(j for j, risk in enumerate(risks) if risk == min(risks)))
    assert probabilities.decide_by_costs(values, costs.tolist()).tolist() == expected


@given(samples(), st.integers(0, 1000))
def test_equal_costs_of_all_mistakes_decide_for_the_largest_probability(sample, seed):
    _, values = sample
    n_classes = values.shape[1]
    found = probabilities.decide_by_costs(values, 1 - np.eye(n_classes))
    np.testing.assert_allclose(values[np.arange(len(values)), found], values.max(axis=1), atol=1e-12)
    # Costs of a missed class are thresholds: its factor, with a factor of 1 for the others.
    rng = np.random.default_rng(seed)
    worth = rng.uniform(0.2, 5, n_classes)
    by_costs = probabilities.decide_by_costs(values, worth[:, None] * (1 - np.eye(n_classes)))
    by_thresholds = probabilities.decide_by_thresholds(values, 1 / (1 + worth))
    weighted = values * worth
    np.testing.assert_allclose(
        *(weighted[np.arange(len(values)), d] for d in (by_costs, by_thresholds)), rtol=1e-12, atol=1e-12
    )


# ---------------------------------------------------------------------------------------------------------- the sweep


@given(samples(), grids(), st.data())
def test_a_sweep_counts_the_decisions_at_every_threshold(sample, grid, data):
    y, values = sample
    n_classes = values.shape[1]
    c = data.draw(st.integers(0, n_classes - 1))
    thresholds = list(data.draw(st.tuples(*[st.sampled_from(grid)] * n_classes)))
    found = probabilities._sweep_class_threshold(y, values, thresholds, c, np.array(grid))
    expected = [plain_matrix(y, values, [*thresholds[:c], t, *thresholds[c + 1 :]]) for t in grid]
    np.testing.assert_array_equal(found, expected)


def test_products_that_tie_only_by_rounding_are_compared_as_the_decision_does():
    """For thousands of rows next to a tie, one bit below and above it."""
    rng = np.random.default_rng(0)
    grid = np.array(HUNDREDTHS)
    factors = probabilities._class_multipliers(grid)
    own = rng.uniform(0.01, 1, 3000)
    rival = own * rng.choice(factors, 3000)
    kind = rng.integers(0, 3, 3000)
    rival = np.select([kind == 0, kind == 1], [np.nextafter(rival, 0), rival], np.nextafter(rival, 99))
    y = rng.integers(0, 3, 3000)
    for c in (0, 2):  # ties are lost and won
        columns = np.zeros((3000, 3))
        columns[:, c], columns[:, 1] = own, rival
        found = probabilities._sweep_class_threshold(y, columns, [0.5] * 3, c, grid)
        many = np.full((99, 3), 0.5)
        many[:, c] = grid
        decided = probabilities.decide_by_thresholds(columns, many)
        np.testing.assert_array_equal(found, counts.confusion_matrices(y, decided, 3))


# --------------------------------------------------------------------------------------------------------- the search


@pytest.mark.sampled(2)
@pytest.mark.parametrize("name", MEASURES)
@settings(max_examples=40)
@given(sample=samples(), grid=grids())
def test_the_search_equals_a_plain_loop_bit_for_bit(name, sample, grid):
    measure, greater = MEASURES[name]
    found = probabilities.choose_class_thresholds([sample], grid, measure, greater)
    expected = plain_search(*sample, grid, measure, greater)
    assert (None if found is None else (found.thresholds, found.value)) == expected


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_the_search_equals_a_loop_over_thresholds_for_a_thousand_rows(seed):
    rng = np.random.default_rng(seed)
    y = np.minimum(rng.geometric(0.35, 1000) - 1, 9)
    y[:10] = np.arange(10)
    values = np.exp(rng.normal(size=(1000, 10)) + 2 * np.eye(10)[y])
    values = np.round(values / values.sum(axis=1, keepdims=True), 2 + 4 * seed)
    thresholds, best = np.full(10, 0.5), -1.0
    for _ in range(10):
        before = best
        for c in range(10):
            scores = []
            for t in HUNDREDTHS:
                thresholds[c] = t
                decided = 9 - np.argmax((values * ((1 - thresholds) / thresholds))[:, ::-1], axis=1)
                scores.append(counts.class_mcc(counts.confusion_matrices(y, decided, 10)).item())
            tied = [i for i, score in enumerate(scores) if max(scores) - score <= 1e-12]
            index = min(tied, key=lambda i: (abs(i - 49), i))
            thresholds[c], best = HUNDREDTHS[index], scores[index]
        if best - before <= 1e-12:
            break
    found = probabilities.choose_class_thresholds([(y, values)], HUNDREDTHS, counts.class_mcc)
    assert found.thresholds == tuple(thresholds.tolist())
    assert found.value == best


@settings(max_examples=60)
@given(samples(), st.sampled_from(["recall", "precision"]), st.sampled_from([0.3, 0.5, 0.8, 1.0]), st.data())
def test_a_bounded_search_equals_a_plain_loop_and_keeps_its_bound(sample, name, level, data):
    y, values = sample
    c = data.draw(st.integers(0, values.shape[1] - 1))
    grid = tuple(i / 10 for i in range(1, 10))
    bound = probabilities.ClassBound(getattr(counts, name), c, level)
    found = probabilities.choose_class_thresholds([sample], grid, counts.class_mcc, bound=bound)
    expected = plain_search(y, values, grid, counts.class_mcc, bound=(name, c, level))
    assert (None if found is None else (found.thresholds, found.value)) == expected
    if found is not None:
        decided = probabilities.decide_by_thresholds(values, found.thresholds)
        witness = {"recall": sk.recall_score, "precision": sk.precision_score}[name]
        assert witness(y == c, decided == c) >= level


@given(samples(), st.integers(0, 1000))
def test_the_search_does_not_depend_on_the_order_of_rows_nor_on_their_folds(sample, seed):
    y, values = sample
    rows = np.random.default_rng(seed).permutation(len(y))
    parts = [(y[part], values[part]) for part in np.array_split(rows, 3)]
    one = probabilities.choose_class_thresholds([sample], HUNDREDTHS, counts.class_mcc)
    assert probabilities.choose_class_thresholds(parts, HUNDREDTHS, counts.class_mcc) == one


#: The last round moves a threshold between tied values, after which another one can be improved.
MOVED_LAST = np.array(
    [
        [0.50594041, 0.0631333, 0.36171445, 0.03851382, 0.53069802],
        [0.11074642, 0.80243317, 0.11318632, 0.39347766, 0.08015643],
        [0.42808896, 0.05124813, 0.54368535, 0.04696691, 0.43001066],
        [0.27763947, 0.62995933, 0.05606539, 0.50750334, 0.02883247],
        [0.46472864, 0.00548094, 0.03712986, 0.20574493, 0.78691562],
        [0.31893164, 0.00461876, 0.28369564, 0.35746064, 0.53529332],
        [0.06836683, 0.73078499, 0.18817782, 0.18426989, 0.32840048],
        [0.46682482, 0.16870416, 0.51507649, 0.29201116, 0.05738337],
        [0.67651666, 0.50434054, 0.00191418, 0.30269897, 0.01452965],
        [0.01840489, 0.2762842, 0.11581122, 0.14902599, 0.94047369],
        [0.22480758, 0.12853313, 0.28549842, 0.60738712, 0.25377376],
        [0.51424685, 0.31171907, 0.32186544, 0.15990032, 0.19226832],
        [0.01126197, 0.00381702, 0.06735933, 1.37738399, 0.0401777],
    ]
)
MOVED_LAST_LABELS = np.array([0, 1, 2, 3, 4, 4, 1, 2, 1, 4, 3, 0, 3])


def moved_last(sample, measure, found):
    """Whether the last round of a search moved a threshold."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(probabilities, "MAX_ASCENT_ROUNDS", found.n_rounds - 1)
        before = probabilities.choose_class_thresholds([sample], HUNDREDTHS, measure)
    return before.thresholds != found.thresholds


def test_a_last_round_may_move_between_tied_values():
    sample = MOVED_LAST_LABELS, MOVED_LAST
    found = probabilities.choose_class_thresholds([sample], HUNDREDTHS, counts.class_mcc)
    assert found.n_rounds == 2
    assert moved_last(sample, counts.class_mcc, found)
    swept = [probabilities._sweep_class_threshold(*sample, found.thresholds, c, np.array(HUNDREDTHS)) for c in range(5)]
    assert max(np.nanmax(counts.class_mcc(each)) for each in swept) > found.value


@example((MOVED_LAST_LABELS, MOVED_LAST), "mcc")
@given(samples(), st.sampled_from(["mcc", "recall", "f1"]))
def test_the_result_is_a_local_optimum_no_worse_than_the_largest_probability(sample, name):
    y, values = sample
    measure, _ = MEASURES[name]
    found = probabilities.choose_class_thresholds([sample], HUNDREDTHS, measure)
    assert found is not None
    start = float(measure(plain_matrix(y, values, [0.5] * values.shape[1])))
    assert found.value >= start - 1e-11
    if found.n_rounds < probabilities.MAX_ASCENT_ROUNDS and not moved_last(sample, measure, found):
        for c in range(values.shape[1]):
            swept = probabilities._sweep_class_threshold(y, values, found.thresholds, c, np.array(HUNDREDTHS))
            assert np.nanmax(measure(swept)) <= found.value + 1e-11


@example(np.array([0, 1, 2]))
@given(st.permutations([0, 0, 1, 1, 2]).map(np.array))
def test_ties_stay_at_one_half(y):
    values = np.eye(3)[y] * 0.4 + 0.2
    found = probabilities.choose_class_thresholds([(y, values)], HUNDREDTHS, counts.class_mcc)
    assert found == probabilities.ClassThresholdChoice((0.5, 0.5, 0.5), 1.0, 1)


def test_the_lower_of_two_equally_near_thresholds_is_taken():
    y = np.array([0, 0, 1])
    values = np.array([[0.45, 0.55], [0.45, 0.55], [0.6, 0.4]])
    found = probabilities.choose_class_thresholds([(y, values)], (0.3, 0.5, 0.7), counts.macro_recall)
    # At .5 each row is decided wrongly; t_0 of .3 and .7 decide for one class only, with a mean recall of .5.
    assert found.thresholds == (0.3, 0.5)
    assert found.value == 0.5
    y = np.array([0, 1])
    values = np.array([[0.5, 0.5], [0.5, 0.5]])
    loss = probabilities.choose_class_thresholds(
        [(y, values)], (0.4, 0.5, 0.6), lambda matrices: np.abs(matrices[..., 0, 0] - 0.5), False
    )
    assert loss.thresholds == (0.5, 0.5)


def test_a_choice_at_the_edge_of_the_grid_is_marked_by_its_class():
    y = np.array([0] * 6 + [1, 2])
    values = np.column_stack([np.full(8, 0.98), np.full(8, 0.005), np.full(8, 0.005)])
    values[6] = [0.97, 0.02, 0.01]
    values[7] = [0.97, 0.01, 0.02]
    found = probabilities.choose_class_thresholds([(y, values)], (0.02, 0.1, 0.5, 0.9, 0.98), counts.macro_recall)
    assert found.value == 1.0
    assert found.at_edge == tuple(c for c, t in enumerate(found.thresholds) if t in (0.02, 0.98))
    assert found.at_edge


def test_a_grid_without_one_half_is_refused():
    sample = (np.array([0, 1]), np.eye(2))
    with pytest.raises(ValueError, match=r"grid holds 2 thresholds without 0\.5; .* Add 0\.5 to it"):
        probabilities.choose_class_thresholds([sample], (0.2, 0.8), counts.class_mcc)
    with pytest.raises(ValueError, match="must lie in"):
        probabilities.choose_class_thresholds([sample], (0.0, 0.5), counts.class_mcc)


def test_class_0_is_moved_so_that_all_others_can_move_together():
    """Three sparse classes, each below the frequent one: a single step of class 0 frees them all."""
    y = np.array([0] * 20 + [1, 2, 3])
    values = np.full((23, 4), 0.02)
    values[:20, 0] = 0.94
    for row, c in ((20, 1), (21, 2), (22, 3)):
        values[row, [0, c]] = 0.6, 0.36
    found = probabilities.choose_class_thresholds([(y, values)], HUNDREDTHS, counts.class_mcc)
    assert found.value == 1.0
    assert found.thresholds[0] > 0.5
    assert found.thresholds[1:] == (0.5, 0.5, 0.5)


@given(samples(), st.integers(1, 3))
def test_an_undefined_measure_has_no_choice(sample, n_folds):
    parts = [sample] * n_folds
    found = probabilities.choose_class_thresholds(
        parts, HUNDREDTHS, lambda matrices: np.full(matrices.shape[:-2], np.nan)
    )
    assert found is None
