"""Hold-outs and predefined folds from the command line: plan, run, resume, compare, report."""

import json

import numpy as np
import pandas as pd
import pytest

from imblab.cli import main
from imblab.commands import layout, python_runs, results
from imblab.edges import config, evidence, ledger

SMALL = (
    "learner=[logistic]",
    "strategy=[none,threshold,smote_threshold]",
    "strategy.smote_threshold.ratio=1.0",
    "strategy.smote_threshold.k=3",
    "measures=[mcc,pr_auc]",
    "runner.n_jobs=1",
    "tracking=none",
)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.normal(size=(200, 2)).round(3), columns=["a", "b"])
    table["left"] = np.where(table.a + rng.normal(size=200) > 1.2, "yes", "no")
    table["site"] = rng.choice(["c", "a", "b"], 200)
    table.to_csv("churn.csv", index=False)
    return tmp_path


def words(*more):
    return ("churn.csv", "target=left", *SMALL, *more)


HOLDOUT = words("name=h", "protocol=holdout", "protocol.inner_folds=2", "protocol.repeats=2", "drop=site")
FOLDS = words("name=f", "folds=site", "protocol.inner_folds=2", "protocol.inner=shared")


def home(name):
    return ledger.find_study(name, ledger.EXPERIMENTS)


def read(name):
    study = config.load_request(home(name) / ledger.STUDY_FILE, [], loads_data=False).study
    return results.read_result(home(name), study)


def test_a_hold_out_runs_is_resumed_and_is_told(here, capsys):
    assert main(["run", *HOLDOUT]) == 0
    assert {(e.repeat, e.fold, e.n_train, e.n_test) for e in read("h").evaluations} == {
        (0, 0, 140, 60),
        (1, 0, 140, 60),
    }
    question = ledger.read_study(home("h"))
    assert (question["protocol"]["outer_folds"], question["protocol"]["test_size"]) == (None, 0.3)
    before = (home("h") / ledger.LEDGER_FILE).read_bytes()
    assert main(["run", str(home("h") / ledger.STUDY_FILE), "runner.n_jobs=1", "tracking=none"]) == 0
    assert (home("h") / ledger.LEDGER_FILE).read_bytes() == before
    assert "2 × hold-out of 30 % of the rows" in (home("h") / "report.html").read_text(encoding="utf-8")
    capsys.readouterr()
    assert main(["compare", "h", "--full"]) == 0
    shown = capsys.readouterr().out
    assert "mean ± sd over 2 hold-outs" in shown
    assert "Intervals: 95 %, unadjusted." in shown


def test_one_hold_out_has_neither_interval_nor_sd_and_no_word_about_them(here, capsys):
    assert main(["run", *HOLDOUT, "protocol.repeats=1"]) == 0
    capsys.readouterr()
    assert main(["compare", "h", "--full"]) == 0
    shown = capsys.readouterr().out
    assert "mean over 1 hold-out" in shown
    assert not [word for word in ("± sd", "[95", "Intervals:") if word in shown]
    assert "with the standard deviation" not in (home("h") / "report.html").read_text(encoding="utf-8")


def test_more_hold_outs_extend_a_study_and_another_share_does_not(here, capsys):
    assert main(["run", *HOLDOUT]) == 0
    first = {e.key: e.fingerprint for e in read("h").evaluations}
    assert main(["run", *HOLDOUT, "protocol.repeats=3"]) == 0
    later = {e.key: e.fingerprint for e in read("h").evaluations}
    assert len(later) == 9
    assert first.items() <= later.items()
    capsys.readouterr()
    assert main(["run", *HOLDOUT, "protocol.repeats=3", "protocol.test_size=0.2"]) == 2
    assert "protocol.test_size: 0.3 -> 0.2" in capsys.readouterr().err


def test_predefined_folds_are_recorded_and_counted_without_the_table(here, capsys):
    assert main(["run", *FOLDS]) == 0
    table = pd.read_csv("churn.csv")
    sizes = table.site.value_counts().sort_index().tolist()
    assert [e.n_test for e in read("f").evaluations if e.strategy == "none"] == sizes
    assert ledger.read_study(home("f"))["dataset"]["table"]["n_folds"] == 3
    lines = (home("f") / ledger.LEDGER_FILE).read_bytes().splitlines(keepends=True)
    assert len(lines) == 9
    (home("f") / ledger.LEDGER_FILE).write_bytes(b"".join(line for line in lines if json.loads(line)["fold"] < 2))
    (here / "churn.csv").rename("away.csv")
    assert read("f").completeness.counted == "6 of 9 evaluations"
    (here / "away.csv").rename("churn.csv")
    capsys.readouterr()
    assert main(["run", *FOLDS]) == 0
    assert read("f").completeness.is_complete
    assert sorted((home("f") / ledger.LEDGER_FILE).read_bytes().splitlines(keepends=True))[0][:20] in lines[0]
    assert set(read("f").contrasts.estimator) == {"corrected_t"}


def test_other_folds_are_another_question(here, capsys):
    assert main(["run", *FOLDS]) == 0
    table = pd.read_csv("churn.csv")
    table.loc[:40, "site"] = "d"
    table.to_csv("churn.csv", index=False)
    capsys.readouterr()
    assert main(["run", *FOLDS]) == 2
    assert "n_folds: 3 -> 4" in capsys.readouterr().err


def test_neither_has_covariances_over_test_rows(here):
    for typed in (HOLDOUT, FOLDS):
        assert main(["run", *typed]) == 0
    for name in ("h", "f"):
        frame = evidence.load_evidence(home(name) / evidence.EVIDENCE_FILE)
        assert not (frame.kind == "covariance").any()
        assert (frame.kind == "cut").any()
        assert results.read_result(home(name), read(name).study).contrasts.estimator_reason.isna().all()


def test_a_plan_shows_the_rows_of_every_part(here, capsys):
    assert main(["plan", *FOLDS]) == 0
    text = capsys.readouterr().out
    assert "predefined outer folds: a, b and c" in text
    assert main(["plan", *HOLDOUT, "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert [(fold["train"], fold["test"]) for fold in plan["datasets"][0]["folds"]] == [(140, 60)] * 2
    assert plan["cells"] == 6
    assert main(["plan", *HOLDOUT, "protocol.repeats=1"]) == 0
    assert "no test" in capsys.readouterr().out


def test_a_plan_proposes_a_smaller_study_of_predefined_folds(here, capsys):
    assert main(["plan", *FOLDS, "strategy.smote_threshold.ratio=null", "budget.minutes=0.000001", "--json"]) == 0
    budget = json.loads(capsys.readouterr().out)["budget"]
    assert "folds=site" in budget["line"]
    assert "n_folds" not in budget["line"]


def test_a_table_in_memory_may_have_folds(here):
    data = layout.datasets.dataset(pd.read_csv("churn.csv"), "left", name="mine", folds="site")
    asked = python_runs.compose("name=m", *SMALL, "protocol.inner_folds=2")
    table = python_runs.run_in_folder(asked, data=[data], store_path=None).to_frame()
    assert sorted(table.fold.unique()) == [0, 1, 2]
    recorded = ledger.read_study(home("m"))["dataset"]["mine"]
    assert recorded == {"kind": "memory", "name": "mine", "parent": "mine", "folds": "given", "n_folds": 3}
    assert len(python_runs.evaluate(asked, [data])) == 9


def test_the_folds_of_a_table_are_the_same_in_every_format(here):
    frame = pd.read_csv("churn.csv")
    frame["site"] = frame.site.map({"a": 10, "b": 9, "c": 2})
    frame.to_csv("numbers.csv", index=False)
    frame.to_parquet("numbers.parquet")
    loaded = [
        layout.datasets.read_dataset({"path": f"numbers.{ending}", "target": "left", "folds": "site"}, "n")
        for ending in ("csv", "parquet")
    ]
    assert loaded[0].fold_names == loaded[1].fold_names == ("2", "9", "10")
    assert loaded[0].fingerprint == loaded[1].fingerprint
    assert list(loaded[0].X) == ["a", "b"]
    shuffled = layout.datasets.dataset(frame.assign(site=frame.site.sample(frac=1, random_state=0).to_numpy()), "left")
    assert shuffled.fingerprint != loaded[0].fingerprint


def test_a_fold_called_minus_one_is_told(here):
    frame = pd.read_csv("churn.csv")
    frame["site"] = frame.site.map({"a": -1, "b": 0, "c": 1})
    data = layout.datasets.dataset(frame, "left", folds="site")
    assert data.fold_names == ("-1", "0", "1")
    assert any("PredefinedSplit" in note for note in data.notes)


def test_a_model_of_a_hold_out_is_exported(here, capsys, recwarn):
    assert main(["run", *HOLDOUT, "name=one", "protocol.repeats=1"]) == 0
    assert main(["export", "one", "tracking=none"]) == 0
    (card,) = (home("one") / "model").glob("*/README.md")
    text = card.read_text(encoding="utf-8")
    assert "Evaluated on 1 hold-out of 30 % of the rows" in text
    assert "mean over 1 hold-out\n" in text
    assert "nan" not in text
    assert not [w for w in recwarn if "Degrees of freedom" in str(w.message)]
