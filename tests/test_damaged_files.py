"""A damaged file of a study, in each command: what is derived is said and done without, what is a fact is refused."""

import contextlib
import json
import shutil
import sqlite3
from pathlib import Path

import pytest
import yaml

from imblab.cli import main
from imblab.edges import evidence, ledger, provenance
from imblab.edges.mlflow.artifacts import sent_files

ASKED = ("name=small", "dataset=[ecoli3]", "learner=[logistic]", "strategy=[none,threshold]", "protocol=smoke")
HERE = ("runner.n_jobs=1",)
HOME = Path("experiments/small")
STORE = Path("mlruns/predictions.sqlite")
SEARCHES = "search.parquet"
COMMANDS = {
    "compare": ("compare", "small"),
    "json": ("compare", "small", "--json"),
    "report": ("report", "small"),
    "rescore": ("rescore", "small", "primary=pr_auc"),
    "export": ("export", "small", "tracking=none"),
    "sync": ("sync", "small"),
    "run": ("run", *ASKED, *HERE),
    "store": ("store",),
    "index": ("report", "--index"),
}


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    home = tmp_path_factory.mktemp("damaged")
    with contextlib.chdir(home):
        assert main(["run", *ASKED, *HERE]) == 0
    return home


@pytest.fixture(autouse=True)
def _here(done, tmp_path, monkeypatch):
    shutil.copytree(done, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    (HOME / "README.md").write_text("ours")


def answered(capsys, name):
    capsys.readouterr()
    code = main(list(COMMANDS[name]))
    said = capsys.readouterr()
    assert "Traceback" not in said.out + said.err
    return code, said.out, said.err


@pytest.mark.sampled(2)
@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("content", [b"", b"PAR1 not parquet PAR1", b"null"], ids=["empty", "junk", "text"])
def test_a_study_goes_on_without_its_derived_files(command, content, capsys):
    rows = (HOME / ledger.LEDGER_FILE).read_bytes()
    for name in (evidence.EVIDENCE_FILE, SEARCHES, provenance.VERSIONS_FILE):
        assert (HOME / name).exists()
        (HOME / name).write_bytes(content)
    STORE.write_bytes(content * 400)
    code, out, err = answered(capsys, command)
    assert code == 0, err
    assert (HOME / ledger.LEDGER_FILE).read_bytes() == rows
    if command in ("compare", "json", "report", "export", "sync", "run"):
        assert "evidence.parquet' is damaged" in err
        assert "Make it again without a fit: imblab run experiments/small/study.yaml." in err
    if command == "json":
        assert json.loads(out)["study"] == "small"
    if command in ("run", "store", "rescore") and content:
        assert "The prediction store" in err


def test_running_again_makes_the_derived_files_anew(done, capsys):
    for name in (evidence.EVIDENCE_FILE, SEARCHES, provenance.VERSIONS_FILE):
        (HOME / name).write_bytes(b"junk")
    code, _, err = answered(capsys, "run")
    assert (code, err.count("is damaged")) == (0, 1 + err.count(SEARCHES))
    assert evidence.load_evidence(HOME / evidence.EVIDENCE_FILE).equals(
        evidence.load_evidence(done / HOME / evidence.EVIDENCE_FILE)
    )
    code, _, err = answered(capsys, "compare")
    assert (code, "evidence" in err) == (0, False)


@pytest.mark.parametrize("command", ["compare", "json"])
def test_damaged_evidence_is_said_once_with_what_rests_on_it(command, capsys):
    question = yaml.safe_load((HOME / ledger.STUDY_FILE).read_text())
    assert question["claims"]["registered"]["table"] > 1  # its standard errors rest on evidence
    (HOME / evidence.EVIDENCE_FILE).write_bytes(b"junk")
    code, _, err = answered(capsys, command)
    assert (code, err.count("is damaged")) == (0, 1)
    assert "no row-level standard errors, so that the corrected t decides" in err


def test_damaged_evidence_stays_where_nothing_can_take_its_place(capsys):
    (HOME / evidence.EVIDENCE_FILE).write_bytes(b"junk, and perhaps somebody can mend it")
    for path in STORE.parent.glob("predictions.sqlite*"):
        path.unlink()
    code, _, err = answered(capsys, "run")
    assert (code, "evidence.parquet' is damaged" in err) == (0, True)
    assert (HOME / evidence.EVIDENCE_FILE).read_bytes() == b"junk, and perhaps somebody can mend it"


@pytest.mark.parametrize("command", ["compare", "json", "report", "rescore", "export", "sync", "run"])
def test_a_damaged_line_of_the_ledger_is_refused_with_file_line_and_field(command, capsys):
    lines = (HOME / ledger.LEDGER_FILE).read_text().splitlines()
    row = json.loads(lines[2])
    row["scores"]["mcc"] = 1000
    (HOME / ledger.LEDGER_FILE).write_text("\n".join([*lines[:2], json.dumps(row), *lines[3:], ""]))
    before = (HOME / ledger.LEDGER_FILE).read_bytes()
    code, out, err = answered(capsys, command)
    assert (code, out) == (2, "") or command == "run"
    assert "'experiments/small/ledger.jsonl' has a damaged line 3: field 'scores.mcc' is 1000; it is a finite" in err
    assert "sed -i 3d experiments/small/ledger.jsonl" in err
    assert (HOME / ledger.LEDGER_FILE).read_bytes() == before


def test_one_damaged_study_does_not_hide_the_others_in_the_index(capsys):
    shutil.copytree(HOME, HOME.with_name("broken"))
    (HOME.with_name("broken") / ledger.LEDGER_FILE).write_text("{}\n")
    code, _, err = answered(capsys, "index")
    assert code == 0
    text = Path("experiments/README.md").read_text()
    assert "## small" in text
    assert "## broken\n\nThis study cannot be read: " in text
    assert "has a damaged line 1" in err


def test_an_answer_to_other_rows_is_fitted_again(done, capsys):
    with contextlib.closing(sqlite3.connect(STORE)) as base, base:
        base.execute("UPDATE answers SET p = substr(p, 1, 8)")
    shutil.rmtree(HOME)
    assert answered(capsys, "run")[0] == 0
    aside = ("seconds",)

    def rows(home):
        every = [json.loads(line) for line in (home / HOME / ledger.LEDGER_FILE).read_text().splitlines()]
        return [{k: v for k, v in row.items() if k not in aside} for row in every]

    assert rows(Path()) == rows(done)


@pytest.mark.parametrize("tag", ["", "null", "[]", "5", '{"a": 1}', "{", "[" * 100_000, '{"a": "b"}'])
def test_the_tag_of_sent_files_is_text_or_nothing(tag):
    assert sent_files(tag) == ({"a": "b"} if tag == '{"a": "b"}' else {})
