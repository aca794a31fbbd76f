"""The application from end to end: through the command line, and through the names that `import imblab` offers."""

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

import imblab
from imblab.analysis import compare
from imblab.cli import main
from imblab.edges import config, ledger as study_ledger
from imblab.edges.config import requests
from imblab.edges.ledger import read_evaluations
from imblab.errors import StudyError
from imblab.text import count_noun

ASKED = ("dataset=[ecoli3]", "learner=[logistic]", "strategy=[none,threshold,smote]", "protocol=smoke")
SMALL = ("name=small", *ASKED)
HERE = ("tracking=none", "runner.n_jobs=1")
#: What may differ between two runs of one study.
ASIDE = ("seconds",)


def run(*words):
    return main(["run", *words, *HERE])


def ledger(name="small"):
    return Path("experiments") / name / "ledger.jsonl"


def rows(path=None):
    """The rows of a ledger by address, but for what may differ; every address once."""
    found = [json.loads(line) for line in (path or ledger()).read_text().splitlines()]
    keys = ["/".join(str(row[n]) for n in ("dataset", "learner", "strategy", "repeat", "fold")) for row in found]
    assert max(Counter(keys).values()) == 1
    return {key: {k: v for k, v in row.items() if k not in ASIDE} for key, row in zip(keys, found, strict=True)}


def scores(path=None):
    return {key: (row["scores"], row["params"], row["threshold"]) for key, row in rows(path).items()}


def strictly(text):
    """One JSON document without NaN or infinities."""

    def refuse(word):
        raise AssertionError(f"{word} is no JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """The folder of a finished study."""
    home = tmp_path_factory.mktemp("done")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        assert run(*SMALL) == 0
    return home / "experiments" / "small"


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")


@pytest.fixture
def finished(done):
    """The same study in this test's own directory."""
    shutil.copytree(done, Path("experiments") / "small")
    return ledger()


# Resuming


def test_the_finished_study_is_what_was_asked(done):
    found = rows(done / "ledger.jsonl")
    assert list(found) == [f"ecoli3/logistic/{s}/0/{f}" for f in range(3) for s in ("none", "threshold", "smote")]
    assert {row["status"] for row in found.values()} == {"ok"}
    assert [p.name for p in done.parents[1].iterdir() if p.name != "mlruns"] == ["experiments"]


def test_a_finished_study_run_again_does_nothing_and_says_so(finished, capsys):
    before = finished.read_bytes(), finished.stat().st_mtime_ns
    assert run(*SMALL) == 0
    said = capsys.readouterr()
    assert said.out.startswith("All 9 requested evaluations of study 'small' are there.\n")
    assert said.err == ""
    assert (finished.read_bytes(), finished.stat().st_mtime_ns) == before


@pytest.mark.parametrize("kept", [0, 1, 5, 8])
def test_an_interrupted_study_continues_to_the_same_ledger(finished, kept, capsys):
    whole = rows()
    lines = finished.read_bytes().splitlines(keepends=True)
    finished.write_bytes(b"".join(lines[:kept]) + lines[kept][:77])
    assert run(*SMALL) == 0
    said = capsys.readouterr()
    assert said.out.startswith(f"{kept} of 9 evaluations are there; continuing.\n") == (kept > 0)
    assert said.err.startswith(f"{count_noun(9 - kept, 'cell')} on 1 process\n")
    assert finished.read_bytes().splitlines(keepends=True)[:kept] == lines[:kept]
    assert rows() == whole


def test_two_jobs_give_the_rows_of_one(done):
    assert main(["run", *SMALL, "tracking=none", "runner.n_jobs=2"]) == 0
    assert rows() == rows(done / "ledger.jsonl")


@pytest.mark.slow
def test_what_is_added_extends_a_study_and_changes_no_line(finished):
    steps = [
        ("strategy=[none,threshold,smote,class_weight]", 12),
        ("learner=[decision_tree]", 21),
        ("protocol.repeats=2", 30),
        ("strategy=[none]", 30),
    ]
    for added, cells in steps:
        before = finished.read_bytes()
        assert run(*SMALL, added) == 0
        assert finished.read_bytes().startswith(before)
        assert len(rows()) == cells
    asked = yaml.safe_load(finished.with_name("study.yaml").read_text())
    assert list(asked["strategy"]) == ["none", "threshold", "smote", "class_weight"]
    assert list(asked["learner"]) == ["logistic", "decision_tree"]
    assert asked["protocol"]["repeats"] == 2
    grown = rows()
    assert run(*SMALL[:2], *SMALL[3:], "name=at_once", "learner=[logistic,decision_tree]", "protocol.repeats=2") == 0
    at_once = rows(ledger("at_once"))
    shared = [key for key in at_once if key in grown]
    assert len(at_once) == 36
    # Decision trees and repeats were asked of fewer strategies above.
    assert len(shared) == 27
    assert all(at_once[key] == grown[key] for key in shared)


def test_a_narrower_question_shows_its_part_and_compare_shows_all(finished, capsys):
    before = finished.read_bytes()
    assert run(*SMALL, "strategy=[none,threshold]") == 0
    assert "smote" not in capsys.readouterr().out.partition("Next steps")[0]
    assert main(["compare", "small", "--full"]) == 0
    assert "\nsmote  " in capsys.readouterr().out
    assert finished.read_bytes() == before


CHANGED = {
    "seed: 0 -> 1": "seed=1",
    'primary: "mcc" -> "f1"': "primary=f1",
    'strategy.smote.space.k: "choice(3,5)" -> "choice(3)"': "strategy.smote.space.k=choice(3)",
    "protocol.outer_folds: 3 -> 4": "protocol.outer_folds=4",
    "learner.logistic.make.C: (absent) -> 0.5": "learner.logistic.make.C=0.5",
    'protocol.thresholds: "range(0.01,1,0.01)" -> [0.3, 0.5]': "protocol.thresholds=[0.3,0.5]",
}


@pytest.mark.sampled(4)
@pytest.mark.parametrize("difference", CHANGED)
def test_a_changed_question_is_refused_and_nothing_is_touched(finished, difference, capsys):
    files = {p: p.read_bytes() for p in finished.parent.iterdir() if p.is_file()}
    assert run(*SMALL, CHANGED[difference]) == 2
    said = capsys.readouterr()
    assert "mean ± sd" not in said.out
    assert said.err.startswith("StudyError: study 'small' asks another question")
    assert difference in said.err
    assert "overwrite=true" in said.err
    assert {p: p.read_bytes() for p in finished.parent.iterdir() if p.is_file()} == files


def test_overwrite_starts_over_and_keeps_the_old_folder(finished):
    old = finished.read_bytes()
    assert run(*SMALL, "seed=1", "overwrite=true") == 0
    assert Path("experiments/small~1/ledger.jsonl").read_bytes() == old
    assert yaml.safe_load(Path("experiments/small/study.yaml").read_text())["seed"] == 1
    new, kept = scores(), scores(Path("experiments/small~1/ledger.jsonl"))
    assert new.keys() == kept.keys()
    assert new != kept


def test_a_resolved_study_from_a_colleague_gives_the_same_rows(done, capsys):
    Path("received").mkdir()
    shutil.copy(done / "study.yaml", "received/theirs.yaml")
    assert run("received/theirs.yaml") == 0
    assert rows() == rows(done / "ledger.jsonl")
    assert ledger().with_name("study.yaml").read_bytes() == (done / "study.yaml").read_bytes()
    assert run("experiments/small/study.yaml") == 0
    assert "requested evaluations of study 'small' are there" in capsys.readouterr().out
    assert run("received/theirs.yaml", "seed=1") == 2
    assert "'seed=1' would change the resolved study 'received/theirs.yaml'" in capsys.readouterr().err


def test_a_resolved_study_is_copied_under_another_name(done, capsys):
    assert run(str(done / "study.yaml"), "name=again") == 0
    assert ledger("again").is_file()
    assert [row["scores"] for row in scored(ledger("again"))] == [
        row["scores"] for row in scored(done / "ledger.jsonl")
    ]
    question = yaml.safe_load(ledger("again").with_name("study.yaml").read_text())
    assert question["name"] == "again"
    seen = question["claims"]["registered"]["seen_before"].values()
    assert {study for studies in seen for study in studies} == {"small"}
    assert run("name=other", "seed=1", str(done / "study.yaml")) == 0
    assert yaml.safe_load(ledger("other").with_name("study.yaml").read_text())["seed"] == 1
    assert [row["scores"] for row in scored(ledger("other"))] != [
        row["scores"] for row in scored(done / "ledger.jsonl")
    ]
    capsys.readouterr()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["seed=1"], "A copy under another name may have another seed: add name=NAME."),
        (["learner=[knn]", "name=again"], "a copy is made by name=NAME, which may have another seed"),
        (["name=small", "seed=1"], "A copy under another name may have another seed: add name=NAME."),
        (["name=a/b"], "'name' is 'a/b'; names become folders and keys"),
    ],
)
def test_a_copy_that_cannot_be_made_is_refused_with_the_way_out(done, capsys, words, message):
    assert run(str(done / "study.yaml"), *words) == 2
    assert message in capsys.readouterr().err


def scored(path):
    """The lines of a ledger."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_edited_data_under_the_same_question_are_refused(capsys):
    frame = table()
    frame.to_csv("churn.csv", index=False)
    words = ("name=churn", *OWN, "strategy=[none]", "protocol=smoke", "learner=[logistic]")
    assert run(*words) == 0
    before = ledger("churn").read_bytes()
    frame.assign(a=frame.a.where(frame.index != 7, 0.5)).to_csv("churn.csv", index=False)
    capsys.readouterr()
    assert run(*words) == 2
    assert "holds 3 evaluations whose data or question has changed since" in capsys.readouterr().err
    assert ledger("churn").read_bytes() == before


# Interrupting

MANY = ("name=many", *ASKED, "protocol.repeats=14")
CELLS = 126


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    home = tmp_path_factory.mktemp("many")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        assert run(*MANY) == 0
        return rows(ledger("many"))


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_ctrl_c_keeps_the_rows_and_the_next_run_completes_them(many, jobs):
    command = [sys.executable, "-m", "imblab", "run", *MANY, "tracking=none", f"runner.n_jobs={jobs}"]
    # A shell that starts tests in the background lets them ignore Ctrl-C: this process must not.
    heed = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **heed) as process:
        wait_for(lambda: ledger("many").exists() and ledger("many").read_bytes().count(b"\n") >= 5, process)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.endswith("Stopped. Finished evaluations are kept: run the same command again to continue.\n")
    assert "Traceback" not in out + err
    kept = rows(ledger("many"))
    # One more row may have been on its way when it was stopped.
    assert re.search(rf"Incomplete: ({len(kept)}|{len(kept) - 1}) of {CELLS} evaluations are there", err)
    assert 5 <= len(kept) < CELLS
    assert all(many[key] == row for key, row in kept.items())
    assert run(*MANY) == 0
    assert rows(ledger("many")) == many


def wait_for(condition, process, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.01)


# Once


@pytest.mark.sampled(2)
@pytest.mark.parametrize("tracking", ["none", "sqlite"])
@pytest.mark.parametrize("again", [False, True], ids=["first", "again"])
def test_a_run_parses_reads_and_tests_once(tmp_path, monkeypatch, again, tracking):
    """The study is parsed, its evaluations are read and its contrasts are tested once in a run, with MLflow too."""
    words = ["run", *SMALL, "runner.n_jobs=1", f"tracking={tracking}", "learner=[logistic,decision_tree]"]
    if again:
        assert main(words) == 0
    calls = Counter()

    def counted(module, name):
        function = getattr(module, name)

        def count(*args, **kwargs):
            calls[name] += 1
            return function(*args, **kwargs)

        monkeypatch.setattr(module, name, count)

    counted(requests, "parse_study")
    monkeypatch.setattr(config, "parse_study", requests.parse_study)
    counted(study_ledger, "read_evaluation_lines")
    counted(study_ledger, "read_study")
    counted(compare, "_test_contrasts")
    assert main(words) == 0
    # The small file of the question is read again to see what is new, and for the grants that the next steps need.
    reads = {"read_evaluation_lines": 1, "read_study": 3} if again else {"read_study": 2}
    assert calls == {"parse_study": 1, "_test_contrasts": 2, **reads}


# What is printed


def test_a_plan_prints_cells_and_fits_and_writes_nothing(tmp_path, done, capsys):
    assert main(["plan", *SMALL]) == 0
    text = capsys.readouterr().out
    lines = [json.loads(line) for line in (done / "ledger.jsonl").read_text().splitlines()]
    asked = sum(line["fits"] for line in lines)
    fits = int(re.match(r"Study 'small': 9 evaluations, (?:at most )?(\d+) fits\b", text)[1])
    assert 0 < fits < asked
    assert list(tmp_path.iterdir()) == []
    assert main(["plan", *SMALL, "--json"]) == 0
    facts = strictly(capsys.readouterr().out)
    assert (facts["cells"], facts["fits"], facts["reused"]) == (9, fits, asked - fits)
    assert [s["name"] for s in facts["strategies"]] == ["none", "threshold", "smote"]
    assert facts["datasets"][0]["folds"][0] == {
        "repeat": 0, "fold": 0, "train": 224, "train_pos": 24, "test": 112, "test_pos": 11
    }  # fmt: skip
    assert list(tmp_path.iterdir()) == []


COMMANDS = {
    "run": ("run", *SMALL, *HERE),
    "inapplicable": ("run", "name=with_failures", *ASKED, "strategy.smote.ratio=0.05", "learner=[logistic,knn]", *HERE),
    "cautions": ("run", "name=cautions", "dataset=[yeast4]", "learner=[logistic]", "strategy=[none]", *HERE),
    "plan": ("plan", "name=p", "dataset=[yeast4,hypothyroid,page_blocks0]", "strategy=[none,smote_enn,near_miss]"),
    "compare": ("compare", "small"),
    "datasets": ("datasets",),
}


@pytest.mark.sampled(2)
@pytest.mark.parametrize("command", COMMANDS)
def test_nothing_is_wider_than_80_columns_and_nothing_is_coloured(finished, command, capsys):
    assert main(list(COMMANDS[command])) == 0
    out = capsys.readouterr().out
    assert out
    assert "\x1b" not in out
    assert [line for line in out.split("\n") if len(line) > 80] == []


@pytest.mark.sampled(3)
@pytest.mark.parametrize("command", COMMANDS)
def test_json_is_one_document(finished, command, capsys):
    assert main([*COMMANDS[command], "--json"]) == 0
    found = strictly(capsys.readouterr().out)
    if command == "datasets":
        assert {"ecoli3", "yeast4"} <= {row["name"] for row in found}
    else:
        assert found["study"] in ("small", "with_failures", "cautions", "p")


def test_json_holds_the_numbers_of_the_ledger(finished, capsys):
    assert main(["compare", "small", "--json"]) == 0
    found = strictly(capsys.readouterr().out)
    assert found["primary"] == "mcc"
    values = {s: [v[0]["mcc"] for k, v in scores().items() if f"/{s}/" in k] for s in ("none", "threshold", "smote")}
    for row in found["summary"]:
        assert row["mean"] == pytest.approx(np.mean(values[row["strategy"]]), abs=1e-9)
        assert row["sd"] == pytest.approx(np.std(values[row["strategy"]], ddof=1), abs=1e-9)
    against = {(c["a"], c["b"]): c for c in found["contrasts"]}
    gain = np.mean(values["smote"]) - np.mean(values["none"])
    assert against[("smote", "none")]["mean"] == pytest.approx(gain, abs=1e-9)
    assert len(found["sentences"]) == 2
    assert found["sentences"][1] == "Intervals and tests rest on the corrected t (Nadeau and Bengio 2003)."


def test_only_experiments_and_mlruns_are_left_behind(tmp_path, capfd):
    """With MLflow, at the level of file descriptors: whatever a library prints would be seen here."""
    assert main(["run", *SMALL, "runner.n_jobs=1", "--json"]) == 0
    strictly(capfd.readouterr().out)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["experiments", "mlruns"]
    assert {p.name for p in Path("experiments").iterdir()} == {".small.lock", ".small.mlflow.lock", "small"}
    kept = {p.name for p in Path("experiments/small").iterdir()}
    made = {
        "study.yaml",
        "ledger.jsonl",
        "searches.jsonl",
        "evidence.parquet",
        "search.parquet",
        "origin.json",
        "identity.json",
        "environment.json",
        "answer.json",
    }
    assert made <= kept <= made | {"README.md", "report.html", "figures", "tables"}
    found = {re.sub("(-wal|-shm|.lock)$", "", p.name) for p in Path("mlruns").iterdir()}
    assert found <= {"artifacts", "mlflow.db", "predictions.sqlite"}
    assert "mlflow.db" in found


def test_help_and_version_import_no_heavy_library():
    heavy = ["sklearn", "mlflow", "pandas", "optuna", "imblearn", "numpy", "hydra", "rich", "yaml"]
    code = f"""
import contextlib, sys
from imblab.cli import main
for word in (["--help"], ["run", "--help"], ["--version"]):
    with contextlib.suppress(SystemExit):
        main(word)
print([name for name in {heavy} if name in sys.modules], file=sys.stderr)
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert found.stderr == "[]\n"
    assert "run or resume a study" in found.stdout
    assert f"imblab {imblab.__version__}\n" in found.stdout


def test_a_reader_who_leaves_is_no_error():
    command = [sys.executable, "-m", "imblab", "datasets"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 141


# A user's own files

OWN = ("dataset=table", "dataset.table.path=churn.csv", "dataset.table.target=left")


def table(n=240, positives=48):
    rng = np.random.default_rng(0)
    y = np.zeros(n, dtype=int)
    y[rng.permutation(n)[:positives]] = 1
    made = {"number": np.arange(n), "a": rng.normal(size=n) + 1.5 * y, "b": rng.normal(size=n)}
    return pd.DataFrame({**made, "region": rng.choice(["n", "s"], n), "left": np.where(y == 1, "yes", "no")})


FOLDER = {
    "learner/ridge.yaml": """
ridge:
  make: {_target_: sklearn.linear_model.RidgeClassifier}
  space: {alpha: "tag(log,interval(0.01,100.0))"}
""",
    "strategy/kmeans_smote.yaml": """
kmeans_smote:
  sampler: {_target_: imblearn.over_sampling.KMeansSMOTE, cluster_balance_threshold: 0.0}
  ratio: null
  k: 2
  weight: null
  threshold: tuned
  space: {ratio: "choice(0.25,0.5)"}
""",
    "dataset/claims.yaml": """
claims: {kind: table, path: claims.csv, target: left, positive: "yes", drop: [number]}
""",
    "experiment/ours.yaml": """
# @package _global_
defaults:
  - override /dataset: [claims, ecoli3]
  - override /learner: [ridge, logistic]
  - override /strategy: [none, threshold, kmeans_smote]
  - override /protocol: smoke
seed: 3
""",
}


@pytest.fixture
def mine():
    for name, text in FOLDER.items():
        path = Path("mine") / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.lstrip())
    table().to_csv("claims.csv", index=False)
    return "mine"


def test_a_folder_of_ones_own_works_end_to_end(mine, capsys):
    """Overrides before and after the option, a name from the experiment's file, inapplicable cells said."""
    assert main(["run", "experiment=ours", "--config-dir", mine, *HERE]) == 0
    found = rows(ledger("ours"))
    assert main(["compare", "ours", "--full"]) == 0
    text = capsys.readouterr().out
    assert len(found) == 36
    asked = yaml.safe_load(ledger("ours").with_name("study.yaml").read_text())
    assert (asked["name"], asked["seed"]) == ("ours", 3)
    assert asked["learner"]["ridge"]["make"] == {"_target_": "sklearn.linear_model.RidgeClassifier"}
    for key, row in found.items():
        hopeless = key.startswith("claims/") and "kmeans" in key
        assert row["status"] == ("inapplicable" if hopeless else "ok"), row["error"]
        if "kmeans" in key and not hopeless:
            assert row["reached"]["sampler"] == "KMeansSMOTE"
            assert row["params"]["ratio"] in (0.25, 0.5)
            assert row["params"]["k"] == 2
    said = " ".join(text.split())
    assert "inapplicable in 3 of 3 folds: KMeansSMOTE measures distances and has no form for the categorical" in said
    assert "learner 'ridge' gives decision values, not probabilities" in said
    # The resolved study stands alone: it runs without the folder.
    assert run("experiments/ours/study.yaml") == 0
    assert "All 36 requested evaluations of study" in capsys.readouterr().out


def test_a_folder_that_is_not_there_is_refused(capsys):
    assert main(["plan", *SMALL, "--config-dir", "mine"]) == 2
    assert "--config-dir 'mine' is not a directory" in capsys.readouterr().err


def test_a_learner_of_ones_own_is_tuned_over_its_space(mine):
    words = ("name=tuned", "dataset=[ecoli3]", "learner=[ridge]", "strategy=[threshold]", "protocol=smoke")
    assert main(["run", *words, "search=tpe", "search.n_trials=4", "search.tune_learner=true", *HERE]) == 2
    assert run(*words, "--config-dir", mine, "search=tpe", "search.n_trials=4", "search.tune_learner=true") == 0
    for evaluation in read_evaluations(Path("experiments/tuned")):
        assert len(evaluation.trials) == 4
        assert 0.01 <= evaluation.params["learner.alpha"] <= 100


def test_an_unknown_learner_is_answered_with_the_known_ones_of_both_folders(mine, capsys):
    assert run("name=x", "dataset=[ecoli3]", "learner=[rigde]", "--config-dir", mine) == 2
    said = capsys.readouterr().err
    assert "unknown learner 'rigde'" in said
    assert "ridge" in said
    assert "logistic" in said


def test_a_table_is_called_as_its_file_unless_it_is_named(capsys):
    table().to_csv("churn.csv", index=False)
    words = (*OWN, "dataset.table.drop=[number]", "learner=[logistic]", "strategy=[none]", "protocol=smoke")
    assert run("name=own", *words) == 0
    assert {row["dataset"] for row in rows(ledger("own")).values()} == {"churn"}
    assert run("name=named", *words, "dataset.table.name=customers") == 0
    assert {row["dataset"] for row in rows(ledger("named")).values()} == {"customers"}
    assert "\ncustomers  No treatment, threshold .5" in capsys.readouterr().out
    for one, other in zip(rows(ledger("own")).values(), rows(ledger("named")).values(), strict=True):
        assert one["scores"] == other["scores"]


def test_a_study_without_a_name_or_a_data_set_is_refused(capsys):
    assert run(*ASKED) == 2
    assert "has no 'name' and no 'experiment'" in capsys.readouterr().err
    assert run("name=x") == 2
    assert "study 'x' has no data set" in capsys.readouterr().err
    assert list(Path.cwd().iterdir()) == []


def test_flags_of_hydra_and_unknown_options_are_refused(capsys):
    assert main(["run", *SMALL, "-m"]) == 2
    assert "'-m' asks Hydra for many jobs" in capsys.readouterr().err
    with pytest.raises(SystemExit) as refusal:
        main(["run", *SMALL, "--jobs", "2"])
    assert refusal.value.code == 2
    assert "unknown option '--jobs' of imblab run. " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["rum"], "unknown command 'rum'. Did you mean 'run'? Valid commands: audit, compare,"),
        (["list", "--shema"], "unknown option '--shema' of imblab list. Did you mean '--schema'? Valid options: "),
        (["run", "--mulitrun"], "--package. Hydra has '--multirun'."),
        (["--cfg", "job"], "begins with '--cfg'; an option follows its command. Write it behind a command"),
        (["list", "learners", "knn"], "was also given 'knn'; it takes no further words. Leave them out"),
    ],
)
def test_words_that_are_not_understood_are_answered_with_the_nearest(capsys, words, message):
    with pytest.raises(SystemExit) as refusal:
        main(words)
    assert refusal.value.code == 2
    assert message in capsys.readouterr().err


# Fits that cannot be


def test_what_does_not_apply_is_a_row_and_the_table_says_so(capsys):
    assert run(*SMALL, "strategy.smote.ratio=0.05") == 0
    out, said = (text := capsys.readouterr().out), " ".join(text.split())
    assert out.startswith("strategy.smote.ratio is fixed to 0.05: its space is removed.\n")
    assert "which count as evaluated: 3 are not applicable." in said
    assert said.count("ratio=0.05 is at or below") == 1  # the headline says it
    assert main(["compare", "small", "--full"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    statuses = Counter((row["strategy"], row["status"]) for row in rows().values())
    assert statuses == {("none", "ok"): 3, ("threshold", "ok"): 3, ("smote", "inapplicable"): 3}
    assert "smote: inapplicable in 3 of 3 folds: " in said
    assert "0/3" in said


def test_a_plan_says_that_a_fixed_knob_has_no_space_any_more(capsys):
    note = "strategy.smote.ratio is fixed to 0.05: its space is removed.\n"
    assert main(["plan", *SMALL, "strategy.smote.ratio=0.05"]) == 0
    assert capsys.readouterr().out.startswith(note)
    assert main(["plan", *SMALL, "strategy.smote.ratio=0.05", "--json"]) == 0
    assert note not in capsys.readouterr().out


def test_a_failing_fit_is_a_row_and_the_table_says_so(capsys):
    words = ("name=broken", "dataset=[ecoli3]", "learner=[knn,decision_tree]", "strategy=[none]", "protocol=smoke")
    assert run(*words, "learner.knn.make.n_neighbors=9999") == 0
    statuses = Counter((row["learner"], row["status"]) for row in rows(ledger("broken")).values())
    assert statuses == {("knn", "failed"): 3, ("decision_tree", "ok"): 3}
    assert main(["compare", "broken", "--full"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "failed in 3 of 3 folds: " in said
    assert "Expected n_neighbors <= n_samples_fit" in said
    assert main(["compare", "broken", "--json"]) == 0
    summary = strictly(capsys.readouterr().out)["summary"]
    assert {row["learner"]: (row["failed"], row["mean"] is None) for row in summary} == {
        "knn": (3, True),
        "decision_tree": (0, False),
    }


# Python


def as_scores(frame):
    return {
        f"{r.dataset}/{r.learner}/{r.strategy}/{r.repeat}/{r.fold}": (r.mcc, r.pr_auc, r.threshold)
        for r in frame.itertuples()
    }


def of_ledger(path):
    return {key: (s["mcc"], s["pr_auc"], cut) for key, (s, _, cut) in scores(path).items()}


def test_python_gives_the_scores_of_the_command_line(done, tmp_path):
    study = imblab.compose(*SMALL)
    frame = imblab.evaluate(study)
    assert as_scores(frame) == of_ledger(done / "ledger.jsonl")
    assert list(tmp_path.iterdir()) == []
    assert set(frame.groupby("strategy").mcc.mean().index) == {"none", "threshold", "smote"}


def test_python_runs_and_resumes_in_a_folder(done, finished):
    study = imblab.compose(*SMALL)
    before = finished.read_bytes()
    assert as_scores(imblab.run(study).to_frame()) == of_ledger(finished)
    assert finished.read_bytes() == before
    frame = imblab.run(study, folder="elsewhere/first", n_jobs=1).to_frame()
    assert as_scores(frame) == of_ledger(finished)
    assert rows(Path("elsewhere/first/ledger.jsonl")) == rows(done / "ledger.jsonl")
    with pytest.raises(StudyError, match="seed: 0 -> 9"):
        imblab.run(replace(study, seed=9), folder="elsewhere/first")
    imblab.run(replace(study, seed=9), folder="elsewhere/first", overwrite=True)
    assert sorted(p.name for p in Path("elsewhere").glob("first*")) == ["first", "first~1"]


def test_a_table_in_memory_gives_the_scores_of_its_file():
    frame = table()
    frame.to_csv("churn.csv", index=False)
    words = ("dataset.table.drop=[number]", "learner=[logistic]", "strategy=[threshold,smote]", "protocol=smoke")
    assert run("name=churn", *OWN, *words) == 0
    data = imblab.dataset(frame, "left", name="churn", drop="number")
    study = replace(imblab.compose("name=churn", "dataset=[ecoli3]", *words[1:]), datasets={})
    assert as_scores(imblab.evaluate(study, data=[data])) == of_ledger(ledger("churn"))


def test_what_python_offers_is_what_it_says():
    assert set(imblab.__all__) <= set(dir(imblab))
    assert all(getattr(imblab, name) is not None for name in imblab.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        imblab.nothing


def test_the_store_is_shown_and_pruned(capsys):
    assert main(["store", "--json"]) == 0
    assert strictly(capsys.readouterr().out)["predictions"] == 0
    assert not Path("mlruns").exists()
    assert run(*SMALL) == 0
    capsys.readouterr()
    assert main(["store", "--json"]) == 0
    held = strictly(capsys.readouterr().out)
    assert held["predictions"] > 0
    assert held["path"] == "mlruns/predictions.sqlite"
    assert main(["store", "--prune", "0"]) == 0
    assert f"{held['predictions']} were deleted" in " ".join(capsys.readouterr().out.split())
    with pytest.raises(SystemExit, match="2"):
        main(["store", "--prune", "-3"])
    before = rows()
    assert run("name=again", *ASKED) == 0
    assert before == rows(ledger("again"))


def test_a_second_question_of_the_same_fits_makes_none(capsys):
    assert run(*SMALL) == 0
    capsys.readouterr()
    assert run("name=finer", *ASKED, "protocol.thresholds=range(0.001,1,0.001)", "runner.on_error=raise") == 0
    said = " ".join(capsys.readouterr().out.split())
    moved = sum(
        a["params"] != b["params"] for a, b in zip(rows().values(), rows(ledger("finer")).values(), strict=True)
    )
    assert f"{count_noun(moved, 'model')} fitted, " in said


def test_a_budget_is_answered_with_what_would_be_left_out(capsys):
    wide = ("name=wide", *ASKED, "strategy.smote.space.ratio=range(0.15,1,0.01)", "protocol.repeats=3")
    assert main(["plan", *wide, "budget.minutes=0.02", "--json"]) == 0
    plan = strictly(capsys.readouterr().out)
    assert plan["price"]["seconds"] > 1.2
    assert plan["budget"]["overrides"][0] == "protocol.repeats=1"
    assert plan["budget"]["seconds"] < plan["price"]["seconds"]
    assert main(["plan", *wide, "budget.minutes=600", "--json"]) == 0
    assert "budget" not in strictly(capsys.readouterr().out)
    assert main(["plan", *wide, "budget.minutes=0.02"]) == 0
    said = capsys.readouterr().out
    assert "more than budget.minutes=0.02" in said
    assert "- protocol.repeats=1" in said


def test_a_study_may_be_asked_to_stop_at_the_first_failure(capsys):
    broken = ("learner=[xgboost]", "learner.xgboost.make.booster=nonsense")
    words = ("name=broken", "dataset=[ecoli3]", "strategy=[none]", "protocol=smoke", *broken)
    assert run(*words, "runner.on_error=raise") == 2
    assert "runner.on_error=raise stops a study there" in capsys.readouterr().err
    assert len(rows(ledger("broken"))) == 1
    assert run(*words) == 0
    assert "Failed 3 times" in " ".join(capsys.readouterr().out.split())  # of the study, not of this run alone


def test_a_study_without_a_baseline_says_so_and_a_table_without_intervals_has_no_line_on_them(capsys):
    words = ("name=sole", "dataset=[ecoli3]", "learner=[logistic]", "strategy=[smote]", "protocol=smoke")
    assert run(*words, "runner.report=false") == 0
    screen = " ".join(capsys.readouterr().out.split())
    assert "Caution: the study has no baseline with no treatment or a tuned threshold alone" in screen
    assert "add `none` and `threshold` to strategy=[...]" in screen
    assert "intervals." not in screen
