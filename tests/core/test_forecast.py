"""The forecast: the fits it promises are those that happen, counted where they happen."""

import json
from collections import Counter
from dataclasses import replace
from functools import cache, wraps
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.tree import DecisionTreeClassifier

import imblab
from imblab.commands import planning, running
from imblab.core import forecast
from imblab.core.estimator_specs import with_traits
from imblab.edges import datasets
from imblab.result import Evaluation
from imblab.study import Choice, Dataset, Learner, Protocol, Strategy, Tuning

ROOT = Path(__file__).parents[2]
SMOTE = {"_target_": "imblearn.over_sampling.SMOTE"}
LOGISTIC = Learner("logistic", {"_target_": "sklearn.linear_model.LogisticRegression"}, {"C": Choice((0.1, 1.0, 10.0))})
TREE = Learner("tree", {"_target_": "sklearn.tree.DecisionTreeClassifier"}, {"max_depth": Choice((2, 3))})
KNN = with_traits(Learner("knn", {"_target_": "sklearn.neighbors.KNeighborsClassifier"}, {"n_neighbors": Choice((3,))}))
NONE, THRESHOLD = Strategy("none"), Strategy("threshold", threshold="tuned")
FIXED = Strategy("fixed", SMOTE, ratio=0.8, k=3)
FIXED_THRESHOLD = Strategy("fixed_threshold", SMOTE, ratio=0.8, k=3, threshold="tuned")
GRID = {"ratio": Choice((0.6, 0.8, 1.0)), "k": Choice((3, 5))}
SEARCHED = Strategy("smote", SMOTE, space=GRID)
SEARCHED_THRESHOLD = Strategy("smote_threshold", SMOTE, threshold="tuned", space=GRID)
WEIGHT = Strategy("weight", weight=5.0)
WEIGHTS = Strategy("weights", space={"weight": Choice((2.0, 5.0))})
OUTER, INNER = 3, 2


@cache
def toy(n=120, positives=40):
    rng = np.random.default_rng(0)
    y = np.zeros(n, dtype=np.int64)
    y[rng.permutation(n)[:positives]] = 1
    return Dataset("toy", pd.DataFrame({"a": rng.normal(size=n) + y}), y, ("no", "yes"), fingerprint="toy")


@cache
def composed():
    return imblab.compose("name=x", "dataset=[ecoli3]")


def study(strategies, learners=(LOGISTIC,), tuning=None, **protocol):
    return replace(
        composed(),
        datasets={},
        learners=tuple(learners),
        strategies=tuple(strategies),
        tuning=tuning or Tuning(),
        protocol=Protocol(OUTER, INNER, **protocol),
    )


@pytest.fixture
def fits(monkeypatch, tmp_path):
    """How often every learner was really fitted, where nothing is known from earlier studies."""
    monkeypatch.chdir(tmp_path)
    done = Counter()
    for cls in (LogisticRegression, DecisionTreeClassifier, KNeighborsClassifier):
        real = cls.fit

        @wraps(real)
        def fit(self, *args, real=real, **kwargs):
            done[type(self).__name__] += 1
            return real(self, *args, **kwargs)

        monkeypatch.setattr(cls, "fit", fit)
    return done


def promised(question):
    return planning.describe_plan(running.lay_out(question, {"toy": toy()}))


@pytest.mark.parametrize(
    ("strategies", "a_split"),
    [
        ([NONE], 1),
        ([THRESHOLD], INNER + 1),
        ([NONE, THRESHOLD], INNER + 1),  # the same refit
        ([FIXED, FIXED_THRESHOLD], INNER + 1),
        ([NONE, THRESHOLD, FIXED, FIXED_THRESHOLD, WEIGHT], 2 * (INNER + 1) + 1),
        ([WEIGHT, replace(WEIGHT, name="again", threshold=0.3)], 1),
        ([THRESHOLD, replace(THRESHOLD, name="recall", threshold={"min_recall": 0.5})], INNER + 1),
    ],
    ids=lambda value: "-".join(s.name for s in value) if isinstance(value, list) else "",
)
@pytest.mark.parametrize("learners", [[LOGISTIC], [TREE, LOGISTIC]], ids=["one", "two"])
def test_without_a_search_the_forecast_is_what_is_fitted(fits, strategies, a_split, learners):
    question = study(strategies, learners)
    facts = promised(question)
    assert sum(fits.values()) == 0, "a plan fits nothing"
    assert facts["fits"] == OUTER * a_split * len(learners)
    rows = imblab.evaluate(question, [toy()])
    assert rows.status.eq("ok").all()
    assert sum(fits.values()) == facts["fits"]


@pytest.mark.parametrize(
    ("strategies", "tuning"),
    [
        ([SEARCHED], Tuning()),
        ([SEARCHED, SEARCHED_THRESHOLD], Tuning()),
        ([NONE, THRESHOLD, WEIGHTS, SEARCHED, SEARCHED_THRESHOLD, FIXED_THRESHOLD], Tuning()),
        ([NONE, THRESHOLD], Tuning(tune_learner=True)),
        ([SEARCHED_THRESHOLD, THRESHOLD], Tuning(tune_learner=True)),
    ],
    ids=["one", "two", "many", "learner", "both"],
)
def test_with_a_search_the_forecast_is_missed_by_shared_refits_at_most(fits, strategies, tuning):
    """Which candidate is refit is known afterwards only: it may be one that another strategy refits too."""
    question = study(strategies, [LOGISTIC, TREE], tuning)
    facts = promised(question)
    rows = imblab.evaluate(question, [toy()])
    assert rows.status.eq("ok").all()
    done = sum(fits.values())
    assert facts["fits"] - len(rows) < done <= facts["fits"]


@pytest.mark.parametrize("method", ["random", "qmc", "tpe"])
def test_of_drawn_candidates_the_forecast_is_an_upper_bound(fits, method):
    question = study([SEARCHED_THRESHOLD, THRESHOLD], [TREE], Tuning(method, 9))
    facts = promised(question)
    imblab.evaluate(question, [toy()])
    assert 0 < sum(fits.values()) <= facts["fits"]
    assert facts["fits"] <= OUTER * (9 * INNER + 1 + INNER + 1)


def test_what_does_not_apply_is_said_and_not_counted(fits):
    some = replace(SEARCHED, space={"ratio": Choice((0.2, 0.8)), "k": Choice((3, 99))})
    never = Strategy("never", SMOTE, ratio=0.1)
    question = study([some, never, WEIGHT], [KNN])
    facts = promised(question)
    assert facts["fits"] == OUTER * (INNER + 1)
    said = {(found["strategy"], found["value"]): found for found in facts["inapplicable"]}
    assert set(said) == {
        ("smote", "ratio=0.2, k=3"),
        ("smote", "ratio=0.2, k=99"),
        ("smote", "ratio=0.8, k=99"),
        ("never", "ratio=0.1"),
        ("weight", "any value"),
    }
    assert all(found["folds"] == OUTER and found["learners"] == ["knn"] for found in said.values())
    assert "sample_weight" in said["weight", "any value"]["reason"]
    rows = imblab.evaluate(question, [toy()])
    assert fits == {"KNeighborsClassifier": facts["fits"]}
    assert set(rows.strategy[rows.status == "inapplicable"]) == {"never", "weight"}


def test_repeats_are_counted(fits):
    question = study([NONE, THRESHOLD, FIXED_THRESHOLD], repeats=2)
    assert promised(question)["fits"] == 2 * OUTER * 2 * (INNER + 1)
    imblab.evaluate(question, [toy()])
    assert sum(fits.values()) == promised(question)["fits"]


def test_shared_inner_folds_are_counted_over_all_splits(fits):
    """Two outer folds have an inner fit part in common: it may be fitted once, or once for each of them."""
    question = study([NONE, THRESHOLD, FIXED_THRESHOLD], inner="shared", repeats=2)
    facts = promised(question)
    imblab.evaluate(question, [toy()])
    once, twice = (2 * 2 * (OUTER + inner) for inner in (OUTER * (OUTER - 1) // 2, OUTER * (OUTER - 1)))
    assert once <= sum(fits.values()) <= facts["fits"] <= twice


def test_a_pool_starts_before_its_fits_and_every_worker_holds_copies_of_its_rows():
    assert forecast.wall_seconds(10.0, 1) == 10.0
    assert forecast.wall_seconds(10.0, 4) == forecast.POOL_START_SECONDS + 2.5 > 2.5
    table = 1000 * 2**20
    one, two, three = (forecast.peak_bytes([10, table], 0.8, n_jobs) for n_jobs in (1, 2, 3))
    copies = forecast.COPIES_PER_WORKER * table * 4 / 5
    assert one == forecast.EMPTY_PROCESS_BYTES + 2 * table + copies
    assert three - two == forecast.EMPTY_PROCESS_BYTES + copies
    assert two - one == 2 * forecast.EMPTY_PROCESS_BYTES + copies


def timed(dataset, learner, seconds):
    return Evaluation(dataset, learner, "none", 0, 0, {}, 0.5, {}, {}, seconds, "ok", None, "f")


def test_the_time_left_follows_data_sets_and_learners():
    """Eight cells of a quick and a slow learner on two tables, the second of three times the size."""
    cells = [(dataset, learner) for dataset in "ab" for learner in ("quick", "slow") for _ in range(2)]
    left = forecast.RemainingTime(cells, {"a": 100, "b": 300})
    for learner, seconds in (("quick", 1.0), ("slow", 10.0)):
        for _ in range(2):
            left.count(timed("a", learner, seconds))
    # One process: 22 s made, 2 x 3 + 2 x 30 are left. Two processes take half of both.
    assert left.seconds_left(elapsed=22.0) == pytest.approx(66.0)
    assert left.seconds_left(elapsed=11.0) == pytest.approx(33.0)
    left.count(timed("b", "quick", 5.0))
    assert left.seconds_left(elapsed=27.0) == pytest.approx(5.0 + 60.0)


def test_the_time_left_of_a_learner_that_was_not_seen_is_that_of_the_others():
    left = forecast.RemainingTime([("a", "quick"), ("a", "slow")], {"a": 100})
    left.count(timed("a", "quick", 2.0))
    assert left.seconds_left(elapsed=2.0) == pytest.approx(2.0)


def test_a_continued_run_knows_the_seconds_of_its_former_evaluations():
    left = forecast.RemainingTime([("a", "quick"), ("a", "slow")], {"a": 100}, [timed("a", "slow", 9.0)])
    assert left.seconds_left(elapsed=1.0) == 0.0
    left.count(timed("a", "quick", 1.0))
    assert left.seconds_left(elapsed=1.0) == pytest.approx(9.0)


@pytest.mark.parametrize("name", ["over_balancing", "multiclass"])
def test_the_time_left_is_right_within_a_factor_of_two_after_a_tenth_of_a_recorded_study(name):
    """Replays a committed study as a run makes it: the first fold of each data set and learner first."""
    lines = (ROOT / "experiments" / name / "ledger.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [timed(row["dataset"], row["learner"], row["seconds"]) for row in map(json.loads, lines)]
    later = [(row["repeat"], row["fold"]) != (0, 0) for row in map(json.loads, lines)]
    rows = [row for _, row in sorted(zip(later, rows, strict=True), key=lambda pair: pair[0])]
    sizes = {sheet["name"]: sheet["rows"] * sheet["features"] for sheet in datasets.listing() if "rows" in sheet}
    total, spent, checked = sum(row.seconds for row in rows), 0.0, 0
    remaining = forecast.RemainingTime([(row.dataset, row.learner) for row in rows], sizes)
    for number, row in enumerate(rows):
        remaining.count(row)
        spent += row.seconds
        if number % 20 == 0 and 0.1 * total < spent < 0.98 * total:
            checked += 1
            assert 0.5 < remaining.seconds_left(elapsed=spent) / (total - spent) < 2
    assert checked > 20


def test_learners_with_the_same_reason_stand_together_and_others_have_their_own():
    def left_out(learner, reason, fold=0):
        return forecast.Inapplicable("toy", learner, "class_weight", 0, fold, None, reason)

    reasons = {
        "knn": "the fit of learner 'knn' takes no sample_weight",
        "mlp": "the fit of learner 'mlp' takes no sample_weight",
        "tree": "ratio 0.1 adds no row to 9 of 90",
    }
    items = [left_out(name, reason, fold) for name, reason in reasons.items() for fold in range(2)]
    items.append(left_out("tree", "ratio 0.1 adds no row to 8 of 90", 2))
    found = forecast.summarize_inapplicable([forecast.Forecast("toy", "any", inapplicable=items)])
    assert [(facts["learners"], facts["folds"], facts["reason"]) for facts in found] == [
        (["knn", "mlp"], 2, "the fit of each of these learners takes no sample_weight"),
        (["tree"], 3, reasons["tree"]),
    ]
    (alone,) = forecast.summarize_inapplicable([forecast.Forecast("toy", "knn", inapplicable=items[:2])])
    assert alone["reason"] == reasons["knn"]
