"""One fit, many answers: as exact as a fit for each."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import yaml

from imblab.core import design, splits
from imblab.core.pipelines import Prepared, atom_of, fit_answer, fit_predict
from imblab.core.sharing import Sharing, rounds
from imblab.edges import config, runner
from imblab.study import Choice, Dataset, Learner, Protocol, Strategy, Study, Tuning

CONF = config.compose(["name=x", "dataset=[ecoli3]", "learner=[lightgbm,xgboost,logistic]"]).study
SMOTE = {"_target_": "imblearn.over_sampling.SMOTE"}


def toy(n=300, positives=60, seed=0):
    rng = np.random.default_rng(seed)
    y = np.zeros(n, dtype=np.int64)
    y[rng.permutation(n)[:positives]] = 1
    X = pd.DataFrame({"a": rng.normal(size=n) + y, "b": rng.normal(size=n), "c": rng.integers(0, 4, n).astype(float)})
    return Dataset("toy", X, y, ("no", "yes"), fingerprint=f"toy-{seed}")


def learner(name):
    return next(item for item in CONF.learners if item.name == name)


@pytest.mark.parametrize("name", ["lightgbm", "xgboost"])
@pytest.mark.parametrize("more", [{}, {"subsample": 0.7, "subsample_freq": 1, "colsample_bytree": 0.6}])
def test_a_booster_with_many_rounds_answers_for_fewer_to_the_bit(name, more):
    if name == "xgboost":
        more = {k: v for k, v in more.items() if k != "subsample_freq"}
    booster = replace(learner(name), space={"n_estimators": Choice((40, 7, 20))}, make={**learner(name).make, **more})
    data = toy()
    fit, rows = np.arange(0, 200), np.arange(200, 300)
    sharing = Sharing(booster, Tuning(tune_learner=True), [(fit, rows)])
    atom = atom_of(data, booster.make, SMOTE, {"ratio": 0.5, "k": 3, "learner.n_estimators": 7}, 0, fit, rows)
    fitted, asked = sharing.family(atom)
    assert fitted.learner["n_estimators"] == 40
    assert [a.learner["n_estimators"] for a, _ in asked] == [7, 40, 20]
    assert asked[0][0].address == atom.address
    prepared = Prepared(data, fit)
    for (one, _), answer in zip(asked, fit_answer(fitted, asked, prepared), strict=True):
        np.testing.assert_array_equal(answer.values, fit_predict(one, prepared).values)


def test_a_refit_is_fitted_as_it_is_asked():
    booster = replace(learner("lightgbm"), space={"n_estimators": Choice((40, 7))})
    data = toy()
    fit, rows = np.arange(0, 200), np.arange(200, 300)
    sharing = Sharing(booster, Tuning(tune_learner=True), [(fit[:100], fit[100:])])
    atom = atom_of(data, booster.make, None, {"learner.n_estimators": 7}, 0, fit, rows)
    assert sharing.family(atom) == (atom, [(atom, {})])


def test_rounds_are_shared_in_grids_of_declared_learners_only():
    booster = replace(learner("lightgbm"), space={"n_estimators": Choice((40, 7))})
    assert rounds(booster, Tuning(tune_learner=True)) == (40, 7)
    assert rounds(booster, Tuning()) == ()
    assert rounds(booster, Tuning("random", 5, tune_learner=True)) == ()
    assert rounds(replace(learner("logistic"), space={"C": Choice((1.0, 2.0))}), Tuning(tune_learner=True)) == ()


def study(protocol, learners, tuning=None):
    strategies = (
        Strategy("threshold", threshold="tuned"),
        Strategy("smote", SMOTE, threshold="tuned", space={"ratio": Choice((0.5, 1.0)), "k": Choice((3, 5))}),
    )
    measures = CONF.measures
    return Study("toy", 0, {}, tuple(learners), strategies, measures, protocol, tuning=tuning or Tuning())


def answered(question, data):
    plans = {"toy": splits.plan(data, question.protocol, question.seed)}
    work = runner.bundles(question, plans, design.expand(question, plans))
    rows = []
    tally = runner.run({"toy": data}, work, 1, rows.append)
    return {r.key: (dict(r.scores), dict(r.params), r.threshold, r.value) for r in rows}, tally


def test_shared_inner_folds_take_exactly_half_of_the_inner_fits():
    outer, repeats = 4, 2
    protocol = Protocol(outer_folds=outer, inner="shared", repeats=repeats)
    question = study(protocol, [learner("logistic")])
    rows, tally = answered(question, toy())
    candidates = 1 + 4
    pairs_of_folds = outer * (outer - 1) // 2
    refits = {(key.rsplit("/", 2)[1:][0], key.rsplit("/", 1)[1]) for key in rows}
    assert tally.fits - repeats * outer * 2 == candidates * pairs_of_folds * repeats
    assert len(refits) == repeats * outer


def test_shared_inner_folds_give_what_fits_for_each_give(monkeypatch):
    protocol = Protocol(outer_folds=3, inner="shared")
    question = study(protocol, [learner("logistic"), learner("lightgbm")])
    shared, few = answered(question, toy())
    monkeypatch.setattr(Sharing, "family", lambda self, atom: (atom, [(atom, {})]))
    alone, many = answered(question, toy())
    assert shared == alone
    assert few.fits < many.fits


def test_tuned_rounds_are_one_fit_a_candidate_and_change_no_row(monkeypatch):
    space = {"n_estimators": Choice((5, 10, 20)), "num_leaves": Choice((4, 8))}
    # So few rows a leaf that every round grows a tree: a booster that stops early is asked for each number by itself.
    booster = replace(learner("lightgbm"), space=space, make={**learner("lightgbm").make, "min_child_samples": 2})
    question = study(Protocol(outer_folds=3, inner_folds=2), [booster], Tuning(tune_learner=True))
    shared, few = answered(question, toy())
    monkeypatch.setattr(Sharing, "family", lambda self, atom: (atom, [(atom, {})]))
    alone, many = answered(question, toy())
    assert shared == alone
    inner = 3 * 2 * (1 + 4) * 2
    assert few.fits - inner <= 6
    assert many.fits - 3 * inner <= 6


def test_the_files_of_the_boosters_declare_how_they_are_asked():
    declared = {
        path.stem: raw[path.stem]["staged"]
        for path in (config.compose.__globals__["home"]() / "learner").glob("*.yaml")
        if "staged" in (raw := yaml.safe_load(path.read_text()))[path.stem]
    }
    assert set(declared) == {"lightgbm", "xgboost"}
    assert Learner("x", {}, {}, declared["lightgbm"]).staged["argument"] == "num_iteration"
