"""The run tree holds what teams compare; its numbers have a witness: the ledger, scikit-learn, the verdicts."""

import hashlib
import json
import shutil
import sqlite3
import subprocess
from dataclasses import replace
from pathlib import Path
from statistics import mean
from threading import get_ident
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from sklearn.metrics import average_precision_score, matthews_corrcoef, precision_score, recall_score

from imblab.analysis.results import build_result
from imblab.cli import main
from imblab.commands import results, syncing
from imblab.commands.layout import lay_out
from imblab.edges import config, ledger, mlflow
from imblab.edges.mlflow.runs import OTHER_METRICS
from imblab.edges.mlflow.study_runs import CURVE_THRESHOLDS
from imblab.errors import ConfigError, DataError
from imblab.result import Evaluation, Trial
from imblab.stats.paired_tests import corrected_t
from imblab.study import Learner, Measure, Strategy, Study

HOME = Path("experiments/tree")
SMALL = ("dataset=[ecoli3]", "learner=[logistic]", "strategy=[none,threshold,smote_threshold]", "protocol=smoke")
ASKED = ("name=tree", *SMALL, "runner.n_jobs=1", "strategy.smote_threshold.space.k=3")
DEFAULT = "mlruns/mlflow.db"


class Seen:
    """What MLflow holds of one study, read once."""

    def __init__(self, place, name="tree", store=DEFAULT):
        self.client = MlflowClient(f"sqlite:///{place}/{store}")
        self.experiment = self.client.get_experiment_by_name(name)
        self.runs = list(self.client.search_runs([self.experiment.experiment_id], max_results=1000))

    def role(self, role):
        return [run for run in self.runs if run.data.tags["imblab.role"] == role]

    def cell(self, strategy):
        (found,) = [run for run in self.role("cell") if run.data.tags["imblab.strategy"] == strategy]
        return found

    def curve(self, strategy, key):
        points = self.client.get_metric_history(self.cell(strategy).info.run_id, key)
        found = {point.step: point.value for point in points}
        assert len(found) == len(points)
        return found

    def artifact(self, name, folder):
        (above,) = self.role("study")
        return Path(self.client.download_artifacts(above.info.run_id, name, str(folder)))

    def logged_runs(self):
        """Everything but ids and times."""
        keys = {run.info.run_id: run.data.tags["imblab.key"] for run in self.runs}
        return {
            keys[run.info.run_id]: (
                run.info.run_name,
                run.info.status,
                dict(run.data.params),
                dict(run.data.metrics),
                {k: v for k, v in run.data.tags.items() if k not in ("mlflow.parentRunId", "imblab.files")},
                keys.get(run.data.tags.get("mlflow.parentRunId")),
                [item.dataset.to_dictionary() for item in run.inputs.dataset_inputs],
            )
            for run in self.runs
        }


@pytest.fixture(scope="module")
def place(tmp_path_factory, empty_store):
    """A git tree with a finished study, and empty stores."""
    home = tmp_path_factory.mktemp("tree")
    for name in ("mlruns", "wide", "again", "runs", "asked", "elsewhere", "modes", "apart"):
        (home / name).mkdir()
        shutil.copy(empty_store, home / name)
    git(home, "init", "-q")
    (home / "mine.py").write_text("a = 1\n")
    git(home, "add", "mine.py")
    git(home, "commit", "-q", "-m", "first")
    (home / "mine.py").write_text("a = 2\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        assert main(["run", *ASKED]) == 0
    return home


def git(home, *words):
    who = ("-c", "user.name=me", "-c", "user.email=me@example.org")
    return subprocess.run(["git", *who, *words], cwd=home, check=True, capture_output=True).stdout


@pytest.fixture
def here(place, monkeypatch):
    monkeypatch.chdir(place)


@pytest.fixture(scope="module")
def seen(place):
    return Seen(place)


@pytest.fixture(scope="module")
def rows(place):
    return ledger.read_evaluations(place / HOME)


@pytest.fixture(scope="module")
def study():
    return config.compose_request(ASKED).study


# Cells


def test_intervals_and_gains_are_those_of_the_verdicts(seen, rows, study):
    found = results.result_of(study, rows).summary.set_index("strategy")
    assert np.isfinite(found.loc["smote_threshold", "gain_threshold_low"])
    for strategy in ("none", "threshold", "smote_threshold"):
        metrics, row = seen.cell(strategy).data.metrics, found.loc[strategy]
        for base in {"none", "threshold"} - {strategy}:
            assert metrics[f"gain_{base}/mcc"] == pytest.approx(row[f"gain_{base}"], abs=1e-12)
            for end in ("low", "high"):
                wanted = row[f"gain_{base}_{end}"]
                assert metrics.get(f"gain_{base}/mcc_ci_{end}", np.nan) == pytest.approx(wanted, nan_ok=True)
        assert f"gain_{strategy}/mcc" not in metrics
        mine = [r for r in rows if r.strategy == strategy]
        own = corrected_t([r.scores["mcc"] for r in mine], [r.n_train for r in mine], [r.n_test for r in mine])
        assert (metrics["mcc_ci_low"], metrics["mcc_ci_high"]) == pytest.approx((own.low, own.high))


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("mcc", "mcc_std"), r"measure 'mcc_std' .* which measure 'mcc' has for itself"),
        (("mcc_ci_low", "mcc"), r"measure 'mcc_ci_low' .* which measure 'mcc' has for itself"),
        (("mcc", "cost+5", "cost_5"), r"measure 'cost_5' .* which measure 'cost\+5' has for itself"),
        (("mcc", "cost_5", "cost+5"), r"measure '.*' .* 'cost_5', which measure '.*' has for itself"),
        *((("mcc", name), rf"measure '{name}' .* which every run of a cell has for itself") for name in OTHER_METRICS),
    ],
)
def test_a_measure_with_the_name_of_another_metric_is_refused(names, said):
    measures = tuple(Measure(name, "imblab.core.measures.mcc", "label") for name in names)
    with pytest.raises(ConfigError, match=said):
        mlflow.check_metric_names(Study("s", 0, {}, (), (), measures))


def test_the_names_of_shipped_measures_are_free_and_those_of_other_metrics_known(seen, study):
    shipped = [path.stem for path in (Path(__file__).parents[2] / "conf" / "measures").glob("*.yaml")]
    mlflow.check_metric_names(replace(study, measures=tuple(replace(study.measures[0], name=name) for name in shipped)))
    assert len(shipped) > 20
    own = {f"{name}{suffix}" for name in study.measure_names for suffix in ("", "_std", "_ci_low", "_ci_high")}
    logged = {name for run in seen.role("cell") for name in run.data.metrics if "/" not in name}
    assert logged - own == set(OTHER_METRICS) - {"threshold"}


@pytest.mark.usefixtures("here")
def test_a_study_whose_measure_hides_another_metric_is_refused_before_anything_runs(capsys):
    hidden = "+measures.seconds={function: imblab.core.measures.mcc, needs: label}"
    assert main(["run", "name=hidden", *SMALL, hidden]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "measure 'seconds' would be logged as the MLflow metric 'seconds'" in said
    assert not Path("experiments/hidden").exists()


def test_predictions_give_the_scores_back(seen, rows, tmp_path):
    frame = pd.read_parquet(seen.artifact("predictions.parquet", tmp_path))
    assert list(frame.columns) == [
        *("dataset", "learner", "strategy", "repeat", "fold", "part", "inner_fold", "row", "y", "p")
    ]
    for strategy in ("none", "threshold", "smote_threshold"):
        metrics = seen.cell(strategy).data.metrics
        mine = {row.fold: row for row in rows if row.strategy == strategy}
        test = frame[(frame.strategy == strategy) & (frame.part == "test")]
        assert sorted(test.row) == list(range(336))
        called = test.p >= test.fold.map(lambda fold, mine=mine: mine[fold].threshold)
        pooled = {"mcc": matthews_corrcoef, "recall": recall_score, "precision": precision_score}
        for name, function in pooled.items():
            assert metrics[f"pooled/{name}"] == pytest.approx(function(test.y, called))
        areas = seen.curve(strategy, "fold/pr_auc")
        for fold, part in test.groupby("fold"):
            assert areas[fold] == pytest.approx(average_precision_score(part.y, part.p))
        inner = frame[(frame.strategy == strategy) & (frame.part == "inner")]
        for fold, part in inner.groupby("fold"):
            train = set(range(336)) - set(test[test.fold == fold].row)
            assert sorted(part.row) == sorted(train) if strategy != "none" else set(part.row) <= train


def test_a_curve_holds_the_score_at_every_cut(seen, rows, tmp_path):
    frame = pd.read_parquet(seen.artifact("predictions.parquet", tmp_path))
    wanted = {"curve_mcc": matthews_corrcoef, "curve_recall": recall_score}
    for strategy in ("none", "smote_threshold"):
        test = frame[(frame.strategy == strategy) & (frame.part == "test")]
        for key, function in wanted.items():
            curve = seen.curve(strategy, key)
            assert set(curve) == {round(1000 * cut) for cut in CURVE_THRESHOLDS}
            for step in (10, 190, 500, 980):
                by_fold = [function(part.y, part.p >= step / 1000) for _, part in test.groupby("fold")]
                assert curve[step] == pytest.approx(mean(by_fold))
    none = seen.cell("none").data.metrics
    assert seen.curve("none", "curve_mcc")[500] == pytest.approx(none["mcc"])
    assert seen.curve("none", "curve_recall")[500] == pytest.approx(none["recall"])
    assert {"calibration/brier", "calibration/brier_skill", "calibration/observed_expected"} <= set(none)
    brier = np.mean(
        [(part.y - part.p).pow(2).mean() for part in [frame[(frame.strategy == "none") & (frame.part == "test")]]]
    )
    assert none["calibration/brier"] == pytest.approx(brier)


def test_the_description_holds_the_verdict_and_what_was_chosen(seen, rows, study):
    sentence, estimator = results.result_of(study, rows).sentences
    note = seen.cell("smote_threshold").data.tags["mlflow.note.content"]
    assert sentence in note
    assert f"Gains in mcc: {estimator[0].lower()}{estimator[1:]}" in note
    assert "| repeat | fold | ratio | k | threshold | inner mcc | mcc |" in note
    row = next(r for r in rows if (r.strategy, r.fold) == ("smote_threshold", 1))
    assert f"| 0 | 1 | {row.params['ratio']:.4g} | 3 | {row.threshold:.4g} |" in note
    assert sentence in seen.experiment.tags["mlflow.note.content"]


def test_the_data_set_is_known_by_the_hash_of_all_its_rows(seen, rows):
    (used,) = seen.cell("none").inputs.dataset_inputs
    assert used.dataset.name == "ecoli3"
    assert rows[0].data_fingerprint.startswith(used.dataset.digest)
    assert json.loads(used.dataset.source)["parent"] == "ecoli"
    profile = json.loads(used.dataset.profile)
    assert (profile["num_rows"], profile["num_positives"]) == (336, 35)


def test_the_state_of_the_git_tree_is_a_tag(seen, place):
    tags = seen.cell("none").data.tags
    assert tags["git.commit"] == tags["mlflow.source.git.commit"] == git(place, "rev-parse", "HEAD").decode().strip()
    assert tags["git.dirty"] == "true"
    assert tags["git.diff_sha256"] == hashlib.sha256(git(place, "diff", "HEAD")).hexdigest()
    assert not list((place / HOME).glob("*.diff"))


# Searches


def test_candidates_hold_the_means_of_the_search(seen, rows, study):
    below = seen.role("candidate")
    assert {run.data.tags["mlflow.parentRunId"] for run in below} == {seen.cell("smote_threshold").info.run_id}
    assert {run.data.params["ratio"] for run in below} == {"0.1", "0.25", "0.5", "1"}
    mine = [row for row in rows if row.strategy == "smote_threshold"]
    for run in below:
        trials = [t for row in mine for t in row.trials if f"{t.params['ratio']:g}" == run.data.params["ratio"]]
        judged = [t for t in trials if t.value is not None]
        assert run.data.metrics["n_folds"] == len(judged)
        if not judged:
            assert run.data.tags["imblab.status"] == "inapplicable"
            assert "already there" in run.data.tags["imblab.reason"]
            continue
        assert run.data.metrics["inner/mcc"] == pytest.approx(mean(t.value for t in judged))
        assert run.data.metrics["inner/threshold"] == pytest.approx(mean(t.threshold for t in judged))
        assert 0 < run.data.metrics["inner/pr_auc"] < 1
        assert 0 < run.data.metrics["inner/recall"] <= 1
        assert (run.data.params["strategy"], run.data.params["k"]) == ("smote_threshold", "3")
    assert sum(run.data.metrics["n_chosen"] for run in below) == len(mine)


def test_the_whole_search_is_an_artifact(seen, rows, tmp_path):
    frame = pd.read_parquet(seen.artifact("search.parquet", tmp_path))
    assert len(frame) == sum(len(row.trials) for row in rows)
    assert frame.groupby(["strategy", "fold"]).chosen.sum().eq(1).all()
    judged = frame[frame.inner_mcc.notna()]
    assert len(judged) == sum(t.value is not None for row in rows for t in row.trials if len(row.trials) > 1)
    # What is made from stored predictions is what the search saw.
    assert judged.inner_mcc.to_numpy() == pytest.approx(judged.value.to_numpy(), abs=1e-12)


def made(search, repeats=(0,), learner="logistic", differ=False):
    """Rows of three folds with five candidates each."""
    for repeat in repeats:
        for fold in range(3):
            shift = fold if differ else repeat if search == "random" else 0
            trials = tuple(Trial({"ratio": 0.1 * (i + 1 + shift)}, 0.1 * i, 0.5) for i in range(5))
            best = trials[-1]
            yield Evaluation(
                "ecoli3", learner, "smote", repeat, fold, best.params, 0.5, {"mcc": 0.25}, {}, 0.1, "ok", None, "f",
                trials=trials, n_train=20, n_test=10,
            )  # fmt: skip


def described(study, rows, search="candidates"):
    """The runs of made-up rows."""
    return mlflow.describe_runs(build_result(study, rows), {}, mlflow.RunDetails(search=search))


@pytest.fixture(scope="module")
def plain():
    mcc = Measure("mcc", "imblab.core.measures.mcc", "label")
    return replace(
        Study("plain", 0, {}, (Learner("logistic", {}),), (Strategy("smote"),), (mcc,)),
        protocol=config.compose_request(ASKED).study.protocol,
    )


@pytest.mark.parametrize(
    ("rows", "mode", "roles"),
    [
        (list(made("grid")), "candidates", {"candidate": 5}),
        (list(made("grid", (0, 1))), "candidates", {"candidate": 5}),
        (list(made("random", (0, 1))), "candidates", {"candidate": 10}),
        (list(made("tpe", differ=True)), "candidates", {"winner": 3}),
        (list(made("grid")), "table", {}),
        (list(made("grid")), "none", {}),
    ],
)
def test_what_stands_below_a_strategy(plain, rows, mode, roles):
    repeats = 1 + max(row.repeat for row in rows)
    runs = described(replace(plain, protocol=replace(plain.protocol, repeats=repeats)), rows, mode)
    found = {}
    for run in runs:
        found[run.role] = found.get(run.role, 0) + 1
    assert found == {"study": 1, "cell": 1, **roles}
    assert len({run.key for run in runs}) == len(runs)
    assert all(run.parent == "ecoli3/logistic/smote" for run in runs[2:])


def test_candidates_say_what_sets_their_probabilities_right(plain):
    asked = replace(plain, strategies=(Strategy("smote", calibration="isotonic"),))
    found = described(asked, list(made("grid")), "candidates")
    assert {run.params.get("calibration") for run in found if run.role != "study"} == {"isotonic"}
    found = described(plain, list(made("grid")), "candidates")
    assert not any("calibration" in run.params for run in found)


def test_a_winner_holds_what_was_promised_and_what_came(plain):
    runs = described(plain, list(made("tpe", differ=True)))
    winner = runs[2]
    assert ("inner/mcc", 0.4, 0) in winner.metrics
    assert ("fold/mcc", 0.25, 0) in winner.metrics
    assert winner.params["ratio"] == "0.5"


def test_inner_scores_that_the_runner_has_not_flushed_yet_are_looked_up_again(monkeypatch):
    """A candidate was averaged over the folds whose predictions could be read, for good."""
    row = next(iter(made("grid")))
    missing, found = [[{}] * 5, [{"mcc": 0.5}] * 5]
    answers = [missing, missing, found]
    replayed = SimpleNamespace(inner_scores=lambda rows: {row.key: answers.pop(0)})
    monkeypatch.setattr(syncing, "FLUSH_WAIT_SECONDS", 0.0)
    observer = SimpleNamespace(_replayed=replayed)
    assert syncing.MlflowObserver._replay_inner_scores(observer, [row]) == ({row.key: found}, True)
    answers += [missing] * syncing.MAX_FLUSH_WAITS
    assert syncing.MlflowObserver._replay_inner_scores(observer, [row]) == ({}, False)


# Many candidates


def count_planned(*words):
    """The runs below the strategies of a study, of which nothing was run."""
    study = config.compose_request(["name=many", "dataset=[ecoli3]", "learner=[logistic]", *words]).study
    return mlflow.choose_candidate_log(study, "auto")


@pytest.mark.sampled(5)
@pytest.mark.parametrize(
    ("words", "n_runs"),
    [
        (("strategy=[none,threshold]",), 0),
        (("strategy=[none,smote,smote_threshold]", "strategy.smote.space.ratio=choice(.5,1)"), 2 * 2 + 4 * 2),
        (("strategy=[smote]", "protocol.repeats=3"), 8),
        (("strategy=[smote]", "protocol.repeats=3", "search=random", "search.n_trials=7"), 21),
        (("strategy=[smote]", "protocol.repeats=3", "search=tpe", "search.n_trials=7"), 21),
        (("strategy=[smote]", "protocol.repeats=3", "search=tpe", "search.n_trials=12"), 15),
        (("strategy=[smote]", "protocol=holdout", "search=tpe", "search.n_trials=12", "protocol.repeats=4"), 4),
        (("strategy=[smote]", "dataset=[ecoli3,yeast4]", "learner=[logistic,knn]"), 4 * 8),
        (("strategy=[none]", "search.tune_learner=true", "learner.logistic.space.C=choice(.1,1,10)"), 3),
    ],
)
def test_runs_below_strategies_are_counted_before_anything_runs(words, n_runs):
    assert count_planned(*words).n_runs == n_runs


def test_more_than_5000_candidates_are_tables_and_fewer_are_runs():
    few = count_planned(
        "strategy=[smote]", "strategy.smote.space.k=range(1,51,1)", "strategy.smote.space.ratio=range(.01,1.005,.01)"
    )
    assert (few.n_runs, few.mode, few.note) == (5000, "candidates", "")
    many = count_planned(
        "strategy=[smote]", "strategy.smote.space.k=range(1,52,1)", "strategy.smote.space.ratio=range(.01,1.005,.01)"
    )
    assert (many.n_runs, many.mode) == (5100, "table")
    assert "5,100 candidates, more than 5,000" in many.note


@pytest.fixture
def few_runs(monkeypatch):
    """The study of this module has more candidates than are logged as runs."""
    monkeypatch.setattr("imblab.edges.mlflow.artifacts.MAX_CANDIDATE_RUNS", 3)


@pytest.mark.slow
@pytest.mark.usefixtures("here", "few_runs")
def test_many_candidates_of_a_study_are_one_table_per_data_set_and_learner(place, tmp_path, capsys):
    """A run and a sync of the same folder write the same, and the table says what the runs would say."""
    assert main(["run", "name=wide", *ASKED[1:], "tracking.uri=sqlite:///wide/mlflow.db"]) == 0
    assert "4 candidates, more than 3" in " ".join(capsys.readouterr().out.split())
    found = Seen(place, "wide", "wide/mlflow.db")
    assert not found.role("candidate")
    (above,) = found.role("study")
    assert above.data.tags["imblab.candidates"] == "table"
    assert "4 candidates, more than 3" in above.data.tags["mlflow.note.content"]

    assert main(["sync", "wide", "tracking.uri=sqlite:///again/mlflow.db"]) == 0
    assert "4 candidates, more than 3" in " ".join(capsys.readouterr().out.split())
    other = Seen(place, "wide", "again/mlflow.db")
    assert other.logged_runs() == found.logged_runs()
    tables = [
        seen.artifact("candidates/ecoli3/logistic.csv", tmp_path / str(i)) for i, seen in enumerate((found, other))
    ]
    assert tables[0].read_bytes() == tables[1].read_bytes()

    assert main(["sync", "wide", "tracking.uri=sqlite:///runs/mlflow.db", "tracking.search=candidates"]) == 0
    runs = {run.data.params["ratio"]: run for run in Seen(place, "wide", "runs/mlflow.db").role("candidate")}
    frame = pd.read_csv(tables[0])
    assert frame["inner/mcc"].dropna().is_monotonic_decreasing
    assert len(frame) == len(runs) == 4
    for row in frame.to_dict("records"):
        run = runs[f"{row['ratio']:g}"]
        assert {name: row[name] for name in run.data.metrics} == run.data.metrics
        assert f"{row['k']:g}" == run.data.params["k"]
        assert row["status"] == run.data.tags["imblab.status"]
        assert (row["status"] != "ok") == isinstance(row["reason"], str)
        assert (row["dataset"], row["learner"], row["strategy"]) == ("ecoli3", "logistic", "smote_threshold")


@pytest.mark.usefixtures("here", "few_runs")
def test_who_asks_for_runs_gets_them_however_many():
    assert main(["sync", "tree", "tracking.uri=sqlite:///asked/mlflow.db", "tracking.search=candidates"]) == 0
    assert len(Seen(Path(), store="asked/mlflow.db").role("candidate")) == 4


def test_a_table_of_searches_whose_folds_differ_has_a_row_per_fold(plain, tmp_path):
    asked = replace(plain, strategies=(Strategy("smote", calibration="isotonic"),))
    (artifact,) = mlflow.candidate_tables(build_result(asked, list(made("tpe", differ=True))), {})
    (table,) = artifact.write(tmp_path, lambda: None)[0].rglob("*.csv")
    frame = pd.read_csv(table)
    assert frame.fold.tolist() == [0, 1, 2]
    assert frame.calibration.unique().tolist() == ["isotonic"]
    assert frame["inner/mcc"].tolist() == pytest.approx([0.4] * 3)
    assert mlflow.candidate_tables(build_result(plain, []), {}) == []


@pytest.mark.parametrize("former", ["winners", "trials"])
def test_former_values_are_read_as_candidates_and_said(former):
    request = config.compose_request([*ASKED, f"tracking.search={former}"])
    assert request.tracking["search"] == "candidates"
    (note,) = (note for note in request.notes if "tracking.search" in note)
    assert former in note
    assert "search.parquet" in note


# The same runs from the folder


@pytest.mark.usefixtures("here")
def test_sync_writes_the_same_runs_elsewhere(seen, place, capsys):
    assert main(["sync", "tree", "tracking.uri=sqlite:///elsewhere/mlflow.db"]) == 0
    assert f"{len(seen.runs)} runs of study 'tree' were written" in " ".join(capsys.readouterr().out.split())
    other = Seen(place, store="elsewhere/mlflow.db")
    assert other.logged_runs() == seen.logged_runs()
    assert seen.artifact("predictions.parquet", "elsewhere").read_bytes()
    assert other.experiment.tags == seen.experiment.tags | {
        k: v for k, v in other.experiment.tags.items() if k.startswith("mlflow.sharedViewState")
    }


@pytest.mark.slow
@pytest.mark.usefixtures("here")
def test_another_way_to_show_the_search_takes_the_place_of_the_last(place):
    uri = "tracking.uri=sqlite:///modes/mlflow.db"
    assert main(["sync", "tree", uri]) == 0
    for mode, roles in (("table", {}), ("candidates", {"candidate": 4}), ("none", {}), ("auto", {"candidate": 4})):
        assert main(["sync", "tree", uri, f"tracking.search={mode}"]) == 0
        found = Seen(place, store="modes/mlflow.db")
        (above,) = found.role("study")
        assert above.data.tags["imblab.candidates"] == {"candidates": "runs", "auto": "runs"}.get(mode, mode)
        below = [run.data.tags["imblab.role"] for run in found.runs]
        assert {role: below.count(role) for role in set(below)} == {"study": 1, "cell": 3, **roles}


@pytest.mark.usefixtures("here")
def test_predictions_stay_where_they_are_and_a_diff_goes_along_when_asked(place):
    uri = "tracking.uri=sqlite:///apart/mlflow.db"
    words = ["run", "name=apart", *SMALL[:2], "strategy=[none]", SMALL[3], "runner.n_jobs=1", uri]
    assert main([*words, "tracking.predictions=false", "tracking.git_diff=true"]) == 0
    found = Seen(place, "apart", "apart/mlflow.db")
    (above,) = found.role("study")
    sent = {item.path for item in found.client.list_artifacts(above.info.run_id)}
    assert "predictions.parquet" not in sent
    assert b"+a = 2" in found.artifact("git.diff", "apart").read_bytes()


def test_the_database_writes_ahead_and_knows_its_tables(place):
    with sqlite3.connect(place / DEFAULT) as base:
        assert base.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert base.execute("SELECT count(*) FROM sqlite_stat1 WHERE tbl = 'latest_metrics'").fetchone()[0] > 0
    base.close()


# What is asked


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            "tracking.search=all",
            "unknown value 'all' for 'tracking.search'. Valid values: auto, candidates, none, table",
        ),
        ("tracking.timeout=-1", "'tracking.timeout' is -1"),
        ("tracking.predictions=maybe", "'tracking.predictions' is .*maybe"),
        ("tracking.git_diff=perhaps", "'tracking.git_diff' is .*perhaps"),
    ],
)
def test_options_that_mean_nothing_are_refused(words, message):
    with pytest.raises(ConfigError, match=message):
        config.compose_request([*ASKED, words])


@pytest.mark.usefixtures("here")
def test_a_folder_is_refused_as_a_store_before_anything_runs(capsys):
    assert main(["run", "name=never", *SMALL, "tracking.uri=mlruns"]) == 2
    assert "the MLflow store 'mlruns' is a folder at best" in capsys.readouterr().err
    assert not Path("experiments/never").exists()


def test_a_study_without_rows_is_a_run_without_others(plain):
    (alone,) = described(plain, [])
    assert (alone.role, alone.name) == ("study", "plain")


@pytest.mark.usefixtures("here")
def test_a_table_that_is_gone_leaves_predictions_as_they_are(seen, monkeypatch, capsys):
    def gone(study):
        raise DataError("the table is gone. Restore it.")

    monkeypatch.setattr(syncing, "lay_out", gone)
    before = seen.logged_runs()
    assert main(["sync", "tree"]) == 0
    said = capsys.readouterr()
    assert "Predictions and inner scores are left as they are: the table is gone" in said.err
    assert "0 runs of study 'tree'" in said.out
    assert Seen(Path.cwd()).logged_runs() == before


def test_an_error_on_the_way_closes_the_store_in_its_thread(study, rows, tmp_path):
    """Left open in a suspended generator, SQLite would complain when another thread disposes of it."""
    events = []

    class Store:
        def get(self, address):
            raise RuntimeError("a fault")

        def close(self):
            events.append(get_ident())

    design = lay_out(study)
    replayed = mlflow.StoredPredictions(study, design.datasets, design.plans, design.cells, Store)
    for use in (replayed.inner_scores, lambda all_rows: replayed.artifact(all_rows).write(tmp_path, lambda: None)):
        with pytest.raises(RuntimeError, match="a fault") as caught:
            use(rows)
        # The traceback still holds every frame.
        assert (events.pop(), events, caught.type) == (get_ident(), [], RuntimeError)
