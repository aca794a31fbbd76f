"""The answer of a study in MLflow: its description, the recommended strategies, verdicts and ranks."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import rankdata

from imblab.analysis.results import build_result
from imblab.edges import mlflow
from imblab.edges.mlflow import notes, runs
from imblab.result import Evaluation
from imblab.study import Learner, Measure, Protocol, Strategy, Study

SMOTE = {"_target_": "imblearn.over_sampling.SMOTE"}
STRATEGIES = (
    Strategy("none"),
    Strategy("threshold", threshold="tuned"),
    Strategy("smote", SMOTE, ratio=0.5),
    Strategy("smote_threshold", SMOTE, threshold="tuned", ratio=0.5),
)
#: Mean MCC by data set: smote_threshold is far better than threshold on a, far worse on b.
MEANS = {"a": (0.1, 0.4, 0.3, 0.7), "b": (0.1, 0.7, 0.3, 0.4)}
NOISE = np.array([0.01, -0.01, 0.02, -0.02, 0.0])


def study_of(*datasets, measure="mcc", learners=("logistic",)):
    names = tuple(Learner(name, {}) for name in learners)
    measures = (Measure(measure, f"imblab.core.measures.{measure}", "label", measure == "mcc"),)
    return Study("demo", 0, {n: {} for n in datasets}, names, STRATEGIES, measures, Protocol(), primary=measure)


def rows_of(study, shift=0.0):
    return [
        Evaluation(
            dataset, learner.name, strategy.name, 0, fold, {}, 0.5, {study.primary: mean + shift + i * 0.1 * noise},
            {"tn": 70, "fp": 5, "fn": 2, "tp": 3}, 1.0, "ok", None, "f", split_fingerprint=str(fold),
            flagged=0.02 * (i + 1), n_train=80, n_test=20,
        )
        for dataset in study.datasets
        for learner in study.learners
        for i, (strategy, mean) in enumerate(zip(STRATEGIES, MEANS[dataset], strict=True))
        for fold, noise in enumerate(NOISE)
    ]  # fmt: skip


@pytest.fixture(scope="module")
def result():
    study = study_of("a", "b")
    return build_result(study, rows_of(study))


@pytest.fixture(scope="module")
def cells(result):
    described = mlflow.describe_runs(result, {})
    return {(run.params["dataset"], run.params["strategy"]): run for run in described if run.role == "cell"}


def test_the_description_starts_with_the_headline_and_the_recommendation(result):
    note = mlflow.describe_runs(result, {})[0].note
    first, *_ = note.split("\n\n")
    assert first == f"**{result.answer.headline}** {result.answer.recommendation[0]}"
    assert all(sentence in note for sentence in (*result.answer.recommendation, *result.sentences[:2]))
    linked = notes.link_answer(note, {"Answer": "#/1"})
    assert linked.startswith("[Answer](#/1): **")
    assert linked.removeprefix("[Answer](#/1): ") == note
    assert notes.link_answer(note, {}) == note


def test_a_running_study_tells_neither_answer_nor_verdict_nor_rank(result):
    during = mlflow.describe_runs(result, {}, mlflow.RunDetails(is_running=True))
    assert result.answer.headline not in during[0].note
    for run in during[1:]:
        assert not {notes.VERDICT_TAG, notes.RECOMMENDED_TAG} & set(run.tags)
        assert not run.ranks


def test_the_recommended_strategy_of_every_data_set_is_marked_once(result, cells):
    for dataset, choice in result.recommendation.datasets.items():
        marks = {s.name: cells[dataset, s.name].tags[notes.RECOMMENDED_TAG] for s in STRATEGIES}
        assert marks.pop(choice.strategy) == notes.FOR_DATASET
        assert set(marks.values()) == {notes.NOT_RECOMMENDED}


def test_over_learners_the_best_of_each_is_marked_and_one_is_for_the_data_set():
    study = study_of("a", learners=("logistic", "knn"))
    rows = [replace(r, scores={"mcc": r.scores["mcc"] / 2}) if r.learner == "knn" else r for r in rows_of(study)]
    tags = notes.answer_tags(build_result(study, rows))
    marks = {place: each[notes.RECOMMENDED_TAG] for place, each in tags.items()}
    assert {place: mark for place, mark in marks.items() if mark != notes.NOT_RECOMMENDED} == {
        ("a", "logistic", "smote_threshold"): notes.FOR_DATASET,
        ("a", "knn", "smote_threshold"): notes.FOR_LEARNER,
    }


def test_verdicts_are_told_from_the_side_of_the_strategy(cells):
    told = {place: run.tags[notes.VERDICT_TAG] for place, run in cells.items()}
    assert told["a", "smote_threshold"] == "better than threshold"
    assert told["a", "threshold"] == "worse than smote_threshold"
    assert told["b", "smote_threshold"] == "worse than threshold"
    assert told["b", "threshold"] == "better than smote_threshold"


@pytest.mark.parametrize(
    ("strategy", "contrasts", "expected"),
    [
        ("none", [("s", "t", "better")], "s better than t"),
        ("none", [("s", "t", "inconclusive")], "s inconclusive against t"),
        (
            "none",
            [("s", "t", "better"), ("u", "t", "worse"), ("v", "t", "better")],
            "3 contrasts: 2 better and 1 worse",
        ),
        ("t", [("s", "t", "better"), ("u", "t", "equivalent")], "worse than s; equivalent to u"),
        ("s", [("s", "t", "not applicable")], "not applicable against t"),
        ("s", [("s", "t", "better by less than ±0.02")], "better than t by less than ±0.02"),
        ("t", [("s", "t", "better by less than ±0.02")], "worse than s by less than ±0.02"),
        ("none", [], ""),
    ],
)
def test_a_strategy_without_a_primary_contrast_tells_those_of_its_place(strategy, contrasts, expected):
    assert notes._tell_verdict(strategy, contrasts) == expected


@pytest.mark.parametrize("measure", ["mcc", "brier"])
def test_ranks_are_those_of_scipy(measure):
    study = study_of("a", "b", measure=measure)
    for family, scores in build_result(study, rows_of(study)).scores.items():
        means = np.array(MEANS[family[0]])
        expected = rankdata(-means if measure == "mcc" else means, method="min")
        assert notes.rank_strategies(scores, study) == dict(zip(study.strategy_names, expected, strict=True))


def test_equal_means_share_a_rank_and_a_missing_fold_has_none():
    study = study_of("a")
    rows = [replace(r, scores={"mcc": 0.5}) for r in rows_of(study)]
    (scores,) = build_result(study, rows[:-1]).scores.values()
    assert notes.rank_strategies(scores, study) == {"none": 1, "threshold": 1, "smote": 1}


def test_alerts_are_the_rows_of_1000_that_are_called_positive(cells):
    metrics = {name: value for name, value, _ in cells["a", "smote"].metrics}
    assert metrics["alerts_per_1000"] == pytest.approx(60)
    assert metrics["rank/mcc"] == 3


def test_names_of_runs_leave_out_what_all_share():
    for datasets, learners, name in (
        (("a",), ("logistic",), "smote"),
        (("a", "b"), ("logistic",), "smote, a"),
        (("a",), ("logistic", "knn"), "smote, logistic"),
        (("a", "b"), ("logistic", "knn"), "smote, a, logistic"),
    ):
        study = study_of(*datasets, learners=learners)
        described = mlflow.describe_runs(build_result(study, rows_of(study)), {})
        assert next(run.name for run in described if run.key == "a/logistic/smote") == name
        assert len({run.name for run in described}) == len(described)


def test_a_rank_is_not_part_of_the_content_of_a_run(cells):
    run = cells["a", "smote"]
    other = replace(run, metrics=tuple(("rank/mcc", 1.0, 0) if m[0] == "rank/mcc" else m for m in run.metrics))
    assert (other.content, other.ranks) == (run.content, {"rank/mcc": 1.0})
    assert run.ranks == {f"{runs.RANK_PREFIX}mcc": 3.0}
