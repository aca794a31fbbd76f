"""`imblab new`: five questions, each answer checked at once, and an experiment that runs."""

import io
import json
import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from imblab.cli import main


@pytest.fixture(autouse=True)
def table(tmp_path, monkeypatch):
    """A folder with one table, whose rarer label is in 40 of 300 rows."""
    monkeypatch.chdir(tmp_path)
    draw = np.random.default_rng(0)
    X = draw.normal(size=(300, 3))
    y = np.argsort(np.argsort(X[:, 0] + draw.normal(size=300))) >= 260
    frame = pd.DataFrame(X, columns=list("abc")).assign(
        city=draw.choice(["x", "y"], 300), left=np.where(y, "yes", "no"), kind=draw.choice(["k", "l", "m"], 300)
    )
    frame.to_csv("churn.csv", index=False)
    return frame


def answer(monkeypatch, *lines):
    monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{line}\n" for line in lines)))


def written(name="churn"):
    return yaml.safe_load(Path(f"conf/experiment/{name}.yaml").read_text())


def test_empty_answers_take_what_was_found_and_the_study_runs(monkeypatch, capsys):
    answer(monkeypatch, "", "left", "", "", "")
    assert main(["new"]) == 0
    out = capsys.readouterr().out
    assert "(here: churn.csv) [churn.csv]" in out
    assert "'left' (yes 40, no 260)" in out
    assert "'yes' in 40 rows and 'no' in 260 rows. Which label is the positive one? [yes]" in out
    assert written()["dataset"]["table"] == {"path": "churn.csv", "target": "left", "positive": "yes"}
    assert written()["budget"] == {"minutes": 10.0}
    command = shlex.split(out.splitlines()[-1].removeprefix("Run it: "))
    assert command == ["imblab", "run", "experiment=churn", "--config-dir", "conf"]
    quick = ["learner=[logistic]", "strategy=[none,threshold]", "protocol=smoke", "tracking=none", "runner.n_jobs=1"]
    assert main([*command[1:], *quick, "runner.report=false"]) == 0
    assert "threshold" in capsys.readouterr().out


def test_each_answer_is_checked_at_once_and_asked_again(monkeypatch, capsys):
    lines = ("none.csv", "churn.csv", "lefd", "a", "left", "maybe", "no", "cheap", "0:1", "10:1", "soon", "-1", "5")
    answer(monkeypatch, *lines)
    assert main(["new"]) == 0
    out = capsys.readouterr().out
    for message in (
        "none.csv",
        "Did you mean 'left'?",
        "column 'a' has 300 values",
        "unknown label 'maybe'",
        "'cheap' is neither costs nor an alert budget",
        "'0:1' is neither",
        "'soon' is not a number of minutes",
        "'-1' is not a number of minutes",
    ):
        assert message in out
    experiment = written()
    assert experiment["dataset"]["table"]["positive"] == "no"
    assert experiment["dataset"]["table"]["allow_majority_positive"] is True
    assert experiment["primary"] == "expected_cost"
    assert experiment["measures"]["expected_cost"]["parameters"]["costs"] == {"fn": 10.0, "fp": 1.0, "tp": 0, "tn": 0}


def test_options_answer_without_a_terminal(capsys):
    words = ["churn.csv", "--target", "left", "--cost", "5%", "--minutes", "3", "--name", "desk", "--yes", "--json"]
    assert main(["new", *words]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["path"] == "conf/experiment/desk.yaml"
    experiment = written("desk")
    assert experiment["claims"]["primary"][0] == ["smote_alert_budget", "alert_budget"]
    assert experiment["strategy"]["alert_budget"]["threshold"] == {"alert_rate": 0.05}
    assert main([*facts["run"][1:], "--cfg", "job"]) == 0
    study = yaml.safe_load(capsys.readouterr().out)
    assert {"none", "threshold", "alert_budget", "smote_alert_budget"} <= set(study["strategy"])


def test_a_header_with_blanks_is_found_as_a_study_finds_it():
    rows = "".join(f"{i % 7},{'yes' if i % 9 == 0 else 'no'}\n" for i in range(200))
    Path("blank.csv").write_text(f"a, left\n{rows}")
    assert main(["new", "blank.csv", "--target", "left", "--positive", "yes", "--cost", "none", "--yes"]) == 0
    assert written("blank")["dataset"]["table"]["target"] == " left"


def test_a_second_experiment_takes_a_free_name(capsys):
    for name in ("churn", "churn_2"):
        assert main(["new", "churn.csv", "--target", "left", "--yes", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["path"] == f"conf/experiment/{name}.yaml"


def test_several_classes_have_no_positive_label(monkeypatch, capsys):
    assert main(["new", "churn.csv", "--target", "kind", "--yes"]) == 0
    assert "positive" not in written()["dataset"]["table"]
    assert main(["new", "churn.csv", "--target", "kind", "--positive", "k", "--yes"]) == 2
    assert main(["new", "churn.csv", "--target", "kind", "--cost", "10:1", "--yes"]) == 2
    assert "is about one positive class" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nothing.csv"], "nothing.csv"),
        (["churn.csv", "--target", "lefd"], "Did you mean 'left'?"),
        (["churn.csv", "--target", "left", "--positive", "maybe"], "unknown label 'maybe'"),
        (["churn.csv", "--target", "left", "--minutes", "soon"], "'soon' is not a number of minutes"),
        (["churn.csv", "--target", "left", "--name", "quickstart"], "'quickstart' is there already"),
        (["churn.csv", "--target", "left", "--name", "a/b"], "names become folders"),
    ],
)
def test_a_wrong_option_is_refused_and_nothing_is_written(capsys, words, message):
    assert main(["new", *words, "--yes"]) == 2
    assert message in capsys.readouterr().err
    assert not Path("conf").exists()


def test_an_input_that_ends_or_is_interrupted_leaves_nothing_behind(monkeypatch, capsys):
    answer(monkeypatch, "churn.csv", "left")
    assert main(["new"]) == 2
    told = capsys.readouterr().err
    assert "nothing was written. Give the answers as options, as in --positive VALUE" in told
    answer(monkeypatch, "churn.csv")
    assert main(["new"]) == 2
    assert "question '2. Which column holds the labels?';" in capsys.readouterr().err

    def interrupt(prompt):
        raise KeyboardInterrupt

    monkeypatch.setattr("builtins.input", interrupt)
    assert main(["new"]) == 130
    assert "Stopped; nothing was written." in capsys.readouterr().err
    assert not Path("conf").exists()


def test_with_json_questions_and_refused_answers_stand_on_standard_error(monkeypatch, capsys):
    answer(monkeypatch, "churn.csv", "lefd", "left", "", "", "")
    assert main(["new", "--json"]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["path"] == "conf/experiment/churn.yaml"
    assert "2. Which column holds the labels?" in printed.err
    assert "Did you mean 'left'?" in printed.err


@pytest.mark.parametrize("cost", ["1000000:1", "1234.5678:0.00001", "0.0123456789"])
def test_the_line_to_paste_keeps_all_digits_and_the_folder_of_groups(table, capsys, cost):
    table.loc[3, "left"] = None
    table.to_csv("churn.csv", index=False)
    Path("own").mkdir()
    words = ["new", "churn.csv", "--target", "left", "--cost", cost]
    assert main([*words, "--minutes", "123456.75", "--config-dir", "own", "--yes"]) == 2
    told = capsys.readouterr().err
    assert f"--cost {cost} --minutes 123456.75 --config-dir own --yes" in told


def awkward(table):
    """Write a table whose columns need two corrections before a study can read it."""
    table["opened on"] = pd.date_range("2024-01-01", periods=300).strftime("%Y-%m-%d")
    table["a"] = table["a"].astype(object).where(table.index > 1, "NA")
    table.to_csv("churn.csv", index=False)


def test_a_table_that_needs_corrections_is_answered_with_the_line_that_holds_them(table, monkeypatch, capsys):
    awkward(table)
    answer(monkeypatch, "churn.csv", "left", "no", "10:1", "5")
    assert main(["new"]) == 2
    told = capsys.readouterr().err.strip().splitlines()[-1]
    assert told.startswith("Nothing was written. With these answers and corrections: `imblab new churn.csv ")
    words = shlex.split(told.partition("`")[2].rstrip("`."))
    assert words[2:10] == ["churn.csv", "--target", "left", "--positive", "no", "--cost", "10:1", "--minutes"]
    assert main(words[1:]) == 0
    spec = written()["dataset"]["table"]
    assert (spec["missing"], spec["drop"], spec["positive"]) == (["NA"], ["opened on"], "no")
    assert written()["primary"] == "expected_cost"


def test_keys_of_the_table_and_dotted_keys_are_written_into_the_experiment(table):
    awkward(table)
    keys = ["target=left", "missing=[NA]", 'dataset.table.drop=["opened on"]', "protocol.outer_folds=3"]
    assert main(["new", "churn.csv", *keys, "--yes"]) == 0
    assert written()["dataset"]["table"]["missing"] == ["NA"]
    assert written()["dataset"]["table"]["drop"] == ["opened on"]
    assert written()["protocol"] == {"outer_folds": 3}


def test_a_table_that_cannot_be_corrected_by_keys_leaves_a_line_with_the_answers(table, capsys):
    table.loc[3, "left"] = None
    table.to_csv("churn.csv", index=False)
    assert main(["new", "churn.csv", "--target", "left", "--name", "gap", "--yes"]) == 2
    assert "With these answers: `imblab new churn.csv --target left --positive yes" in capsys.readouterr().err


def test_the_line_with_merged_classes_can_be_pasted(table, capsys):
    table["size"] = ["tiny"] * 2 + ["small", "large"] * 149
    table.to_csv("sizes.csv", index=False)
    assert main(["new", "sizes.csv", "--target", "size", "--yes"]) == 2
    told = capsys.readouterr()
    assert "each is a class." in told.out
    assert "Go on" not in told.out
    assert "false alarm" not in told.out
    line = told.err.partition("and corrections: `")[2].partition("`")[0]
    assert main(shlex.split(line)[1:]) == 0
    assert written("sizes")["dataset"]["table"]["merge"] == {"other": ["small", "tiny"]}


def test_classes_that_are_merged_or_left_out_to_two_have_a_positive_label(capsys):
    words = ["new", "churn.csv", "--target", "kind", "--yes"]
    assert main([*words, "dataset.table.merge={rest:[l,m]}", "--positive", "k", "--cost", "10:1"]) == 0
    assert written()["dataset"]["table"] == {
        "path": "churn.csv", "target": "kind", "positive": "k", "merge": {"rest": ["l", "m"]}
    }  # fmt: skip
    assert main([*words, "drop_classes=[m]", "--positive", "l"]) == 0
    assert main([*words, "dataset.table.merge.rest=[l,m]", "--positive", "rest"]) == 0
    assert written("churn_3")["dataset"]["table"]["allow_majority_positive"] is True
    assert main([*words, "merge={rest:[nothing]}"]) == 2
    assert "nothing" in capsys.readouterr().err


@pytest.mark.parametrize("word", ["learner=[svm]", "experiment=quickstart"])
def test_choices_of_groups_are_refused(word, capsys):
    assert main(["new", "churn.csv", word, "--target", "left", "--yes"]) == 2
    assert f"{word!r} is not a key that `imblab new` writes" in capsys.readouterr().err
