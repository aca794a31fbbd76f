"""A study of several classes outside its report: in MLflow."""

import json
from pathlib import Path
from statistics import median

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from sklearn.metrics import average_precision_score

from imblab.cli import main
from imblab.commands import layout
from imblab.edges import config, ledger
from imblab.edges.mlflow import views

#: Labels that are whole numbers; the smallest class has 9 rows.
WORDS = (
    "name=panes",
    "dataset=glass",
    "strategy=[none,threshold,smote_threshold]",
    "strategy.smote_threshold.space.ratio=choice(0.5,1.0)",
    "strategy.smote_threshold.space.k=choice(1)",
    "learner=[logistic]",
    "protocol.outer_folds=3",
    "protocol.inner_folds=3",
    "protocol.repeats=1",
    "runner.n_jobs=1",
)
CLASSES = range(6)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kept")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(["run", *WORDS]) == 0
    return folder


@pytest.fixture(autouse=True)
def _inside(home, monkeypatch):
    monkeypatch.chdir(home)


def load_study():
    return config.load_request(Path("experiments/panes") / ledger.STUDY_FILE, []).study


def load_rows(strategy="smote_threshold"):
    return [row for row in ledger.read_evaluations(Path("experiments/panes")) if row.strategy == strategy]


def client():
    return MlflowClient(f"sqlite:///{Path('mlruns/mlflow.db').resolve()}")


def search_runs(role, strategy="smote_threshold"):
    experiment = client().get_experiment_by_name("panes").experiment_id
    where = f"tags.`imblab.role` = '{role}'" + (f" AND params.strategy = '{strategy}'" if strategy else "")
    return client().search_runs([experiment], where)


def artifact(name, tmp_path):
    [study] = search_runs("study", "")
    return pd.read_parquet(client().download_artifacts(study.info.run_id, name, str(tmp_path)))


def test_mlflow_has_macro_scores_and_those_of_each_class():
    [run] = search_runs("cell")
    rows, metrics = load_rows(), run.data.metrics
    assert metrics["mcc"] == pytest.approx(np.mean([row.scores["mcc"] for row in rows]), abs=1e-12)
    for name in ("recall", "pr_auc"):
        by_class = np.array([row.class_scores[name] for row in rows], dtype=float)
        means = [metrics[f"{name}/class_{index}"] for index in CLASSES]
        assert means == pytest.approx(by_class.mean(axis=0), abs=1e-12)
        assert metrics[name] == pytest.approx(np.mean(means), abs=1e-12)
        history = client().get_metric_history(run.info.run_id, f"fold/{name}/class_5")
        assert [(m.step, m.value) for m in history] == list(enumerate(by_class[:, 5]))
    pooled = np.sum([row.matrix for row in rows], axis=0)
    assert metrics["pooled/recall"] == pytest.approx(np.mean(np.diag(pooled) / pooled.sum(axis=1)), abs=1e-12)
    assert "alerts_per_1000" not in metrics
    assert not {"threshold", "fold/threshold", "inner/threshold"} & metrics.keys()


def test_mlflow_has_the_thresholds_and_the_labels_of_the_classes():
    [run] = search_runs("cell")
    for index in CLASSES:
        chosen = [row.threshold[index] for row in load_rows()]
        assert run.data.metrics[f"threshold/class_{index}"] == median(chosen)
        assert run.data.params[f"chosen.threshold/class_{index}"] == ", ".join(f"{t:g}" for t in chosen)
    labels = layout.lay_out(load_study()).datasets["glass"].classes
    assert [run.data.tags[f"class_{index}"] for index in CLASSES] == list(labels)
    assert set(labels) == {"1", "2", "3", "5", "6", "7"}
    assert f"| 5 | `{labels[5]}` | 3 |" in run.data.tags["mlflow.note.content"]
    [data] = run.inputs.dataset_inputs
    facts = json.loads(data.dataset.profile)
    assert facts["rows_by_class"] == sorted(facts["rows_by_class"], reverse=True)
    assert (facts["num_rows"], facts["num_classes"], facts["rows_by_class"][5]) == (214, 6, 9)
    assert "num_positives" not in facts


def test_predictions_in_mlflow_give_the_scores_of_the_classes_back(tmp_path):
    frame = artifact("predictions.parquet", tmp_path)
    assert [name for name in frame if name.startswith(("p", "decision"))] == ["part", *(f"p_{c}" for c in CLASSES)]
    for row in load_rows():
        test = frame[(frame.strategy == row.strategy) & (frame.fold == row.fold) & (frame.part == "test")]
        areas = [average_precision_score(test.y == index, test[f"p_{index}"]) for index in CLASSES]
        assert row.class_scores["pr_auc"] == pytest.approx(areas, abs=1e-12)
        multipliers = (1 - np.array(row.threshold)) / np.array(row.threshold)
        decided = 5 - np.argmax((test[[f"p_{c}" for c in CLASSES]].to_numpy() * multipliers)[:, ::-1], axis=1)
        assert (
            row.matrix.tolist() == pd.crosstab(test.y, decided).reindex(columns=CLASSES, fill_value=0).values.tolist()
        )


def test_candidates_have_the_inner_scores_that_decided(tmp_path):
    searches = artifact("search.parquet", tmp_path).query("strategy == 'smote_threshold'")
    judged = searches[searches.value.notna()]
    assert len(judged) == 6
    assert np.array_equal(judged.inner_mcc, judged.value)
    assert judged.threshold.isna().all()
    assert [tuple(json.loads(text)) for text in judged.thresholds] == [
        trial.threshold for fold in range(3) for trial in load_rows()[fold].trials
    ]
    for run in search_runs("candidate"):
        own = judged[judged.ratio.astype(float) == float(run.data.params["ratio"])]
        assert run.data.metrics["inner/mcc"] == pytest.approx(own.value.mean(), abs=1e-12)
        assert run.data.metrics["inner/recall"] == pytest.approx(own.inner_recall.mean(), abs=1e-12)
        thresholds = np.array([json.loads(text) for text in own.thresholds])
        assert float(run.data.params["threshold/class_5"]) == pytest.approx(np.median(thresholds[:, 5]), abs=1e-5)


def test_views_show_the_recall_of_the_rarest_classes():
    tags = client().get_experiment_by_name("panes").tags
    saved = {
        view.name: view.state
        for key, text in tags.items()
        if "imblab-" in key
        for view in [views.decode_view(key, text)]
    }
    rarest = ["recall/class_5", "recall/class_4", "recall/class_3"]
    for name in ("Answer", "Strategies"):
        shown = [column for column in saved[name]["selectedColumns"] if "class_" in column]
        assert shown == [f"metrics.`{key}`" for key in rarest]
    charts = [chart for chart in saved["Strategies"]["compareRunCharts"] if "class_" in chart.get("metricKey", "")]
    assert [chart["metricKey"] for chart in charts] == rarest


def test_a_second_sync_writes_nothing(capsys):
    assert main(["sync", "panes"]) == 0
    assert "0 runs of study 'panes' were written" in capsys.readouterr().out
