"""A machine that says no: every command answers in one message, exit code 2, and what was finished stays."""

import io
import os
import resource
import shutil
import signal
import sys
from pathlib import Path

import pytest

from imblab import errors
from imblab.cli import main

ASKED = ("dataset=[ecoli3]", "learner=[logistic]", "strategy=[none,smote]", "protocol=smoke", "measures=[mcc,pr_auc]")
HERE = ("runner.n_jobs=1", "tracking=none")
COMMANDS = {
    "run": ("run", "name=fresh", *ASKED, *HERE),
    "plan": ("plan", "name=fresh", *ASKED),
    "compare": ("compare", "demo"),
    "compare-json": ("compare", "demo", "--json"),
    "report": ("report", "demo"),
    "index": ("report", "--index"),
    "rescore": ("rescore", "demo", "primary=pr_auc"),
    "export": ("export", "demo", "tracking=none"),
    "sync": ("sync", "demo"),
    "store": ("store",),
    "ui": ("ui", "demo"),
    "datasets": ("datasets",),
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A directory with a study that is answered."""
    place = tmp_path_factory.mktemp("machine")
    before = Path.cwd()
    os.chdir(place)
    try:
        assert main(["run", "name=demo", *ASKED, *HERE]) == 0
    finally:
        os.chdir(before)
    return place


@pytest.fixture
def place(finished, tmp_path):
    return Path(shutil.copytree(finished, tmp_path / "place"))


def content(place):
    return {p.relative_to(place).as_posix(): p.read_bytes() for p in (place / "experiments").rglob("*") if p.is_file()}


def under(place, words, prepare=lambda: None):
    """The exit code of a command in a child of this process, and what it wrote to its streams."""
    log = place.parent / "log"
    child = os.fork()
    if child == 0:
        code = 99
        try:
            signal.alarm(120)
            os.chdir(place)
            stream = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(stream, 1)
            os.dup2(stream, 2)
            sys.stdout = io.TextIOWrapper(io.BufferedWriter(io.FileIO(1, "w", closefd=False)))
            sys.stderr = io.TextIOWrapper(io.FileIO(2, "w", closefd=False), line_buffering=True)
            prepare()
            code = main(words)
            sys.stdout.flush()
        except BaseException:
            import traceback

            os.write(stream, traceback.format_exc().encode())
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return code, log.read_text() if log.exists() else ""


def full():
    """A disk that takes no file beyond four kilobytes."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))


def streams(path, *numbers):
    def prepare():
        opened = os.open(path, os.O_WRONLY)
        for number in numbers:
            os.dup2(opened, number)

    return prepare


def pipe(*numbers):
    """The reader has gone."""

    def prepare():
        reader, writer = os.pipe()
        os.close(reader)
        for number in numbers:
            os.dup2(writer, number)

    return prepare


def in_four_parts(said):
    assert "Traceback" not in said, said
    last = said.strip().splitlines()[-1]
    assert last.startswith(("StudyError: ", "ConfigError: ", "DataError: ")), said
    assert last.endswith(".")
    assert len(last) < 700
    return last


@pytest.mark.sampled(2)
@pytest.mark.parametrize("command", ["run", "report", "rescore", "export", "store"])
def test_a_full_disk_is_one_message_and_costs_nothing(place, command):
    before = content(place)
    code, said = under(place, COMMANDS[command], full)
    assert code == 2
    assert "File too large" in said or "disk I/O error" in said
    in_four_parts(said)
    after = content(place)
    assert {name: after[name] for name in before} == before
    assert not [name for name in after if name.endswith(".new")]
    assert under(place, COMMANDS[command])[0] == 0


def test_a_report_that_cannot_be_written_leaves_the_old_one(place):
    (place / "experiments" / "demo" / "tables" / "old.csv").write_text("old")
    before = content(place)
    assert under(place, COMMANDS["report"], full)[0] == 2
    assert content(place) == before
    assert under(place, COMMANDS["report"])[0] == 0
    assert "experiments/demo/tables/old.csv" not in content(place)


@pytest.mark.parametrize(
    "command", ["run", "plan", "compare", "compare-json", "report", "rescore", "store", "datasets"]
)
def test_a_full_standard_output_is_one_message(place, command):
    code, said = under(place, COMMANDS[command], streams("/dev/full", 1))
    assert code == 2
    assert "'standard output' cannot be written (No space left on device)" in in_four_parts(said)


def test_a_full_standard_error_stops_no_study(place):
    assert under(place, COMMANDS["run"], streams("/dev/full", 2))[0] == 0
    assert under(place, COMMANDS["compare"], streams("/dev/full", 1, 2))[0] == 2


@pytest.mark.parametrize("command", ["compare", "compare-json", "report", "datasets"])
def test_a_reader_that_has_gone_is_no_fault(place, command):
    code, said = under(place, COMMANDS[command], pipe(1))
    assert (code, said) == (141, "")


def test_a_reader_of_the_progress_that_has_gone_stops_no_study(place):
    assert under(place, COMMANDS["run"], pipe(2))[0] == 0


@pytest.mark.parametrize("command", ["run", "compare-json", "report"])
def test_no_file_takes_the_place_of_a_closed_stream(place, command):
    def prepare():
        for number in (0, 1, 2):
            os.close(number)
        sys.stdin = sys.stdout = sys.stderr = None

    assert under(place, COMMANDS[command], prepare)[0] == 0
    rows = (place / "experiments" / "demo" / "ledger.jsonl").read_bytes()
    assert rows.startswith(b"{")


@pytest.mark.parametrize("command", ["run", "compare", "report", "index", "rescore", "export", "sync"])
def test_a_file_in_the_place_of_the_studies_is_named(place, command):
    shutil.rmtree(place / "experiments")
    (place / "experiments").write_text("a file")
    code, said = under(place, COMMANDS[command])
    assert code == 2
    assert "experiments' is a file; a folder is expected there" in in_four_parts(said)


@pytest.mark.parametrize("command", ["run", "rescore", "export", "sync", "ui", "store"])
def test_a_file_in_the_place_of_the_stores_is_named(place, command):
    shutil.rmtree(place / "mlruns")
    (place / "mlruns").write_text("a file")
    words = (*COMMANDS[command][:2], "tracking.uri=sqlite:///mlruns/mlflow.db") if command == "export" else None
    code, said = under(place, words or COMMANDS[command])
    assert code == (0 if command == "store" else 2)  # there is no store, and nothing is made for the question
    if code:
        assert "mlruns" in in_four_parts(said)


@pytest.mark.sampled(2)
@pytest.mark.parametrize("content", [b"", b"PAR1 \xff", b"null", b"9" * 5000, b"[" * 100_000])
@pytest.mark.parametrize("name", ["evidence.parquet", "search.parquet", "origin.json"])
def test_sync_blames_the_damaged_file_and_not_the_store(place, empty_store, monkeypatch, capsys, name, content):
    shutil.copy(empty_store, place / "mlruns")
    (place / "experiments" / "demo" / name).write_bytes(content)
    monkeypatch.chdir(place)
    assert main(["sync", "demo"]) == 0
    said = capsys.readouterr().err
    assert name in said
    assert "damaged" in said
    assert "server" not in said
    assert "MLflow" not in said


def test_sync_of_no_evaluation_takes_nothing_away(place, monkeypatch, capsys):
    (place / "experiments" / "demo" / "ledger.jsonl").write_bytes(b"a torn line")
    monkeypatch.chdir(place)
    assert main(["sync", "demo"]) == 2
    assert "study 'demo' has 0 evaluations" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["ledger.jsonl", "evidence.parquet", "report.html"])
def test_a_folder_in_the_place_of_a_file_is_named(place, monkeypatch, capsys, name):
    path = place / "experiments" / "demo" / name
    path.unlink()
    path.mkdir()
    monkeypatch.chdir(place)
    assert main(["report", "demo"]) == 2
    assert f"'experiments/demo/{name}' is a folder; a file is expected there" in in_four_parts(capsys.readouterr().err)


LONG, DIGITS = "p" * 5000, "9" * 5000
ODD = {
    **{f"digits-{key}": ("plan", "name=x", *ASKED, f"{key}={DIGITS}") for key in ("seed", "protocol.repeats", "costs")},
    "digits-in-a-space": ("plan", "name=x", *ASKED, f"strategy.smote.space.k=choice(3,{DIGITS})"),
    "digits-in-a-list": ("plan", "name=x", *ASKED, f"protocol.thresholds=[{DIGITS}]"),
    "digits-in-rescore": ("rescore", "demo", f"costs={{fn: {DIGITS}, fp: 1}}"),
    "brackets": ("plan", "name=x", *ASKED, f"protocol.thresholds={'[' * 5000}"),
    "name": ("plan", f"name={LONG}", *ASKED),
    "table": ("plan", "name=x", "dataset=table", f"dataset.table.path={LONG}.csv", "dataset.table.target=y"),
    "question": ("run", f"{LONG}.yaml"),
    "groups": ("plan", "name=x", *ASKED, "--config-dir", LONG),
    "store-uri": ("sync", "demo", f"tracking.uri=sqlite:///{LONG}.db"),
    **{f"{name}-of-a-study": (name, LONG) for name in ("compare", "report", "rescore", "export", "sync")},
    **{f"jobs-{n}": ("plan", "name=x", *ASKED, f"runner.n_jobs={n}") for n in ("1000000000", "-1", "0", "nan")},
    **{
        f"{key}-{n}": ("plan", "name=x", *ASKED, f"{key}={n}")
        for key in ("runner.fit_timeout", "tracking.timeout")
        for n in ("1e300", "inf", "nan", "-1", "0")
    },
}


@pytest.mark.sampled(2)
@pytest.mark.parametrize("case", ODD)
def test_numbers_and_paths_without_end_are_refused(place, monkeypatch, capsys, case):
    monkeypatch.chdir(place)
    assert main(ODD[case]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    in_four_parts(said.err)


@pytest.mark.parametrize("words", [("ui", "--port", "99999"), ("ui", "--port", DIGITS), ("store", "--prune", DIGITS)])
def test_options_out_of_range_are_refused(words, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(words)
    assert capsys.readouterr().err.splitlines()[-1].startswith(f"imblab {words[0]}: error: argument {words[1]}: '")


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        (SystemExit(3), r"'imblab compare' was ended from inside \(SystemExit: 3\)"),
        (MemoryError("8 GiB"), r"'imblab compare' needs more memory than there is \(8 GiB\)"),
        (RecursionError("deep"), "nested too deeply"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid"), "met text that is not UTF-8"),
        (PermissionError(13, "Permission denied", "x.yaml"), r"'x.yaml' cannot be used \(Permission denied\)"),
        (OSError(28, "No space left on device"), r"'a file' cannot be used \(No space left"),
        (OSError("no number"), r"'a file' cannot be used \(no number\)"),
    ],
)
def test_whatever_the_machine_refuses_is_caught_in_one_place(raised, said, monkeypatch, capsys):
    from imblab.commands import comparing

    def fails(*_):
        raise raised

    monkeypatch.setattr(comparing, "command_compare", fails)
    assert main(["compare", "x"]) == 2
    line = in_four_parts(capsys.readouterr().err)
    assert errors.re.search(said, line), line
    monkeypatch.setenv("IMBLAB_TRACEBACK", "1")
    assert main(["compare", "x"]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_a_fault_of_ones_own_is_no_message(monkeypatch):
    from imblab.commands import comparing

    monkeypatch.setattr(comparing, "command_compare", lambda *_: {}["a bug"])
    with pytest.raises(KeyError):
        main(["compare", "x"])


@pytest.mark.parametrize("name", ["experiments", "mlruns"])
def test_a_folder_that_is_a_link_to_itself_is_said(name, tmp_path, monkeypatch, capsys):
    """pathlib makes a RuntimeError of what the system refuses."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).symlink_to(name)
    for words in (["report", "--index"], ["store"], ["ui"], ["compare", "s"]):
        code = main(words)
        said = capsys.readouterr()
        assert code in (0, 2)
        assert (code == 2) == bool(said.err)
        assert "Traceback" not in said.err
    assert (tmp_path / name).is_symlink()


def test_labels_and_numbers_of_thousands_of_digits_in_a_table(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = ("plan", "name=x", "dataset=table", "dataset.table.target=y", "learner=[logistic]", "strategy=[none]")
    lines = [f"{i % 7}.5,{DIGITS if i % 3 == 0 else 1}" for i in range(60)]
    Path("labels.csv").write_text("\n".join(["a,y", *lines]))
    assert main([*words, "dataset.table.path=labels.csv", "protocol=smoke"]) == 0
    capsys.readouterr()
    Path("numbers.csv").write_text("\n".join(["y,a", *(f"{i % 3 == 0},{DIGITS}" for i in range(60))]))
    assert main([*words, "dataset.table.path=numbers.csv", "protocol=smoke"]) == 2
    assert "60 infinite values in column 'a'" in in_four_parts(capsys.readouterr().err)
