"""What a plan says the store and MLflow will hold is what they hold after the run."""

import json
from contextlib import closing
from pathlib import Path

import pytest
from mlflow import MlflowClient

from imblab.cli import main
from imblab.commands import footprint, plan_text
from imblab.commands.layout import lay_out
from imblab.edges import config, store

#: 280 predictions of two tables, which cost little.
WORDS = (
    "name=held", "dataset=[ecoli3,yeast4]", "learner=[logistic]", "strategy=[none,threshold,smote,smote_threshold]",
    "runner.n_jobs=1", "runner.report=false",
)  # fmt: skip


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def planned(capsys, *words):
    capsys.readouterr()
    assert main(["plan", *WORDS, *words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)["price"]


@pytest.mark.slow
@pytest.mark.usefixtures("here")
def test_the_store_and_mlflow_hold_what_was_planned(capsys):
    price = planned(capsys)
    assert (price["store"]["limit"], price["store"]["holds"]) == (4 * 2**30, 0)
    assert main(["run", *WORDS]) == 0
    size = store.DEFAULT_PATH.stat().st_size
    # Two strategies may choose the same winner, whose refit is one prediction then.
    assert size / 1.05 < price["store"]["bytes"] < 1.25 * size
    client = MlflowClient(f"sqlite:///{Path('mlruns/mlflow.db').resolve()}")
    experiment = client.get_experiment_by_name("held").experiment_id
    runs = client.search_runs([experiment], max_results=1000)
    assert price["mlflow"] == {"runs": len(runs), "candidates": len(runs) - 1 - 8, "search": "candidates"}
    assert planned(capsys)["store"]["holds"] == pytest.approx(size, rel=0.01)


@pytest.mark.usefixtures("here")
def test_what_is_turned_off_is_not_planned(capsys):
    assert planned(capsys, "tracking=none", "runner.store=false").keys().isdisjoint({"store", "mlflow"})


@pytest.fixture
def small_limit(monkeypatch):
    """A limit that the study does not fit into."""
    monkeypatch.setattr(store, "MAX_STORE_BYTES", 2**16)
    monkeypatch.setattr(store, "MAX_STUDY_BYTES", 2**16 * 9 // 10)


def count_predictions():
    with closing(store.SqliteStore(store.DEFAULT_PATH.resolve())) as opened:
        return opened.facts()["predictions"]


@pytest.mark.slow
@pytest.mark.usefixtures("here", "small_limit")
def test_the_limit_follows_the_study_and_a_rescore_fits_nothing(capsys):
    """A smaller study afterwards drops nothing of it either."""
    small = ("name=small", "dataset=[ecoli3]", "learner=[knn]", "strategy=[none]", "protocol=smoke", *WORDS[-2:])
    assert main(["run", *WORDS, "tracking=none"]) == 0
    assert "The limit of the prediction store rises from 0.1 MB" in " ".join(capsys.readouterr().out.split())
    held = count_predictions()
    assert main(["run", *small, "tracking=none"]) == 0
    assert "The limit of the prediction store" not in " ".join(capsys.readouterr().out.split())
    assert count_predictions() > held
    assert main(["rescore", "held", "strategy.threshold.threshold=0.3"]) == 0
    assert main(["store"]) == 0
    assert "of at most 1.0 MB" in " ".join(capsys.readouterr().out.split())


@pytest.mark.slow
@pytest.mark.usefixtures("here", "small_limit")
def test_without_a_raised_limit_the_store_loses_predictions(monkeypatch):
    monkeypatch.setattr(footprint, "estimate_stored_bytes", lambda layout: 0)
    assert main(["run", *WORDS, "tracking=none"]) == 0
    assert count_predictions() < 150


SEARCHED = ("strategy.smote_threshold.space.ratio=choice(.5,1)", "strategy.smote_threshold.k=3")


@pytest.mark.parametrize(
    ("words", "counts"),
    [
        # 336 rows: two inner folds of 112 for each of three candidates, and two refits, on three outer splits.
        (("strategy=[none,threshold,smote_threshold]", *SEARCHED, "protocol=smoke"), {112: 3 * (2 * 3 + 2)}),
        # A threshold of .5 and a single candidate need no inner fold.
        (("strategy=[none]", "protocol=holdout", "protocol.repeats=4"), {101: 4}),
        # Candidates that depend on the values of those before them share nothing.
        (("strategy=[none,smote]", "search=tpe", "search.n_trials=12", "protocol=smoke"), {112: 3 * (2 * 12 + 2)}),
        # 1,728 rows of four classes: a prediction holds a value per class.
        (("dataset=[car]", "strategy=[none]", "protocol=smoke"), {4 * 576: 3}),
        # A weight is not applicable to knn.
        (("learner=[logistic,knn]", "strategy=[none,class_weight]", "protocol=smoke"), {112: 3 * (2 * 5 + 2 + 1)}),
    ],
)
def test_predictions_are_counted_by_their_values(words, counts):
    study = config.compose_request(["name=x", "dataset=[ecoli3]", "learner=[logistic]", *words]).study
    assert footprint.count_predictions(lay_out(study)) == counts


def facts(needed, limit, former=4.0):
    return {name: int(2**30 * n) for name, n in (("bytes", needed), ("limit", limit), ("former_limit", former))}


@pytest.mark.parametrize(
    ("kept", "logged", "text"),
    [
        (facts(0.25, 4), {"runs": 101, "candidates": 80, "search": "candidates"},
         "Prediction store: about 256.0 MB, of at most 4.0 GB. MLflow: at most 101 runs."),
        (facts(6.5, 7.25), {"runs": 2101, "candidates": 9000, "search": "table"},
         "The limit of the prediction store rises from 4.0 GB to 7.2 GB, since the study needs about 6.5 GB. "
         "MLflow: at most 2,101 runs, and 9,000 candidates in tables."),
        (facts(6.5, 5), None, "has room for 5.0 GB on this disk: a rescore would fit the oldest again. Free the disk"),
    ],
)  # fmt: skip
def test_a_plan_says_what_is_held(kept, logged, text):
    price = {"seconds": 360.0, "n_jobs": 2, "bytes": 2**30, "untimed": [], "store": kept}
    plan = {"study": "s", "cells": 1, "fits": 1, "price": price | ({"mlflow": logged} if logged else {})}
    assert text in " ".join(plan_text.plan_text(plan, 80).split())


def test_the_limit_of_the_store_rises_with_a_study():
    sentence = footprint.describe_limit({"bytes": 6 * 2**30, "limit": 7 * 2**30, "former_limit": 4 * 2**30})
    rise = "The limit of the prediction store rises from 4.0 GB to 7.0 GB, since the study needs about 6.0 GB."
    assert sentence == rise
