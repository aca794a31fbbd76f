"""Measures: paths become functions, and one pass over the predictions scores them all."""

import json
import sys
import warnings
from dataclasses import replace

import numpy as np
import pytest
from sklearn import metrics as sk

from imblab.core import measures
from imblab.errors import ConfigError
from imblab.study import Measure

HOME = "imblab.core.measures."
EXACT = {"rtol": 0, "atol": 1e-12}


# --------------------------------------------------------------------------------------------------------- function_of


def test_a_path_becomes_a_function_with_its_parameters(draw_sample):
    f2 = Measure("f2", HOME + "f_beta", "label", parameters={"beta": 2.0})
    assert measures.function_of(f2)(5, 1, 2, 3) == measures.f_beta(5, 1, 2, 3, beta=2.0)
    assert measures.function_of(Measure("mcc", HOME + "mcc", "label")) is measures.mcc
    halved = Measure("halved", "sklearn.metrics.roc_auc_score", "score", parameters={"max_fpr": 0.5})
    y, p = draw_sample(4)
    assert measures.function_of(halved)(y, p) == sk.roc_auc_score(y, p, max_fpr=0.5)


def test_a_measure_of_an_allowed_package_is_found(tmp_path, monkeypatch):
    (tmp_path / "desk_of_ours").mkdir()
    (tmp_path / "desk_of_ours" / "__init__.py").write_text("")
    (tmp_path / "desk_of_ours" / "gain.py").write_text("def net(tn, fp, fn, tp):\n    return 50 * tp - fp\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    net = Measure("net", "desk_of_ours.gain.net", "label")
    with pytest.raises(ConfigError):
        measures.function_of(net)
    assert "desk_of_ours" not in sys.modules
    assert measures.function_of(net, allow=["desk_of_ours"])(1, 2, 3, 4) == 198


REFUSED = {
    "foreign": Measure("odd", "os.path.join", "score"),
    "prefix": Measure("odd", "sklearn.metrics_of_mine.f", "score"),
    "no_module": Measure("odd", "mcc", "label"),
    "no_such_module": Measure("odd", "sklearn.metrics.nowhere.f", "score"),
    "no_such_label_function": Measure("mc", HOME + "mc", "label"),
    "no_such_score_function": Measure("ap", HOME + "pr_auc", "score"),
    "wrong_need": Measure("odd", HOME + "mcc", "score"),
    "scores_as_label": Measure("odd", HOME + "brier", "label"),
    "unknown_parameter": Measure("f", HOME + "f_beta", "label", parameters={"bet": 2}),
    "missing_parameter": Measure("desk", HOME + "recall_at", "score"),
    "share_in_percent": Measure("desk", HOME + "recall_at", "score", parameters={"share": 5}),
    "level_in_percent": Measure("desk", HOME + "recall_at_precision", "score", parameters={"level": 90}),
    "not_one_number": Measure("odd", HOME + "counts_at", "score", parameters={"thresholds": 0.5}),
    "no_function": Measure("odd", HOME + "Counts", "label"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_function_that_cannot_serve_is_refused(case, snapshot):
    with pytest.raises(ConfigError) as error:
        measures.function_of(REFUSED[case])
    assert str(error.value) == snapshot


@pytest.mark.parametrize("path", ["f1_score", "roc_curve", "confusion_matrix", "make_scorer"])
def test_a_function_of_scikit_learn_that_reads_no_scores_is_refused(path):
    with pytest.raises(ConfigError, match="needs 'score' is f"):
        measures.function_of(Measure("odd", "sklearn.metrics." + path, "score"))


def test_an_unknown_function_of_scikit_learn_is_answered_with_the_nearest():
    with pytest.raises(ConfigError, match="roc_auc_score"):
        measures.function_of(Measure("auc", "sklearn.metrics.roc_auc", "score"))


# --------------------------------------------------------------------------------------------------------------- score

ASKED = (
    Measure("mcc", HOME + "mcc", "label"),
    Measure("precision", HOME + "precision", "label"),
    Measure("pr_auc", HOME + "average_precision", "score"),
    Measure("desk", HOME + "recall_at", "score", parameters={"share": 0.1}),
    Measure("brier", HOME + "brier", "probability", False),
    Measure("theirs", "sklearn.metrics.average_precision_score", "score"),
)


def test_scoring_in_one_pass_gives_what_each_measure_gives(sample):
    y, p = sample
    kept = y.copy(), p.copy()
    scores, counts = measures.score_predictions(ASKED, y, p, 0.3, True)
    called = (p >= 0.3).astype(int)
    assert scores["mcc"] == pytest.approx(sk.matthews_corrcoef(y, called), rel=0, abs=1e-12)
    assert scores["precision"] == (pytest.approx(sk.precision_score(y, called)) if called.any() else None)
    assert scores["pr_auc"] == measures.average_precision(y, p) == pytest.approx(scores["theirs"], rel=0, abs=1e-12)
    assert scores["desk"] == measures.recall_at(y, p, 0.1)
    assert scores["brier"] == measures.brier(y, p)
    assert [int(c) for c in (counts.tn, counts.fp, counts.fn, counts.tp)] == sk.confusion_matrix(
        y, called
    ).ravel().tolist()
    np.testing.assert_array_equal(y, kept[0])
    np.testing.assert_array_equal(p, kept[1])


def test_undefined_is_null_and_the_row_is_json(draw_sample):
    y, p = draw_sample(2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scores, _ = measures.score_predictions(ASKED[:5], np.zeros_like(y), p, 2.0, True)
    assert scores == {"mcc": 0.0, "precision": None, "pr_auc": None, "desk": None, "brier": np.mean(p**2)}
    assert json.loads(json.dumps(scores, allow_nan=False)) == scores
    assert {type(v) for v in scores.values()} == {float, type(None)}


def test_scores_that_are_no_probabilities_leave_probability_measures_null(draw_sample):
    y, p = draw_sample(2)
    scores, _ = measures.score_predictions(ASKED, y, 10 * p, 5.0, False)
    assert [name for name, value in scores.items() if value is None] == ["brier"]
    assert scores == {**measures.score_predictions(ASKED, y, p, 0.5, True)[0], "brier": None}


def test_only_label_measures_depend_on_the_threshold(draw_sample):
    y, p = draw_sample(5)
    low, high = (measures.score_predictions(ASKED, y, p, cut, True)[0] for cut in (0.2, 0.6))
    changed = {m.name for m in ASKED if low[m.name] != high[m.name]}
    assert changed == {m.name for m in ASKED if measures.is_counted(m)} == {"mcc", "precision"}


def test_a_measure_that_is_worst_first_is_scored_as_it_is(draw_sample):
    y, p = draw_sample(6)
    assert measures.score_predictions([replace(ASKED[4], greater_is_better=True)], y, p, 0.5, True)[0]["brier"] > 0


def test_a_parameter_may_be_a_list():
    """Foreign measures take lists of labels and weights."""
    listed = Measure("macro", "sklearn.metrics.fbeta_score", "score", parameters={"beta": 1.0, "labels": [0, 1]})
    with pytest.raises(ConfigError, match="fails on two rows"):  # it takes classes, not scores: said, not a TypeError
        measures.function_of(listed)
    ranked = Measure("auc", "sklearn.metrics.roc_auc_score", "score", parameters={"labels": [0, 1]})
    assert measures.function_of(ranked)(np.array([0, 1, 1]), np.array([0.1, 0.4, 0.8])) == 1.0
