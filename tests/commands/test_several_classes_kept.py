"""A study of several classes outside its report: in MLflow, as an exported model, rescored."""

import importlib.util
import json
import re
from dataclasses import replace
from pathlib import Path
from statistics import median

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.model_selection import StratifiedKFold

from imblab.cli import main
from imblab.commands import layout, python_runs
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
    "protocol.thresholds=range(0.05,1,0.05)",
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


def export(capsys, *words):
    capsys.readouterr()
    assert main(["export", "panes", "strategy=smote_threshold", *words, "--json"]) == 0
    [done] = json.loads(capsys.readouterr().out)
    return done


def load_plain():
    """The witness in plain scikit-learn and imbalanced-learn; see tests/witness."""
    path = Path(__file__).parents[1] / "witness" / "plain_classes.py"
    spec = importlib.util.spec_from_file_location("imblab_plain_classes", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_exported_model_predicts_as_plain_scikit_learn_and_imbalanced_learn(capsys):
    done, plain = export(capsys), load_plain()
    import mlflow
    from mlflow.pyfunc import load_model
    from mlflow.pyfunc.scoring_server import invocations  # answers the requests of `mlflow models serve`

    mlflow.set_tracking_uri(f"sqlite:///{Path('mlruns/mlflow.db').resolve()}")
    served = load_model(f"models:/{done['model']}@champion")
    data = layout.lay_out(load_study()).datasets["glass"]
    table, y, rows, seed = plain.as_matrix(data.X), data.y, np.arange(len(data.y)), load_study().seed
    inner = StratifiedKFold(3, shuffle=True, random_state=seed).split(table[0], y)

    def learner(random_state):
        return LogisticRegression(solver="newton-cholesky", random_state=random_state)

    strategy = {"sampler": plain.smote, "ratios": [0.5, 1.0], "ks": [1], "threshold": "tuned"}
    trials = list(
        plain.judged(table, y, rows, list(inner), learner, strategy, seed, list(load_study().protocol.thresholds))
    )
    best = max(trials, key=lambda trial: trial["value"])
    (ratio, k, _), thresholds = best["candidate"], best["threshold"]
    proba, _ = plain.fit_and_predict(
        table, y, rows, rows, learner(seed), plain.smote(ratio, k, seed, y, table[1]), None
    )
    labels = np.array([int(label) for label in data.classes])
    predicted = served.predict(data.X)
    assert predicted.tolist() == labels[plain.decide(proba, thresholds)].tolist()
    assert predicted.dtype.kind == "i"
    assert json.loads(done["imblab.params"]) == {"ratio": ratio, "k": k}
    assert json.loads(done["imblab.threshold"]) == thresholds
    assert json.loads(done["imblab.classes"]) == labels.tolist()
    body = json.dumps({"dataframe_split": json.loads(data.X.to_json(orient="split", index=False, double_precision=15))})
    answer = invocations(body, "application/json", served, served.metadata.get_input_schema())
    assert json.loads(answer.response)["predictions"] == predicted.tolist()
    made = served.get_raw_model()
    assert made.classes_.tolist() == sorted(labels)
    assert made.predict_proba(data.X) == pytest.approx(proba[:, np.argsort(labels)], abs=1e-12)


def test_an_export_again_is_the_same_model(capsys):
    first, second = export(capsys), export(capsys)
    assert (second["version"], second["new"]) == (first["version"], False)


def test_the_card_has_a_row_per_class(capsys):
    done = export(capsys, "tracking=none")
    card = Path(done["folder"], "README.md").read_text(encoding="utf-8")
    data, rows = layout.lay_out(load_study()).datasets["glass"], load_rows()
    thresholds = json.loads(done["imblab.threshold"])
    assert "214 rows of `glass` in 6 classes; content" in card
    assert "the class with the largest (1 - t) / t times its probability" in card
    for index, (label, n_rows) in enumerate(zip(data.classes, np.bincount(data.y), strict=True)):
        chosen = [row.threshold[index] for row in rows]
        ends = f"{min(chosen):g}" if min(chosen) == max(chosen) else f"{min(chosen):g} to {max(chosen):g}"
        recall = np.mean([row.class_scores["recall"][index] for row in rows])
        line = f"| `{label}` | {n_rows} | {n_rows / 214:.2%} | {thresholds[index]:g} | {ends} | {recall:.3f} | "
        assert line in card
    assert "`predict` gives labels by the thresholds, `predict_proba` a probability per class" in card
    assert "positive" not in card
    [(low, high)] = re.findall(r"\| accuracy_baseline \| [\d.]+ \| [\d.]+ \| ([\d.]+) to ([\d.]+) \|", card)
    assert float(low) < max(np.bincount(data.y)) / 214 < float(high)


@pytest.mark.parametrize(
    "changes",
    [
        ["primary=pr_auc", "measures=[mcc,pr_auc,f2,recall]"],
        [
            "strategy.none.threshold={cost_optimal: [[0,1,1,1,1,1],[5,0,1,1,1,1],[5,1,0,1,1,1],[5,1,1,0,1,1],"
            "[5,1,1,1,0,1],[9,1,1,1,1,0]]}",
            "strategy.smote_threshold.threshold={min_recall: {class: '3', value: 0.3}}",
            "strategy.threshold.calibration=sigmoid",
            "protocol.thresholds=range(0.1,1.0,0.1)",
        ],
    ],
    ids=["ranking", "rules"],
)
def test_rescoring_gives_what_the_changed_study_gives_from_scratch(changes, tmp_path):
    found = python_runs.rescore("panes", *changes, f"label={len(changes)}")
    words = [word for word in WORDS if not word.startswith(("name=", "runner.", *(c.split("=")[0] for c in changes)))]
    python_runs.run_in_folder(
        python_runs.compose("name=scratch", *words, *changes), folder=tmp_path / "scratch", store_path=None
    )
    expected = by_key(tmp_path / "scratch")
    rows = by_key(found.folder)
    assert rows == {key: row for key, row in expected.items() if key not in found.missing}
    assert set(rows) | set(found.missing) == set(expected)
    assert by_key(python_runs.rescore("panes", *changes, f"label={len(changes)}", "refit=true").folder) == expected


def by_key(folder):
    return {row.key: replace(row, seconds=0.0) for row in ledger.read_evaluations(folder)}


def test_lists_and_indexes_name_the_study(capsys):
    (Path("experiments/panes") / "README.md").write_text("# Panes of glass\n", encoding="utf-8")
    assert main(["report", "--index"]) == 0
    index = Path("experiments/README.md").read_text(encoding="utf-8")
    assert "## panes" in index
    assert "Data sets: glass. Learners: logistic. 9 evaluations" in index
    assert main(["list", "studies"]) == 0
    assert "9 of 9" in capsys.readouterr().out
    assert main(["store"]) == 0
    assert "the predictions of" in capsys.readouterr().out


def test_rescoring_says_what_moved_and_refuses_rules_for_two_classes(capsys):
    assert main(["rescore", "panes", "protocol.thresholds=range(0.25,1.0,0.25)", "label=few", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    moved = {row["strategy"]: row["cuts"] for row in facts["moves"]}
    few = {row.key: row.threshold for row in ledger.read_evaluations(Path("experiments/panes/rescored/few"))}
    assert moved["none"] == 0
    assert moved["threshold"] == sum(few[row.key] != row.threshold for row in load_rows("threshold")) > 0
    assert main(["rescore", "panes", "strategy.none.threshold={alert_rate: 0.1}"]) == 2
    assert "data set 'glass' has 6 classes; alert_rate is for two classes" in " ".join(capsys.readouterr().err.split())
    costs = "costs=[[0,1,1,1,1,1],[5,0,1,1,1,1],[5,1,0,1,1,1],[5,1,1,0,1,1],[5,1,1,1,0,1],[9,1,1,1,1,0]]"
    found = python_runs.rescore("panes", costs, "label=money")
    matrix = np.array(json.loads(costs.partition("=")[2]))
    by_cell = {row.key: row for row in ledger.read_evaluations(found.folder)}
    assert len(by_cell) == 9
    for row in by_cell.values():
        assert row.scores["expected_cost"] == pytest.approx((row.matrix * matrix).sum() / row.n_test, rel=1e-12)
