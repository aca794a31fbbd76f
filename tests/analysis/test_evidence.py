"""Evidence: what is kept makes curves, areas and counts exact, in one order, whichever was gathered first."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings, strategies as st
from sklearn.metrics import average_precision_score, brier_score_loss, precision_recall_curve, roc_auc_score, roc_curve

from imblab.analysis import evidence
from imblab.analysis.evidence import FoldPredictions
from imblab.stats.counts import counts_at
from imblab.stats.curves import HUNDREDTHS, FoldCounts

GROUP = ("yeast4", "logistic", "smote", 0)
VALUES = st.one_of(
    st.floats(0, 1), st.integers(0, 100).map(lambda i: i / 100), st.floats(0, 1).map(lambda v: round(v, 3))
)
ROWS = st.lists(st.tuples(st.booleans(), VALUES), min_size=2, max_size=60)


def arrays(rows):
    y = np.array([int(label) for label, _ in rows])
    y[0], y[-1] = 0, 1
    return y, np.array([value for _, value in rows])


def sample(seed, n=400, share=0.1, digits=None, fold=0):
    rng = np.random.default_rng(seed)
    y = (rng.random(n) < share).astype(np.int64)
    y[:2] = [0, 1]
    p = np.clip(rng.beta(1, 4, n) + 0.3 * y * rng.random(n), 0, 1)
    return FoldPredictions(fold, y, p if digits is None else np.round(p, digits), share)


def built(*parts, group=GROUP, whole=True):
    return evidence.build_frame([(group, parts, whole)])


@settings(max_examples=50)
@given(ROWS)
def test_areas_and_counts_are_exact(rows):
    y, p = arrays(rows)
    frame = built(FoldPredictions(0, y, p, 0.1))
    found = evidence.areas(frame).iloc[0]
    assert found.pr_auc == pytest.approx(average_precision_score(y, p), rel=1e-12)
    assert found.roc_auc == pytest.approx(roc_auc_score(y, p), rel=1e-12)
    at = evidence.confusion_table(frame)
    expected = counts_at(y, p, np.array(HUNDREDTHS))
    for name in ("tn", "fp", "fn", "tp"):
        assert at[name].tolist() == getattr(expected, name).tolist()


@settings(max_examples=50)
@given(ROWS)
def test_a_shortened_threshold_calls_the_same_rows(rows):
    y, p = arrays(rows)
    counts = FoldCounts.from_predictions(y, p)
    for x, fp, tp in zip(counts.thresholds, counts.fp, counts.tp, strict=True):
        assert (fp, tp) == (np.sum((p >= x) & (y == 0)), np.sum((p >= x) & (y == 1)))
        assert x <= p[p >= x].min()


@pytest.mark.parametrize("digits", [None, 3, 2, 1])
def test_curves_hold_every_corner_of_scikit_learns(digits):
    part = sample(1, digits=digits)
    ((cell, counts),) = evidence.fold_counts(built(part))
    assert cell == ("yeast4", "logistic", "smote", 0, 0)
    found = pd.DataFrame({"recall": counts.tp / counts.positives, "fpr": counts.fp / counts.negatives})
    found["precision"] = counts.tp / (counts.tp + counts.fp)
    precision, recall, _ = precision_recall_curve(part.y, part.values, drop_intermediate=True)
    kept = set(zip(found.recall.round(12), found.precision.round(12), strict=True))
    gains = np.flatnonzero(np.diff(recall) < 0)  # where a step down in the threshold gained a positive
    assert {(round(recall[i], 12), round(precision[i], 12)) for i in gains} <= kept
    fpr, tpr, _ = roc_curve(part.y, part.values, drop_intermediate=True)
    found = pd.concat([pd.DataFrame({"fpr": [0.0], "recall": [0.0]}), found])
    for a, b in zip(fpr, tpr, strict=True):  # on a corner, or between two that gain no positive
        level = found.fpr[np.isclose(found.recall, b, rtol=0, atol=1e-12)]
        assert level.min() - 1e-12 <= a <= level.max() + 1e-12


def test_a_large_test_part_keeps_few_cuts():
    part = sample(2, n=50_000, share=0.01)
    found = evidence.select(built(part), "cut")
    assert len(found) <= 2 * part.y.sum() + 101
    assert np.all(np.diff(found.x) < 0)
    assert (found.y.iloc[-1], found.z.iloc[-1]) == (np.sum(part.y == 0), np.sum(part.y == 1))


def test_what_is_pooled():
    parts = [sample(seed, fold=seed, share=0.3) for seed in range(3)]
    frame = built(*parts)
    y, p = np.concatenate([x.y for x in parts]), np.concatenate([x.values for x in parts])
    found = evidence.select(frame, "calibration").set_index("name").x
    assert found["brier"] == pytest.approx(brier_score_loss(y, p), rel=1e-12)
    assert found["brier_skill"] == pytest.approx(1 - brier_score_loss(y, p) / np.mean((y - 0.3) ** 2), rel=1e-12)
    bins = evidence.select(frame, "bin")
    assert (bins.x.sum(), bins.z.sum()) == (len(y), y.sum())
    assert bins.y.sum() == pytest.approx(p.sum(), rel=1e-12)
    assert set(bins.fold) == {evidence.POOLED}
    assert evidence.select(frame, "prior").empty


def test_a_repeat_that_lacks_a_fold_is_not_pooled():
    frame = built(sample(0), whole=False)
    assert set(frame.kind) == {"cut", "chance"}


def test_scores_that_are_no_risks_are_not_judged_as_risks():
    part = sample(0)
    frame = built(FoldPredictions(0, part.y, part.values, 0.1, is_probability=False))
    assert set(frame.kind) == {"cut", "chance"}


def test_prior_and_synthetic_where_they_apply():
    part = sample(0)
    frame = built(
        FoldPredictions(
            0, part.y, part.values, 0.1, corrected=part.values / 2, synthetic={"nearer_to_majority": (0.25, 80)}
        )
    )
    prior = evidence.select(frame, "prior", name="brier")
    assert prior.x.item() == pytest.approx(brier_score_loss(part.y, part.values / 2), rel=1e-12)
    rows = evidence.select(frame, "synthetic")
    assert rows[["name", "x", "y"]].to_numpy().tolist() == [["nearer_to_majority", 0.25, 80.0]]


def class_sample(seed, n=600, n_classes=4, fold=0):
    rng = np.random.default_rng(seed)
    y = np.append(np.arange(n_classes), rng.choice(n_classes, n - n_classes, p=[0.7, 0.2, 0.08, 0.02]))
    values = np.round(rng.dirichlet(np.full(n_classes, 0.5), n) + 0.5 * np.eye(n_classes)[y] * rng.random((n, 1)), 3)
    return FoldPredictions(fold, y, values, math.nan, synthetic={"3": (0.5, 40)})


def test_precision_of_each_class_is_that_of_its_curve_at_the_kept_recalls():
    part = class_sample(0)
    frame, recalls = built(part), np.array(evidence.CLASS_RECALLS)
    assert set(frame.kind) == {"class_cut", "synthetic"}
    assert len(frame) <= 1 + 4 * (1 + len(recalls))
    of_folds = evidence.CountsOfFolds.from_frame(frame, "class_cut")
    classes = {int(c): of_folds[i] for i, (_, c) in enumerate(of_folds.cells)}
    assert list(classes) == [0, 1, 2, 3]
    for c, counts in classes.items():
        precision, recall, _ = precision_recall_curve(part.y == c, part.values[:, c])
        # The highest threshold that reaches a recall is the last point that does.
        last = [np.flatnonzero(recall >= r - 1e-9)[-1] for r in recalls]
        np.testing.assert_allclose(counts.precision_at_recall(recalls), precision[last], atol=1e-12)
        assert (counts.positives, counts.negatives) == (np.sum(part.y == c), np.sum(part.y != c))


def test_folds_of_several_classes_have_no_counts_of_two():
    frame = built(class_sample(0), class_sample(1, fold=1))
    assert evidence.areas(frame).empty
    assert evidence.folds_by_repeat(frame) == {GROUP: {0, 1}}
    assert evidence.invalid_reason(frame) is None
    odd = frame.assign(name=frame.name.astype("object").replace("2", "rare").astype("category"))
    assert evidence.invalid_reason(odd).endswith("classes are numbered")


def test_any_order_of_gathering_gives_the_same_frame():
    groups = [(("a", "l", f"s{s}", r), (sample(7 * s + r),), True) for s in range(3) for r in range(2)]
    whole = evidence.build_frame(groups)
    for order in ([0, 1, 2, 3, 4, 5], [5, 3, 1, 0, 2, 4], [4, 5, 0, 2, 3, 1]):
        frame = evidence.empty_frame()
        for i in order:
            frame = evidence.merge_frames(frame, evidence.build_frame([groups[i]]))
        pd.testing.assert_frame_equal(frame, whole)
    assert evidence.folds_by_repeat(whole)[("a", "l", "s1", 1)] == {0}


def test_a_group_gathered_anew_takes_the_place_of_the_old_one():
    old, new = built(sample(1), whole=False), built(sample(1), sample(2, fold=1))
    pd.testing.assert_frame_equal(evidence.merge_frames(old, new), new)


def test_nothing_is_a_frame_too():
    frame = evidence.empty_frame()
    assert list(frame.columns) == list(evidence.COLUMNS)
    assert evidence.folds_by_repeat(evidence.build_frame([])) == {}
    assert evidence.areas(frame).empty
    assert evidence.confusion_table(frame).empty
    pd.testing.assert_frame_equal(evidence.merge_frames(frame, frame), frame)


def test_counts_at_other_thresholds_are_refused():
    with pytest.raises(ValueError, match=r"i/100"):
        evidence.confusion_table(built(sample(0)), [0.123])


GROUPS = st.lists(st.tuples(st.sampled_from(["b", "a", None]), st.integers(-1, 3)), max_size=30)


@given(GROUPS)
def test_rows_are_grouped_in_the_order_in_which_their_values_appear(rows):
    frame = pd.DataFrame(rows, columns=["name", "fold"]).astype({"name": "category", "fold": "int16"})
    order, first = evidence.group_rows(frame, ["name", "fold"])
    by_value = {}
    for position, row in enumerate(rows):
        by_value.setdefault(row, []).append(position)
    assert [part.tolist() for part in np.split(order, first[1:]) if len(part)] == list(by_value.values())


PAIRS = st.dictionaries(st.tuples(st.sampled_from("abcd"), st.sampled_from("abcd")), st.floats(-1, 1), max_size=10)


@given(PAIRS)
def test_a_covariance_is_known_in_both_orders_and_no_other_is(drawn):
    upper = {(a, b): value for (a, b), value in drawn.items() if a <= b}
    covariances = evidence._PairCovariances(upper)
    assert covariances == {pair: value for (a, b), value in upper.items() for pair in ((a, b), (b, a))}
    for pair in [(a, b) for a in "abcd" for b in "abcd" if (a, b) not in covariances]:
        with pytest.raises(KeyError):
            covariances[pair]


def test_the_counts_of_a_fold_do_not_depend_on_the_order_of_its_points():
    frame = built(sample(1), sample(2, fold=1))
    shuffled = frame.sample(frac=1.0, random_state=0)
    in_order, in_any = (
        {cell: (c.thresholds.tolist(), c.fp.tolist(), c.tp.tolist()) for cell, c in evidence.fold_counts(each)}
        for each in (frame, shuffled)
    )
    assert in_order == in_any
    assert all(np.all(np.diff(thresholds) <= 0) for thresholds, _, _ in in_order.values())
