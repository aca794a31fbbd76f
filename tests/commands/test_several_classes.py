"""A study of several classes from the command line: run, compare, report."""

from contextlib import closing

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, matthews_corrcoef

from imblab.analysis import evidence as evidences
from imblab.cli import main
from imblab.commands import layout, results
from imblab.core import replay
from imblab.edges import config, evidence, ledger, store
from imblab.stats.standard_errors import row_covariance

WORDS = (
    "name=sites",
    "dataset=glass",
    "dataset.glass.merge={rare:['5','6']}",
    "strategy=[none,threshold,smote_threshold]",
    "strategy.smote_threshold.space.k=choice(1,3)",
    "learner=[logistic]",
    "protocol.outer_folds=3",
    "protocol.inner_folds=3",
    "protocol.repeats=1",
    "tracking=none",
)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("several")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(["run", *WORDS]) == 0
    return folder / "experiments" / "sites"


def read(home):
    study = config.load_request(home / ledger.STUDY_FILE, [], loads_data=False).study
    return results.read_result(home, study)


def read_dataset(home):
    study = config.load_request(home / ledger.STUDY_FILE, [], loads_data=False).study
    return layout.lay_out(study).datasets["glass"]


def test_a_study_of_several_classes_ends_with_contrasts_and_a_recommendation(home):
    result = read(home)
    assert result.completeness.is_complete
    scores = result.scores["glass", "logistic"]
    assert scores.n_classes == 5
    assert set(result.contrasts.estimator) == {"corrected_t"}
    assert result.recommendation.overall is not None


def test_scores_are_those_of_the_recorded_confusion_matrices(home):
    for evaluation in read(home).evaluations:
        matrix = evaluation.matrix
        assert matrix.shape == (5, 5)
        true, decided = np.divmod(np.repeat(np.arange(25), matrix.ravel()), 5)
        assert evaluation.scores["mcc"] == pytest.approx(matthews_corrcoef(true, decided), abs=1e-12)


def test_the_evidence_holds_a_curve_per_class_of_every_evaluation(home):
    frame, recalls = evidence.load_evidence(home / evidence.EVIDENCE_FILE), np.array(evidences.CLASS_RECALLS)
    of_folds = evidences.CountsOfFolds.from_frame(frame, "class_cut")
    assert {cell for cell, _ in of_folds.cells} == {
        (e.dataset, e.learner, e.strategy, e.repeat, e.fold) for e in read(home).evaluations
    }
    curves = {(cell[2:], int(c)): of_folds[i] for i, (cell, c) in enumerate(of_folds.cells)}
    for e in read(home).evaluations:
        for c, (row, pr_auc) in enumerate(zip(e.confusion, e.class_scores["pr_auc"], strict=True)):
            counts = curves[(e.strategy, e.repeat, e.fold), c]
            assert counts.positives == sum(row)
            # With at most 50 rows of the class in a fold no point of the curve is left out.
            assert counts.areas()[0] == pytest.approx(pr_auc, abs=1e-12)
            assert np.isfinite(counts.precision_at_recall(recalls)).all()
    assert (home / evidence.EVIDENCE_FILE).stat().st_size < 60_000


def test_synthetic_rows_are_located_by_class(home):
    frame = evidence.load_evidence(home / evidence.EVIDENCE_FILE)
    rows = evidences.select(frame, "synthetic")
    assert set(rows.strategy) == {"smote_threshold"}
    assert set(rows.name.astype(str)) <= {"1", "2", "3", "4"}  # the largest class is never raised


def test_covariances_are_those_of_leaving_each_row_out(home):
    """R_K of scikit-learn without each test row; a row's decision is read off its fold by the recorded thresholds."""
    frame, data = evidence.load_evidence(home / evidence.EVIDENCE_FILE), read_dataset(home)
    found = evidences.row_covariances(frame, "mcc")["glass", "logistic"][3]
    study = config.load_request(home / ledger.STUDY_FILE, [], loads_data=False).study
    plan, changes = layout.lay_out(study), {}
    rows = {e.key: e for e in read(home).evaluations}
    with closing(store.SqliteStore((home.parents[1] / store.DEFAULT_PATH).resolve())) as kept:
        predict = replay.lookup_only(kept.get)
        cells = [cell for cell in plan.cells if cell.strategy.name in ("none", "threshold")]
        for task in replay.replay_tasks(study, data, plan.plans["glass"], cells, predict):
            test, e = task.cell.split.test, rows[task.cell.key]
            proba = replay.outer_prediction(task, e).values
            decided = (proba * (1 - np.array(e.threshold)) / np.array(e.threshold)).argmax(axis=1)
            y, score = data.y[test], matthews_corrcoef(data.y[test], decided)
            assert score == pytest.approx(e.scores["mcc"], abs=1e-12)
            for i, row in enumerate(test):
                without = matthews_corrcoef(np.delete(y, i), np.delete(decided, i))
                changes.setdefault(e.strategy, np.zeros(len(data.y)))[row] += (score - without) / 3
    expected = row_covariance(np.stack([changes["none"], changes["threshold"]]), data.y)
    assert found["none", "threshold"] == pytest.approx(expected[0, 1], rel=1e-9)
    assert found["threshold", "threshold"] == pytest.approx(expected[1, 1], rel=1e-9)


def table(home, name):
    lines = (home / "tables" / f"{name}.csv").read_text(encoding="utf-8").splitlines()
    header, *rows = [line.split(",") for line in lines]
    return {row[0]: dict(zip(header[1:], row[1:], strict=True)) for row in rows}


def test_the_report_shows_every_class(home):
    page, labels = (home / "report.html").read_text(encoding="utf-8"), read_dataset(home).classes
    assert 'id="classes"' in page
    assert page.count('type="radio"') == len(labels) == 5
    for absent in ("thresholds", "curves", "calibration"):  # they are for two classes
        assert f'<section id="{absent}"' not in page
    recalls = {name: np.mean([shares(e).diagonal() for e in read(home).evaluations if e.strategy == name], axis=0)
               for name in ("none", "threshold")}  # fmt: skip
    rows = table(home, "class-recall-glass-logistic")
    assert list(rows) == list(reversed(labels))
    for c, label in enumerate(labels):
        for name, values in recalls.items():
            assert float(rows[label][f"recall_{name}"]) == pytest.approx(values[c], abs=1e-11)
    thresholds = [e.threshold for e in read(home).evaluations if e.strategy == "threshold"]
    found = table(home, "class-thresholds-glass-logistic")
    assert [float(found[label]["threshold"]) for label in labels] == np.median(thresholds, axis=0).tolist()
    assert set(table(home, "class-synthetic-glass-logistic")) <= set(labels[1:])
    assert {path.name for path in (home / "figures").glob("confusion-*")} > {"confusion-glass-logistic-none.svg"}


def shares(evaluation):
    true, decided = np.divmod(np.repeat(np.arange(25), evaluation.matrix.ravel()), 5)
    return confusion_matrix(true, decided, normalize="true")


def test_the_data_sheet_names_the_rarest_class(home):
    row, data = table(home, "data")["glass"], read_dataset(home)
    counts = np.bincount(data.y)
    assert (row["classes"], row["rarest"], row["positives"]) == ("5", data.classes[-1], str(counts[-1]))
    assert float(row["odds"]) == pytest.approx(counts[-1] / counts[0], rel=1e-9)


def test_the_row_level_standard_error_stands_next_to_the_one_that_decides(home, monkeypatch, capsys):
    monkeypatch.chdir(home.parent.parent)
    result, frame = read(home), evidence.load_evidence(home / evidence.EVIDENCE_FILE)
    assert set(result.contrasts.estimator) == {"corrected_t"}
    covariance = evidences.row_covariances(frame, "mcc")["glass", "logistic"][3]
    errors = result.row_errors["glass", "logistic"]
    a, b = "smote_threshold", "threshold"
    assert errors[a, b] == pytest.approx((covariance[a, a] + covariance[b, b] - 2 * covariance[a, b]) ** 0.5, rel=1e-12)
    row = table(home, "differences-glass-logistic")[f"{a} − {b}"]
    assert float(row["row_se"]) == pytest.approx(errors[a, b], rel=1e-11)
    assert main(["compare", "sites", "--full"]) == 0
    text = capsys.readouterr().out
    assert "row-level SE" in text
    assert "Recall by class" in text


def test_the_answer_and_the_report_are_there(home, monkeypatch, capsys):
    monkeypatch.chdir(home.parent.parent)
    assert main(["compare", "sites"]) == 0
    text = capsys.readouterr().out
    assert len(text.splitlines()) <= 40
    assert "glass, logistic" in text
    assert "(0.5, 0.5" not in text
    assert "threshold of .5" not in text
    assert "optimism" in (home / "report.html").read_text(encoding="utf-8")


def test_the_classes_travel_with_the_evidence_in_their_order(home):
    data = read_dataset(home)
    facts = evidence.load_facts(home / evidence.EVIDENCE_FILE)["tables"]["glass"]
    assert tuple(facts["classes"]) == data.classes
    assert "rare" in facts["classes"]
