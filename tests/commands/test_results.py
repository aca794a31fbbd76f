"""Verdicts composed: what is on record in the folder decides, sources come from the configuration, JSON is plain."""

import json
import runpy
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from imblab.analysis.answer_page import MAX_SCREEN_LINES, answer_lines
from imblab.analysis.claims import register_claims
from imblab.cli import main
from imblab.commands import python_runs, results
from imblab.edges import ledger
from imblab.stats.standard_errors import TABLE_VERSION

WORDS = ("learner=[logistic]", "strategy=[none,threshold]", "protocol=smoke", "tracking=none", "runner.n_jobs=1")


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A study of three tables from two sources."""
    home = tmp_path_factory.mktemp("verdicts")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        assert main(["run", "name=demo", "dataset=[ecoli3,yeast4,yeast6]", *WORDS]) == 0
    return home / "experiments" / "demo"


@pytest.fixture(autouse=True)
def _there(done, monkeypatch):
    monkeypatch.chdir(done.parents[1])


def compared(capsys):
    capsys.readouterr()
    assert main(["compare", "demo", "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_run_records_its_claims_before_the_first_row(done):
    kept = yaml.safe_load((done / ledger.STUDY_FILE).read_text())["claims"]["registered"]
    assert kept == {
        "primary": "mcc",
        "contrasts": [["threshold", "none"]],
        "alpha": 0.05,
        "rope": {"mcc": 0.02, "pr_auc": 0.02},
        "repeats": 1,
        "primary_contrasts": [],
        "kinds": {"logistic": "logistic"},
        "table": TABLE_VERSION,
    }


def test_json_holds_the_contrasts_and_what_is_said_across_sources(capsys):
    found = compared(capsys)
    assert {"detectable", "below", "within", "above"} <= set(found["contrasts"][0])
    (across,) = found["across"]
    assert across["parents"] == ["ecoli", "yeast"]
    assert across["friedman"] is None
    assert "yeast4, yeast6 have one parent data set and count once, as yeast" in across["notes"]
    means = {row["dataset"]: row["mean"] for row in found["contrasts"]}
    (row,) = across["contrasts"]
    assert row["mean"] == pytest.approx((means["ecoli3"] + (means["yeast4"] + means["yeast6"]) / 2) / 2)
    assert row["verdict"] == "untested"
    assert found["sentences"][-2].startswith("across 2 parent data sets, logistic: no test: it takes 6")
    assert found["sentences"][-1].startswith("Intervals and tests rest on the corrected t")


def test_the_terminal_says_why_there_is_no_test(capsys):
    assert main(["compare", "demo", "--full"]) == 0
    out = capsys.readouterr().out
    assert "Across 2 parent data sets, logistic: MCC" in out
    assert "no test over 2" in out
    assert "detectable: the" in out
    assert max(map(len, out.split("\n"))) <= 80


def test_claims_changed_by_hand_or_on_the_command_line_are_exploratory(done, capsys):
    rows = (done / ledger.LEDGER_FILE).read_bytes()
    question = done / ledger.STUDY_FILE
    before = question.read_text()
    question.write_text(before.replace("  alpha: 0.05\n  rope", "  alpha: 0.2\n  rope", 1))
    assert {row["verdict"] for row in compared(capsys)["contrasts"]} == {"exploratory"}
    question.write_text(before)
    asked = ["run", "name=demo", "dataset=[ecoli3,yeast4,yeast6]", *WORDS]
    assert main([*asked, "claims.alpha=0.2"]) == 0
    assert "Exploratory: alpha was 0.05 before the first row" in capsys.readouterr().out
    assert main(asked) == 0
    assert "xploratory" not in capsys.readouterr().out
    assert question.read_text() == before
    assert (done / ledger.LEDGER_FILE).read_bytes() == rows


def page(capsys, *words):
    assert main(["compare", "demo", *words]) == 0
    return capsys.readouterr().out


def test_compare_prints_one_screen_and_full_prints_every_table(capsys):
    screen, full = page(capsys), page(capsys, "--full")
    assert screen.count("\n") <= MAX_SCREEN_LINES
    assert screen.split("\n")[0] == full.split("\n")[0]
    assert "imblab compare demo --full" in screen
    assert "mean ± sd" not in screen
    assert full.count("mean ± sd over") == 3


def test_one_family_is_named_by_its_data_set_and_learner(capsys):
    one = page(capsys, "--family", "yeast4/logistic")
    assert one.count("mean ± sd over") == 1
    assert "yeast4, logistic: use " in one
    assert "yeast6" not in one
    assert page(capsys, "--family", "yeast4") == one
    assert main(["compare", "demo", "--family", "yeast5"]) == 2
    assert "unknown family 'yeast5' in study 'demo'. Did you mean 'yeast6'?" in capsys.readouterr().err


def test_another_measure_is_exploratory(capsys):
    screen = page(capsys, "--measure", "recall")
    assert screen.startswith("Recall is exploratory: the study claims MCC, and MCC alone has verdicts.")
    assert "The recommendation rests on MCC" in screen
    rows = json.loads(page(capsys, "--measure", "recall", "--json"))["contrasts"]
    assert {row["verdict"] for row in rows} == {"exploratory"}
    assert {row["measure"] for row in rows} == {"recall"}
    assert main(["compare", "demo", "--measure", "recal"]) == 2
    assert "Did you mean 'recall'?" in capsys.readouterr().err


COMMITTED = Path(__file__).parents[2] / "experiments"


@pytest.mark.parametrize("name", ["resample_or_not", "smote_ratio"])
def test_the_answer_of_a_committed_study(name, monkeypatch, capsys, snapshot):
    monkeypatch.chdir(COMMITTED.parent)
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["compare", name]) == 0
    text = capsys.readouterr().out
    assert text.count("\n") <= MAX_SCREEN_LINES
    assert max(map(len, text.split("\n"))) <= 80
    assert text == snapshot


def test_the_picture_of_the_terminal_is_that_of_the_committed_study():
    """``make pictures`` draws it again."""
    pictures = runpy.run_path(str(COMMITTED.parent / "docs" / "draw_pictures.py"))
    text = pictures["draw_terminal"]()
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "").replace("https://www.textualize.io", "")
    assert pictures["PICTURE"].read_text(encoding="utf-8") == text


def test_the_readme_shows_what_the_demo_prints():
    """The evaluations of the demo are among those of a committed study."""
    study = register_claims(python_runs.compose("experiment=quickstart"))
    result = results.read_result(COMMITTED / "resample_or_not", study)
    assert result.completeness.is_complete
    text = "\n".join(answer_lines(result, 80))
    table = text[text.index("Once the threshold") : text.index("Across 3 parent data sets")].rstrip()
    assert f"```text\n{table}\n```" in (COMMITTED.parent / "README.md").read_text(encoding="utf-8")
    assert result.recommendation.overall.strategy == "none"
    assert set(result.contrasts.estimator) == {"row_level"}
    primary = result.answer.primary.set_index("dataset").verdict
    assert dict(primary) == {"yeast6": "inconclusive", "hypothyroid": "equivalent", "page_blocks0": "equivalent"}


@pytest.mark.slow
def test_the_demo_makes_the_evaluations_of_the_committed_study(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["dataset=[yeast6]", "strategy=[threshold,smote_threshold]", "tracking=none", "runner.n_jobs=2"]
    assert main(["run", "experiment=quickstart", *words]) == 0
    committed = {e.key: e for e in ledger.read_evaluations(COMMITTED / "resample_or_not")}
    rows = ledger.read_evaluations(ledger.EXPERIMENTS / "quickstart")
    assert len(rows) == 30
    for row in rows:
        other = committed[row.key]
        assert (row.params, row.threshold, row.counts) == (other.params, other.threshold, other.counts)
        assert row.scores == pytest.approx(other.scores, abs=1e-12)


def test_a_column_that_separates_the_classes_is_a_caution_of_the_answer(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    y = rng.permutation(np.repeat([0, 1], [150, 50]))
    table = pd.DataFrame({"a": rng.normal(size=200), "cancelled": y * 2 + rng.random(200), "left": y})
    table.to_csv("churn.csv", index=False)
    caution = "Caution: 'churn' has column 'cancelled', which separates the classes by itself"
    for command in (["run", "churn.csv", "target=left", *WORDS], ["compare", "churn"]):
        assert main(command) == 0
        shown = " ".join(capsys.readouterr().out.split())
        assert caution in shown.replace("¦", "|")
        assert "- Look into the caution: imblab audit churn" in shown
    assert "which separates the classes by itself" in Path("experiments/churn/report.html").read_text()
