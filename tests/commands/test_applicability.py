"""Strategies without an applicable candidate are told before anything is fitted, with overrides that give them one."""

import shlex
import warnings

import numpy as np
import pandas as pd
import pytest

import imblab
from imblab.cli import main

WORDS = ["five.csv", "target=kind", "learner=[logistic]", "protocol=smoke", "runner.n_jobs=1"]
LEAD = "To make them applicable, add: "
LOST = "The primary contrast smote_threshold - threshold cannot be made"


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    """A table of five classes, the rarest of 6 rows."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    rng = np.random.default_rng(1)
    kinds = np.repeat(list("ABCDE"), [120, 60, 30, 24, 6])
    X = rng.normal(size=(len(kinds), 3)) + np.repeat(np.arange(5.0), [120, 60, 30, 24, 6])[:, None]
    pd.DataFrame(X, columns=list("xyz")).assign(kind=kinds).to_csv("five.csv", index=False)


def lines_of(capsys, *words):
    assert main([*words]) == 0
    return capsys.readouterr().out.splitlines()


def test_a_plan_says_first_what_cannot_be_made_and_its_overrides_can_be_pasted(capsys):
    lines = lines_of(capsys, "plan", *WORDS)
    assert lines[1:3] == ["No candidate is applicable of class_weight, smote and smote_threshold on five.", f"{LOST}."]
    assert lines[3].startswith(LEAD)
    words = shlex.split(lines[3].removeprefix(LEAD))
    assert "strategy.smote_threshold.space.k=choice(1)" in words
    text = "\n".join(lines_of(capsys, "plan", *WORDS, *words))
    assert "No candidate is applicable" not in text
    assert "secondary contrast" not in text


def test_a_run_says_it_before_its_first_fit(capsys):
    words = ["run", *WORDS, "tracking=none", "runner.report=false"]
    lines = lines_of(capsys, *words)
    fitted = next(i for i, line in enumerate(lines) if "fitted, " in line)
    lost, lead = lines.index(f"{LOST}."), next(i for i, line in enumerate(lines) if line.startswith(LEAD))
    assert lost < lead < fitted
    pasted = shlex.split(lines[lead].removeprefix(LEAD))
    lines = lines_of(capsys, *words, *pasted, "name=again")
    assert not any("cannot be made" in line or "could not be compared" in line for line in lines)


def test_learners_and_knobs_that_are_fixed_are_told_apart(capsys):
    own = "+strategy.own={sampler:{_target_:imblearn.over_sampling.SMOTE},ratio:0.5,k:5,threshold:tuned}"
    words = ["plan", WORDS[0], WORDS[1], *WORDS[3:], "learner=[logistic,knn]", "strategy=[none,threshold,class_weight]"]
    text = "\n".join(lines_of(capsys, *words, own))
    assert "No candidate is applicable of class_weight and own on five." in text
    line = next(line for line in text.splitlines() if line.startswith(LEAD))
    assert line == f"{LEAD}strategy.own.k=1", "no override lets knn take a weight"
    text = "\n".join(lines_of(capsys, *words, own.replace("k:5", "k:1")))
    assert "No candidate is applicable of class_weight on five." in text
    assert "cannot be made" not in text


def test_only_the_learner_is_named_where_others_can(capsys):
    words = ["plan", "name=small", "dataset=[ecoli3]", "protocol=smoke", "strategy=[none,threshold,class_weight,smote]"]
    assert "No candidate" not in "\n".join(lines_of(capsys, *words, "learner=[logistic]"))
    text = "\n".join(lines_of(capsys, *words, "learner=[logistic,knn]"))
    assert "No candidate is applicable of class_weight on ecoli3 with knn." in text
    assert LEAD not in text


def test_python_is_told_what_cannot_be_made():
    frame = pd.read_csv("five.csv")
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        imblab.run(frame[["x", "y", "z"]], frame["kind"], learners="logistic", cv=3, inner_cv=2)
    text = " ".join(str(each.message) for each in said)
    assert LOST in text
    assert "strategy.smote" not in text


def test_many_combinations_are_counted(capsys, monkeypatch):
    words = ["plan", "name=small", "dataset=[ecoli3]", "protocol=smoke", "strategy=[none,class_weight]"]
    monkeypatch.setattr("imblab.commands.applicability.MAX_GROUPS", 0)
    shown = " ".join(lines_of(capsys, *words, "learner=[logistic,knn]"))
    assert "No candidate is applicable in 1 of 4 " in shown
    assert "combinations of data set, learner and strategy; `imblab plan` lists them with --full." in shown
