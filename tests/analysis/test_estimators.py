"""Which standard error decided is said wherever intervals and tests stand, and what it does not allow is not said."""

from types import SimpleNamespace

import numpy as np
import pytest

from imblab.analysis import compare, model_card
from imblab.analysis.methods import describe_methods
from imblab.analysis.results import build_result, explore_measure, select_families
from imblab.analysis.text_tables import explain_tables
from imblab.edges import mlflow, terminal
from imblab.result import Evaluation
from imblab.stats import standard_errors
from imblab.stats.paired_tests import corrected_t
from imblab.stats.standard_errors import CORRECTED_T, ROW_LEVEL, RowLevelRule
from imblab.study import Claims, Learner, Measure, Protocol, Strategy, Study

MCC, RECALL = "imblab.core.measures.mcc", "imblab.core.measures.recall"
SMOTE = {"_target_": "imblearn.over_sampling.SMOTE"}
STRATEGIES = (
    Strategy("none"),
    Strategy("threshold", threshold="tuned"),
    Strategy("smote_threshold", SMOTE, threshold="tuned", ratio=0.5),
)
NAMES = tuple(s.name for s in STRATEGIES)
#: Of these learners, one has a row-level rule.
LEARNERS = (Learner("logistic", {}, kind="linear"), Learner("knn", {}, kind="neighbours"))
ROWS = "Intervals and tests rest on row-level standard errors."
CORRECTED = "Intervals and tests rest on the corrected t (Nadeau and Bengio 2003)."
LACKS = "because the record lacks covariances of these folds over test rows"


@pytest.fixture(autouse=True)
def _rules(monkeypatch):
    rules = {("linear", MCC): (RowLevelRule(1.0), RowLevelRule(1.0, 1.0))}
    monkeypatch.setattr(standard_errors, "ROW_LEVEL_RULES", {standard_errors.TABLE_VERSION: rules})


def study_of(*learners, datasets=("toy",), **parts):
    measures = (Measure("mcc", MCC, "label"), Measure("recall", RECALL, "label"))
    names = {name: parts.get("spec", {}) for name in datasets}
    claims = Claims(rope={"mcc": 0.02})
    return Study("demo", 0, names, learners or LEARNERS, STRATEGIES, measures, Protocol(), claims=claims)


def evaluations_of(study):
    rng = np.random.default_rng(3)
    return [
        Evaluation(
            dataset, learner.name, strategy.name, 0, fold, {}, 0.5,
            {"mcc": 0.4 + 0.02 * i + float(rng.normal(0, 0.05)), "recall": 0.5 + float(rng.normal(0, 0.05))},
            {"tn": 70, "fp": 5, "fn": 2, "tp": 3}, 1.0, "ok", None, "f", split_fingerprint=str(fold),
            n_train=80, n_test=20,
        )
        for dataset in study.datasets
        for learner in study.learners
        for i, strategy in enumerate(study.strategies)
        for fold in range(5)
    ]  # fmt: skip


def covariances_of(study, scale=0.005):
    root = scale * np.random.default_rng(0).normal(size=(3, 3))
    matrix = root @ root.T
    known = {(a, b): float(matrix[i, j]) for i, a in enumerate(NAMES) for j, b in enumerate(NAMES)}
    return {(dataset, learner.name): {5: known} for dataset in study.datasets for learner in study.learners}


def result_of(*learners, is_known=True, n_rows=None, scale=0.005, **parts):
    study = study_of(*learners, **parts)
    covariances = covariances_of(study, scale) if is_known else None
    return build_result(study, evaluations_of(study)[:n_rows], covariances=covariances)


def test_one_sentence_where_all_agree():
    by_rows, by_folds = result_of(LEARNERS[0]), result_of(LEARNERS[1])
    assert (set(by_rows.contrasts.estimator), set(by_folds.contrasts.estimator)) == ({ROW_LEVEL}, {CORRECTED_T})
    assert (by_rows.sentences[-1], by_folds.sentences[-1]) == (ROWS, CORRECTED)
    assert by_rows.contrasts.estimator_reason.isna().all()
    assert by_folds.contrasts.estimator_reason.isna().all()
    assert explore_measure(by_rows, "recall").sentences[-1] == CORRECTED


def test_one_sentence_each_where_learners_differ():
    result = result_of(datasets=("toy", "zoo"))
    assert result.sentences[-2:] == (
        "With logistic, intervals and tests rest on row-level standard errors.",
        "With knn, intervals and tests rest on the corrected t (Nadeau and Bengio 2003).",
    )
    text = terminal.comparison_text(result.summary, result.contrasts, result.sentences, result.study, width=200)
    assert all(sentence in text for sentence in result.sentences[-2:])
    assert "corrected" not in text.replace(result.sentences[-1], "")
    assert select_families(result, [("zoo", "logistic")]).sentences[1:] == (ROWS,)


def test_data_sets_are_named_where_a_learner_has_both():
    study = study_of(LEARNERS[0], datasets=("toy", "zoo"))
    known = covariances_of(study)
    del known["zoo", "logistic"]
    result = build_result(study, evaluations_of(study), covariances=known)
    assert result.sentences[-2:] == (
        "On toy with logistic, intervals and tests rest on row-level standard errors.",
        f"On zoo with logistic, intervals and tests rest on the corrected t (Nadeau and Bengio 2003), {LACKS}.",
    )


def test_covariances_that_the_record_lacks_are_said():
    result = result_of(is_known=False)
    reasons = result.contrasts.groupby("learner").estimator_reason.first()
    assert reasons["logistic"] == "the record lacks covariances of these folds over test rows"
    assert result.contrasts[result.contrasts.learner == "knn"].estimator_reason.isna().all()
    assert any(sentence.endswith(f"{LACKS}.") for sentence in result.sentences)
    assert f"On toy with logistic the corrected t decides, {LACKS}. Running the study again adds" in " ".join(
        result.answer.missing
    )
    assert not any("covariances" in text for text in result_of().answer.missing)
    # Groups have none by design.
    grouped = result_of(LEARNERS[0], is_known=False, spec={"groups": "patient"})
    assert grouped.contrasts.estimator_reason.isna().all()


def test_an_incomplete_design_says_it_with_the_tables():
    result = result_of(LEARNERS[0], n_rows=14)
    assert explain_tables(result.contrasts, result.study) == ["Intervals: 95 %, unadjusted.", ROWS]


def test_the_posterior_is_named_by_its_standard_error():
    texts = [" ".join(explain_tables(r.contrasts, r.study)) for r in (result_of(n) for n in LEARNERS)]
    assert ["Bayesian correlated t" in text for text in texts] == [False, True]
    assert "probability (posterior t with that standard error)" in texts[0]


def test_the_methods_name_the_tests_that_were_used():
    rows, folds, both = (
        " ".join(describe_methods(r.study, True, compare.estimator_places(r.contrasts)))
        for r in (result_of(LEARNERS[0]), result_of(LEARNERS[1]), result_of())
    )
    assert "Nadeau" not in rows
    assert "judged by t-tests with row-level standard errors (the jackknife over test rows" in rows
    assert "judged by the corrected resampled t-test (Nadeau and Bengio 2003), two-sided" in folds
    assert "row-level" not in folds
    assert "with logistic, and by the corrected resampled t-test (Nadeau and Bengio 2003) with knn, two-sided" in both


def test_what_more_repeats_do_is_said_of_the_corrected_t_alone():
    rows, folds, both = (
        " ".join(result_of(*learners, scale=0.1).answer.limits) for learners in (LEARNERS[:1], LEARNERS[1:], LEARNERS)
    )
    assert "repeats" not in rows
    assert "with 80 % power is" in rows
    assert "With 5 repeats it would be" in folds
    assert "Where the corrected t decides, with 5 repeats it would be" in both
    assert "There, even unlimited repeats could not detect" in both


def test_between_learners_the_corrected_t_is_named():
    result = result_of()
    chosen = result.recommendation.datasets["toy"]
    assert chosen.margin_source == "one standard error of the corrected t"
    assert {each.margin_source for each in result.recommendation.families.values()} == {"one standard error"}


def test_the_model_card_says_it_of_its_contrasts():
    result = result_of()
    for learner, words in (("logistic", "row-level standard errors"), ("knn", "the corrected t")):
        facts = SimpleNamespace(dataset="toy", learner=learner, strategy="threshold")
        assert list(model_card._describe_contrasts(facts, result))[-1].startswith(
            f"Intervals and tests rest on {words}"
        )


def test_mlflow_shows_one_interval_of_a_gain_in_the_primary_measure():
    result = result_of()
    during = {r.key: r for r in mlflow.describe_runs(result, {}, mlflow.RunDetails(is_running=True))}
    after = {r.key: r for r in mlflow.describe_runs(result, {})}
    for row in result.summary[result.summary.strategy == "smote_threshold"].to_dict("records"):
        key = f"toy/{row['learner']}/smote_threshold"
        live, final = (dict((name, value) for name, value, _ in runs[key].metrics) for runs in (during, after))
        assert not {"gain_none/mcc_ci_low", "gain_threshold/mcc_ci_high"} & set(live)
        assert "gain_none/mcc" in live
        assert after[key].extends(during[key])
        ends = [final[f"gain_none/mcc_ci_{end}"] for end in ("low", "high")]
        assert ends == [row["gain_none_low"], row["gain_none_high"]]
        values = result.scores["toy", row["learner"]].values
        known = corrected_t(values["mcc"][2] - values["mcc"][0], 80, 20)
        assert (ends == pytest.approx([known.low, known.high])) == (row["learner"] == "knn")
        # Other measures have the corrected t, from the first.
        known = corrected_t(values["recall"][2] - values["recall"][0], 80, 20)
        assert final["gain_none/recall_ci_low"] == live["gain_none/recall_ci_low"] == pytest.approx(known.low)
        words = "row-level standard errors" if row["learner"] == "logistic" else "the corrected t"
        assert f"Gains in mcc: intervals and tests rest on {words}" in after[key].note
        assert "Gains in mcc" not in during[key].note


def test_many_families_are_counted():
    rows = result_of(datasets=("a", "b", "c", "d", "e")).contrasts
    rows = rows.assign(estimator=np.where(rows.dataset == "a", ROW_LEVEL, CORRECTED_T))
    assert compare.estimator_places(rows) == {
        ROW_LEVEL: "on a with logistic and a with knn",
        CORRECTED_T: "in 8 of 10 pairs of data set and learner",
    }
    assert compare.describe_estimators(rows.assign(se=np.nan)) == []
