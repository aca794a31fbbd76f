"""Models of more than two classes predict as the kernel, bit for bit, with the labels of the table."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.base import clone
from sklearn.metrics import get_scorer, log_loss

import imblab
from imblab.core import evaluate, fitting, model, splits
from imblab.core.evaluate import Task
from imblab.core.preparation import PreparedRows
from imblab.errors import FitFailed
from imblab.stats.probabilities import decide_by_costs, decide_by_thresholds
from imblab.study import Cell

LEARNERS = sorted(p.stem for p in (Path(__file__).parents[2] / "conf" / "learner").glob("*.yaml"))
ENSEMBLES = (
    "adaboost",
    "bagging",
    "balanced_random_forest",
    "easy_ensemble",
    "extra_trees",
    "lightgbm",
    "random_forest",
    "xgboost",
)
SPACE = ("strategy.smote_threshold.space.ratio=choice(0.5)", "strategy.smote_threshold.space.k=choice(3)")
#: By falling frequency; sorted as numbers they stand in another order.
LABELS = (10, 2, -1, 7)
COSTS = [[0, 1, 1, 1], [5, 0, 1, 1], [9, 1, 0, 1], [20, 1, 1, 0]]


def table(n=300):
    rng = np.random.default_rng(1)
    y = np.searchsorted([0.5, 0.75, 0.9], (np.arange(n) % 40) / 40, side="right")
    frame = pd.DataFrame({"late": rng.normal(size=n) + y, "early": rng.normal(size=n) * 7 + 3 * (y == 2)})
    frame.loc[rng.random(n) < 0.1, "late"] = np.nan
    frame["town"] = np.where((y == 3) & (rng.random(n) < 0.5), "b", rng.choice(["a", "c"], n))
    return frame.assign(target=np.array(LABELS)[y])


def dataset():
    data = imblab.dataset(table(), "target", name="toy")
    assert data.classes == tuple(map(str, LABELS))
    return data


def task(learner="logistic", *more, **changes):
    asked = (*SPACE, *more, *((f"+learner.{learner}.make.n_estimators=2",) if learner in ENSEMBLES else ()))
    study = imblab.compose("name=x", f"learner=[{learner}]", "strategy=[smote_threshold]", "protocol=smoke", *asked)
    strategy = replace(study.strategies[0], **changes)
    data = dataset()
    cell = Cell("toy", study.learners[0], strategy, model.all_rows_split(data))
    plan = splits.plan(data, study.protocol, study.seed)
    pairs = splits.inner_pairs(data, study.protocol, study.seed, cell.split, plan)
    return Task(cell, study, data, pairs, lambda request: fitting.fit_predict(request, PreparedRows(data, request.fit)))


def exported(asked):
    trial, _ = model.choose_params(asked)
    return model.fit_model(asked, trial.params, trial.threshold, LABELS), trial


def kernel_values(asked, params):
    rows = asked.cell.split.train
    return evaluate.calibrate_prediction(asked, params, asked.predict_rows(params, rows, rows)).values


@pytest.mark.sampled(1)
@pytest.mark.parametrize("learner", LEARNERS)
def test_every_shipped_learner_predicts_as_the_kernel_bit_for_bit(learner):
    asked = task(learner)
    made, trial = exported(asked)
    wanted = kernel_values(asked, trial.params)
    assert wanted.shape == (300, 4)
    assert np.array_equal(made.scores(table()), wanted)
    decided = decide_by_thresholds(asked.compared(trial.params, wanted), trial.threshold)
    assert np.array_equal(made.predict(table()), np.array(LABELS)[decided])
    gives_probabilities = learner != "svm"
    assert hasattr(made, "predict_proba") is gives_probabilities
    assert hasattr(made, "decision_function") is not gives_probabilities
    columns = (made.predict_proba if gives_probabilities else made.decision_function)(table())
    assert made.classes_.tolist() == sorted(LABELS)
    for position, label in enumerate(sorted(LABELS)):
        assert np.array_equal(columns[:, position], wanted[:, LABELS.index(label)])


def test_it_is_a_scikit_learn_classifier_with_whole_numbers_as_labels():
    made, trial = exported(task())
    assert made.thresholds_ == dict(zip(LABELS, trial.threshold, strict=True))
    assert made.predict(table()).dtype.kind == "i"
    assert clone(made) is made
    assert made.fit(table(), table().target) is made
    assert made.feature_names_in_.tolist() == ["late", "early", "town"]
    assert set(made.predict(table())) <= set(LABELS)
    # scikit-learn's own scorers read the columns by the sorted labels.
    found = get_scorer("neg_log_loss")(made, table(), table().target)
    assert found == pytest.approx(-log_loss(dataset().y, made.scores(table())), abs=1e-12)
    assert get_scorer("roc_auc_ovr")(made, table(), table().target) > 0.5


@pytest.mark.sampled(4)
@pytest.mark.parametrize("kind", ["prior", "sigmoid", "isotonic"])
@pytest.mark.parametrize("learner", ["logistic", "decision_tree", "svm"])
def test_calibrated_strategies_are_exported_calibrated(kind, learner, monkeypatch):
    if (kind, learner) == ("prior", "svm"):
        pytest.skip("the prior correction needs probabilities")
    monkeypatch.setattr("imblab.core.class_decisions.MIN_POSITIVES", {})
    shallow = ("+learner.decision_tree.make.max_depth=3",) if learner == "decision_tree" else ()
    asked = task(learner, *shallow, calibration=kind, prior_correction="approximate")
    made, trial = exported(asked)
    wanted = kernel_values(asked, trial.params)
    assert np.array_equal(made.predict_proba(table()), wanted[:, [LABELS.index(label) for label in sorted(LABELS)]])
    assert wanted.sum(axis=1) == pytest.approx(np.ones(300), abs=1e-12)
    rows = asked.cell.split.train
    assert not np.array_equal(wanted, asked.predict_rows(trial.params, rows, rows).values)


def test_costs_decide_without_thresholds():
    asked = task(threshold={"cost_optimal": COSTS})
    made, trial = exported(asked)
    assert trial.threshold is None
    assert made.thresholds_ == {}
    wanted = decide_by_costs(kernel_values(asked, trial.params), COSTS)
    assert np.array_equal(made.predict(table()), np.array(LABELS)[wanted])
    assert len(set(wanted)) > 1
    by_argmax = model.fit_model(task(threshold=0.5), trial.params, (0.5,) * 4, LABELS)
    assert not np.array_equal(by_argmax.predict(table()), made.predict(table()))


def test_ties_go_to_the_rarer_class():
    made, _ = exported(task())
    made.thresholds, made.calibration = [0.5] * 4, {"kind": "prior", "factors": np.zeros(4)}
    assert set(made.predict(table())) == {LABELS[-1]}  # rows that sum to 0 have equal probabilities


def test_decisions_that_differ_from_those_of_the_kernel_are_refused(monkeypatch):
    asked = task()
    trial, _ = model.choose_params(asked)
    name = "imblab.core.class_decisions.decide_by_thresholds"
    monkeypatch.setattr(name, lambda values, thresholds: np.zeros(len(values), dtype=int))
    with pytest.raises(FitFailed, match=r"predicts differently from the study in \d+ of 300 rows"):
        model.fit_model(asked, trial.params, trial.threshold, LABELS)


def test_skops_writes_and_reads_it(tmp_path):
    made, _ = exported(task(calibration="sigmoid"))
    skops.io.dump(made, tmp_path / "m.skops")
    types = skops.io.get_untrusted_types(file=tmp_path / "m.skops")
    assert sorted(types) == ["imblab_model.MulticlassThresholdClassifier", "imblab_model.Preparation", "numpy.dtype"]
    read = skops.io.load(tmp_path / "m.skops", trusted=types)
    assert np.array_equal(read.predict(table()), made.predict(table()))
    assert read.predict(table()).dtype == made.predict(table()).dtype
    assert np.array_equal(read.scores(table()), made.scores(table()))
