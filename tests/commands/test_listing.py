"""`imblab list`: what a study may name, and the studies there are."""

import contextlib
import json
import shutil

import pytest

from imblab.cli import main
from imblab.cli.arguments import LISTABLE
from imblab.commands import listing, results, study_answers
from imblab.edges import config
from imblab.groups import group_options


@pytest.fixture(autouse=True)
def workdir(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    return tmp_path


def listed(capsys, *words):
    assert main(["list", *words]) == 0
    return capsys.readouterr().out


def test_every_kind_has_a_name_a_description_and_fits_80_columns(capsys):
    for kind in ("learners", "strategies", "measures", "protocols"):
        assert all(row["name"] and row["description"] != "-" for row in json.loads(listed(capsys, kind, "--json")))
        assert max(map(len, listed(capsys, kind).splitlines())) <= 80


def test_the_overview_names_every_kind(capsys):
    kinds = LISTABLE
    text = listed(capsys)
    assert [line.partition(" (")[0] for line in text.splitlines() if line.startswith(kinds)] == [*kinds]
    assert "studies (0): none" in text
    assert tuple(json.loads(listed(capsys, "--json"))) == kinds


def test_every_group_is_listed_and_every_key_of_a_run_is_described(capsys):
    rows = json.loads(listed(capsys, "--json"))
    kinds = {"search": "searches", "runner": "runners", "tracking": "tracking", "experiment": "experiments"}
    assert all({row["name"] for row in rows[kind]} == set(group_options(group)) for group, kind in kinds.items())
    schema = json.loads(listed(capsys, "run", "--schema"))
    assert {"runner", "tracking", "budget", "overwrite", "search"} <= set(schema["properties"])
    assert "storage" in schema["$defs"]["StorageModel"]["properties"]
    assert main(["list", "run"]) == 2
    assert "unknown list 'run'" in capsys.readouterr().err


def test_files_of_the_user_are_listed_with_their_place(capsys, workdir):
    (workdir / "mine" / "learner").mkdir(parents=True)
    (workdir / "mine" / "learner" / "odd.yaml").write_text("# My neighbours.\nodd: {make: {_target_: a.B}}\n")
    (workdir / "mine" / "learner" / "broken.yaml").write_text("a: [1\n")
    rows = {row["name"]: row for row in json.loads(listed(capsys, "learners", "--json", "--config-dir", "mine"))}
    assert rows["odd"] == {
        "name": "odd",
        "description": "My neighbours.",
        "class": "B",
        "knobs": {},
        "file": "mine/learner/odd.yaml",
    }
    assert rows["broken"]["description"] == "this file cannot be read"
    assert "odd: mine/learner/odd.yaml. All others are built in." in " ".join(
        listed(capsys, "learners", "--config-dir", "mine").split()
    )


def test_datasets_is_a_spelling_of_list_datasets(capsys):
    text = listed(capsys, "datasets")
    assert main(["datasets"]) == 0
    assert capsys.readouterr().out == text
    assert "ecoli3" in text


def test_an_unknown_kind_is_answered_with_the_nearest(capsys):
    assert main(["list", "lerners"]) == 2
    assert "unknown list 'lerners'. Did you mean 'learners'?" in capsys.readouterr().err


def test_studies_are_listed_with_how_far_they_are_and_their_answer(capsys, workdir):
    assert "No study in experiments/ yet" in listed(capsys, "studies")
    words = ("name=small", "dataset=[ecoli3]", "learner=[logistic]", "strategy=[none,threshold]", "protocol=smoke")
    assert main(["run", *words, "tracking=none", "runner.report=false", "runner.n_jobs=1"]) == 0
    capsys.readouterr()
    (row,) = json.loads(listed(capsys, "studies", "--json"))
    assert (row["name"], row["evaluations"]) == ("small", "6 of 6")
    assert row["by"] not in ("", "-")
    assert row["question"].startswith("On ecoli3")
    assert row["verdict"].endswith(".")
    (strategy,) = row["recommended"]
    assert strategy in ("none", "threshold")
    assert f"(strategy `{strategy}`)" in row["recommendation"]
    (workdir / "experiments" / "small" / "README.md").write_text("# Is it small?\n\n**Yes, it is**. And more.\n")
    text = listed(capsys, "studies")
    assert f"small: Is it small?\n  {row['verdict'][:40]}" in text
    assert text.splitlines()[2].endswith(strategy)
    ledger = workdir / "experiments" / "small" / "ledger.jsonl"
    ledger.write_text("".join(ledger.read_text().splitlines(keepends=True)[:4]))
    (row,) = json.loads(listed(capsys, "studies", "--json"))
    assert (row["evaluations"], row["verdict"], row["recommended"]) == ("4 of 6", "", [])
    shutil.copytree(workdir / "experiments" / "small", workdir / "experiments" / "other")
    (workdir / "experiments" / "other" / "study.yaml").write_text("name: other\n")
    assert "cannot be read" in listed(capsys, "studies")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of experiments with a finished study, which keeps its answer."""
    words = ("name=kept", "dataset=[ecoli3]", "learner=[logistic]", "strategy=[none,threshold]", "protocol=smoke")
    home = tmp_path_factory.mktemp("finished")
    with contextlib.chdir(home):
        assert main(["run", *words, "tracking=none", "runner.report=false", "runner.n_jobs=1"]) == 0
    return home / "experiments"


@pytest.fixture
def kept(workdir, finished):
    """The folder of that study, in this test's own directory."""
    shutil.copytree(finished, workdir / "experiments")
    return workdir / "experiments" / "kept"


def test_a_kept_answer_is_that_of_the_evaluations_and_is_read_in_their_place(kept, monkeypatch):
    stored = study_answers.read_answer(kept)
    study = config.load_request(kept / "study.yaml").study
    assert stored == study_answers.summarize_answer(results.read_result(kept, study))
    monkeypatch.setattr(results, "result_of", None)
    assert results.short_answer(kept) == stored


@pytest.mark.parametrize("content", ["{", "[]", '{"imblab": 1}', '{"answer": {"verdict": "yes"}}', "[" * 100_000])
def test_a_damaged_answer_is_made_again(kept, content):
    stored = study_answers.read_answer(kept)
    (kept / "answer.json").write_text(content)
    assert study_answers.read_answer(kept) is None
    assert results.short_answer(kept) == stored
    assert results.short_answer(kept, keeps=True) == stored == study_answers.read_answer(kept)


def test_an_answer_of_other_evaluations_does_not_count(kept):
    ledger = kept / "ledger.jsonl"
    ledger.write_text("".join(ledger.read_text().splitlines(keepends=True)[:4]))
    assert study_answers.read_answer(kept) is None
    assert results.short_answer(kept)["evaluations"] == "4 of 6"


@pytest.mark.parametrize("name", ["study.yaml", "ledger.jsonl"])
def test_a_study_that_cannot_be_read_says_why_in_its_line(kept, capsys, name):
    shutil.copytree(kept, kept.parent / "well")
    (kept / name).write_text("{broken: [\n")
    rows = {row["name"]: row for row in json.loads(listed(capsys, "studies", "--json"))}
    assert rows["well"]["evaluations"] == "6 of 6"
    assert rows["kept"]["evaluations"] == "cannot be read"
    assert name in rows["kept"]["question"]


def test_other_data_sets_are_named_by_their_kind():
    rows = [{"name": "keel_iris0", "kind": "keel"}, {"name": "keel_wdbc", "kind": "keel"}]
    assert listing.data_sets_text(rows) == "keel (2): keel_iris0, keel_wdbc"


def test_options_are_a_table_with_their_knobs():
    rows = [{"name": "knn", "description": "neighbours", "knobs": {"k": 3}, "file": "built in"}]
    lines = [line.rstrip() for line in listing.members_text(rows).splitlines()]
    assert lines == ["name  description  knobs", "─" * 24, "knn   neighbours   k=3", "", "All are built in."]


def test_a_file_under_the_name_of_a_shipped_one_is_listed_as_refused(capsys, workdir):
    (workdir / "mine" / "strategy").mkdir(parents=True)
    (workdir / "mine" / "strategy" / "smote.yaml").write_text("smote: {threshold: 0.3}", encoding="utf-8")
    rows = json.loads(listed(capsys, "strategies", "--json", "--config-dir", "mine"))
    assert [row["description"][:16] for row in rows if row["name"] == "smote"] == ["cannot be chosen"]
