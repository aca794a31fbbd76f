"""What a colleague's files cannot do: every row of the table in docs/security.md, tried."""

import copy
import json
import os
import re
import shutil
import subprocess
import sys
import types
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC
from xgboost import XGBClassifier

from imblab.cli import main
from imblab.commands import python_runs, running
from imblab.edges import config, evidence, ledger, terminal
from imblab.edges.config import estimators, parameters, validation
from imblab.errors import ConfigError, ImblabError, StudyError, presentable

PAGE = Path(__file__).parents[2] / "docs" / "security.md"
SMALL = ("name=bad", "dataset=[ecoli3]", "learner=[logistic]", "strategy=[none,smote]", "protocol=smoke")
LOGISTIC = {"_target_": "sklearn.linear_model.LogisticRegression"}
RUNNER = ("runner.n_jobs=1", "tracking=none")

#: What code, a pickle or a connection of somebody else's would do, as the interpreter itself reports it.
WATCHED = {
    "os.system",
    "os.exec",
    "subprocess.Popen",
    "pickle.find_class",
    "socket.connect",
    "socket.bind",
    "urllib.Request",
}
SEEN: list[str] = []
WATCHING = []


def _report(event, args):
    if WATCHING and event in WATCHED:
        SEEN.append(event)


sys.addaudithook(_report)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    return tmp_path


@pytest.fixture(scope="module")
def resolved():
    return config.to_mapping(python_runs.compose(*SMALL, "measures=[mcc,pr_auc]"))


def everything(folder):
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None for p in folder.rglob("*")}


#: One sentence or two, or a line for each of several problems.
REFUSAL = re.compile(
    r"(Config|Data|Study)Error: ([^\n]{40,900}\.|\d+ problems:(\n- [^\n]{40,900}\.)+(\nTo paste: [^\n]+)?"
    r"(\nThe whole line: `[^\n]+`\.)?)\n"
)


def refused(here, capsys, *words, command="run"):
    """One sentence or two on standard error; nothing ran, connected or was written."""
    before = everything(here)
    WATCHING.append(True)
    try:
        code = main([command, *words])
    finally:
        WATCHING.clear()
    events, SEEN[:] = list(SEEN), []
    said = capsys.readouterr()
    assert code == 2
    assert said.out == ""
    assert everything(here) == before
    assert events == []
    assert REFUSAL.fullmatch(said.err), said.err[:500]
    assert said.err.replace("\n", "").isprintable()
    return said.err


def learner(target=None, space=None, staged=None, **parameters):
    make = {"_target_": target or LOGISTIC["_target_"], **parameters}
    return ("learner", {"mine": {"make": make, "space": space or {}, **({"staged": staged} if staged else {})}})


def sampler(target, **parameters):
    made = {"_target_": target, **parameters}
    return ("strategy", {"mine": {"sampler": made, "threshold": 0.5, "space": {}}})


def measure(function, needs="score", **parameters):
    made = {"function": function, "needs": needs, "parameters": parameters}
    return ("measures", {"mine": made, "mcc": {"function": "imblab.core.measures.mcc", "needs": "label"}})


def pipeline(*steps, package="sklearn.pipeline", **more):
    listed = [[f"s{i}", step] for i, step in enumerate((*steps, LOGISTIC))]
    return learner(f"{package}.Pipeline", steps=listed, **more)


LIGHTGBM = "lightgbm.LGBMClassifier"

#: Questions in a ``study.yaml``: a section and what stands there.
QUESTIONS = {
    "target-unpickles": learner("pandas.read_pickle", filepath_or_buffer="x.pkl"),
    "target-joblib": learner("joblib.load", filename="x.pkl"),
    "target-eval": learner("builtins.eval"),
    "target-system": learner("os.system", command="touch canary"),
    "target-subprocess": learner("subprocess.run"),
    "target-alias": learner("logging.os.system"),
    "target-alias-inside": learner("sklearn.base.os.system"),
    "target-vendored": learner("sklearn.externals.array_api_compat.common._helpers.sys"),
    "target-fixes": learner("sklearn.utils.fixes.parse_version"),
    "target-joblib-inside": learner("sklearn.utils._joblib.joblib.load", filename="x.pkl"),
    "target-parallel": learner("sklearn.utils.parallel.Parallel"),
    "target-load-files": learner("sklearn.datasets.load_files", container_path="/"),
    "target-fetch": learner("sklearn.datasets.fetch_openml", name="adult"),
    "target-fetch-imblearn": learner("imblearn.datasets.fetch_datasets"),
    "target-booster-file": learner("lightgbm.Booster", model_file="x.txt"),
    "target-tests": learner("sklearn.tests.test_base.MyEstimator"),
    "target-conftest": learner("sklearn.conftest.LogisticRegression"),
    "target-main": learner("imblab.__main__.main"),
    "target-globals": learner("sklearn.svm.SVC.__init__.__globals__"),
    "target-relative": learner("..os.system"),
    "target-null-byte": learner("sklearn.\x00.SVC"),
    "target-long": learner("sklearn." + "a" * 10_000 + ".SVC"),
    "target-deep": learner("sklearn" + ".a" * 5_000 + ".SVC"),
    "target-is-a-list": learner(["os.system"]),
    "target-partial": learner(_partial_=True),
    "target-args": learner(_args_=["touch canary"]),
    "target-in-a-parameter": learner("sklearn.ensemble.BaggingClassifier", estimator={"_target_": "os.system"}),
    "target-in-a-list": pipeline({"_target_": "joblib.load", "filename": "x.pkl"}),
    "target-in-a-mapping": learner(l1_ratio={"a": {"b": [{"_target_": "os.system"}]}}),
    "target-is-a-sampler": learner("imblearn.over_sampling.SMOTE"),
    "target-is-a-transformer": learner("sklearn.preprocessing.StandardScaler"),
    "sampler-unpickles": sampler("pandas.read_pickle"),
    "sampler-is-a-learner": sampler("sklearn.svm.SVC"),
    "sampler-is-a-function": sampler("imblearn.datasets.make_imbalance"),
    "sampler-in-its-other-form": sampler("imblearn.over_sampling.SMOTE", _mixed_={"_target_": "os.system"}),
    "cache-unpickles": pipeline({"_target_": "sklearn.preprocessing.StandardScaler"}, memory="cache"),
    "cache-of-imblearn": pipeline(package="imblearn.pipeline", memory="cache"),
    "cache-of-a-step": pipeline({"_target_": "sklearn.cluster.FeatureAgglomeration", "memory": "cache"}),
    "cache-in-a-space": (
        "learner",
        {"mine": {"make": pipeline(package="imblearn.pipeline")[1]["mine"]["make"], "space": {"memory": "choice(x)"}}},
    ),
    "network-machines": learner(LIGHTGBM, machines="127.0.0.1:12400,10.0.0.1:12400", num_machines=2),
    "network-alias": learner(LIGHTGBM, workers="127.0.0.1:12400"),
    "network-port": learner(LIGHTGBM, local_listen_port=12400),
    "network-in-a-space": learner(LIGHTGBM, space={"machines": "choice('127.0.0.1:12400')"}),
    "network-in-a-text": learner(LIGHTGBM, metric="auc machines=127.0.0.1:12400"),
    "network-in-a-key": learner(LIGHTGBM, **{"verbose machines=127.0.0.1:1": 1}),
    "file-of-splits": learner(LIGHTGBM, forcedsplits_filename="/etc/passwd"),
    "file-of-a-model": learner(LIGHTGBM, input_model="/etc/passwd"),
    "text-of-a-nested-learner": learner(
        "sklearn.ensemble.BaggingClassifier",
        estimator={"_target_": LIGHTGBM, "metric": "auc forcedsplits_filename=/etc/passwd"},
    ),
    "text-in-a-list": learner(LIGHTGBM, metric=["auc", "l2 forcedsplits_filename=/etc/passwd"]),
    "text-in-a-space": learner(LIGHTGBM, space={"metric": "choice('auc forcedsplits_filename=/etc/passwd')"}),
    "text-of-a-sampler": sampler(
        "imblearn.over_sampling.SVMSMOTE",
        svm_estimator={"_target_": LIGHTGBM, "metric": "auc forcedsplits_filename=/etc/passwd"},
    ),
    "chain-of-classes": pipeline(
        {"_target_": "sklearn.preprocessing.KBinsDiscretizer", "encode": "ordinal"},
        {"_target_": "sklearn.preprocessing.OrdinalEncoder", "dtype": "object"},
        {"_target_": "sklearn.impute.SimpleImputer", "strategy": "constant", "fill_value": "/etc/passwd"},
        {"_target_": "sklearn.feature_extraction.text.CountVectorizer", "input": "filename"},
    ),
    "class-of-no-list": pipeline({"_target_": "sklearn.feature_extraction.text.CountVectorizer", "input": "filename"}),
    "rows-of-text": pipeline({"_target_": "sklearn.preprocessing.OrdinalEncoder", "dtype": "object"}),
    "function-of-a-sampler": sampler("imblearn.FunctionSampler", func="os.system"),
    "threads-without-end": learner(LIGHTGBM, num_threads=100_000),
    "threads-of-a-nested-learner": learner(
        "sklearn.ensemble.BaggingClassifier", estimator={"_target_": LIGHTGBM, "nthread": "100000"}
    ),
    "trees-without-end": learner("sklearn.ensemble.RandomForestClassifier", n_estimators=10**9),
    "trees-in-a-space": learner(LIGHTGBM, space={"num_trees": "interval(1,1000000000)"}),
    "rows-without-end": sampler("imblearn.over_sampling.SMOTE", sampling_strategy={1: 10**9}),
    "threads-of-a-stage": learner(
        LIGHTGBM, staged={"parameter": "n_estimators", "argument": "num_threads", "form": "count"}
    ),
    "data-of-openml": ("dataset", {"mine": {"kind": "openml", "id": 31}}),
    "data-of-zenodo": ("dataset", {"mine": {"kind": "zenodo", "table": "ecoli"}}),
    "data-of-a-database": ("dataset", {"mine": {"kind": "sql", "query": "select 1", "url": "DATABASE"}}),
    "measure-system": measure("os.system"),
    "measure-eval": measure("builtins.eval"),
    "measure-imported": measure("imblab.core.measures.import_module", package="os"),
    "measure-imported-inside": measure("sklearn.metrics.pairwise.check_array"),
    "measure-private": measure("imblab.core.measures._unfit_reason"),
    "measure-no-measure": measure("sklearn.metrics.get_scorer"),
    "measure-tests": measure("sklearn.metrics.tests.test_common.check_alternative_lrap_implementation"),
    "measure-climbs": measure("imblab.core.measures..os.system"),
    "measure-beside": measure("imblab.core.measures_evil.f"),
    "name-climbs": ("name", "../elsewhere"),
    "name-is-absolute": ("name", "/tmp/elsewhere"),
    "name-is-hidden": ("name", ".ssh"),
    "name-with-a-line-break": ("name", "a\nb"),
    "name-long": ("name", "x" * 10_000),
    "learner-name-climbs": ("learner", {"../x": {"make": LOGISTIC}}),
    "strategy-name-is-a-script": ("strategy", {"<script>alert(1)</script>": {"threshold": 0.5}}),
    "strategy-name-of-escapes": ("strategy", {"\x1b[2J": {"threshold": 0.5}}),
    "measure-name-climbs": ("measures", {"../x": {"function": "imblab.core.measures.mcc", "needs": "label"}}),
    "data-name-climbs": ("dataset", {"mine": {"kind": "bundled", "table": "ecoli3", "name": "../x"}}),
    "data-name-is-a-folder": ("dataset", {"mine": {"kind": "bundled", "table": "ecoli3", "name": ".."}}),
    "data-name-of-escapes": ("dataset", {"mine": {"kind": "bundled", "table": "ecoli3", "name": "\x1b]0;x\x07"}}),
    "data-table-climbs": ("dataset", {"mine": {"kind": "bundled", "table": "../../../etc/passwd"}}),
    "data-is-a-pickle": ("dataset", {"mine": {"kind": "table", "path": "table.pkl", "target": "y"}}),
    "data-is-an-address": ("dataset", {"mine": {"kind": "table", "path": "http://127.0.0.1:1/x.csv", "target": "y"}}),
    "data-is-a-device": ("dataset", {"mine": {"kind": "table", "path": "/dev/zero", "target": "y"}}),
    "asks-for-a-server": ("tracking", {"enabled": True, "uri": "http://evil.example"}),
    "asks-for-a-storage": ("search", {"method": "grid", "storage": "postgresql://evil.example/x"}),
    "asks-for-more-packages": ("allow", ["os", "sklearn"]),
    "asks-to-overwrite": ("overwrite", True),
}


@pytest.mark.sampled(19)
@pytest.mark.parametrize("case", QUESTIONS)
def test_a_question_that_would_reach_further_is_refused(case, here, capsys, resolved):
    section, value = QUESTIONS[case]
    asked = {**copy.deepcopy(resolved), section: value}
    (here / "x.pkl").write_bytes(b"cos\nsystem\n(S'touch canary'\ntR.")
    (here / "table.pkl").write_bytes((here / "x.pkl").read_bytes())
    # JSON is YAML, and spells control characters that YAML itself would refuse.
    (here / "study.yaml").write_text(json.dumps(asked))
    refused(here, capsys, "study.yaml")
    assert not (here / "canary").exists()


def test_every_command_asks_again_for_what_a_study_needs(here, capsys, finished, monkeypatch):
    """`commands-of-a-folder`: each that reads the folder of a study, one's own included."""
    (here / "mine_evil.py").write_text("import pathlib; pathlib.Path('canary').touch()")
    monkeypatch.setattr(sys, "path", [*sys.path])
    question = yaml.safe_load((finished / "study.yaml").read_text())
    question["learner"]["evil"] = {"make": {"_target_": "mine_evil.Learner"}}
    (finished / "study.yaml").write_text(yaml.safe_dump(question))
    words = [
        ("compare", "bad"),
        ("report", "bad"),
        ("sync", "bad"),
        ("export", "bad"),
        ("rescore", "bad", "primary=mcc"),
    ]
    words += [("run", "experiments/bad/study.yaml"), ("plan", "experiments/bad/study.yaml"), ("run", *SMALL, *RUNNER)]
    for command, *rest in words:
        said = refused(here, capsys, *rest, command=command)
        assert f"`imblab {command} " in said
        assert said.endswith("'allow=[mine_evil.Learner]'`.\n")
    assert not (here / "canary").exists()


LAUGHS = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join(['*' + before] * 10)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
#: Texts of a ``study.yaml``.
TEXTS = {
    "yaml-python-object": "!!python/object/apply:os.system ['touch canary']\n",
    "yaml-python-name": "name: !!python/name:os.system\n",
    "yaml-own-tag": "name: !mine x\n",
    "yaml-binary": "name: !!binary aGk=\n",
    "yaml-aliases": LAUGHS,
    "yaml-alias-of-itself": "learner: &a {x: *a}\n",
    "yaml-merge": "a: &a {name: x}\nb: {<<: *a}\n",
    "yaml-doubled-key": "name: good\nname: evil\n",
    "yaml-deep": "[" * 5_000 + "]" * 5_000,
    "yaml-digits": "name: x\nseed: " + "1" * 5_000 + "\n",
    "yaml-huge": "name: " + "x" * 2**21 + "\n",
    "yaml-two-documents": "name: a\n---\nname: b\n",
    "yaml-null-byte": "name: \x00\n",
    "yaml-key-is-a-list": "? [a, b]\n: 1\n",
}


@pytest.mark.parametrize("case", TEXTS)
def test_yaml_that_is_more_than_data_is_refused(case, here, capsys):
    (here / "study.yaml").write_text(TEXTS[case])
    refused(here, capsys, "study.yaml")
    assert not (here / "canary").exists()


def test_a_resolver_in_a_study_is_text(here, monkeypatch, resolved):
    """`resolver-in-a-study`: nothing from the environment gets into a study that is run."""
    monkeypatch.setenv("CANARY", "secret-value")
    asked = copy.deepcopy(resolved)
    asked["measures"]["mcc"]["reference"] = "${oc.env:CANARY}"
    (here / "study.yaml").write_text(yaml.safe_dump(asked))
    found = config.load_request(here / "study.yaml").study
    assert next(m for m in found.measures if m.name == "mcc").reference == "${oc.env:CANARY}"


#: Words on the command line that should not be put there for one by somebody else.
WORDS = {
    "override-of-hydra": (*SMALL, "hydra.searchpath=[/tmp]"),
    "override-of-the-output": (*SMALL, "hydra.run.dir=/tmp/elsewhere"),
    "experiment-climbs": ("experiment=../../../../../../../etc/passwd",),
    "study-of-another-folder": ("../../etc/passwd.yaml",),
}


@pytest.mark.parametrize("case", WORDS)
def test_words_that_would_reach_further_are_refused(case, here, capsys):
    refused(here, capsys, *WORDS[case])


@pytest.fixture(scope="module")
def answered(tmp_path_factory):
    """A directory with a study that is answered, to be copied."""
    home = tmp_path_factory.mktemp("answered")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        assert main(["run", *SMALL, "measures=[mcc]", *RUNNER]) == 0
    return home


@pytest.fixture
def finished(here, answered):
    """The folder of a study that is answered."""
    shutil.copytree(answered, here, dirs_exist_ok=True)
    return here / "experiments" / "bad"


LINKS = {
    "link-of-the-rows": "ledger.jsonl",
    "link-of-the-question": "study.yaml",
    "link-of-a-new-file": "study.yaml.new",
    "link-of-a-report": "report.html",
    "link-of-a-secret": "notes.json",
}


@pytest.mark.parametrize("case", LINKS)
def test_a_file_of_a_study_that_is_a_link_is_refused(case, here, capsys, finished):
    victim = here / "victim"
    file = finished / LINKS[case]
    victim.write_bytes(file.read_bytes() if file.exists() else b"precious")
    file.unlink(missing_ok=True)
    file.symlink_to(victim)
    for words in (("run", *SMALL, "measures=[mcc]", *RUNNER), ("run", "experiments/bad/study.yaml", *RUNNER)):
        assert "is a link to" in refused(here, capsys, *words[1:], command=words[0])
    assert "is a link to" in refused(here, capsys, "bad", command="compare")


#: What a received folder may hold below its first level, made by a function of the study's folder and a victim.
PLANTED = {
    "link-below": lambda study, victim: (study / "tables" / ".scores.csv.new").symlink_to(victim),
    "link-of-a-figure": lambda study, victim: (study / "figures" / "secret.svg").symlink_to(victim),
    "link-of-a-folder": lambda study, victim: (shutil.rmtree(study / "tables"), (study / "tables").symlink_to("..")),
    "link-of-a-model": lambda study, victim: (study / "model" / "ecoli3").symlink_to(victim.parent),
    "link-of-a-rescoring": lambda study, victim: (study / "rescored" / "x" / "ledger.jsonl").symlink_to(victim),
    "pipe-of-a-figure": lambda study, victim: os.mkfifo(study / "figures" / "pipe.svg"),
    "pipe-of-the-rows": lambda study, victim: ((study / "ledger.jsonl").unlink(), os.mkfifo(study / "ledger.jsonl")),
}


@pytest.mark.parametrize("case", PLANTED)
def test_no_link_and_no_pipe_in_a_study_is_followed_at_any_depth(case, here, capsys, finished, monkeypatch):
    victim = here / "elsewhere" / "victim"
    victim.parent.mkdir()
    victim.write_bytes(b"precious")
    for name in ("tables", "figures", "model", "rescored/x"):
        (finished / name).mkdir(parents=True, exist_ok=True)
    PLANTED[case](finished, victim)
    before = everything(here)
    for words in (("compare", "bad"), ("report", "bad"), ("sync", "bad"), ("export", "bad"), ("rescore", "bad")):
        assert re.search("is a link to|is a named pipe", refused(here, capsys, *words[1:], command=words[0])), words
    assert "is a" in refused(here, capsys, *SMALL, "measures=[mcc]", *RUNNER)
    assert everything(here) == before
    assert victim.read_bytes() == b"precious"


def test_a_hard_link_is_not_uploaded(here, finished):
    """`hard-link-of-a-secret`, `hard-link-of-the-rows`."""
    from imblab.edges import mlflow

    (here / "secret").write_text("precious")
    (finished / "figures").mkdir(exist_ok=True)
    os.link(here / "secret", finished / "figures" / "secret.svg")
    with pytest.raises(StudyError, match="hard links"):
        mlflow.folder_artifacts(finished)
    (finished / "figures" / "secret.svg").unlink()
    os.link(finished / "ledger.jsonl", here / "rows")
    with pytest.raises(StudyError, match="hard links"), ledger.open_study(finished, ledger.read_study(finished)):
        pass


def test_a_link_that_takes_the_place_of_a_file_is_not_uploaded(here, finished):
    """`link-after-the-check`: put there between the check and the upload."""
    from imblab.edges import mlflow

    (here / "secret").write_text("precious")
    [rows] = [file for file in mlflow.folder_artifacts(finished) if file.path == "ledger.jsonl"]
    (finished / "ledger.jsonl").unlink()
    (finished / "ledger.jsonl").symlink_to(here / "secret")
    (here / "sent").mkdir()
    with pytest.raises(StudyError, match="is a link"):
        rows.write(here / "sent", lambda: None)
    assert not list((here / "sent").iterdir())


def test_git_of_a_received_folder_runs_nothing(here, capsys):
    """`git-runs-a-program`: every way is in tests/edges/test_origin.py."""
    subprocess.run(["git", "init", "-q"], check=True)
    (here / "code.py").write_text("x")
    (here / ".gitattributes").write_text("*.py filter=evil diff=evil")
    mine = ["-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run(["git", "add", "-A"], check=True)
    subprocess.run(["git", *mine, "commit", "-qm", "x"], check=True)
    program = here.parent / "program"
    program.write_text("#!/bin/sh\ntouch canary\n")
    program.chmod(0o755)
    with (here / ".git" / "config").open("a") as stream:
        stream.write(f"[core]\n\tfsmonitor = {program}\n\tpager = {program}\n[diff]\n\texternal = {program}\n")
        stream.write(f'[filter "evil"]\n\tclean = {program}\n[diff "evil"]\n\ttextconv = {program}\n')
    (here / "code.py").write_text("y")
    for words in (["run", *SMALL, "measures=[mcc]", *RUNNER], ["report", "bad"], ["compare", "bad"]):
        assert main(words) == 0, capsys.readouterr().err
    assert not [*here.rglob("canary")]
    assert evidence.load_facts(here / "experiments" / "bad" / evidence.EVIDENCE_FILE)["git"]["git.dirty"] == "true"


def test_a_study_behind_a_link_is_not_planned(here, capsys, finished):
    """`link-of-a-question`."""
    (finished / "study.yaml").rename(here / "secret.yaml")
    (finished / "study.yaml").symlink_to(here / "secret.yaml")
    assert "is a link" in refused(here, capsys, "experiments/bad/study.yaml", command="plan")


def test_a_lock_or_a_folder_that_is_a_link_is_refused(here, capsys):
    """`link-of-the-lock`, `link-of-the-folder`."""
    (here / "experiments").mkdir()
    victim = here / "victim"
    victim.write_text("precious")
    lock = here / "experiments" / ".bad.lock"
    lock.symlink_to(victim)
    assert "is a link to" in refused(here, capsys, *SMALL, *RUNNER)
    lock.unlink()
    (here / "elsewhere").mkdir()
    (here / "experiments" / "bad").symlink_to(here / "elsewhere")
    assert "is a link to" in refused(here, capsys, *SMALL, *RUNNER)


#: Rows of a ledger: what is put into one.
ROWS = {
    "row-climbs": {"dataset": "../../x"},
    "row-is-a-folder": {"strategy": ".."},
    "row-of-escapes": {"learner": "\x1b[2J"},
    "row-with-a-line-break": {"strategy": "a\nb"},
    "row-fold-is-text": {"fold": "../x"},
}


@pytest.mark.parametrize("case", ROWS)
def test_a_row_that_cannot_be_part_of_a_path_is_refused(case, here, capsys, finished):
    path = finished / ledger.LEDGER_FILE
    first, *rest = path.read_text().splitlines()
    path.write_text("\n".join([json.dumps({**json.loads(first), **ROWS[case]}), *rest, ""]))
    assert "has a damaged line 1" in refused(here, capsys, "bad", command="compare")


def test_a_row_without_end_is_refused(here, capsys, finished):
    """`row-deep`."""
    with (finished / ledger.LEDGER_FILE).open("a") as stream:
        stream.write("[" * 100_000 + "\n")
    assert "has a damaged line 7" in refused(here, capsys, "bad", command="compare")


@pytest.mark.parametrize("name", ["../experiments/bad", "/etc", "..", "bad/../bad"])
def test_a_study_is_named_and_no_path(name, here, capsys, finished):
    """`compare-climbs`."""
    assert "unknown study" in refused(here, capsys, name, command="compare")


STEERING = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]")


def test_an_error_in_a_row_does_not_steer_the_terminal(here, capsys, finished):
    """`row-error-of-escapes`."""
    path = finished / ledger.LEDGER_FILE
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for row in rows:
        row.update(status="failed", error="\x1b[2Jgone\rall fine\x07", notes=["\x1b]0;title\x07"])
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    main(["compare", "bad"])
    said = capsys.readouterr()
    assert not STEERING.search(said.out + said.err)
    terminal.print_paragraph("\x1b[2Jgone")
    assert capsys.readouterr().out == "\\x1b[2Jgone\n"


HOSTILE = [
    "<script>alert(1)</script>",
    "\x1b[31mred\x1b[0m",
    "a\nb",
    "\u202egnp",
    "x" * 10_000,
    "=cmd()",
    "'; DROP TABLE runs;--",
]
HOSTILE += ["{{ 7 * 7 }}", "../../x", "${oc.env:HOME}"]


def hostile_table():
    rng = np.random.default_rng(0)
    columns = {name: rng.normal(size=80).round(3) for name in HOSTILE[:-1]}
    words = np.where(rng.random(80) < 0.5, "\x1b[2J", "<img src=x onerror=alert(2)>")
    labels = np.where(np.arange(80) < 20, "</script><script>alert(3)</script>", "\x1b[1mno")
    return pd.DataFrame({**columns, HOSTILE[-1]: words, "y": labels})


def test_hostile_columns_values_and_names_are_text_everywhere(here, capsys):
    """`columns-of-scripts`, `columns-of-escapes`, `labels-of-scripts`, `data-name-is-a-script`."""
    hostile_table().to_csv("table.csv", index=False)
    own = ("dataset=table", "dataset.table.path=table.csv", "dataset.table.target=y")
    own = (*own, "dataset.table.name='<script>alert(4)'")
    words = (*own, "name=hostile", "learner=[logistic]", "strategy=[none,smote]", "protocol=smoke", "measures=[mcc]")
    for command in (["plan", *words], ["run", *words, "runner.n_jobs=1"], ["compare", "hostile"]):
        assert main(command) == 0, capsys.readouterr().err
        said = capsys.readouterr()
        assert not STEERING.search(said.out + said.err), command
    for page in Path("experiments/hostile").rglob("*.html"):
        text = page.read_text()
        assert not re.search(r"<script>alert|<img src=x|onerror=alert\(2\)>", text), page
    for picture in Path("experiments/hostile").rglob("*.svg"):
        assert not re.search(r"<script|<img|onerror", picture.read_text()), picture


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_column_in_a_message_is_spelt_out(name, here, capsys):
    """`column-in-a-message`."""
    pd.DataFrame({name: [np.inf, 1.0] * 10, "y": [0, 1] * 10}).to_csv("table.csv", index=False)
    words = (*SMALL, "dataset=table", "dataset.table.path=table.csv", "dataset.table.target=y", *RUNNER)
    with pytest.raises(ImblabError) as said:
        running.lay_out(python_runs.compose(*words[:1], *words[2:]))
    assert str(said.value).isprintable()


def test_a_parquet_of_pickles_is_not_unpickled(here):
    """`parquet-of-pickles`: the metadata of pandas and of extension types hold code that nobody calls."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    evil = b"cos\nsystem\n(S'touch canary'\ntR."
    field = pa.field("a", pa.float64(), metadata={
        b"ARROW:extension:name": b"arrow.py_extension_type", b"ARROW:extension:metadata": evil
    })  # fmt: skip
    table = pa.table([pa.array(np.arange(40.0)), pa.array([0, 1] * 20)], schema=pa.schema([field, ("y", pa.int64())]))
    pq.write_table(table, "table.parquet")
    words = ("name=p", "dataset=table", "dataset.table.path=table.parquet", "dataset.table.target=y", "protocol=smoke")
    words = (*words, "dataset.table.allow_majority_positive=true", "learner=[logistic]", "strategy=[none]")
    with suppress(ImblabError):
        running.lay_out(python_runs.compose(*words))
    assert not (here / "canary").exists()


# The rule behind the table


def test_every_name_of_a_file_or_a_machine_that_lightgbm_knows_is_refused():
    from lightgbm import LGBMClassifier
    from lightgbm.basic import _ConfigAliases

    reaching = (
        "config",
        "convert_model",
        "data",
        "valid",
        "forcedbins_filename",
        "forcedsplits_filename",
        "input_model",
    )
    reaching += ("output_model", "output_result", "machine_list_filename", "machines", "num_machines", "snapshot_freq")
    reaching += ("local_listen_port", "parser_config_file", "save_binary")
    for name in reaching:
        for alias in _ConfigAliases.get(name):
            with pytest.raises(ConfigError, match="reaches files or the network"):
                parameters.check_parameter(alias, "x", LGBMClassifier, "learner.x.make")


def test_no_estimator_has_a_parameter_of_files_that_nobody_looked_at():
    from imblearn.utils.testing import all_estimators as of_imblearn
    from sklearn.utils import all_estimators

    harmless = {
        "path_method", "fit_path", "cache_size", "input", "input_type", "transform_input", "direction",
        "min_impurity_decrease",
    }  # fmt: skip
    odd = set()
    for _, found in [*all_estimators(), *of_imblearn()]:
        for name in found._get_param_names():
            if re.search(r"file|path|^dir|memor|ur[il]|host|port$|machine|client|cache|load|save|input|pickle", name):
                odd.add(name)
    assert odd - harmless - parameters.REACHING_PARAMETERS - parameters.FUNCTION_PARAMETERS == set()


def test_a_class_under_another_name_belongs_where_it_comes_from(monkeypatch):
    """An allowed package that merely imports a class does not lend it its name."""
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.svm import SVC

    from imblab.core import estimator_specs

    module = types.ModuleType("mine")
    module.Smuggled, module.Fine = CountVectorizer, SVC
    monkeypatch.setitem(sys.modules, "mine", module)
    with pytest.raises(ConfigError, match=r"another name of a class of 'sklearn\.feature_extraction\.text'") as error:
        estimator_specs.resolve_class("mine.Smuggled", ("mine",))
    assert error.value.grants == ("sklearn.feature_extraction.text.CountVectorizer",)
    assert estimator_specs.resolve_class("mine.Smuggled", ("mine", *error.value.grants)) is CountVectorizer
    assert estimator_specs.resolve_class("mine.Fine", ("mine",)) is SVC


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://me:pa@ss@host/x", "postgresql://...@host/x"),
        ("at 'http://u:p@h' and mysql+x://a:b@c/d", "at 'http://...@h' and mysql+x://...@c/d"),
        ("a://me:two words@host, http://host:80 a@b", "a://...@host, http://host:80 a@b"),
        ("host=x password=hunter2 user=y", "host=x password=... user=y"),
        ("?sslpassword=a&TOKEN=b", "?sslpassword=...&TOKEN=..."),
        ("tab\tbell\x07", "tab\\tbell\\x07"),
        ("plain text: a@b.c, http://host/x", "plain text: a@b.c, http://host/x"),
    ],
)
def test_what_is_printed_is_presentable(text, shown):
    assert presentable(text) == shown
    assert str(StudyError(text)) == shown
    assert presentable(shown) == shown


def test_a_value_that_is_cut_shows_no_half_of_a_password():
    address = f"postgresql://{'u' * 40}:secret{'x' * 60}@host/db"
    assert "secret" not in validation.quote(address)


def test_the_table_of_the_page_is_what_was_tried():
    source = Path(__file__).read_text(encoding="utf-8")
    tried = {*QUESTIONS, *TEXTS, *WORDS, *LINKS, *PLANTED, *ROWS}
    tried |= {name for said in re.findall(r'"""(`[^"]*)"""', source) for name in re.findall(r"`([a-z-]+)`", said)}
    page = PAGE.read_text(encoding="utf-8").partition("## Classes that every study may name")[0]
    listed = re.findall(r"^\| `([a-z-]+)` \|", page, re.MULTILINE)
    assert len(listed) == len(set(listed))
    assert set(listed) == tried


def test_members_of_ensembles_are_found_and_counted():
    assert parameters.member_count({"n_estimators": 100, "num_parallel_tree": "5"}, XGBClassifier) == 500
    assert [path for path, *_ in estimators.walk_estimators(make_pipeline(SVC()))] == ["", "steps[svc]."]
