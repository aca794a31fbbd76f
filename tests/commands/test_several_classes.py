"""A study of several classes from the command line: run, compare, report."""

from contextlib import closing

import numpy as np
import pytest
from sklearn.metrics import matthews_corrcoef

from imblab.analysis import evidence as evidences
from imblab.cli import main
from imblab.commands import layout, results
from imblab.core import replay
from imblab.edges import config, evidence, ledger, store
from imblab.stats.row_influence import row_covariance

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
    assert {cell for cell, _, _ in evidences.class_fold_counts(frame)} == {
        (e.dataset, e.learner, e.strategy, e.repeat, e.fold) for e in read(home).evaluations
    }
    curves = {(cell[2:], c): counts for cell, c, counts in evidences.class_fold_counts(frame)}
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


def test_the_answer_and_the_report_are_there(home, monkeypatch, capsys):
    monkeypatch.chdir(home.parent.parent)
    assert main(["compare", "sites"]) == 0
    text = capsys.readouterr().out
    assert len(text.splitlines()) <= 40
    assert "glass, logistic" in text
    assert "optimism" in (home / "report.html").read_text(encoding="utf-8")


def test_the_classes_travel_with_the_evidence_in_their_order(home):
    data = read_dataset(home)
    facts = evidence.load_facts(home / evidence.EVIDENCE_FILE)["tables"]["glass"]
    assert tuple(facts["classes"]) == data.classes
    assert "rare" in facts["classes"]
