"""A study of several classes from the command line: run, compare, report."""

import numpy as np
import pytest
from sklearn.metrics import matthews_corrcoef

from imblab.cli import main
from imblab.commands import layout, results
from imblab.edges import config, evidence, ledger

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
