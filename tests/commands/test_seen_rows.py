"""Rows that another study has evaluations on: said with every verdict and before the fits, and never a verdict less."""

import json
import shutil
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

import imblab
from imblab.analysis.claims import register_claims
from imblab.cli import main
from imblab.commands.study_records import find_seen_before
from imblab.edges import config, datasets, ledger
from imblab.edges.ledger.record_files import extend_question

SMALL = ("dataset=[ecoli3]", "learner=[logistic]", "strategy=[none,threshold]", "protocol=smoke", "measures=[mcc]")
HERE = ("tracking=none", "runner.n_jobs=1", "runner.report=false")
SEEN = "these rows were seen before, in study 'first'"


def run(name, *words):
    assert main(["run", f"name={name}", *SMALL, *HERE, *words]) == 0


def record(name):
    return ledger.read_study(Path("experiments") / name)["claims"]["registered"]


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """The folder of experiments with one finished study."""
    home = tmp_path_factory.mktemp("first")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        run("first")
    return home


@pytest.fixture
def _here(first, tmp_path, monkeypatch):
    shutil.copytree(first, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("COLUMNS", "400")


@pytest.mark.usefixtures("_here")
def test_a_second_study_of_the_same_rows_says_so_in_plan_run_compare_and_report(capsys):
    assert "seen_before" not in record("first")
    assert main(["plan", "name=second", *SMALL]) == 0
    assert "These rows were seen before, in study 'first'" in capsys.readouterr().out
    assert main(["plan", "name=second", *SMALL, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["seen_before"] == {"ecoli3": ["first"]}
    run("second", "runner.report=true")
    said = capsys.readouterr().out
    assert said.index("These rows were seen before, in study 'first'") < said.index("fitted")
    assert record("second")["seen_before"] == {"ecoli3": ["first"]}
    assert main(["compare", "second", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["seen_before"] == {"ecoli3": ["first"]}
    *verdicts, estimator = result["sentences"]
    assert all(sentence.endswith(f"({SEEN}).") for sentence in verdicts)
    assert estimator.startswith("Intervals and tests rest on")
    assert main(["compare", "first", "--json"]) == 0
    before = json.loads(capsys.readouterr().out)
    assert before["seen_before"] == {}
    assert "seen before" not in json.dumps(before["sentences"])
    assert result["contrasts"] == before["contrasts"]
    page = Path("experiments/second/report.html").read_text(encoding="utf-8")
    assert page.count("rows were seen before, in study") >= 2


@pytest.mark.usefixtures("_here")
def test_studies_kept_elsewhere_are_named_by_hand(capsys):
    assert main(["plan", "name=second", *SMALL, "claims.seen_before=[pilot,first]"]) == 0
    assert "These rows were seen before, in studies 'first' and 'pilot'" in capsys.readouterr().out
    study = register_claims(imblab.compose("name=s", *SMALL, "claims.seen_before=[pilot]"))
    assert study.claims.registered.seen_before == {"ecoli3": ("pilot",)}
    mapping = config.to_mapping(study)
    assert mapping["claims"]["seen_before"] == ["pilot"]
    assert "seen_before" not in config.to_mapping(imblab.compose("name=s", *SMALL))["claims"]
    assert main(["plan", "name=second", *SMALL, "claims.seen_before=pilot study"]) == 2
    assert "'claims.seen_before'" in capsys.readouterr().err


@pytest.mark.usefixtures("_here")
def test_resuming_and_starting_over_are_not_seen(capsys):
    run("first", "strategy=[none,threshold,class_weight]")
    run("first", "overwrite=true")
    assert "seen_before" not in record("first")
    assert "seen before" not in capsys.readouterr().out


def ecoli3():
    return {"ecoli3": datasets.read_dataset({"kind": "bundled", "name": "ecoli3"}, "ecoli3")}


@pytest.mark.usefixtures("_here")
def test_a_folder_kept_aside_does_not_count():
    Path("experiments/first").rename(Path("experiments/old~1"))
    assert find_seen_before(Path("experiments/second"), ecoli3()) == {}


@pytest.mark.usefixtures("_here")
@pytest.mark.parametrize("name", ["smote_ratio", "quickstart"])
def test_another_question_under_the_name_of_a_shipped_study_counts(name):
    Path("experiments/first").rename(Path("experiments") / name)
    assert find_seen_before(Path("experiments/second"), ecoli3()) == {"ecoli3": (name,)}


@pytest.mark.usefixtures("_here")
def test_a_shipped_study_does_not_count():
    home = Path("experiments/smote_ratio")
    Path("experiments/first").rename(home)
    question = json.loads(json.dumps(config.to_mapping(imblab.compose("experiment=smote_ratio"))))
    (home / "study.yaml").write_text(yaml.safe_dump(question), encoding="utf-8")
    assert find_seen_before(Path("experiments/second"), ecoli3()) == {}


@pytest.mark.usefixtures("_here")
def test_a_shipped_study_of_tables_from_a_folder_does_not_count_wherever_the_folder_was(capsys):
    home = Path("experiments/balancing_the_scales")
    Path("experiments/first").rename(home)
    for words in ("data_dir=tables", "data_dir=/mnt/some folder"):
        question = json.loads(json.dumps(config.to_mapping(imblab.compose(f"experiment={home.name}", words))))
        (home / "study.yaml").write_text(yaml.safe_dump(question), encoding="utf-8")
        assert find_seen_before(Path("experiments/second"), ecoli3()) == {}
    question["dataset"]["chess"]["target"] = "another"
    (home / "study.yaml").write_text(yaml.safe_dump(question), encoding="utf-8")
    assert find_seen_before(Path("experiments/second"), ecoli3()) == {"ecoli3": (home.name,)}
    assert "Skipped" not in capsys.readouterr().err


@pytest.mark.usefixtures("_here")
def test_a_data_set_that_is_added_later_is_looked_up_and_an_entry_is_never_removed():
    run("mine", "dataset=[yeast4]", "strategy=[none]")
    assert "seen_before" not in record("mine")
    run("mine", "dataset=[yeast4,ecoli3]", "strategy=[none]")
    assert record("mine")["seen_before"] == {"ecoli3": ["first"]}
    shutil.rmtree("experiments/first")
    run("other", "dataset=[yeast4]", "strategy=[none]")
    run("mine", "dataset=[yeast4,ecoli3]", "strategy=[none]")
    assert record("mine")["seen_before"] == {"ecoli3": ["first"]}


def test_an_entry_is_added_only_where_the_study_has_no_evaluation():
    study = imblab.compose("name=s", *SMALL)
    old, new = (
        json.loads(json.dumps(config.to_mapping(register_claims(study, seen))))
        for seen in ({"a": ("x",)}, {"a": ("y",), "b": ("y",), "c": ("y",)})
    )
    extended = extend_question("s", old, new, evaluated={"a", "b"})
    assert extended["claims"]["registered"]["seen_before"] == {"a": ["x"], "c": ["y"]}


@pytest.mark.usefixtures("_here")
def test_the_kind_of_a_learner_that_is_added_is_on_record_before_its_first_evaluation():
    run("mine", "learner=[logistic]", "strategy=[none]")
    assert record("mine")["kinds"] == {"logistic": "logistic"}
    run("mine", "learner=[logistic,knn]", "strategy=[none]")
    assert record("mine")["kinds"] == {"logistic": "logistic", "knn": "knn"}
    run("mine", "learner=[logistic]", "strategy=[none]")
    assert record("mine")["kinds"] == {"logistic": "logistic", "knn": "knn"}


@pytest.mark.parametrize(
    ("recorded", "expected"),
    [
        ({"kinds": {"logistic": "old"}, "table": 1}, {"logistic": "old", "knn": "new"}),
        ({"table": 1}, {"knn": "new"}),
        ({}, None),
    ],
    ids=["a recorded kind stays", "a learner without a kind stays without one", "a record without rules"],
)
def test_a_kind_is_added_only_for_a_learner_that_the_record_did_not_know(recorded, expected):
    one, two = (
        json.loads(
            json.dumps(config.to_mapping(register_claims(imblab.compose("name=s", *SMALL, f"learner=[{names}]"))))
        )
        for names in ("logistic", "logistic,knn")
    )
    one["claims"]["registered"] = {**one["claims"]["registered"], "kinds": {}, "table": 0, **recorded}
    two["claims"]["registered"]["kinds"] = {"logistic": "new", "knn": "new"}
    record = extend_question("s", one, two)["claims"]["registered"]
    assert record["kinds"] == (expected or {})
    assert record["table"] == recorded.get("table", 0)


@pytest.mark.usefixtures("_here")
def test_a_damaged_folder_is_skipped_and_named(capsys):
    table = {"ecoli3": datasets.read_dataset({"kind": "bundled", "name": "ecoli3"}, "ecoli3")}
    shutil.copytree("experiments/first", "experiments/worse")
    path = Path("experiments/worse/ledger.jsonl")
    path.write_text("nonsense\n" + path.read_text())
    assert find_seen_before(Path("experiments/second"), table) == {"ecoli3": ("first",)}
    assert "line 1 of 'experiments/worse/ledger.jsonl' is not an evaluation" in capsys.readouterr().err


@pytest.mark.usefixtures("_here")
def test_failed_evaluations_show_nothing_of_the_rows():
    path = Path("experiments/first/ledger.jsonl")
    path.write_text(path.read_text().replace('"status":"ok"', '"status":"failed"'))
    assert (
        find_seen_before(
            Path("experiments/x"), {"e": datasets.read_dataset({"kind": "bundled", "name": "ecoli3"}, "ecoli3")}
        )
        == {}
    )


@pytest.mark.usefixtures("_here")
def test_repeats_that_are_added_later_are_said_before_the_fits(capsys):
    sentence = "Study 'first' was claimed with 1 repeat: the added repeats make every contrast exploratory"
    assert main(["plan", "name=first", *SMALL, "protocol.repeats=2"]) == 0
    assert sentence in capsys.readouterr().out
    run("first", "protocol.repeats=2")
    said = capsys.readouterr().out
    assert said.index(sentence) < said.index("fitted")
    assert main(["plan", "name=new", *SMALL, "protocol.repeats=2"]) == 0
    assert "added repeats" not in capsys.readouterr().out


@pytest.mark.usefixtures("_here")
def test_python_warns_of_what_the_command_line_says_before_the_fits():
    asked = imblab.compose("name=first", *SMALL, "protocol.repeats=2")
    with pytest.warns(UserWarning, match="the added repeats make every contrast exploratory") as warned:
        imblab.run(asked)
    assert {Path(w.filename) for w in warned} == {Path(__file__)}
    with pytest.warns(UserWarning, match="These rows were seen before, in study 'first'"):
        imblab.run(imblab.compose("name=second", *SMALL))
    with warnings.catch_warnings():  # nothing is fitted any more
        warnings.filterwarnings("error", "These rows were seen before")
        imblab.run(imblab.compose("name=second", *SMALL))


@pytest.mark.usefixtures("_here")
def test_python_warns_of_a_doubtful_table():
    data = datasets.read_dataset({"kind": "bundled", "name": "ecoli3"}, "ecoli3")
    twice = replace(data, X=pd.concat([data.X] * 2, ignore_index=True), y=np.tile(data.y, 2), name="twice")
    study = replace(imblab.compose("name=twice", *SMALL), datasets={})
    for ask in (imblab.evaluate, imblab.run):
        with pytest.warns(UserWarning, match="'twice'.*repeat") as warned:
            ask(study, data=[twice])
        assert {Path(w.filename) for w in warned} == {Path(__file__)}


@pytest.mark.usefixtures("_here")
def test_the_output_for_machines_holds_what_is_said_before_the_fits(capsys):
    words = [*SMALL, "strategy.smote.ratio=0.5", "strategy=[none,smote]"]
    assert main(["plan", "name=second", *words, "--json"]) == 0
    planned = json.loads(capsys.readouterr().out)["before_fits"]
    assert main(["run", "name=second", *words, *HERE, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)["before_fits"]
    assert said == planned
    assert [text.partition(",")[0] for text in said] == [
        "strategy.smote.ratio is fixed to 0.5: its space is removed.",
        "These rows were seen before",
    ]


@pytest.mark.usefixtures("_here")
def test_fewer_repeats_than_were_claimed_are_exploratory_and_said_in_the_plan(capsys):
    run("twice", "protocol.repeats=2")
    capsys.readouterr()
    assert main(["plan", "name=twice", *SMALL, "protocol.repeats=1"]) == 0
    said = capsys.readouterr().out
    assert "Study 'twice' was claimed with 2 repeats: with 1 repeat every contrast is exploratory" in said
    assert main(["run", "name=twice", *SMALL, *HERE, "protocol.repeats=1", "--json"]) == 0
    assert {c["verdict"] for c in json.loads(capsys.readouterr().out)["contrasts"]} == {"exploratory"}
    assert main(["compare", "twice", "--json"]) == 0
    assert "exploratory" not in {c["verdict"] for c in json.loads(capsys.readouterr().out)["contrasts"]}
