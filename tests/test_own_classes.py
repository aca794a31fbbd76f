"""Samplers, measures and learners of a user's own: run, scored and kept apart from those of other code."""

from dataclasses import replace

import pytest

import imblab
from imblab.errors import ConfigError
from imblab.records import Learner, Measure, Strategy

SAMPLER = """
import numpy as np
from imblearn.over_sampling import SMOTE
from sklearn.base import BaseEstimator

class Copies(BaseEstimator):
    def __init__(self, sampling_strategy=1.0, k_neighbors=5, random_state=None):
        self.sampling_strategy, self.k_neighbors, self.random_state = sampling_strategy, k_neighbors, random_state

    def fit_resample(self, X, y):
        assert isinstance(self.k_neighbors, int)
        rare = np.flatnonzero(y == 1)
        drawn = rare[np.arange(int(self.sampling_strategy * (len(y) - len(rare))) - len(rare)) % len(rare)]
        X *= 1.0
        return [*X, *X[drawn]], [*y, *y[drawn]]

class Spoiling(Copies):
    def fit_resample(self, X, y):
        X[:] = 0
        return X, y

class Quiet(SMOTE):
    def fit_resample(self, X, y):
        return X, y
"""
MEASURES = """
def net(tn, fp, fn, tp, cost=1.0):
    return tp - cost * fp

def spoiling(y, p):
    p.sort()
    y[:] = 1
    return float(p[-1])

def failing(y, p):
    if len(y) > 2:
        raise ZeroDivisionError("no rows\\nof that kind")
    return 0.5

def leaving(y, p):
    if len(y) > 2:
        raise SystemExit(3)
    return 0.5
"""


@pytest.fixture
def study():
    """A small study of one learner."""
    return imblab.compose("name=own", "dataset=[ecoli3]", "learner=[logistic]", "strategy=[none]", "protocol=smoke")


def sampled(study, name, **knobs):
    found = Strategy("own", {"_target_": f"own_samplers.{name}"}, **knobs)
    return replace(study, strategies=(*study.strategies, found))


def measured(study, *found, **changes):
    return replace(study, measures=(*study.measures, *found), **changes)


def test_a_sampler_of_ones_own_resamples(packages, study):
    packages(own_samplers=SAMPLER)
    frame = imblab.evaluate(sampled(study, "Copies", ratio=1.0, k=3))
    assert frame.status.tolist() == ["ok"] * 6
    none, own = (frame[frame.strategy == name].mcc.tolist() for name in ("none", "own"))
    assert none != own


def test_a_sampler_that_writes_into_its_rows_changes_no_other_row(packages, study):
    packages(own_samplers=SAMPLER)
    alone = imblab.evaluate(study)
    spoilt = replace(sampled(study, "Spoiling"), strategies=sampled(study, "Spoiling").strategies[::-1])
    both = imblab.evaluate(spoilt)
    assert both[both.strategy == "none"].mcc.tolist() == alone.mcc.tolist()


def test_a_child_of_smote_is_asked_by_its_own_method(packages, study):
    packages(own_samplers=SAMPLER)
    frame = imblab.evaluate(sampled(study, "Quiet", ratio=1.0, k=3))
    none, own = (frame[frame.strategy == name].mcc.tolist() for name in ("none", "own"))
    assert none == own


def test_measures_of_ones_own_from_python(packages, study):
    packages(own_measures=MEASURES)
    net = Measure("net", "own_measures.net", "label", parameters={"cost": 2.0})
    own = measured(study, net, Measure("spoiling", "own_measures.spoiling", "score"), primary="net")
    frame, plain = imblab.evaluate(own), imblab.evaluate(study)
    assert frame.net.tolist() == [tp - 2 * fp for tp, fp in zip(frame.tp, frame.fp, strict=True)]
    assert frame[["mcc", "pr_auc", "brier"]].equals(plain[["mcc", "pr_auc", "brier"]])


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("failing", "measure 'failing' raised ZeroDivisionError: no rows of that kind"),
        ("leaving", "measure 'leaving' raised SystemExit: 3"),
    ],
)
@pytest.mark.parametrize("primary", ["own", "mcc"])
def test_a_measure_that_fails_is_a_failed_row(packages, study, name, reason, primary):
    packages(own_measures=MEASURES)
    own = Measure(name, f"own_measures.{name}", "score")
    asked = measured(
        study, own, primary=name if primary == "own" else "mcc", strategies=(Strategy("t", threshold="tuned"),)
    )
    frame = imblab.evaluate(asked)
    assert frame.status.tolist() == ["failed"] * 3
    assert all(reason in error for error in frame.error)


def test_own_packages_may_stand_anywhere_in_a_study_that_is_logged(packages, study, tmp_path):
    packages(own_learners="from sklearn.linear_model import LogisticRegression\nclass Mine(LogisticRegression): pass\n")
    packages(own_measures=MEASURES)
    bagging = {"_target_": "sklearn.ensemble.BaggingClassifier", "n_estimators": 2}
    nested = Learner("bagged", {**bagging, "estimator": {"_target_": "own_learners.Mine"}})
    asked = replace(measured(study, Measure("net", "own_measures.net", "label")), learners=(nested,))
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    frame = imblab.run(asked, folder=tmp_path / "s", tracking_uri=uri, store_path=None)
    assert frame.status.tolist() == ["ok"] * 3


def test_a_measure_from_a_file_and_from_the_command_line(packages, tmp_path):
    packages(own_measures=MEASURES)
    (tmp_path / "cfg" / "measures").mkdir(parents=True)
    (tmp_path / "cfg" / "measures" / "gain.yaml").write_text("gain: {function: own_measures.net, needs: label}\n")
    words = ["name=own", "dataset=[ecoli3]", "learner=[logistic]", "strategy=[none]", "protocol=smoke"]
    typed = "+measures.net={function: own_measures.net, needs: label, parameters: {cost: 3}}"
    allow = "allow=[sklearn,imblearn,lightgbm,xgboost,imblab,own_measures]"
    own = imblab.compose(*words, "measures=[mcc,gain]", "primary=gain", typed, allow, config_dirs=[tmp_path / "cfg"])
    frame = imblab.evaluate(own)
    assert {"gain", "net"} <= set(frame.columns)
    assert frame.status.tolist() == ["ok"] * 3
    with pytest.raises(ConfigError, match="put 'own_measures' into `allow`"):
        imblab.compose(*words, typed)
