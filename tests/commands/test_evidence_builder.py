"""Evidence at the end of a run: it agrees with the ledger and the store, and is the same however it came about."""

import platform
import shutil
from contextlib import closing
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, matthews_corrcoef

from imblab.analysis import evidence as evidences
from imblab.commands import evidence_builder, python_runs, running
from imblab.commands.layout import lay_out
from imblab.core import replay
from imblab.edges import evidence, ledger, provenance, store

ASKED = (
    *("name=small", "dataset=[ecoli3]", "learner=[logistic,svm]", "strategy=[none,threshold,class_weight,smote]"),
    *("protocol=smoke", "protocol.repeats=2"),
)
HOME = Path("experiments") / "small"
FILE = HOME / evidence.EVIDENCE_FILE


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A finished study, its layout, and the directory it lies in."""
    home = tmp_path_factory.mktemp("done")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        study = python_runs.compose(*ASKED)
        python_runs.run_in_folder(study)
    return lay_out(study), home


@pytest.fixture(autouse=True)
def _here(done, tmp_path, monkeypatch):
    shutil.copytree(done[1], tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)


def gathered(layout, rows=None, get=None):
    with closing(store.SqliteStore(store.DEFAULT_PATH.resolve())) as kept:
        return evidence_builder.build_evidence(
            layout, ledger.read_evaluations(HOME) if rows is None else rows, HOME, get or kept.get
        )


def test_it_agrees_with_every_row_of_the_ledger():
    frame = evidence.load_evidence(FILE)
    rows = {row.key: row for row in ledger.read_evaluations(HOME)}
    areas, counts = evidences.areas(frame), evidences.confusion_table(frame)
    assert len(areas) == len(rows) == 2 * 2 * 3 * 4
    for found in areas.itertuples():
        row = rows[f"{found.dataset}/{found.learner}/{found.strategy}/{found.repeat}/{found.fold}"]
        assert found.pr_auc == pytest.approx(row.scores["pr_auc"], abs=1e-14)
        assert found.roc_auc == pytest.approx(row.scores["roc_auc"], abs=1e-14)
    seen = 0
    for found in counts.itertuples():
        row = rows[f"{found.dataset}/{found.learner}/{found.strategy}/{found.repeat}/{found.fold}"]
        if row.threshold == found.threshold:
            seen += 1
            assert row.counts == {name: getattr(found, name) for name in ("tn", "fp", "fn", "tp")}
    assert seen == len(rows)


def test_calibration_pools_the_outer_predictions_of_a_repeat(done):
    layout, _ = done
    frame = evidence.load_evidence(FILE)
    rows = {row.key: row for row in ledger.read_evaluations(HOME)}
    data = layout.datasets["ecoli3"]
    with closing(store.SqliteStore(store.DEFAULT_PATH.resolve())) as kept:
        predict = replay.lookup_only(kept.get)
        p = np.full(len(data.y), np.nan)
        cells = [c for c in layout.cells if c.key.startswith("ecoli3/logistic/smote/1/")]
        for task in replay.replay_tasks(layout.study, data, layout.plans["ecoli3"], cells, predict):
            p[task.cell.split.test] = replay.outer_prediction(task, rows[task.cell.key]).values
    found = evidences.select(frame, "calibration", learner="logistic", strategy="smote", name="brier")
    assert found[found.repeat == 1].x.item() == pytest.approx(brier_score_loss(data.y, p), rel=1e-12)


def test_what_does_not_apply_is_not_there():
    frame = evidence.load_evidence(FILE)
    logistic = frame[frame.learner == "logistic"]
    assert set(logistic[logistic.kind == "synthetic"].strategy) == {"smote"}
    assert set(frame[frame.kind == "prior"].learner) == {"logistic"}
    svm = frame[frame.learner == "svm"]
    assert not (svm.kind == "calibration").any()  # its scores are no probabilities
    none = logistic[(logistic.strategy == "none") & (logistic.name == "brier")]
    before, after = (none[none.kind == kind].x.tolist() for kind in ("calibration", "prior"))
    assert before == after  # nothing was resampled


def test_again_and_in_parts_it_has_the_same_bytes(done):
    layout, _ = done
    rows, whole = ledger.read_evaluations(HOME), FILE.read_bytes()
    gathered(layout)
    assert FILE.read_bytes() == whole
    FILE.unlink()
    for part in (rows[30:], rows[:7], rows[:40], rows):
        gathered(layout, part)
    assert FILE.read_bytes() == whole


def test_what_the_store_has_lost_stays_as_it_was(done):
    layout, _ = done
    before = FILE.read_bytes()
    gathered(layout, get=lambda address: None)
    assert FILE.read_bytes() == before
    FILE.unlink()
    assert gathered(layout, get=lambda address: None).empty


def test_a_study_that_grows_keeps_its_evidence_and_gains_some():
    before = evidence.load_evidence(FILE)
    python_runs.run_in_folder(
        python_runs.compose(*ASKED[:2], "learner=[logistic]", "strategy=[none,smote_threshold]", *ASKED[4:])
    )
    after = evidence.load_evidence(FILE)
    assert set(after.strategy) == {*before.strategy, "smote_threshold"}
    for kind in set(evidences.EVIDENCE_KINDS) - {"covariance"}:
        old = evidences.select(before, kind)
        same = evidences.select(after[after.strategy != "smote_threshold"], kind)
        assert old[["x", "y", "z"]].equals(same[["x", "y", "z"]])
    old, new = (evidences.row_covariances(frame, "mcc")["ecoli3", "logistic"][6] for frame in (before, after))
    assert {pair: value for pair, value in new.items() if "smote_threshold" not in pair} == old
    assert {b for a, b in new if a == "smote_threshold"} == set(after.strategy)


@pytest.mark.slow
def test_covariances_are_those_of_leaving_each_row_of_the_table_out(done):
    """Brute force: every fold scored anew by scikit-learn without each of its rows, on called classes of the store."""
    layout, _ = done
    rows, data = {row.key: row for row in ledger.read_evaluations(HOME)}, layout.datasets["ecoli3"]
    names = ("none", "threshold", "smote")
    changes = {name: np.zeros(len(data.y)) for name in names}
    with closing(store.SqliteStore(store.DEFAULT_PATH.resolve())) as kept:
        cells = [c for c in layout.cells if c.learner.name == "svm" and c.strategy.name in names]
        plan, predict = layout.plans["ecoli3"], replay.lookup_only(kept.get)
        for task in replay.replay_tasks(layout.study, data, plan, cells, predict):
            row, test = rows[task.cell.key], task.cell.split.test
            d = replay.outer_prediction(task, row).values  # decision values
            called, y = 1 / (1 + np.exp(-d)) >= row.threshold, data.y[test]
            score = matthews_corrcoef(y, called)
            others = (np.arange(len(y)) != i for i in range(len(y)))
            changes[row.strategy][test] += [score - matthews_corrcoef(y[rest], called[rest]) for rest in others]
    kept_covariances = evidences.row_covariances(evidence.load_evidence(FILE), "mcc")["ecoli3", "svm"][len(plan)]
    for a, b in product(names, names):
        expected = 0.0
        for label in (0, 1):
            u, v = (changes[name][data.y == label] / len(plan) for name in (a, b))
            expected += (len(u) - 1) ** 2 / len(u) * np.cov(u, v)[0, 1]
        assert kept_covariances[a, b] == pytest.approx(expected, rel=1e-9)
    assert "brier" not in {
        name.partition(":")[0]
        for name in evidences.select(evidence.load_evidence(FILE), "covariance", learner="svm").name
    }  # decision values


def test_a_family_without_all_predictions_has_no_covariance(done):
    layout, _ = done
    (HOME / evidence.EVIDENCE_FILE).unlink()
    with closing(store.SqliteStore(store.DEFAULT_PATH.resolve())) as kept:
        seen = []

        def forget(address):
            seen.append(address)
            return None if len(seen) == 1 else kept.get(address)

        frame = gathered(layout, get=forget)
    assert evidences.row_covariances(frame, "mcc")["ecoli3", "svm"]
    lost = evidences.row_covariances(frame, "mcc")["ecoli3", "logistic"][6]
    assert ("threshold", "smote") in lost
    assert ("none", "smote") not in lost


@pytest.mark.parametrize("is_stored", [True, False], ids=["predictions are stored", "predictions are gone"])
def test_a_covariance_belongs_to_the_folds_of_its_means(done, is_stored):
    key = ("ecoli3", "logistic")
    assert set(evidences.row_covariances(evidence.load_evidence(FILE), "mcc")[key]) == {6}
    if not is_stored:
        store.DEFAULT_PATH.unlink()
    python_runs.run_in_folder(python_runs.compose(*ASKED[:2], "learner=[logistic]", *ASKED[3:5], "protocol.repeats=3"))
    longer = evidences.row_covariances(evidence.load_evidence(FILE), "mcc")[key]
    assert set(longer) == {9 if is_stored else 6}


def test_covariances_of_an_older_file_do_not_name_their_folds_and_are_built_anew(done):
    layout, _ = done
    frame, whole = evidence.load_evidence(FILE), FILE.read_bytes()
    frame.loc[frame.kind == "covariance", "y"] = np.nan
    evidence.write_evidence(FILE, frame, evidence.load_facts(FILE))
    assert evidences.row_covariances(frame, "mcc") == {}
    gathered(layout, get=lambda address: None)
    assert evidences.row_covariances(evidence.load_evidence(FILE), "mcc") == {}
    gathered(layout)
    assert FILE.read_bytes() == whole


def test_facts_of_tables_and_libraries_travel_with_it():
    facts = evidence.load_facts(FILE)
    assert set(facts["versions"]) >= {"python", "imblab", "numpy", "sklearn", "imblearn"}
    assert facts["tables"]["ecoli3"]["features"] == 7
    assert "classes" not in facts["tables"]["ecoli3"]  # two of them need no list
    assert facts["system"] == f"{platform.system()} {platform.machine()}"
    assert facts["git"] == provenance.git_state()


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_predictions_travel_into_the_evidence_without_a_store(n_jobs, monkeypatch):
    asked = ["dataset=[ecoli3]", "learner=[logistic]", "protocol=smoke", "tracking=none"]
    # The prior correction reads what the learner received, a sigmoid the inner validation predictions.
    asked += ["strategy=[none,smote_prior,threshold]", "strategy.threshold.calibration=sigmoid"]
    for name, kept in (("stored", "true"), ("bare", "false")):
        running.command_run(
            [*asked, f"name={name}{n_jobs}", f"runner.n_jobs={n_jobs}", f"runner.store={kept}"], [], True
        )
    files = [Path("experiments") / f"{name}{n_jobs}" / evidence.EVIDENCE_FILE for name in ("stored", "bare")]
    assert evidence.load_evidence(files[0]).equals(evidence.load_evidence(files[1]))
    assert set(evidence.load_evidence(files[1]).strategy) == {"none", "smote_prior", "threshold"}
