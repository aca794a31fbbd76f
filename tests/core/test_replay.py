"""Asking again: the probabilities a row was scored on, those its trials were judged by, and where SMOTE's rows fall."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, strategies as st
from imblearn.over_sampling import SMOTE, RandomOverSampler
from scipy.spatial.distance import cdist
from sklearn.datasets import make_classification
from sklearn.preprocessing import StandardScaler

from imblab.core import design, evaluate, measures, replay, splits
from imblab.core.evaluate import validation_predictions
from imblab.core.fitting import FitRequest, fit_predict
from imblab.core.preparation import PreparedRows
from imblab.core.replay import MissingPrediction
from imblab.edges import config
from imblab.errors import FitFailed
from imblab.study import Dataset, fingerprint

LEARNER = {"make": {"_target_": "sklearn.linear_model.LogisticRegression"}}
SMOTE_TEXT = {"_target_": "imblearn.over_sampling.SMOTE"}


def study(**strategies):
    measure = {"function": "imblab.core.measures.mcc", "needs": "label"}
    brier = {"function": "imblab.core.measures.brier", "needs": "probability", "greater_is_better": False}
    return config.parse_study(
        {
            "name": "toy",
            "dataset": {"toy": {"kind": "bundled"}},
            "learner": {"logistic": LEARNER},
            "strategy": strategies,
            "measures": {"mcc": measure, "brier": brier},
            "protocol": {"outer_folds": 3, "inner_folds": 2},
        }
    )


@pytest.fixture(scope="module")
def toy():
    X, y = make_classification(400, 5, weights=[0.85], flip_y=0.1, random_state=0)
    return Dataset(
        "toy", pd.DataFrame(X, columns=list("abcde")), y.astype(np.int64), ("0", "1"), fingerprint=fingerprint(X, y)
    )


def answered(toy, asked):
    """A study's tasks and rows, with every answer kept."""
    known = {}

    def predict(request):
        if request.address not in known:
            known[request.address] = fit_predict(request, PreparedRows(toy, request.fit))
        return known[request.address]

    plan = splits.plan(toy, asked.protocol, asked.seed)
    cells = design.expand_cells(asked, {"toy": plan})
    tasks = list(replay.replay_tasks(asked, toy, plan, cells, predict))
    return tasks, [evaluate.evaluate_cell(task) for task in tasks], known


SMOTED = {"sampler": SMOTE_TEXT, "space": {"ratio": "choice(0.5,1.0)", "k": "choice(3,5)"}, "threshold": "tuned"}


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    "strategy",
    [
        {"threshold": 0.5},
        {"threshold": "tuned"},
        SMOTED,
        {**SMOTED, "calibration": "prior", "prior_correction": "approximate"},
        {**SMOTED, "calibration": "sigmoid"},
        {"weight": "balanced", "threshold": 0.5, "calibration": "sigmoid"},
    ],
    ids=["plain", "tuned", "smote", "prior", "sigmoid", "fixed"],
)
def test_a_row_is_scored_on_what_is_asked_again(toy, strategy):
    asked = study(s=strategy)
    tasks, rows, known = answered(toy, asked)
    predict = replay.lookup_only(known.get)
    for task, row in zip(tasks, rows, strict=True):
        again = replace(task, predict=predict)
        p, y = replay.outer_prediction(again, row).values, toy.y[task.cell.split.test]
        scores, counts = measures.score_predictions(asked.measures, y, p, row.threshold, True)
        assert scores == row.scores
        assert {name: int(getattr(counts, name)) for name in row.counts} == row.counts
        for trial in row.trials:
            if trial.value is not None:
                counts = [
                    measures.counts_at(a, b, trial.threshold) for a, b in validation_predictions(again, trial.params)
                ]
                total = sum(counts[1:], counts[0])
                found = measures.mcc(total.tn, total.fp, total.fn, total.tp)
                assert found == pytest.approx(trial.value, abs=1e-15)


def test_what_is_not_kept_is_said(toy):
    asked = study(s={"threshold": 0.5})
    tasks, rows, known = answered(toy, asked)
    known.clear()
    again = replace(tasks[0], predict=replay.lookup_only(known.get))
    with pytest.raises(MissingPrediction) as said:
        replay.outer_prediction(again, rows[0])
    assert isinstance(said.value.request, FitRequest)
    again = replace(tasks[0], predict=replay.lookup_only(known.get, {said.value.request.address: "no"}))
    with pytest.raises(FitFailed, match="no"):
        replay.outer_prediction(again, rows[0])


def test_the_prior_correction_moves_the_mean_risk_back(toy):
    asked = study(s={"weight": 6.0, "threshold": 0.5}, none={"threshold": 0.5})
    tasks, rows, _ = answered(toy, asked)
    for task, row in zip(tasks, rows, strict=True):
        prediction = replay.outer_prediction(task, row)
        q, p = prediction.values, replay.prior_corrected(task, row, prediction)
        assert (np.argsort(q, kind="stable") == np.argsort(p, kind="stable")).all()
        if task.cell.strategy.name == "none":
            assert (p == q).all()
        else:
            share = toy.y[task.cell.split.train].mean()
            assert p.mean() < q.mean()
            a, b = share / (6 * share / (6 * share + 1 - share)), (1 - share) / ((1 - share) / (6 * share + 1 - share))
            assert p == pytest.approx(a * q / (a * q + b * (1 - q)), rel=1e-12)


@pytest.mark.parametrize(
    "strategy",
    [
        {"sampler": {"_target_": "imblearn.under_sampling.TomekLinks"}, "threshold": 0.5},
        {"threshold": 0.5, "calibration": "sigmoid"},
    ],
    ids=["cleaning", "calibrated"],
)
def test_where_nothing_can_be_undone_nothing_is_corrected(toy, strategy):
    tasks, rows, _ = answered(toy, study(s=strategy))
    assert replay.prior_corrected(tasks[0], rows[0], replay.outer_prediction(tasks[0], rows[0])) is None


def test_where_the_rows_of_smote_fall(toy):
    """Against imbalanced-learn and every distance."""
    asked = study(s={"sampler": SMOTE_TEXT, "ratio": 1.0, "k": 5, "threshold": 0.5})
    tasks, rows, _ = answered(toy, asked)
    for task, row in zip(tasks, rows, strict=True):
        train = task.cell.split.train
        request = task.request(row.params, train, task.cell.split.test)
        share, made = replay.share_nearer_to_majority(request, PreparedRows(toy, train))
        X, y = StandardScaler().fit_transform(toy.X.to_numpy()[train]), toy.y[train]
        new, _ = SMOTE(sampling_strategy=1.0, k_neighbors=5, random_state=task.seed).fit_resample(X, y)
        new = new[len(X) :]
        nearer = cdist(new, X[y == 0]).min(axis=1) < cdist(new, X[y == 1]).min(axis=1)
        assert (share, made) == (nearer.mean(), len(new))
        assert 0 < share < 1


def test_where_the_rows_of_smote_fall_among_several_classes():
    """Against imbalanced-learn and every distance."""
    rng = np.random.default_rng(4)
    y = np.repeat([0, 1, 2], [120, 40, 14])
    X = pd.DataFrame(rng.normal(size=(len(y), 3)) + y[:, None], columns=["a", "b", "c"])
    table = Dataset("three", X, y, ("large", "small", "rare"), fingerprint="f")
    asked = study(s={"sampler": SMOTE_TEXT, "ratio": 0.5, "k": 3, "threshold": 0.5})
    tasks, rows, _ = answered(table, asked)
    train = tasks[0].cell.split.train
    request = tasks[0].request(rows[0].params, train, tasks[0].cell.split.test)
    shares = replay.shares_nearer_to_another_class(request, PreparedRows(table, train))
    real, labels = StandardScaler().fit_transform(X.to_numpy()[train]), y[train]
    half = int(0.5 * np.sum(labels == 0))
    targets = {c: half for c in (1, 2) if half > np.sum(labels == c)}
    new, made = SMOTE(sampling_strategy=targets, k_neighbors=3, random_state=tasks[0].seed).fit_resample(real, labels)
    new, made = new[len(real) :], made[len(real) :]
    nearest = labels[cdist(new, real).argmin(axis=1)]
    assert shares == {c: (float(np.mean(nearest[made == c] != c)), int(np.sum(made == c))) for c in targets}
    assert all(0 < share < 1 for share, _ in shares.values())


def test_many_distances_are_measured_on_evenly_spaced_rows(toy, monkeypatch):
    asked = study(s={"sampler": SMOTE_TEXT, "ratio": 1.0, "k": 5, "threshold": 0.5})
    tasks, rows, _ = answered(toy, asked)
    train = tasks[0].cell.split.train
    request = tasks[0].request(rows[0].params, train, tasks[0].cell.split.test)
    whole = replay.share_nearer_to_majority(request, PreparedRows(toy, train))
    monkeypatch.setattr(replay, "MAX_DISTANCES", 60 * len(train))
    part = replay.share_nearer_to_majority(request, PreparedRows(toy, train))
    assert part[1] == whole[1]
    assert part[0] == pytest.approx(whole[0], abs=0.2)


@pytest.mark.parametrize("make", [None, {"_target_": f"imblearn.over_sampling.{RandomOverSampler.__name__}"}])
def test_copies_are_no_rows_that_were_made(toy, make):
    ratio = {} if make is None else {"ratio": 1.0}
    tasks, rows, _ = answered(toy, study(s={"sampler": make, "threshold": 0.5, **ratio}))
    train = tasks[0].cell.split.train
    request = tasks[0].request(rows[0].params, train, tasks[0].cell.split.test)
    assert replay.share_nearer_to_majority(request, PreparedRows(toy, train)) is None


@given(st.integers(1, 3), st.lists(st.integers(-2, 2), min_size=6, max_size=60), st.integers(1, 20))
def test_a_copy_is_a_row_that_equals_another_in_every_column(width, values, cut):
    rows = np.array(values[: len(values) // width * width], dtype=float).reshape(-1, width) / 3 * -1.0
    asked, real = rows[:cut], rows[cut:]
    expected = [any((row == other).all() for other in real) for row in asked]
    assert replay.find_copies(asked, real).tolist() == expected


def test_the_nearest_row_does_not_depend_on_the_blocks(monkeypatch):
    draw = np.random.default_rng(0)
    rows, asked, among = draw.normal(size=(50, 3)), draw.normal(size=(7, 3)), draw.random(50) < 0.4
    whole = cdist(asked, rows[among]).min(axis=1)
    monkeypatch.setattr(replay, "DISTANCE_BLOCK_SIZE", 20)
    np.testing.assert_array_equal(replay._nearest_distances(rows, among, asked), whole)
