"""A learner that weighs or resamples the classes by itself: `none` is not an untouched baseline, and this is said."""

import json
from pathlib import Path

import pytest

from imblab.analysis import outer_splits
from imblab.cli import main
from imblab.commands import results
from imblab.commands.results import read_result
from imblab.edges import config, ledger, mlflow, report
from imblab.edges.config import parameters
from imblab.errors import ConfigError

ASKED = ("name=weighted", "dataset=[ecoli3]", "learner=[logistic]", "strategy=[none,threshold]", "protocol=smoke")
BALANCED = "+learner.logistic.make.class_weight=balanced"
SAID = "learner 'logistic' weighs or resamples the classes by itself (class_weight=balanced): with it, 'none' is not an"


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    home = tmp_path_factory.mktemp("rebalancing")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        assert main(["run", *ASKED, BALANCED, "tracking=none", "runner.n_jobs=1"]) == 0
    return home


@pytest.fixture(autouse=True)
def _there(done, monkeypatch):
    monkeypatch.chdir(done)
    monkeypatch.setenv("COLUMNS", "400")


def test_compare_says_it_under_the_table_and_in_the_verdict(capsys):
    assert main(["compare", "weighted", "--full"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert out.count(SAID) == 2
    assert out.index(SAID) < out.index("Verdicts") < out.rindex(SAID)


def test_json_names_the_learner(capsys):
    assert main(["compare", "weighted", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["rebalancing"]["logistic"].startswith(SAID)
    assert all(row["remarks"][0].startswith(SAID) for row in found["summary"])


def test_the_plan_says_it(capsys):
    assert main(["plan", *ASKED, BALANCED]) == 0
    assert SAID in " ".join(capsys.readouterr().out.split())
    assert main(["plan", *ASKED, BALANCED, "--json"]) == 0
    assert list(json.loads(capsys.readouterr().out)["rebalancing"]) == ["logistic"]


def test_the_report_says_it_first_and_under_every_table_of_scores():
    home = Path("experiments/weighted")
    source = results.report_data(home, read_result(home, config.load_request(home / ledger.STUDY_FILE).study))
    sections = {section.name: section for section in report.build_sections(source)}
    assert sections["verdict"].lead[0].startswith("Learner 'logistic' weighs or resamples")
    assert next(block.note for block in sections["results"].blocks).startswith(SAID)


def test_mlflow_says_it_in_the_note_and_in_a_tag():
    home = Path("experiments/weighted")
    study, rows = config.load_request(home / ledger.STUDY_FILE).study, ledger.read_evaluations(home)
    first, *cells = mlflow.describe_runs(results.result_of(study, rows), {})
    assert SAID in first.note
    cells = [run for run in cells if run.role == "cell"]
    assert all(SAID in run.note and run.tags["imblab.rebalances"].startswith(SAID) for run in cells)


def test_a_learner_that_leaves_the_classes_alone_has_no_note(capsys):
    study = config.compose_request(ASKED).study
    assert outer_splits.rebalancing_notes(study) == {}
    assert "rebalances" not in str(results.result_to_json(results.result_of(study, []))["rebalancing"])


MAKES = {
    "{_target_: sklearn.svm.SVC, class_weight: {0: 1, 1: 5}}": True,
    "{_target_: sklearn.svm.SVC, class_weight: {0: 2, 1: 2}}": False,
    "{_target_: sklearn.naive_bayes.GaussianNB, priors: [0.5, 0.5]}": True,
    "{_target_: sklearn.naive_bayes.BernoulliNB, fit_prior: false}": True,
    "{_target_: sklearn.naive_bayes.BernoulliNB}": False,
    "{_target_: xgboost.XGBClassifier, scale_pos_weight: 5}": True,
    "{_target_: xgboost.XGBClassifier, scale_pos_weight: 1}": False,
    "{_target_: lightgbm.LGBMClassifier, is_unbalance: true}": True,
    "{_target_: lightgbm.LGBMClassifier, is_unbalance: false}": False,
    "{_target_: lightgbm.LGBMClassifier, unbalance: true}": True,
    "{_target_: lightgbm.LGBMClassifier, pos_subsample: 0.5, subsample_freq: 1}": True,
    "{_target_: imblearn.ensemble.BalancedRandomForestClassifier}": True,
    "{_target_: imblearn.ensemble.EasyEnsembleClassifier}": True,
    "{_target_: sklearn.ensemble.BaggingClassifier, estimator: {_target_: sklearn.linear_model.LogisticRegression, "
    "class_weight: balanced}}": True,
    "{_target_: sklearn.pipeline.Pipeline, steps: [[scale, {_target_: sklearn.preprocessing.StandardScaler}], "
    "[fit, {_target_: sklearn.linear_model.LogisticRegression, class_weight: balanced}]]}": True,
}


@pytest.mark.sampled(5)
@pytest.mark.parametrize("make", MAKES)
def test_whatever_weighs_or_resamples_is_known_at_any_depth(make, tmp_path):
    folder = tmp_path / "learner"
    folder.mkdir()
    (folder / "mine.yaml").write_text(f"mine:\n  make: {make}\n")
    words = ["name=s", "dataset=[ecoli3]", "learner=[mine]", "strategy=[none]"]
    try:
        study = config.compose_request(words, [tmp_path]).study
    except ConfigError as error:
        pytest.fail(str(error))
    said = outer_splits.rebalancing_notes(study)
    assert bool(said) == MAKES[make]
    for word in ("class_weight=", "priors=", "fit_prior=", "scale_pos_weight=", "is_unbalance=", "pos_subsample="):
        if word.rstrip("=") + ":" in make and said:
            assert word in said["mine"]


@pytest.mark.parametrize("parameter", ["scale_pos_weight", "class_weight"])
def test_what_is_searched_counts(parameter, tmp_path):
    words = [
        "name=s",
        "dataset=[ecoli3]",
        "learner=[lightgbm]",
        "strategy=[threshold]",
        "search=random",
        "search.n_trials=3",
    ]
    value = "choice(1,5)" if parameter == "scale_pos_weight" else "choice(balanced)"
    words += ["search.tune_learner=true"]
    study = config.compose_request([*words, f"learner.lightgbm.space.{parameter}={value}"]).study
    assert outer_splits.rebalancing_notes(study)["lightgbm"].endswith(
        f"({parameter} is searched): no strategy with it leaves the classes as they are"
    )


def test_equal_class_weights_shift_nothing():
    assert parameters.shifts_classes("svc__class_weight", "balanced")
    assert not parameters.shifts_classes("class_weight", {0: 1, 1: 1})
