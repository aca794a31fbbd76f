"""Random command lines, study files and folder contents: each is answered, or refused in plain words.

Every case is drawn from a seed. A case that failed once is added to ``CASES`` and stays. Set ``IMBLAB_FUZZ_SECONDS`` to
search for longer, ``IMBLAB_FUZZ_SEED`` to search elsewhere.
"""

import contextlib
import copy
import io
import json
import os
import random
import re
import shutil
import time
from pathlib import Path

import pytest
import yaml

from imblab.cli import main

#: How long each of the three searches lasts.
SECONDS = float(os.environ.get("IMBLAB_FUZZ_SECONDS", "25"))
SEED = int(os.environ.get("IMBLAB_FUZZ_SEED", "0"))
#: Cases that are tried even on a machine so slow that the time is over before.
MIN_CASES = 3
TINY = (
    "dataset=[ecoli3]",
    "learner=[logistic]",
    "strategy=[none,threshold]",
    "protocol=smoke",
    "measures=[mcc,pr_auc]",
)
QUIET = ("runner.n_jobs=1",)
SECRET = "content-of-a-foreign-file"

#: What people and machines type where something else was meant.
ODD_TEXT = [
    "", " ", "null", "true", "no", "-1", "0", "1", "2.5", "1e300", "-inf", "nan", "9" * 5000, "x" * 5000,
    "/" + "y" * 5000, "../..", "~", "a b", "a,b", "[a,b]", "[]", "[[]]", "{a:1}", "{}", "{", "]", "choice(1,2)",
    "choice()", "range(0,1)", "interval(1,2)", "tag(log,interval(1,2))", "${oc.env:HOME}", "${seed}", "'quoted'",
    '"', "\\", "Kündigung", ">50K", "%", "?", "#", "\x1b[31m", "\n", "os.system", "sklearn.svm.SVC",
    "sqlite:///x.db", "http://127.0.0.1:9", "postgresql://u:p@ss@127.0.0.1:9/x",
]  # fmt: skip
ODD_VALUE = [
    None, True, False, 0, -1, 1, 1.5, -0.0, 1e308, float("nan"), float("inf"), 10**30, "", "x", "ok", "x" * 5000,
    "\x00", "a/b", [], [1], [[]], {}, {"a": 1}, {"_target_": "os.system"}, [None], "choice(1,2)", "interval(1,50)",
    {"_target_": "sklearn.svm.SVC"},
]  # fmt: skip
KEYS = [
    "name", "seed", "primary", "dataset", "learner", "strategy", "protocol", "search", "measures", "claims",
    "tracking", "runner", "experiment", "allow", "overwrite", "budget.minutes", "runner.n_jobs",
    "runner.fit_timeout", "runner.store", "runner.on_error", "tracking.uri", "tracking.search", "search.n_trials",
    "search.storage", "search.tune_learner", "search.prune", "protocol.inner", "protocol.outer_folds",
    "protocol.inner_folds", "protocol.repeats", "protocol.thresholds", "protocol.gap", "claims.alpha",
    "claims.contrasts", "claims.rope.mcc", "strategy.smote.k", "strategy.smote.ratio", "strategy.smote.space.k",
    "strategy.smote.threshold", "strategy.threshold.threshold", "strategy.smote.sampler._target_",
    "strategy.smote.weight", "strategy.smote.calibration", "learner.logistic.make.C",
    "learner.logistic.make._target_", "learner.logistic.space.C", "learner.x.make", "dataset.ecoli3.table",
    "dataset.table.path", "dataset.table.target", "dataset.table.positive", "dataset.table.drop",
    "dataset.table.groups", "dataset.table.time", "dataset.table.sep", "dataset.table.missing",
    "dataset.table.rare", "dataset.openml.data_id", "refit", "contains_rows", "threshold", "costs", "prevalence",
]  # fmt: skip
COMMANDS = ("run", "plan", "compare", "report", "rescore", "export", "sync", "store", "datasets")
#: What a message to people never holds.
FOREIGN = re.compile(r"Traceback \(most recent|object at 0x|NoneType|^\s+File \"", re.MULTILINE)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A folder with a small finished study, its report and its MLflow store, made once."""
    home = tmp_path_factory.mktemp("finished")
    with contextlib.chdir(home):
        code, out, err = called("run", "name=done", *TINY, *QUIET)
        assert code == 0, out + err
    return home


@pytest.fixture
def project(finished, tmp_path):
    """A copy of that folder, next to a file of somebody else."""
    home = tmp_path / "project"
    shutil.copytree(finished, home)
    (tmp_path / "victim.txt").write_text(SECRET)
    with contextlib.chdir(home):
        yield home


def called(*words):
    """Exit code, standard output and standard error of a command."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main(list(words))
        except SystemExit as stop:  # argparse
            code = stop.code
    return code, out.getvalue(), err.getvalue()


def check(words, code, out, err):
    """A command answers or refuses; a refusal is words for people."""
    case = repr([word[:200] for word in words])
    assert code in (0, 1, 2), f"{case}: exit status {code}\n{err}"
    assert not FOREIGN.search(out + err), f"{case}\n{err[-3000:]}"
    if code == 2 and not err.startswith("usage:"):
        said = [line for line in err.splitlines() if re.match(r"\w+Error: .{10,}", line)]
        assert said, f"{case}: no message\n{err[-2000:]}"
        assert max(map(len, err.splitlines())) < 3000, f"{case}: a line of a message is too long to be read"
        assert all(line.isprintable() for line in err.splitlines()), f"{case}: control characters"


def until(seconds):
    """Count cases until the time is over."""
    end, count = time.monotonic() + seconds, 0
    while count < MIN_CASES or time.monotonic() < end:
        yield count
        count += 1


# ------------------------------------------------------------------------------------------------ command lines


def command_line(rng):
    """A command with words that nearly fit, or do not at all."""
    command = rng.choice(COMMANDS)
    words = [command]
    if command in ("compare", "report", "rescore", "export", "sync"):
        words.append(rng.choice(["done", "done", "done", *rng.sample(ODD_TEXT, 2)]))
    elif command == "run":
        # A study that is there and finished: what fits is answered in no time.
        words += ["name=done", *TINY, *QUIET]
    elif command == "plan":
        words += ["name=new", *TINY]
    if command in ("store", "datasets"):
        words += [rng.choice(["--json", "--prune", *ODD_TEXT]) for _ in range(rng.randrange(3))]
        return words
    for _ in range(rng.choice([0, 1, 1, 1, 2, 3])):
        words.append(
            rng.choice(["", "", "+", "~", "++"])
            + rng.choice(KEYS)
            + rng.choice(["=", "=", "=", ""])
            + rng.choice(ODD_TEXT)
        )
    if rng.random() < 0.2:
        words.append(rng.choice(["--json", "--config-dir", "-m", "--full", "--nonsense", "--config-dir=/dev/null"]))
    return words


#: Command lines that failed once.
COMMAND_LINES: list[list[str]] = []


@pytest.mark.slow
def test_command_lines_are_answered_or_refused(project):
    rng = random.Random(SEED)
    ledger = Path("experiments/done/ledger.jsonl").read_bytes()
    for words in COMMAND_LINES:
        check(words, *called(*words))
    for _ in until(SECONDS):
        words = command_line(rng)
        check(words, *called(*words))
        if any("overwrite" in word for word in words):
            continue
        assert Path("experiments/done/ledger.jsonl").read_bytes().startswith(ledger), f"{words}: evaluations were lost"


# -------------------------------------------------------------------------------------------------- study files


def places(value, here=()):
    """The paths of all values of nested data."""
    yield here
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from places(inner, (*here, key))


def changed(data, rng):
    """The same data with one value replaced, taken away or put under another key."""
    fresh = copy.deepcopy(data)
    path = rng.choice([place for place in places(data) if place])
    part = fresh
    for key in path[:-1]:
        part = part[key]
    act = rng.random()
    if act < 0.7:
        part[path[-1]] = copy.deepcopy(rng.choice(ODD_VALUE))
    elif act < 0.85:
        del part[path[-1]]
    elif isinstance(part, dict):
        part[rng.choice(["x", "_target_", "random_state", "../x", 3, "n_jobs", "memory"])] = part.pop(path[-1])
    return fresh


@pytest.mark.slow
def test_study_files_are_run_or_refused(project):
    rng = random.Random(SEED + 1)
    words = ("name=asked", *TINY, "search=random", "search.n_trials=2", "search.tune_learner=true")
    code, _, err = called("run", *words, *QUIET, "tracking=none", "runner.report=false")
    assert code == 0, err
    study = yaml.safe_load(Path("experiments/asked/study.yaml").read_text())
    for count in until(SECONDS):
        mapping = changed(study, rng)
        for _ in range(rng.choice([0, 0, 1, 2])):
            mapping = changed(mapping, rng)
        Path("received.yaml").write_text(yaml.safe_dump(mapping, sort_keys=False))
        line = ("plan", "received.yaml") if count % 4 else ("plan", "received.yaml", "--json")
        try:
            check(line, *called(*line))
        except BaseException as error:
            raise AssertionError(f"{Path('received.yaml').read_text()}") from error


# ---------------------------------------------------------------------------------------------- folder contents


def damage_bytes(path, rng):
    """Cut, flip, repeat or replace what a file holds."""
    content = bytearray(path.read_bytes())
    act = rng.randrange(6)
    if act == 0:
        content = content[: rng.randrange(len(content) + 1)]
    elif act == 1 and content:
        for _ in range(rng.randrange(1, 20)):
            content[rng.randrange(len(content))] = rng.randrange(256)
    elif act == 2:
        content += content[-200:]
    elif act == 3:
        content = bytearray(
            rng.choice([b"", b"null", b"[]", b"{}", b"\x00" * 100, b"[" * 100_000, b"9" * 5000, b"\xff\xfe"])
        )
    elif act == 4:
        start = rng.randrange(len(content) + 1)
        content[start : start + 40] = b""
    else:
        content = bytearray(
            b"\n".join(rng.sample(lines, len(lines))) if (lines := bytes(content).split(b"\n")) else b""
        )
    path.write_bytes(bytes(content))
    return f"bytes of {path} ({act})"


def damage_json(path, rng):
    """Put another value into a line of JSON."""
    lines = path.read_text().splitlines()
    number = rng.randrange(len(lines))
    lines[number] = json.dumps(changed(json.loads(lines[number]), rng))
    path.write_text("\n".join(lines) + "\n")
    return f"line {number + 1} of {path}: {lines[number]}"


def damage_kind(path, rng):
    """Put a link, a folder, a pipe or nothing where a file was."""
    kind = rng.choice(["link", "folder", "pipe", "nothing", "loop"])
    path.unlink()
    if kind == "link":
        path.symlink_to(Path("../victim.txt").resolve())
    elif kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "loop":
        path.symlink_to(path.name)
    return f"{kind} at {path}"


def damaged(rng):
    """Damage one file of the study or of the stores, and say how."""
    files = [p for p in sorted(Path("experiments/done").rglob("*")) if p.is_file() and not p.is_symlink()]
    files += [
        p for p in (Path("mlruns/predictions.sqlite"), Path("mlruns/mlflow.db")) if p.is_file() and rng.random() < 0.3
    ]
    path = rng.choice(files)
    if path.suffix == ".jsonl" and rng.random() < 0.7:
        return damage_json(path, rng)
    return rng.choice([damage_bytes, damage_kind])(path, rng)


@pytest.mark.slow
def test_folder_contents_are_read_or_refused(finished, tmp_path):
    rng = random.Random(SEED + 2)
    (tmp_path / "victim.txt").write_text(SECRET)
    for count in until(SECONDS):
        home = tmp_path / f"project{count}"
        shutil.copytree(finished, home)
        with contextlib.chdir(home):
            said = damaged(rng)
            for line in (
                ("compare", "done"),
                ("report", "done"),
                ("rescore", "done", "primary=pr_auc"),
                ("run", "experiments/done/study.yaml", *QUIET),
                ("sync", "done"),
            ):
                if count % 5 and line[0] in ("rescore", "sync", "run") and rng.random() < 0.5:
                    continue
                try:
                    code, out, err = called(*line)
                    check(line, code, out, err)
                    assert SECRET not in out + err
                except BaseException as error:
                    raise AssertionError(f"{said}: {line}") from error
            for path in home.rglob("*"):
                if path.is_file() and not path.is_symlink() and path.stat().st_size < 2**22:
                    assert SECRET.encode() not in path.read_bytes(), f"{said}: {path} holds a foreign file"
        assert (tmp_path / "victim.txt").read_text() == SECRET, said
        shutil.rmtree(home)
