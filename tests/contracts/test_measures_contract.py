"""What every measure of conf/measures promises, whatever it computes."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from imblab.core import measures
from imblab.edges.ledger.record_files import CLASS_RANGES
from imblab.stats.counts import confusion_matrices
from imblab.study import Measure

CONF = Path(__file__).parents[2] / "conf"


def load(path):
    ((name, raw),) = yaml.safe_load(path.read_text()).items()
    return Measure(name, **{**raw, "range": tuple(raw["range"])})


FILES = sorted((CONF / "measures").glob("*.yaml"))
MEASURES = [load(path) for path in FILES]
#: Measures that a study or a rescoring names, with their parameters where they have any.
BY_REQUEST = {"recall_min", "precision_at_prevalence", "expected_cost", "amount_cost"}
every = pytest.mark.parametrize("measure", MEASURES, ids=lambda m: m.name)


def rows(seed, n=400, share=0.05):
    rng = np.random.default_rng(seed)
    y = (rng.random(n) < share).astype(np.int64)
    y[:2] = [0, 1]
    p = np.clip(rng.beta(1, 4, n) + 0.3 * y, 0, 1)
    return [(y, p), (y, np.round(p, 1)), (y, np.full(n, 0.5)), (y, p * 1e-3), (y, 1.0 - y), (y, y.astype(float))]


def value(measure, y, p, threshold=0.5, probability=True):
    return measures.score_predictions([measure], y, p, threshold, probability, np.full(len(y), 50.0))[0][measure.name]


def test_the_measures_that_are_asked_for_are_there_and_scored_by_default():
    asked = {
        *("mcc", "pr_auc", "recall", "precision", "f1", "f2", "specificity", "g_mean", "balanced_accuracy", "accuracy"),
        *("accuracy_baseline", "roc_auc", "brier", "log_loss"),
        *("recall_at_1pct", "precision_at_1pct", "recall_at_precision_90"),
    }
    defaults = yaml.safe_load((CONF / "config.yaml").read_text())["defaults"]
    by_default = next(entry["measures"] for entry in defaults if isinstance(entry, dict) and "measures" in entry)
    assert set(by_default) == asked
    assert {m.name for m in MEASURES} - asked == BY_REQUEST


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_holds_the_one_measure_of_its_name_in_full(path):
    ((name, raw),) = yaml.safe_load(path.read_text()).items()
    assert name == path.stem
    assert set(raw) == {"function", "needs", "greater_is_better", "range", "reference", "parameters"}
    assert raw["needs"] in ("label", "probability", "score", "amount")
    assert raw["reference"].strip()
    assert raw["greater_is_better"] is (name not in ("brier", "log_loss", "expected_cost", "amount_cost"))


@every
def test_the_value_lies_in_the_declared_range(measure):
    low, high = (b if b is not None else np.inf for b in measure.range)
    for y, p in rows(1) + rows(2, n=37, share=0.5) + rows(3, n=10, share=0.9):
        for threshold in (0.0, 0.1, 0.5, 1.0, 1.1):
            found = value(measure, y, p, threshold)
            assert found is None or low <= found <= high


@every
def test_with_both_classes_only_precision_without_calls_is_undefined(measure):
    for y, p in rows(4):
        for threshold in (0.0, 0.5, 1.1):
            silent = not (p >= threshold).any()
            assert (value(measure, y, p, threshold) is None) == (
                measure.name.startswith("precision") and measure.needs == "label" and silent
            )


NO_POSITIVES = {
    "recall",
    "g_mean",
    "recall_min",
    "balanced_accuracy",
    "pr_auc",
    "roc_auc",
    "recall_at_1pct",
    "precision_at_1pct",
    "recall_at_precision_90",
    "precision_at_prevalence",
}
NO_NEGATIVES = {"specificity", "g_mean", "recall_min", "balanced_accuracy", "roc_auc", "precision_at_prevalence"}


@pytest.mark.parametrize(
    ("label", "threshold", "undefined"),
    [
        (0, 0.5, NO_POSITIVES),
        (0, 1.1, NO_POSITIVES | {"precision", "f1", "f2"}),
        (1, 0.5, NO_NEGATIVES),
        (1, 1.1, NO_NEGATIVES | {"precision"}),
    ],
)
def test_a_measure_without_its_denominator_class_is_null(label, threshold, undefined):
    p = np.linspace(0, 1, 50)
    scores, _ = measures.score_predictions(MEASURES, np.full(50, label), p, threshold, True, np.arange(50.0))
    assert {name for name, found in scores.items() if found is None} == undefined
    assert all(np.isfinite(found) for found in scores.values() if found is not None)


@every
def test_a_perfect_prediction_reaches_the_better_end_and_none_beats_it(measure):
    y = np.zeros(1000, dtype=np.int64)
    y[np.random.default_rng(5).permutation(1000)[:10]] = 1  # as many as the alert desk sees
    best = value(measure, y, y.astype(np.float64))
    if measure.name == "accuracy_baseline":  # the only one that does not read the prediction
        assert best == 0.99
    else:
        end = measure.range[1] if measure.greater_is_better else measure.range[0]
        assert best == pytest.approx(end, rel=0, abs=0 if measure.needs != "probability" else 1e-15)
    sign = 1 if measure.greater_is_better else -1
    for p in (1.0 - y, np.full(1000, 0.5), np.random.default_rng(6).random(1000)):
        assert sign * value(measure, y, p) <= sign * best


@every
def test_the_order_of_rows_changes_nothing(measure):
    for y, p in rows(7):
        order = np.random.default_rng(8).permutation(len(y))
        expected = value(measure, y, p)
        found = value(measure, y[order], p[order])
        # Sums of floats depend on their order in the last bits; counts and ranks do not.
        assert found == (pytest.approx(expected, rel=1e-13) if measure.needs == "probability" else expected)


@every
def test_scores_that_are_no_probabilities_are_judged_where_none_is_needed(measure):
    y, p = rows(9)[0]
    found = value(measure, y, p, probability=False)
    assert found == (None if measure.needs == "probability" else value(measure, y, p))


@every
def test_a_measure_of_counts_scores_many_cuts_at_once(measure):
    y, p = rows(10)[0]
    if not measures.is_counted(measure):
        read = (y, p >= 0.5, p) if measure.needs == "amount" else (y, p)
        assert isinstance(measures.function_of(measure)(*read), float)
        return
    cuts = np.array([[0.1, 0.5], [0.3, 0.9]])
    counts = measures.counts_at(y, p, cuts)
    values = measures.function_of(measure)(counts.tn, counts.fp, counts.fn, counts.tp)
    assert values.shape == (2, 2)
    for place in np.ndindex(2, 2):
        single = value(measure, y, p, cuts[place])
        np.testing.assert_equal(values[place], np.nan if single is None else single)


# ------------------------------------------------------------------------------------------- more than two classes

COSTS = [[0, 1, 2, 3], [4, 0, 1, 1], [5, 1, 0, 1], [9, 2, 1, 0]]
OF_CLASSES = [
    replace(m, parameters={"costs": COSTS}) if m.name == "expected_cost" else m
    for m in MEASURES
    if m.name == "expected_cost" or measures.two_classes_only_reason(m) is None
]
of_classes = pytest.mark.parametrize("measure", OF_CLASSES, ids=lambda m: m.name)


def class_rows(seed, counts=(120, 50, 20, 10)):
    """Labels of four classes with probabilities that know them, are tied, know nothing, are right and are wrong."""
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.repeat(np.arange(4), counts))
    p = np.exp(rng.normal(size=(len(y), 4)) + np.eye(4)[y])
    p /= p.sum(axis=1, keepdims=True)
    return y, [p, np.round(p, 1), np.full_like(p, 0.25), np.eye(4)[y], np.eye(4)[(y + 1) % 4]]


def class_value(measure, y, p, probability=True):
    """The value over all classes, and those by class."""
    matrix = confusion_matrices(y, p.argmax(axis=1), 4)
    scores, by_class = measures.score_class_predictions([measure], y, p, matrix, probability)
    return scores[measure.name], by_class.get(measure.name, ())


def test_measures_of_one_positive_class_are_null_with_more_and_no_others():
    y, (p, *_) = class_rows(1)
    left_out = {m.name for m in MEASURES} - {m.name for m in OF_CLASSES}
    assert left_out == {
        *("recall_at_1pct", "precision_at_1pct", "recall_at_precision_90", "precision_at_prevalence", "amount_cost")
    }
    for measure in MEASURES:
        if measure.name in left_out:
            assert class_value(measure, y, p) == (None, ())


@of_classes
def test_the_value_of_several_classes_lies_in_the_declared_range(measure):
    low, high = (b if b is not None else np.inf for b in measure.range)
    low, high = CLASS_RANGES.get(measure.function, (low, high))
    for seed, counts in enumerate([(120, 50, 20, 10), (5, 5, 5, 5), (40, 1, 1, 1)]):
        y, predictions = class_rows(seed, counts)
        for p in predictions:
            found, by_class = class_value(measure, y, p)
            assert all(low <= v <= high for v in (found, *by_class) if v is not None)
            assert found is not None or None in by_class


@of_classes
def test_a_perfect_prediction_of_several_classes_reaches_the_better_end_and_none_beats_it(measure):
    y, predictions = class_rows(3)
    values = [class_value(measure, y, p)[0] for p in predictions]
    if measure.name == "accuracy_baseline":
        assert set(values) == {120 / 200}
        return
    end = measure.range[1] if measure.greater_is_better else measure.range[0]
    assert values[3] == pytest.approx(end, rel=0, abs=0 if measure.needs != "probability" else 1e-15)
    sign = 1 if measure.greater_is_better else -1
    assert all(sign * v < sign * values[3] for v in (*values[:3], values[4]))


@of_classes
def test_the_order_of_rows_of_several_classes_changes_nothing(measure):
    y, predictions = class_rows(5)
    order = np.random.default_rng(8).permutation(len(y))
    for p in predictions:
        expected, found = class_value(measure, y, p), class_value(measure, y[order], p[order])
        if measure.needs == "probability":  # sums of floats depend on their order in the last bits
            assert found == (pytest.approx(expected[0], rel=1e-13), expected[1])
        else:
            assert found == expected


@of_classes
def test_scores_of_several_classes_that_are_no_probabilities_are_judged_where_none_is_needed(measure):
    y, (p, *_) = class_rows(6)
    found = class_value(measure, y, p, probability=False)
    assert found == ((None, ()) if measure.needs == "probability" else class_value(measure, y, p))


@of_classes
def test_a_measure_of_several_classes_scores_many_confusion_matrices_at_once(measure):
    if not measures.is_counted(measure):
        assert measure.needs in ("score", "probability")
        return
    y, predictions = class_rows(7)
    matrices = confusion_matrices(y, np.stack([p.argmax(axis=1) for p in predictions[:4]]).reshape(2, 2, -1), 4)
    values = measures.class_function_of(measure)(matrices)
    assert values.shape == (2, 2)
    for place, p in zip(np.ndindex(2, 2), predictions, strict=False):
        single, by_class = class_value(measure, y, p)
        np.testing.assert_equal(values[place], np.nan if single is None else single)
        if by_class:
            listed = measures._per_class_function_of(measure)(matrices)[place].tolist()
            assert [None if np.isnan(v) else v for v in listed] == list(by_class)


#: Without rows of a class these are null; all others are of the rows that there are.
NULL_WITHOUT_A_CLASS = {"recall", "f2", "f1", "g_mean", "recall_min", "balanced_accuracy", "pr_auc", "roc_auc"}


@of_classes
def test_a_measure_of_several_classes_without_rows_of_a_class_is_null(measure):
    y, (p, *_) = class_rows(9)
    y, p = y[y != 3], p[y != 3]
    p[:, 3] = 0
    found, by_class = class_value(measure, y, p)
    assert (found is None) == (measure.name in NULL_WITHOUT_A_CLASS)
    assert by_class == () or (by_class[3] is None) == (measure.name in {*NULL_WITHOUT_A_CLASS, "precision"})
    assert None not in by_class[:3]


@of_classes
def test_with_two_classes_the_form_for_several_has_the_value_of_the_form_for_two(measure):
    """But for those that are a mean over classes there, of the positive class here, or a sum of squares."""
    if measure.name == "expected_cost":
        measure = replace(measure, parameters={"costs": [[0, 1], [10, 0]]})
        two = replace(measure, parameters={"costs": {"fn": 10, "fp": 1}})
    else:
        two = measure
    y, p = rows(11)[0]
    both = np.column_stack([1 - p, p])
    matrix = confusion_matrices(y, (p >= 0.5).astype(int), 2)
    scores, by_class = measures.score_class_predictions([measure], y, both, matrix, True)
    expected = value(two, y, p)
    of_all = scores[measure.name] / (2 if measure.name == "brier" else 1)
    found = by_class[measure.name][1] if by_class else of_all
    assert found == pytest.approx(expected, rel=1e-12)
