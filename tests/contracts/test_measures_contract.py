"""What every measure of conf/measures promises, whatever it computes."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from imblab.core import measures
from imblab.study import Measure

CONF = Path(__file__).parents[2] / "conf"


def load(path):
    ((name, raw),) = yaml.safe_load(path.read_text()).items()
    return Measure(name, **{**raw, "range": tuple(raw["range"])})


FILES = sorted((CONF / "measures").glob("*.yaml"))
MEASURES = [load(path) for path in FILES]
#: Measures whose parameters a study or a rescoring says.
BY_REQUEST = {"precision_at_prevalence", "expected_cost", "amount_cost"}
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
    "balanced_accuracy",
    "pr_auc",
    "roc_auc",
    "recall_at_1pct",
    "precision_at_1pct",
    "recall_at_precision_90",
    "precision_at_prevalence",
}
NO_NEGATIVES = {"specificity", "g_mean", "balanced_accuracy", "roc_auc", "precision_at_prevalence"}


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
