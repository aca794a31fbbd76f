"""The tidy table: every fact of a row, a stable order, and rows that refuse to be compared."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from imblab.analysis import summary
from imblab.errors import StudyError
from imblab.result import Evaluation, Trial


def row(strategy="none", fold=0, score=0.5, dataset="toy", learner="logistic", repeat=0, **more):
    facts = {"scores": {"mcc": score}, "counts": {"tn": 80, "fp": 5, "fn": 5, "tp": 10}, "split_fingerprint": str(fold)}
    facts |= {"params": {}, "threshold": 0.5, "seconds": 1.0, "status": "ok", "error": None, "fingerprint": "f"}
    facts |= {"n_train": 400, "n_test": 100, **more}
    return Evaluation(dataset=dataset, learner=learner, strategy=strategy, repeat=repeat, fold=fold, **facts)


def test_every_fact_has_a_column_and_null_is_nan():
    trials = (
        Trial({"k": 3}, 0.4, 0.5),
        Trial({"k": 3}, 0.4, 0.5, "repeated"),
        Trial({"k": 9}, None, None, "inapplicable", "k is too large"),
    )
    full = row(params={"k": 3}, scores={"mcc": 0.5, "pr_auc": None}, flagged=0.15, value=0.4, fits=7,
               trials=trials, notes=("odd",))  # fmt: skip
    frame = summary.to_frame([full])
    assert frame.columns.tolist() == [*summary.FACTS, "mcc", "pr_auc", *summary.COUNTS]
    found = frame.iloc[0]
    for name in summary.FACTS:
        if name not in ("candidates", "left_out"):
            assert getattr(full, name) == found[name] or getattr(full, name) is found[name], name
    assert found.candidates == 1
    assert found.left_out == (("inapplicable", {"k": 9}, "k is too large"),)
    assert found.mcc == 0.5
    assert math.isnan(found.pr_auc)
    assert frame[["mcc", "pr_auc", *summary.COUNTS, "threshold", "value"]].dtypes.eq(np.float64).all()
    assert [found[c] for c in summary.COUNTS] == [80, 5, 5, 10]


def test_a_failed_row_stays_with_its_reason():
    gone = row(scores={"mcc": None}, counts={}, threshold=None, status="failed", error="it broke")
    found = summary.to_frame([row("smote"), gone]).iloc[1]
    assert (found.status, found.error) == ("failed", "it broke")
    assert np.isnan([found.mcc, found.threshold, found.tp, found.value]).all()


def test_no_rows_are_a_table_without_rows():
    frame = summary.to_frame([])
    assert frame.empty
    assert frame.columns.tolist() == [*summary.FACTS, *summary.COUNTS]


def test_a_measure_may_not_be_named_like_a_column(snapshot):
    with pytest.raises(StudyError) as error:
        summary.to_frame([row(scores={"fold": 0.1})])
    assert str(error.value) == snapshot


@settings(max_examples=30)
@given(st.permutations([(s, r, f) for s in ("none", "smote") for r in (0, 1) for f in (0, 1, 2)]))
def test_strategies_keep_their_first_order_and_folds_ascend(cells):
    frame = summary.to_frame(row(s, f, repeat=r) for s, r, f in cells)
    first = list(dict.fromkeys(s for s, _, _ in cells))
    expected = [(s, r, f) for s in first for r in (0, 1) for f in (0, 1, 2)]
    assert list(zip(frame.strategy, frame["repeat"], frame.fold, strict=True)) == expected
    assert frame.index.tolist() == list(range(12))


def test_the_facts_of_a_table_are_plain_enough_for_json():
    frame = summary.to_frame(
        [row(params={"k": 3}), row("smote", counts={}, status="failed", error="x", scores={"mcc": None})]
    )
    assert json.loads(frame.to_json(orient="records"))[1]["mcc"] is None


def test_more_than_two_classes_have_columns_by_class_and_thresholds_as_tuples():
    several = Evaluation(
        "toy", "knn", "none", 0, 0, {}, (0.5, 0.2, 0.1), {"recall": 0.5}, {}, 0.1, "ok", None, "f",
        class_scores={"recall": (1.0, 0.5, None)}, confusion=((3, 0, 0), (1, 1, 0), (0, 0, 0)),
    )  # fmt: skip
    two = Evaluation("two", "knn", "none", 0, 0, {}, 0.5, {"recall": 0.25}, {}, 0.1, "ok", None, "f")
    frame = summary.to_frame([several, two])
    assert list(frame.columns[-3:]) == ["recall/class_0", "recall/class_1", "recall/class_2"]
    assert frame.threshold.tolist() == [(0.5, 0.2, 0.1), 0.5]
    assert frame["recall/class_1"].tolist()[0] == 0.5
    assert frame.loc[1, ["recall/class_0", "tn"]].isna().all()
    assert "recall/class_0" not in summary.to_frame([two])
    assert summary.to_frame([two]).threshold.dtype == float
