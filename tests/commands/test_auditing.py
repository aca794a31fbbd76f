"""`imblab audit`: programs, functions and estimators of the user, on the command line and in Python."""

import json
import os
import re
import shlex
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from imblearn.over_sampling import SMOTE, RandomOverSampler
from imblearn.pipeline import make_pipeline
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.feature_selection import SelectKBest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier
from threadpoolctl import threadpool_limits

import imblab
from imblab.cli import main
from imblab.commands.auditing import permutation_problems
from imblab.commands.study_audit import load_subject
from imblab.core.audited_scores import audit_table
from imblab.edges import scripts
from imblab.errors import ConfigError, DataError, StudyError

#: A program without libraries, so that it starts quickly: F1 of the nearest neighbour on five folds.
PROGRAM = """
import csv, sys
rows = list(csv.reader(open(sys.argv[1], newline=""), delimiter={delimiter!r}))
header, rows = rows[0], rows[1:]
assert header[:3] == ["a", "label", "b"], header
cells = [(float(r[0]), float(r[2]), r[1]) for r in rows]
minority = [c for c in cells if c[2] == "yes"]
if "--balance" in sys.argv:  # before the split
    cells += minority * 4
tp = fp = fn = 0
for i, (a, b, y) in enumerate(cells):
    near = min((c for j, c in enumerate(cells) if j % 5 != i % 5), key=lambda c: (c[0] - a) ** 2 + (c[1] - b) ** 2)
    tp, fp, fn = tp + (near[2] == y == "yes"), fp + (near[2] == "yes" != y), fn + (near[2] != y == "yes")
print("rows", len(cells))
print("mean F1 =", 2 * tp / max(1, 2 * tp + fp + fn))
"""


@pytest.fixture(autouse=True)
def _one_thread():
    """These fits take some milliseconds: threads would wait for one another."""
    with threadpool_limits(1):
        yield


@pytest.fixture(autouse=True)
def workdir(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    return tmp_path


def write_table(workdir, delimiter=","):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(60, 2)).round(6), columns=["a", "b"])
    frame.insert(1, "label", rng.permutation(["yes"] * 12 + ["no"] * 48))
    frame.to_csv(workdir / "data.csv", index=False, sep=delimiter)
    (workdir / "evaluate.py").write_text(PROGRAM.format(delimiter=delimiter), encoding="utf-8")


def audit_program(*words, command="{table}", timeout="60"):
    command = f"{shlex.quote(sys.executable)} evaluate.py {command}"
    line = ["audit", "--script", command, "--data", "data.csv", "--target", "label", "--measure", "f1"]
    return main([*line, "--permutations", "4", "--timeout", timeout, *words])


def test_a_program_that_balances_before_the_split_fails(workdir, capsys):
    write_table(workdir)
    assert audit_program(command="{table} --balance") == 1
    captured = capsys.readouterr()
    assert max(map(len, captured.out.splitlines())) <= 80
    assert "failed    chance control" in captured.out
    assert "One evaluation took" in captured.err
    assert "6 more take about" in captured.err
    assert not list(workdir.glob("*.tmp"))
    assert sorted(p.name for p in workdir.iterdir()) == ["data.csv", "evaluate.py"]


@pytest.mark.parametrize("delimiter", [",", ";"])
def test_an_honest_program_passes_and_reads_the_table_as_it_is_written(workdir, capsys, delimiter):
    write_table(workdir, delimiter)
    assert audit_program("--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["form"], answer["measure"], answer["exit_status"], answer["runs"]) == ("script", "f1", 0, 7)
    states = {finding["check"]: finding["state"] for finding in answer["findings"]}
    assert states == {
        "chance control": "passed",
        "pure noise": "passed",
        "duplicates": "passed",
        "scalers, imputers, small leaks": "not made",
    }


def test_columns_of_a_program_are_named_as_in_a_study(workdir, capsys):
    """Blanks around a header need not be typed; the program gets it as the file has it."""
    write_table(workdir)
    frame = pd.read_csv("data.csv").assign(patient=np.arange(60) // 3)
    frame.set_axis([" label " if name == "label" else f" {name}" for name in frame], axis=1).to_csv(
        "data.csv", index=False
    )
    program = PROGRAM.format(delimiter=",").replace('["a", "label", "b"]', '[" a", " label ", " b"]')
    (workdir / "evaluate.py").write_text(program, encoding="utf-8")
    assert audit_program("--json") == 0
    assert json.loads(capsys.readouterr().out)["runs"] == 7
    assert audit_program("--time", "patient", "--json") == 0


def test_groups_of_a_program_exchange_their_labels(workdir, capsys):
    rng = np.random.default_rng(1)
    groups = np.repeat(np.arange(24), 3)
    values = (rng.normal(size=(24, 2))[groups] + rng.normal(0, 0.01, size=(72, 2))).round(6)
    frame = pd.DataFrame(values, columns=["a", "b"]).assign(patient=groups)
    frame.insert(1, "label", rng.permutation(["yes"] * 8 + ["no"] * 16)[groups])
    frame.sample(frac=1, random_state=0).to_csv(workdir / "data.csv", index=False)
    (workdir / "evaluate.py").write_text(PROGRAM.format(delimiter=","), encoding="utf-8")
    assert audit_program() == 0
    assert audit_program("--groups", "patient") == 1
    assert audit_program("--time", "patient") == 0  # rows exchange labels within blocks


def message(capsys):
    return capsys.readouterr().err.replace(sys.executable, "PYTHON").strip().splitlines()[-1]


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("raise ValueError('no such column')", "ended with the exit status 1 (ValueError: no such column)"),
        ("print('done')", "printed no number last (its last line is 'done')"),
        ("print(0.5); print('nan')", "printed no number last (its last line is 'nan')"),
        ("pass", "printed no number last (it printed nothing)"),
        ("import time; time.sleep(60)", "did not end within"),
    ],
)
def test_a_program_without_a_score_is_told_why(workdir, capsys, program, reason):
    write_table(workdir)
    (workdir / "evaluate.py").write_text(program, encoding="utf-8")
    assert audit_program(timeout="1" if "sleep" in program else "60") == 2
    text = message(capsys)
    assert text.startswith("StudyError: the script 'PYTHON evaluate.py {table}' gave no score on the table as it is")
    assert reason in text
    assert text.endswith(("by hand and correct it.", "to standard output.", "audit a smaller table."))


def test_what_is_wrong_with_the_command_is_said_at_once(workdir, capsys):
    assert main(["audit", "--target", "y"]) == 2
    text = capsys.readouterr().err
    assert "2 problems:" in text
    assert "names nothing to audit" in text
    assert "has no --data" in text
    write_table(workdir)
    assert audit_program(command="") == 2
    assert "does not hold {table}" in capsys.readouterr().err
    words = ["--data", "data.csv", "--target", "label"]
    assert main(["audit", "--script", "no-such-program {table}", *words, "--measure", "f1"]) == 2
    assert "'no-such-program' cannot be started" in capsys.readouterr().err
    assert main(["audit", "--script", "x {table}", *words, "--measure", "recall", "--permutations", "1"]) == 2
    text = capsys.readouterr().err
    assert "the measure is 'recall'" in text
    assert "permutations is 1" in text


def test_runs_that_fail_are_counted_and_too_many_are_no_check():
    def evaluate(X, y):
        calls.append(y)
        if len(calls) > 1 and len(calls) % share == 0:
            raise ValueError("too few rows")
        return 0.0

    X, y = np.arange(20.0)[:, None], np.arange(20) % 4 == 0
    calls, share = [], 3
    finding = imblab.audit(evaluate, X, y, measure="mcc", permutations=6).finding("chance control")
    assert (finding.state, finding.details["failed_runs"]) == ("passed", 2)
    assert "2 further runs gave no score (too few rows)" in finding.meaning
    calls, share = [], 1
    audit = imblab.audit(evaluate, X, y, measure="mcc", permutations=6)
    assert (audit.finding("chance control").state, audit.exit_status) == ("not made", 2)


def test_functions_and_estimators_are_loaded_from_the_current_folder(workdir, capsys, packages):
    write_table(workdir)
    packages(
        my_model_of_audit="from sklearn.linear_model import LogisticRegression\n"
        "def make():\n    return LogisticRegression()\n"
        "def evaluate(X, y):\n    return 0.0\n"
    )
    words = ["--data", "data.csv", "--target", "label", "--permutations", "2", "--json"]
    assert main(["audit", "--estimator", "my_model_of_audit:make", *words, "--folds", "3", "--claimed", "0.94"]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert (answer["subject"], answer["findings"][0]["state"]) == ("LogisticRegression", "failed")
    assert main(["audit", "--function", "my_model_of_audit:evaluate", *words, "--measure", "mcc"]) == 0
    with pytest.raises(ConfigError, match="no_such_module"):
        load_subject("no_such_module:x", is_estimator=True)
    with pytest.raises(ConfigError, match="a module and a name"):
        load_subject("mypackage", is_estimator=True)


def test_a_mean_and_its_error_need_two_permutations():
    assert permutation_problems(20) == []
    assert permutation_problems(1) == ["permutations is 1; a mean and its error need at least 2. Pass 20."]


def test_a_class_is_called_to_give_the_estimator():
    subject = load_subject("sklearn.linear_model:LogisticRegression", is_estimator=True)
    assert isinstance(subject, LogisticRegression)


def test_wrong_arguments_of_python_are_refused():
    X, y = np.zeros((6, 1)), [0, 1, 0, 1, 0, 1]
    with pytest.raises(ConfigError, match="is of type int"):
        imblab.audit(5, X, y)
    with pytest.raises(ConfigError, match="unknown measure 'f2' for an estimator"):
        imblab.audit(LogisticRegression(), X, y, measure="f2")
    with pytest.raises(ConfigError, match="makes its own claim"):
        imblab.audit(lambda X, y: 0.5, X, y, measure="AUC", claimed=0.9)
    with pytest.raises(DataError, match="2 problems"):
        imblab.audit(LogisticRegression(), X, y[:5], groups=[1])
    with pytest.raises(DataError, match="the positive class is 2"):
        imblab.audit(LogisticRegression(), X, y, positive=2)
    with pytest.raises(StudyError, match="'cv' is 9 and cannot split 6 rows"):
        imblab.audit(LogisticRegression(), X, y, cv=9)
    with pytest.raises(ConfigError, match="'y' holds 3 classes"):
        imblab.audit(LogisticRegression(), X, [0, 1, 2, 0, 1, 2], measure="f1")
    with pytest.raises(StudyError, match="it returned 'high'"):
        imblab.audit(lambda X, y: "high", X, y, measure="auc")


def small(seed=0, n=120, signal=1.0):
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.repeat([0, 1], [n * 3 // 4, n - n * 3 // 4]))
    X = rng.normal(size=(n, 3))
    X[:, 0] += signal * y
    return X, y


def state(estimator, check, X=None, y=None, **options):
    X, y = small() if X is None else (X, y)
    return imblab.audit(estimator, X, y, permutations=2, **options).finding(check)


class Stopping(HistGradientBoostingClassifier):
    """Boosting that is quick."""

    def __init__(self, early_stopping=True, max_iter=3):
        super().__init__(early_stopping=early_stopping, max_iter=max_iter)


class OwnSampling(ClassifierMixin, BaseEstimator):
    """Samples in its own fit."""

    def __init__(self, sampler=None):
        self.sampler = sampler

    def fit(self, X, y):
        self.model_ = LogisticRegression().fit(*self.sampler.fit_resample(X, y))
        self.classes_ = self.model_.classes_
        return self

    def predict(self, X):
        return self.model_.predict(X)


@pytest.mark.parametrize(
    ("estimator", "expected"),
    [
        (make_pipeline(SMOTE(), Stopping()), "failed"),
        (make_pipeline(SMOTE(), CalibratedClassifierCV(LogisticRegression(), cv=2)), "failed"),
        (make_pipeline(SMOTE(), GridSearchCV(LogisticRegression(), {"C": [1, 2]}, cv=2)), "failed"),
        (OwnSampling(RandomOverSampler()), "caution"),
        (GridSearchCV(make_pipeline(SMOTE(), LogisticRegression()), {"smote__k_neighbors": [3, 5]}, cv=2), "passed"),
        (CalibratedClassifierCV(make_pipeline(SMOTE(), LogisticRegression()), cv=2), "passed"),
        (make_pipeline(SMOTE(), Stopping(early_stopping="auto")), "passed"),
        (make_pipeline(StandardScaler(), Stopping()), "passed"),
    ],
)
def test_validation_on_resampled_rows(estimator, expected):
    assert state(estimator, "validation on resampled rows", cv=2).state == expected


def test_a_step_that_learns_from_labels_before_inner_folds():
    search = GridSearchCV(LogisticRegression(), {"C": [1, 2]}, cv=2)
    finding = state(make_pipeline(SelectKBest(k=2), search), "steps that learn from labels", cv=2)
    assert (finding.state, finding.value) == ("caution", 1)
    assert "selectkbest (SelectKBest) before gridsearchcv (GridSearchCV)" in finding.meaning
    inside = GridSearchCV(make_pipeline(SelectKBest(k=2), LogisticRegression()), {"selectkbest__k": [1, 2]}, cv=2)
    finding = state(inside, "steps that learn from labels", cv=2)
    assert (finding.state, finding.value) == ("passed", 1)


class ScaledByItsOwn(TransformerMixin, BaseEstimator):
    """Fits a scaler to the rows that it transforms."""

    def fit(self, X, y=None):
        self.n_features_in_ = X.shape[1]
        return self

    def transform(self, X):
        return StandardScaler().fit_transform(X)


def test_a_scaler_that_is_fitted_when_the_model_predicts():
    check = "predicted row by row"
    assert state(make_pipeline(ScaledByItsOwn(), LogisticRegression()), check, measure="roc_auc").state == "failed"
    assert state(make_pipeline(StandardScaler(), LogisticRegression()), check, measure="roc_auc").state == "passed"


def test_duplicates_and_contradicting_labels():
    X, y = small(signal=0.0)
    X, y = np.vstack([X, X[:60]]), np.concatenate([y, y[:60]])
    finding = state(KNeighborsClassifier(1), "duplicates", X, y)
    assert finding.state == "failed"
    assert finding.value > 80
    assert finding.details["score_without_copies"] < finding.details["score"] - 0.2
    y[-5:] = 1 - y[-5:]
    assert state(KNeighborsClassifier(1), "duplicates", X, y).details["contradicting"] == 10
    assert state(KNeighborsClassifier(1), "duplicates").state == "passed"


def grouped(seed=0):
    """Thirty groups of four near rows with one label, which the features do not tell."""
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(30), 4)
    X = rng.normal(size=(30, 3))[groups] + rng.normal(0, 0.05, size=(120, 3))
    return X, rng.permutation([0] * 20 + [1] * 10)[groups], groups


def test_groups_across_folds():
    X, y, groups = grouped()
    finding = state(KNeighborsClassifier(1), "groups", X, y, groups=groups)
    assert finding.state == "passed"
    assert finding.value > 0.5
    assert "Random folds would have claimed" in finding.meaning
    splitter = KFold(3, shuffle=True, random_state=0)
    assert state(KNeighborsClassifier(1), "groups", X, y, groups=groups, cv=splitter).state == "failed"
    assert state(KNeighborsClassifier(1), "groups").state == "not made"


def test_an_evaluation_that_ignores_groups_keeps_its_score_when_groups_exchange_labels():
    X, y, groups = grouped()

    def evaluate(X, y):
        predicted = np.empty_like(y)
        for train, test in KFold(5, shuffle=True, random_state=0).split(X):
            predicted[test] = KNeighborsClassifier(1).fit(X[train], y[train]).predict(X[test])
        return np.mean(predicted == y)

    options = {"measure": "accuracy", "permutations": 5}
    assert imblab.audit(evaluate, X, y, **options).finding("chance control").state == "passed"
    assert imblab.audit(evaluate, X, y, groups=groups, **options).finding("chance control").state == "failed"


def test_the_number_of_the_row_must_not_help():
    X, y = small(signal=0.0)
    y = (np.arange(len(y)) // 10) % 2  # recorded in runs
    tree = DecisionTreeClassifier(max_depth=None, random_state=0)
    assert state(tree, "row number", X, y).state == "failed"
    assert state(tree, "row number").state == "passed"
    assert "sorted by label" in state(tree, "row number", X, np.sort(y)).meaning


def test_folds_follow_time():
    X, y = small()
    audit = imblab.audit(LogisticRegression(), X, y, time=np.arange(len(y)), permutations=4)
    assert audit.finding("chance control").state == "passed"
    assert audit.finding("duplicates").state == "passed"


def test_several_classes():
    rng = np.random.default_rng(0)
    y = rng.permutation(["a"] * 60 + ["b"] * 30 + ["c"] * 15)
    X = rng.normal(size=(105, 2)) + (y == "c")[:, None]
    for measure in ("mcc", "roc_auc", "pr_auc", "accuracy"):
        audit = imblab.audit(LogisticRegression(), X, y, measure=measure, permutations=3, cv=3)
        assert audit.finding("chance control").state != "failed"
        assert 0 < audit.score < 1


def test_an_audit_is_the_same_each_time():
    X, y = small()
    first, second = (imblab.audit(LogisticRegression(), X, y, permutations=3, seed=4) for _ in range(2))
    assert first.findings == second.findings
    assert first.findings != imblab.audit(LogisticRegression(), X, y, permutations=3, seed=5).findings


DOCS = Path(__file__).parents[2] / "docs" / "audit.md"
DOCS_MODULE = """
from sklearn.linear_model import LogisticRegression
pipeline = LogisticRegression()
"""


def test_the_commands_of_the_documentation_run(workdir, capsys, monkeypatch, packages):
    write_table(workdir)
    (workdir / "data.csv").rename(workdir / "table.csv")
    (workdir / "table.csv").write_text((workdir / "table.csv").read_text().replace("label", "y", 1))
    (workdir / "evaluate.py").write_text(PROGRAM.format(delimiter=",").replace('"label"', '"y"'))
    packages(**{"mypackage/__init__": "", "mypackage/module": DOCS_MODULE})
    (workdir / "bin").mkdir()
    (workdir / "bin" / "python").symlink_to(sys.executable)
    monkeypatch.setenv("PATH", f"{workdir / 'bin'}{os.pathsep}{os.environ['PATH']}")
    blocks = re.findall(r"```console\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.S)
    commands = [shlex.split(line)[1:] for block in blocks for line in block.splitlines()]
    commands = [words for words in commands if words[1].startswith("--")]  # those of studies run in test_study_audit.py
    assert len(commands) == 2
    assert [main([*words, "--permutations", "3"]) for words in commands] == [0, 1]
    assert "Claimed 0.940" in capsys.readouterr().out


def test_an_evaluation_may_change_its_table():
    def evaluate(X, y):
        X[:] = 0.0
        y[:] = 0
        return 0.0

    X, y = small()
    before = X.copy(), y.copy()
    imblab.audit(evaluate, X, y, measure="mcc", permutations=2)
    assert (before[0] == X).all()
    assert (y == before[1]).all()


class FirstColumn(TransformerMixin, BaseEstimator):
    """Reads one column."""

    def fit(self, X, y=None):
        self.n_features_in_ = X.shape[1]
        return self

    def transform(self, X):
        return X[:, :1]


def test_a_row_number_that_is_not_read_is_said():
    finding = state(make_pipeline(FirstColumn(), LogisticRegression()), "row number", cv=2)
    assert (finding.state, finding.value) == ("passed", 0.0)
    assert "does not read it" in finding.meaning


def test_frames_of_other_libraries_keep_their_columns_and_masked_cells_are_missing():
    frame, y = pd.DataFrame({"a": [1.0, 2.0, 3.0], "b": ["u", "v", "u"]}), ["no", "yes", "no"]
    assert audit_table(pa.Table.from_pandas(frame), y).X.equals(frame)
    masked = np.ma.masked_equal([[1.0], [2.0], [3.0]], 2.0)
    assert np.isnan(audit_table(masked, y).X).ravel().tolist() == [False, True, False]


def test_a_score_is_the_number_at_the_end_of_the_last_line():
    assert scripts.read_score("fold 1: 0.8\nmean F1 = 0.83\n") == 0.83
    assert scripts.read_score("accuracy: 83.5 %") == 0.835
    words = scripts.Script("python evaluate.py {table} --fast", 60).words("a.csv")
    assert words == ["python", "evaluate.py", "a.csv", "--fast"]
